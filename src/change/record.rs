//! One change as it travels from a shard to the sinks: a position and the change's JSON, undecoded.

use std::sync::Arc;

use bytes::Bytes;

use super::Position;

/// The name of a DynamoDB table.
pub type TableName = Arc<str>;

/// Which channel carried a change. It decides the unit of `ApproximateCreationDateTime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The DynamoDB Streams API or a Lambda event made from it: epoch seconds.
    Streams,
    /// Kinesis Data Streams for DynamoDB: epoch milliseconds, or microseconds when the record says so.
    Kinesis,
    /// A recorded file, which may hold either: the magnitude tells.
    Recorded,
    /// A backfill: the payload is no change but an item, as it was read at this time, µs since the epoch.
    Snapshot(i64),
    /// An incremental export: what became of an item in a window of time. `true`: with the image before it, so that what
    /// comes without one is an insert.
    NetChange(bool),
}

/// One change: where it stands and its bytes. Cloning copies no payload.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its place in the shard.
    pub position: Position,
    /// The channel that carried it.
    pub channel: Channel,
    /// The table, where the source knows it (a DynamoDB stream does); otherwise the change names it.
    pub table: Option<TableName>,
    /// The change's JSON object as the channel delivers it (for Kinesis after base64 and de-aggregation). Outside
    /// bytes: nothing about them has been checked.
    pub payload: Bytes,
}
