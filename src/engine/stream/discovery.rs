//! Which shards does a stream have, and where is each begun? The first look is written down; what the list should have and
//! has not is asked for.

use std::collections::{BTreeSet, HashSet};

use super::{DISCOVERED, Patience, Stream};
use crate::bug::{self, Bug};
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, StartAt, StateError};
use crate::engine::EngineError;
use crate::source::lineage::{self, StartPolicy, first_checkpoints};
use crate::source::retention::may_be_trimmed;
use crate::source::{ShardInfo, ShardList, StreamError, is_gone, list_all};

impl Stream {
    /// Reads the list; the first one of a stream's life is also where the pipeline's `start` is written down.
    pub(super) async fn list(&mut self) -> Result<(), EngineError> {
        let mut patience = Patience::new(&self.shared.clock);
        self.list = loop {
            match list_all(&*self.api).await {
                Ok(list) => break list,
                Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
                // The shards being read will find out what they can still get.
                Err(StreamError::NotFound(_)) if self.discovered.is_some() => {
                    break ShardList { shards: std::mem::take(&mut self.list.shards), enabled: false };
                }
                Err(error) => return Err(EngineError::Source(error.to_string())),
            }
        };
        if self.discovered.is_none() {
            let now = self.shared.clock.wall_micros();
            let read = self.read_already().await?;
            for (shard, first) in first_checkpoints(&self.list.shards, self.start, now, &read) {
                if !self.checkpoints.contains_key(&shard) {
                    match self.save(shard.clone(), self.sink.key(), &first).await {
                        Ok(()) => self.remember(shard, first),
                        // Another process began at the same moment, and is further.
                        Err(EngineError::State(StateError::Overtaken(_))) => self.load_positions().await?,
                        Err(error) => return Err(error),
                    }
                }
            }
            let mark = ShardId::new(DISCOVERED.0);
            self.save(mark, self.sink.discovered(), &Checkpoint::Start(StartAt::Latest(now))).await?;
            self.discovered = Some(now);
        }
        self.ask_for_missing().await
    }

    /// The listed shards of which the lake has something, although there is no state. Read from the oldest record on,
    /// a shard finds that by itself.
    async fn read_already(&self) -> Result<HashSet<ShardId>, EngineError> {
        let mut read = HashSet::new();
        for shard in self.list.shards.iter().filter(|_| self.sink.is_lake() && self.start != StartPolicy::TrimHorizon) {
            if self.shared.lake.has_read(self.api.identity(), &shard.id).await? {
                read.insert(shard.id.clone());
            }
        }
        Ok(read)
    }

    /// Asks for every shard that the list should have and has not: parents, and shards that were begun. The children of
    /// one that is not proven to be gone go on waiting.
    async fn ask_for_missing(&mut self) -> Result<(), EngineError> {
        for shard in self.missing() {
            let gone = is_gone(&*self.api, &shard).await.map_err(|error| EngineError::Source(error.to_string()))?;
            let gone = gone || bug::is_made(Bug::ListIsTruth);
            if gone && self.was_due(&shard) {
                self.lost.insert(shard.clone());
            }
            if gone && (self.checkpoints.contains_key(&shard) || self.lost.contains(&shard)) {
                // It was not read to its end: its task will find the gap.
                self.list.shards.push(ShardInfo { id: shard, parents: Vec::new(), closed: true });
            } else if gone {
                tracing::debug!(%shard, "a parent shard has been trimmed; its children are roots");
                self.gone.insert(shard);
            }
        }
        Ok(())
    }

    /// Whether records of a shard that is gone unread were written after the first discovery. Every shard of that has a
    /// checkpoint, so that one without, and with a child without, is of later; and time must have passed for it to be
    /// trimmed.
    fn was_due(&self, shard: &ShardId) -> bool {
        let is_new = |child: &&ShardInfo| !self.checkpoints.contains_key(&child.id);
        let of_later = || self.list.shards.iter().filter(is_new).any(|child| child.parents.contains(shard));
        let now = self.shared.clock.wall_micros();
        let trimmed_since = self.discovered.is_some_and(|first| may_be_trimmed(first, now));
        trimmed_since && (self.checkpoints.contains_key(shard) || of_later())
    }

    pub(super) fn missing(&self) -> BTreeSet<ShardId> {
        let parents = lineage::missing_parents(&self.list.shards, &self.finished, &self.gone);
        let listed = |shard: &ShardId| self.list.shards.iter().any(|known| known.id == *shard);
        let begun = self.checkpoints.keys().filter(|shard| !self.finished.contains(*shard) && !listed(shard));
        let missing = parents.into_iter().chain(begun).filter(|shard| !self.running.contains(*shard));
        missing.cloned().collect()
    }
}
