//! What a change is, before anybody decodes it: pure data, no I/O.

mod position;
mod record;

pub use position::{NotASequenceNumber, Position, SequenceNumber, ShardId};
pub use record::{Channel, Record, TableName};
