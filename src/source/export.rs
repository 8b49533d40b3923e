//! A DynamoDB export as a stream like any other: its data files are dealt out to lanes, each lane is a shard, each line a
//! record.
//!
//! An export never changes. So a record's number says which line of which file it is, and whoever completes a range of a
//! killed process reads the same lines again.

mod lanes;
pub(crate) mod lines;
pub mod manifest;
mod place;

pub use lanes::Lane;
pub use manifest::{ExportError, Manifest, Window};
pub use place::{Export, Place, open};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{
    Pace, ReadFrom, RecordsPage, ShardId, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity,
};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::clock::Clock;
use lines::Lines;

/// Exports of one table that are landed together.
pub struct ExportStream {
    identity: StreamIdentity,
    exports: Vec<Export>,
    lanes: HashMap<ShardId, OpenLane>,
    clock: Clock,
}

/// A lane, and where it is being read.
struct OpenLane {
    lane: Lane,
    open: Mutex<Option<Open>>,
}

/// A data file that is open in the middle of a lane.
struct Open {
    /// Its place in the lane.
    file: usize,
    lines: Lines,
}

impl ExportStream {
    /// The exports as one stream of `lanes` shards. `identity` names the generation they are landed as.
    pub fn new(identity: StreamIdentity, exports: Vec<Export>, lanes: u32, prefix: &str, clock: Clock) -> Arc<Self> {
        let manifests: Vec<_> = exports.iter().map(|export| &export.manifest).collect();
        let lanes = lanes::deal(&manifests, lanes);
        let shard = |number: usize| ShardId::new(format!("{prefix}-{number:04}"));
        let lanes = lanes.into_iter().enumerate();
        let lanes = lanes.map(|(number, lane)| (shard(number), OpenLane { lane, open: Mutex::new(None) })).collect();
        Arc::new(Self { identity, exports, lanes, clock })
    }

    fn lane(&self, shard: &ShardId) -> Result<&OpenLane, StreamError> {
        self.lanes.get(shard).ok_or_else(|| StreamError::NotFound(format!("there is no lane {shard}")))
    }

    /// The page of `lane` behind the `ordinal`-th of its records.
    async fn page(&self, lane: &OpenLane, ordinal: u64) -> Result<RecordsPage, StreamError> {
        let mut slot = lane.open.lock().await;
        let Some((number, behind)) = lane.lane.behind(ordinal) else { return Ok(end(ordinal)) };
        let file = &lane.lane.files[number];
        let open = slot.take().filter(|open| open.file == number && open.lines.read() == behind);
        let mut open = match open {
            Some(open) => open,
            None => {
                let export = &self.exports[file.export];
                let data = &export.manifest.files[file.file];
                let opened = export.place.data_file(&export.manifest, data).await;
                let opened = opened.map_err(|error| StreamError::Fatal(error.to_string()))?;
                Open { file: number, lines: Lines::new(opened, data.key.clone(), data.items) }
            }
        };
        let read = self.clock.offload(move || {
            let page = open.lines.skip_to(behind).and_then(|()| open.lines.page());
            (open, page)
        });
        let (open, page) = read.await;
        let page = page.map_err(StreamError::Fatal)?;
        let channel = match self.exports[file.export].manifest.window {
            Window::Full(at) => Channel::Snapshot(at),
            Window::Incremental { with_old, .. } => Channel::NetChange(with_old),
        };
        let mut sequence = file.first + behind;
        let records: Vec<_> = page
            .lines
            .into_iter()
            .map(|line| {
                let position = Position::new(SequenceNumber::from_ordinal(sequence));
                sequence += 1;
                let payload = if matches!(channel, Channel::Snapshot(_)) { lines::item(line) } else { line };
                Record { position, channel, table: self.identity.table.clone(), payload }
            })
            .collect();
        let next = sequence - 1;
        *slot = Some(open);
        Ok(RecordsPage {
            records,
            next: Some(ShardIterator(next.to_string())),
            names_children: false,
            millis_behind: Some(1),
            bytes: page.bytes,
        })
    }
}

/// Nothing is behind the last record.
fn end(ordinal: u64) -> RecordsPage {
    RecordsPage {
        records: Vec::new(),
        next: Some(ShardIterator(ordinal.to_string())),
        names_children: false,
        millis_behind: Some(0),
        bytes: 0,
    }
}

impl StreamApi for ExportStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        let mut shards: Vec<_> = self.lanes.keys().cloned().collect();
        shards.sort();
        let shards = shards.into_iter().map(|id| ShardInfo { id, parents: Vec::new(), closed: false }).collect();
        Box::pin(async { Ok(ShardPage { shards, next: None, enabled: true }) })
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(async move {
            self.lane(shard)?;
            let ordinal = match from {
                ReadFrom::After(sequence) => sequence.to_ordinal().unwrap_or(0),
                ReadFrom::At(sequence) => sequence.to_ordinal().unwrap_or(0).saturating_sub(1),
                ReadFrom::TrimHorizon | ReadFrom::Latest | ReadFrom::Timestamp(_) => 0,
            };
            Ok(ShardIterator(ordinal.to_string()))
        })
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            let ordinal = iterator.0.parse().map_err(|_| StreamError::Expired)?;
            self.page(self.lane(shard)?, ordinal).await
        })
    }

    fn pace(&self) -> Pace {
        Pace {
            busy: Duration::ZERO,
            idle: Duration::from_millis(10),
            discovery: Duration::from_secs(10),
            aggregates: false,
            page_bytes: 2 * lines::CHUNK,
            finite: true,
        }
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
