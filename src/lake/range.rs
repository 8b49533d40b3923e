//! A range: which records of a shard, in which files. The object that decides what is in the lake.
//!
//! Range `n` of a shard is valid if it starts where range `n-1` ended. It is created once, by a conditional put, before
//! its files are: from then on its files are a pure function of it, and any worker can only write the same rows under
//! the same names. Range `n+1` is created after all files of range `n` are there, so only the last can be incomplete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::{Position, SequenceNumber, ShardId};
use crate::source::StreamIdentity;

use super::members::Members;
use super::partition;

/// The version of this format.
const FORMAT: u32 = 1;

/// The version of ranges that have kept records. A program that does not know these would wait for a source that is silent.
const FORMAT_KEPT: u32 = 2;

/// One range of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The version of this format.
    pub format: u32,
    /// The stream's id.
    pub stream: String,
    /// The shard.
    pub shard: String,
    /// Its number in the shard's chain, from 0.
    pub range: u64,
    /// The last record before it; `None`: it begins the shard.
    pub start: Option<StoredPosition>,
    /// Its first record. What a source gives between `start` and this was not part of the stream then (reading began
    /// with `latest`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<StoredPosition>,
    /// Its last record.
    pub end: Option<StoredPosition>,
    /// When the latest of its changes was made, µs since the epoch: what a gap behind it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_until: Option<i64>,
    /// Of a scan: the key of its last item, behind which the scan goes on, as DynamoDB JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_key: Option<String>,
    /// All its rows.
    pub rows: u64,
    /// Its files, in the order of their last records. They were numbered when they were opened; one that got no rows left
    /// its number unused.
    pub files: Vec<RangeFile>,
    /// The records of it that are no changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// Where its records are kept, in order: it is completed from there, and not from its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<KeptRecords>,
    /// Which records it holds, where these come in no order. Then it has no `start`: nothing is in it but its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// This range holds no rows but marks that records are missing behind `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// When it was written, RFC 3339. For people.
    pub created_at: String,
    /// Which writer wrote it: how a writer knows its own object after a lost answer.
    pub writer: String,
}

/// One data file of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeFile {
    /// Its path in the lake.
    pub path: String,
    /// Its table.
    pub table: String,
    /// Its partition folders, `day=2026-11-20`; empty without partitions.
    pub partition: String,
    /// Its rows.
    pub rows: u64,
    /// The version of the table's schema it is written under.
    pub schema: u32,
    /// The generation of its rows.
    #[serde(default, skip_serializing_if = "is_none")]
    pub generation: i64,
    /// Its last record. Later records of the same partition lie in a later file of the list.
    pub end: StoredPosition,
}

/// The object with the records of a range that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Its path in the lake.
    pub path: String,
    /// How many there are.
    pub records: u64,
}

/// An object with records of a range whose source can't be read again. It is there before the range is, and of no use any
/// more once the range's files are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRecords {
    /// Its path in the lake.
    pub path: String,
    /// How many records it holds.
    pub records: u64,
    /// Its bytes when they are not compressed.
    pub bytes: u64,
}

/// Records that the lake will never have from the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub reason: String,
    /// When it was found, RFC 3339.
    pub found_at: String,
    /// The table whose stream it is, if it is one table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// When the last change before it was made, as far as the lake knows, RFC 3339: an incremental export that begins
    /// there has what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The generations of the tables when it was found. It makes those invalid that were under way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generations: BTreeMap<String, i64>,
}

impl Gap {
    /// When it was found, µs since the epoch.
    pub fn found_at_micros(&self) -> Option<i64> {
        self.found_at.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
    }
}

/// A position as ranges and checkpoints write it: the sequence number in its sortable form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPosition {
    /// The sequence number with its length in front.
    pub sequence: String,
    /// The user record inside an aggregate.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sub: u32,
}

fn is_none(generation: &i64) -> bool {
    *generation == 0
}

fn is_zero(sub: &u32) -> bool {
    *sub == 0
}

impl From<Position> for StoredPosition {
    fn from(position: Position) -> Self {
        Self { sequence: position.sequence.to_sortable(), sub: position.sub }
    }
}

impl TryFrom<&StoredPosition> for Position {
    type Error = String;

    fn try_from(stored: &StoredPosition) -> Result<Self, String> {
        let sequence = SequenceNumber::from_sortable(&stored.sequence).map_err(|error| error.to_string())?;
        Ok(Position { sequence, sub: stored.sub })
    }
}

impl Range {
    /// A range without files yet.
    pub fn new(
        chain: &Chain,
        range: u64,
        start: Option<Position>,
        end: Option<Position>,
        writer: &str,
        now: &str,
    ) -> Self {
        Self {
            format: FORMAT,
            stream: chain.stream.clone(),
            shard: chain.shard.to_string(),
            range,
            start: start.map(Into::into),
            first: None,
            end: end.map(Into::into),
            changed_until: None,
            last_key: None,
            rows: 0,
            files: Vec::new(),
            dead_letters: None,
            records: Vec::new(),
            members: None,
            gap: None,
            created_at: now.to_owned(),
            writer: writer.to_owned(),
        }
    }

    /// Reads a range object; the text says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let range: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !(FORMAT..=FORMAT_KEPT).contains(&range.format) {
            return Err(format!("it has format {}, and this version knows {FORMAT} to {FORMAT_KEPT}", range.format));
        }
        let positions = [&range.start, &range.first, &range.end]
            .into_iter()
            .flatten()
            .chain(range.files.iter().map(|file| &file.end));
        for position in positions {
            Position::try_from(position)?;
        }
        Ok(range)
    }

    /// Says where its records are kept.
    pub fn keep(&mut self, records: Vec<KeptRecords>) {
        if !records.is_empty() {
            (self.format, self.records) = (FORMAT_KEPT, records);
        }
    }

    /// The object's bytes.
    pub fn to_bytes(&self) -> bytes::Bytes {
        // A struct of strings and numbers always serialises.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }

    /// The last record before it.
    pub fn start(&self) -> Option<Position> {
        self.start.as_ref().and_then(|position| position.try_into().ok())
    }

    /// Its first record.
    pub fn first(&self) -> Option<Position> {
        self.first.as_ref().and_then(|position| position.try_into().ok())
    }

    /// Its last record, if all before it are in the lake.
    pub(super) fn end_of_order(&self) -> Option<Position> {
        self.end().filter(|_| self.members.is_none())
    }

    /// Its last record.
    pub fn end(&self) -> Option<Position> {
        self.end.as_ref().and_then(|position| position.try_into().ok())
    }
}

/// Names everything that one shard has in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    stream: String,
    shard: ShardId,
    name: String,
}

impl Chain {
    /// The chain of a shard of a stream. A stream made anew may use its shard ids again, so that the name carries
    /// eight digits of the stream's identity.
    pub fn new(stream: &StreamIdentity, shard: &ShardId) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(stream.id.as_bytes());
        let label: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}-{label}", partition::name_segment(shard.as_str()));
        Self { stream: stream.id.clone(), shard: shard.clone(), name }
    }

    /// The shard.
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// The folder of its ranges.
    pub fn folder(&self) -> String {
        format!("_watershed/ranges/{}", self.name)
    }

    /// The object of range `n`.
    pub fn range_path(&self, n: u64) -> String {
        format!("{}/{n:020}.json", self.folder())
    }

    /// The object of the dead letters of range `n`.
    pub fn dead_letter_path(&self, n: u64) -> String {
        format!("_watershed/dead-letters/{}/{n:020}.ndjson", self.name)
    }

    /// The object that keeps records, by the digest of its bytes and its writer's token.
    pub fn records_path(&self, digest: &str, writer: &str) -> String {
        format!("_watershed/records/{}/{digest}-{writer}.zst", self.name)
    }

    /// The object that names the gap marker `n` for those who look for gaps.
    pub fn gap_path(&self, n: u64) -> String {
        format!("{}/{}-{n:020}.json", super::generation::GAPS, self.name)
    }

    /// The data file of part `part` of range `n`: `<table>/<partition>/<shard>-<range>-<part>.parquet`.
    pub fn file_path(&self, table: &str, partition: &str, n: u64, part: usize) -> String {
        let table = partition::name_segment(table);
        let folder = if partition.is_empty() { table } else { format!("{table}/{partition}") };
        format!("{folder}/{}-{n:010}-{part:04}.parquet", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        let stream =
            StreamIdentity { id: "arn:aws:dynamodb:eu-central-1:1:table/T/stream/x".into(), table: None, origin: None };
        Chain::new(&stream, &ShardId::new("shardId-00000001"))
    }

    #[test]
    fn ranges_come_back() {
        let position = |n| Position { sequence: SequenceNumber::from_ordinal(n), sub: n as u32 % 2 };
        let mut range = Range::new(&chain(), 3, Some(position(5)), Some(position(9)), "w", "2026-11-22T00:00:00Z");
        range.files.push(RangeFile {
            path: chain().file_path("T", "day=2026-11-20", 3, 0),
            table: "T".into(),
            partition: "day=2026-11-20".into(),
            rows: 4,
            schema: 1,
            generation: 2,
            end: position(9).into(),
        });
        assert_eq!(Range::parse(&range.to_bytes()).unwrap(), range);
        assert_eq!(range.end(), Some(position(9)));
        assert!(range.files[0].path.starts_with("T/day=2026-11-20/shardId-00000001-"));
    }

    #[test]
    fn broken_ranges_are_refused() {
        let whole = String::from_utf8(Range::new(&chain(), 0, None, None, "w", "now").to_bytes().to_vec()).unwrap();
        assert!(Range::parse(whole.as_bytes()).is_ok());
        assert!(Range::parse(&whole.as_bytes()[..40]).is_err());
        assert!(
            Range::parse(whole.replace("\"format\": 1", "\"format\": 3").as_bytes()).unwrap_err().contains("format 3")
        );
        let bad = whole.replace("\"end\": null", "\"end\": {\"sequence\": \"0039\"}");
        assert!(Range::parse(bad.as_bytes()).is_err());
    }
}
