//! How is a stream read that never stands still, up to what it has by now and no further?
//!
//! An iterator behind the newest record of this moment gives a *mark*: the first record that came later. A shard that was
//! read to its mark has all that was written before this moment. Where nothing comes any more there is no mark, and empty
//! pages show the tip, as ever.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{
    Pace, ReadFrom, RecordsPage, ShardId, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity,
};
use crate::BoxFuture;
use crate::change::Position;

/// Finds streams that end where they are when each of their shards is first asked for.
pub struct UntilNow {
    finder: Arc<dyn StreamFinder>,
    known: Mutex<HashMap<String, Arc<dyn StreamApi>>>,
}

impl UntilNow {
    /// For the streams of another finder.
    pub fn new(finder: Arc<dyn StreamFinder>) -> Self {
        Self { finder, known: Mutex::default() }
    }
}

impl StreamFinder for UntilNow {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        Box::pin(async {
            let mut known = self.known.lock().await;
            let streams = self.finder.streams().await?.into_iter().map(|inner| {
                let id = inner.identity().id.clone();
                known.entry(id).or_insert_with(|| Arc::new(Bounded { inner, marks: Mutex::default() })).clone()
            });
            Ok(streams.collect())
        })
    }
}

struct Bounded {
    inner: Arc<dyn StreamApi>,
    marks: Mutex<HashMap<ShardId, Mark>>,
}

enum Mark {
    /// Nothing has come behind this iterator yet.
    Before(ShardIterator),
    /// This record has.
    At(Position),
    /// The record has been read.
    Reached,
    /// The shard takes no more records: it has an end.
    None,
}

impl Bounded {
    /// Fixes what "now" is for a shard, once.
    async fn fix(&self, shard: &ShardId) -> Result<(), StreamError> {
        if self.marks.lock().await.contains_key(shard) {
            return Ok(());
        }
        let mark = match self.inner.shard_iterator(shard, ReadFrom::Latest).await {
            Ok(iterator) => Mark::Before(iterator),
            Err(StreamError::NotFound(_) | StreamError::Trimmed) => Mark::None,
            Err(error) => return Err(error),
        };
        self.marks.lock().await.entry(shard.clone()).or_insert(mark);
        Ok(())
    }

    /// Looks whether something has come behind the moment, and whether `read` goes so far.
    async fn look(&self, shard: &ShardId, read: Position) {
        let mut marks = self.marks.lock().await;
        let Some(mark) = marks.get_mut(shard) else { return };
        if let Mark::Before(iterator) = mark {
            match self.inner.get_records(shard, iterator).await {
                Ok(page) => match (page.records.first(), page.next) {
                    (Some(first), _) => *mark = Mark::At(first.position),
                    (None, Some(next)) => *mark = Mark::Before(next),
                    (None, None) => *mark = Mark::None,
                },
                // Behind a later moment is as good: it is asked for again.
                Err(StreamError::Expired) => drop(marks.remove(shard)),
                Err(_) => {}
            }
        }
        if let Some(mark) = marks.get_mut(shard)
            && matches!(mark, Mark::At(at) if read >= *at)
        {
            *mark = Mark::Reached;
        }
    }
}

impl StreamApi for Bounded {
    fn identity(&self) -> &StreamIdentity {
        self.inner.identity()
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        self.inner.list_shards(from)
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(async move {
            // Whoever asks anew once "now" was reached wants more than that: a range that another process left open.
            let mut marks = self.marks.lock().await;
            if matches!(marks.get(shard), Some(Mark::Reached)) {
                marks.remove(shard);
            }
            drop(marks);
            self.inner.shard_iterator(shard, from).await
        })
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            self.fix(shard).await?;
            if matches!(self.marks.lock().await.get(shard), Some(Mark::Reached)) {
                return Ok(RecordsPage {
                    records: Vec::new(),
                    next: Some(iterator.clone()),
                    names_children: false,
                    millis_behind: Some(0),
                    bytes: 0,
                });
            }
            let page = self.inner.get_records(shard, iterator).await?;
            if let Some(last) = page.records.last() {
                self.look(shard, last.position).await;
            }
            Ok(page)
        })
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn born(&self, shard: &ShardId) -> Option<i64> {
        self.inner.born(shard)
    }
}
