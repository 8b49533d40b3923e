//! What have scans and exports in common? They end, and they are divided into parts by number; each part is a shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Pace, Record, RecordsPage, ShardId, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
};
use crate::BoxFuture;

/// The parts of a source, by the shards they are.
pub(crate) struct Parts<T>(BTreeMap<ShardId, T>);

impl<T> Parts<T> {
    /// Parts whose shards are called `<prefix>-<number>`.
    pub(crate) fn new(prefix: &str, parts: impl IntoIterator<Item = T>) -> Self {
        let shard = |number: usize| ShardId::new(format!("{prefix}-{number:04}"));
        Self(parts.into_iter().enumerate().map(|(number, part)| (shard(number), part)).collect())
    }

    pub(crate) fn get(&self, shard: &ShardId) -> Result<&T, StreamError> {
        self.0.get(shard).ok_or_else(|| StreamError::NotFound(format!("there is no part {shard}")))
    }

    /// All of them, on one page.
    pub(crate) fn list(&self) -> BoxFuture<'static, Result<ShardPage, StreamError>> {
        let shard = |id: &ShardId| ShardInfo { id: id.clone(), parents: Vec::new(), closed: false };
        let page = ShardPage { shards: self.0.keys().map(shard).collect(), next: None, enabled: true };
        Box::pin(async { Ok(page) })
    }
}

/// A page, behind which there may be more.
pub(crate) fn page(records: Vec<Record>, next: ShardIterator, bytes: usize) -> RecordsPage {
    RecordsPage { records, next: Some(next), names_children: false, millis_behind: Some(1), bytes }
}

/// What is behind the last record: nothing.
pub(crate) fn end(here: ShardIterator) -> RecordsPage {
    RecordsPage { millis_behind: Some(0), ..page(Vec::new(), here, 0) }
}

/// As fast as it goes.
pub(crate) fn pace(page_bytes: usize) -> Pace {
    Pace {
        busy: Duration::ZERO,
        idle: Duration::from_millis(10),
        discovery: Duration::from_secs(10),
        aggregates: false,
        page_bytes,
        finite: true,
    }
}

/// Finds streams that were made before.
pub struct Ready(pub Vec<Arc<dyn StreamApi>>);

impl StreamFinder for Ready {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        let streams = self.0.clone();
        Box::pin(async { Ok(streams) })
    }
}
