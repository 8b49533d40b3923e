//! A DynamoDB export as a stream like any other: its data files are dealt out to lanes, each lane is a shard, each line a
//! record.
//!
//! An export never changes. So a record's number says which line of which file it is, and whoever completes a range of a
//! killed process reads the same lines again.

mod lanes;
pub(crate) mod lines;
pub mod manifest;
mod place;
mod request;

pub use lanes::Lane;
pub use manifest::{ExportError, Manifest, Window};
use place::Unread;
pub use place::{Export, Place, open};
pub use request::{Made, Target, can_be_made, make};

use std::sync::Arc;

use tokio::sync::Mutex;

use super::finite::{self, Parts};
use super::{Pace, ReadFrom, RecordsPage, ShardId, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::clock::Clock;
use lines::Lines;

/// Exports of one table that are landed together.
pub struct ExportStream {
    identity: StreamIdentity,
    exports: Vec<Export>,
    lanes: Parts<OpenLane>,
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
        let open = |lane| OpenLane { lane, open: Mutex::new(None) };
        let lanes = Parts::new(prefix, lanes::deal(&manifests, lanes).into_iter().map(open));
        Arc::new(Self { identity, exports, lanes, clock })
    }

    /// The page of `lane` behind the `ordinal`-th of its records.
    async fn page(&self, lane: &OpenLane, ordinal: u64) -> Result<RecordsPage, StreamError> {
        let mut slot = lane.open.lock().await;
        let Some((number, behind)) = lane.lane.behind(ordinal) else { return Ok(finite::end(iterator_at(ordinal))) };
        let file = &lane.lane.files[number];
        let open = slot.take().filter(|open| open.file == number && open.lines.read() == behind);
        let mut open = match open {
            Some(open) => open,
            None => {
                let export = &self.exports[file.export];
                let data = &export.manifest.files[file.file];
                let opened = export.place.data_file(&export.manifest, data).await.map_err(|unread| match unread {
                    Unread::Passing(why) => StreamError::Transient(why),
                    Unread::Wrong(error) => StreamError::Fatal(error.to_string()),
                })?;
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
        Ok(finite::page(records, iterator_at(next), page.bytes))
    }
}

/// Behind the `ordinal`-th record of a lane.
fn iterator_at(ordinal: u64) -> ShardIterator {
    ShardIterator(ordinal.to_string())
}

impl StreamApi for ExportStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        self.lanes.list()
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(async move {
            self.lanes.get(shard)?;
            let ordinal = match from {
                ReadFrom::After(sequence) => sequence.to_ordinal().unwrap_or(0),
                ReadFrom::At(sequence) => sequence.to_ordinal().unwrap_or(0).saturating_sub(1),
                ReadFrom::TrimHorizon | ReadFrom::Latest | ReadFrom::Timestamp(_) => 0,
            };
            Ok(iterator_at(ordinal))
        })
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            let ordinal = iterator.0.parse().map_err(|_| StreamError::Expired)?;
            self.page(self.lanes.get(shard)?, ordinal).await
        })
    }

    fn pace(&self) -> Pace {
        finite::pace(2 * lines::CHUNK)
    }
}
