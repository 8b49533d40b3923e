//! Kept records: how are the records of a range written down whose source can't be read again?
//!
//! Whoever completes a range that a killed writer left needs its records. Mostly the source gives them again. Where it
//! does not, they are in the lake before the range is: a range and its kept records determine its files. Once these are
//! there, nobody needs the kept records any more.
//!
//! An object is a protocol buffer in a zstd frame with a checksum. Its name carries the digest of its bytes, so that an
//! attempt that is repeated finds its own, and the token of the process, so that it is never much older than its range.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::range::{Chain, KeptRecords};
use crate::change::{Channel, Position, Record, SequenceNumber};

/// Records are written down once there are this many bytes of them: what a range is waiting with in memory, at most.
pub(super) const KEEP_AT: usize = 16 << 20;

/// What an object may take when it is read: one record beyond [`KEEP_AT`], whatever it says of itself.
const MAX_BYTES: u64 = 512 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Kept {
    #[prost(message, repeated, tag = "1")]
    records: Vec<KeptRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeptRecord {
    #[prost(string, tag = "1")]
    sequence: String,
    #[prost(uint32, tag = "2")]
    sub: u32,
    /// [`Channel`], by the numbers of [`number_of`].
    #[prost(uint32, tag = "3")]
    channel: u32,
    #[prost(string, optional, tag = "4")]
    table: Option<String>,
    #[prost(bytes = "bytes", tag = "5")]
    payload: Bytes,
    /// The time of [`Channel::Snapshot`].
    #[prost(sint64, optional, tag = "6")]
    read_at: Option<i64>,
}

/// Numbers in files: they never change their meaning.
fn number_of(channel: Channel) -> u32 {
    match channel {
        Channel::Streams => 1,
        Channel::Kinesis => 2,
        Channel::Recorded => 3,
        Channel::Snapshot(_) => 4,
        Channel::NetChange(false) => 5,
        Channel::NetChange(true) => 6,
    }
}

fn channel_of(number: u32, read_at: Option<i64>) -> Option<Channel> {
    let exports = [Channel::NetChange(false), Channel::NetChange(true)];
    let known = [Channel::Streams, Channel::Kinesis, Channel::Recorded, Channel::Snapshot(read_at.unwrap_or_default())];
    known.into_iter().chain(exports).find(|channel| number_of(*channel) == number)
}

/// The object that keeps `records`, signed by `writer`, and what a range says of it.
pub(super) fn write(chain: &Chain, writer: &str, records: &[Record]) -> Result<(KeptRecords, Bytes), String> {
    let kept = Kept { records: records.iter().map(KeptRecord::of).collect() };
    let raw = kept.encode_to_vec();
    let compress = || {
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        compressor.include_checksum(true)?;
        compressor.compress(&raw)
    };
    let body = Bytes::from(compress().map_err(|error| format!("zstd: {error}"))?);
    let digest: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let path = chain.records_path(&digest, writer);
    Ok((KeptRecords { path, records: records.len() as u64, bytes: raw.len() as u64 }, body))
}

/// The records of such an object; the text says what is wrong with it.
pub(crate) fn read(entry: &KeptRecords, body: &[u8]) -> Result<Vec<Record>, String> {
    if entry.bytes > MAX_BYTES {
        return Err(format!("its range says that it has {} bytes, which no writer makes", entry.bytes));
    }
    let raw = zstd::bulk::decompress(body, entry.bytes as usize).map_err(|error| format!("zstd: {error}"))?;
    let kept = Kept::decode(Bytes::from(raw)).map_err(|error| error.to_string())?;
    if kept.records.len() as u64 != entry.records {
        return Err(format!("it holds {} records, its range says {}", kept.records.len(), entry.records));
    }
    kept.records.into_iter().map(KeptRecord::into_record).collect()
}

impl KeptRecord {
    fn of(record: &Record) -> Self {
        Self {
            sequence: record.position.sequence.to_string(),
            sub: record.position.sub,
            channel: number_of(record.channel),
            table: record.table.as_deref().map(str::to_owned),
            payload: record.payload.clone(),
            read_at: match record.channel {
                Channel::Snapshot(at) => Some(at),
                _ => None,
            },
        }
    }

    fn into_record(self) -> Result<Record, String> {
        let sequence = SequenceNumber::parse(&self.sequence).map_err(|error| error.to_string())?;
        Ok(Record {
            position: Position { sequence, sub: self.sub },
            channel: channel_of(self.channel, self.read_at)
                .ok_or_else(|| format!("channel {} is unknown", self.channel))?,
            table: self.table.map(Into::into),
            payload: self.payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::ShardId;
    use crate::source::StreamIdentity;
    use proptest::prelude::*;

    fn chain() -> Chain {
        let stream = StreamIdentity { id: "s".into(), table: None, origin: None };
        Chain::new(&stream, &ShardId::new("shard"))
    }

    fn record() -> impl Strategy<Value = Record> {
        let channel = prop_oneof![
            Just(Channel::Streams),
            Just(Channel::Kinesis),
            Just(Channel::Recorded),
            any::<i64>().prop_map(Channel::Snapshot),
            any::<bool>().prop_map(Channel::NetChange),
        ];
        let payload = proptest::collection::vec(any::<u8>(), 0..80);
        ("[1-9][0-9]{0,128}", any::<u32>(), channel, proptest::option::of(".{0,9}"), payload).prop_map(
            |(sequence, sub, channel, table, payload)| Record {
                position: Position { sequence: SequenceNumber::parse(&sequence).unwrap(), sub },
                channel,
                table: table.map(Into::into),
                payload: payload.into(),
            },
        )
    }

    fn same(a: &Record, b: &Record) -> bool {
        (a.position, a.channel, &a.table, &a.payload) == (b.position, b.channel, &b.table, &b.payload)
    }

    proptest! {
        #[test]
        fn records_come_back(records in proptest::collection::vec(record(), 0..20)) {
            let (entry, body) = write(&chain(), "writer", &records).unwrap();
            let back = read(&entry, &body).unwrap();
            prop_assert!(back.len() == records.len() && back.iter().zip(&records).all(|(a, b)| same(a, b)));
            prop_assert_eq!(write(&chain(), "writer", &records).unwrap().0.path, entry.path);
        }

        #[test]
        fn damage_is_noticed(
            records in proptest::collection::vec(record(), 1..9), at: prop::sample::Index, flip in 1_u8..,
        ) {
            let (entry, body) = write(&chain(), "writer", &records).unwrap();
            let mut damaged = body.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            // Some bits of a frame's header mean nothing: then the records are what they were.
            if let Ok(back) = read(&entry, &damaged) {
                prop_assert!(back.iter().zip(&records).all(|(a, b)| same(a, b)));
            }
            prop_assert!(read(&entry, &body[..body.len() - 1]).is_err());
        }
    }

    #[test]
    fn an_object_that_is_larger_than_its_range_says_is_refused() {
        let sequence = SequenceNumber::from_ordinal(1);
        let payload = Bytes::from(vec![b'x'; 1 << 20]);
        let records = [Record { position: Position::new(sequence), channel: Channel::Streams, table: None, payload }];
        let (entry, body) = write(&chain(), "writer", &records).unwrap();
        assert!(body.len() < 1000 && read(&entry, &body).is_ok());
        assert!(read(&KeptRecords { bytes: 1000, ..entry.clone() }, &body).is_err());
        assert!(read(&KeptRecords { bytes: u64::MAX, ..entry }, &body).unwrap_err().contains("no writer makes"));
    }
}
