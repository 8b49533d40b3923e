//! How the records of the Kinesis Producer Library are taken out of the aggregate they travel in.
//!
//! ```text
//! F3 89 9A C2 | protobuf AggregatedRecord | MD5 of the protobuf, 16 bytes
//! ```
//!
//! Whatever is not exactly that is one plain record, as the KCL has it: nothing is dropped. Unlike the KCL, user
//! records whose hash key lies outside the shard are delivered too (it drops the whole aggregate at the first one; a
//! resharding in flight would lose records).

use bytes::Bytes;
use md5::{Digest as _, Md5};
use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;

/// The most entries (user records and keys) one aggregate may hold. The producer library makes aggregates of up to
/// 1 MiB, and a user record takes six bytes or more in it: no real aggregate comes near, and a forged one cannot fill
/// the memory.
const MAX_ENTRIES: usize = 200_000;

/// One record of an aggregate; its place in the aggregate is its `subSequenceNumber`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The partition key its producer gave it.
    pub partition_key: Bytes,
    /// The hash key its producer gave it, which then decides the shard instead.
    pub explicit_hash_key: Option<Bytes>,
    /// What the producer sent.
    pub data: Bytes,
}

/// The KPL's messages. Text is kept as bytes: an odd partition key is no reason to refuse the data. Fields that are
/// required are optional here, so that a missing one is noticed.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AggregatedRecord {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    partition_key_table: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    explicit_hash_key_table: Vec<Bytes>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<AggregatedUserRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AggregatedUserRecord {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

/// The user records of an aggregate, in order, as slices of it; `None`: it is a plain record.
pub fn deaggregate(blob: &Bytes) -> Option<Vec<UserRecord>> {
    // The KCL wants at least one byte of protobuf.
    if !blob.starts_with(&MAGIC) || blob.len() <= MAGIC.len() + DIGEST {
        return None;
    }
    let body = blob.slice(MAGIC.len()..blob.len() - DIGEST);
    if Md5::digest(&body)[..] != blob[blob.len() - DIGEST..] || count_entries(&body)? > MAX_ENTRIES {
        return None;
    }
    let aggregate = AggregatedRecord::decode(body).ok()?;
    let entry = |table: &[Bytes], index: u64| table.get(usize::try_from(index).ok()?).cloned();
    let records = aggregate.records.into_iter().map(|record| {
        Some(UserRecord {
            partition_key: entry(&aggregate.partition_key_table, record.partition_key_index?)?,
            explicit_hash_key: match record.explicit_hash_key_index {
                Some(index) => Some(entry(&aggregate.explicit_hash_key_table, index)?),
                None => None,
            },
            data: record.data?,
        })
    });
    let records: Vec<_> = records.collect::<Option<_>>()?;
    // No producer makes an empty aggregate; taking it for one would lose the record without a trace.
    (!records.is_empty()).then_some(records)
}

/// How many entries decoding would make, counted before any is made.
fn count_entries(mut body: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !body.is_empty() && count <= MAX_ENTRIES {
        let (tag, kind) = decode_key(&mut body).ok()?;
        skip_field(kind, tag, &mut body, DecodeContext::default()).ok()?;
        count += 1;
    }
    Some(count)
}

/// What a producer does: for tests, and for the simulated world.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod producer {
    use super::*;

    /// The blob of an aggregate with this body.
    pub(crate) fn seal(body: &[u8]) -> Bytes {
        [&MAGIC[..], body, &Md5::digest(body)[..]].concat().into()
    }

    /// An aggregate of these records.
    pub(crate) fn aggregate(records: &[UserRecord]) -> AggregatedRecord {
        let mut message = AggregatedRecord::default();
        for record in records {
            let hash_key = record.explicit_hash_key.clone();
            message.records.push(AggregatedUserRecord {
                partition_key_index: Some(message.partition_key_table.len() as u64),
                explicit_hash_key_index: hash_key.as_ref().map(|_| message.explicit_hash_key_table.len() as u64),
                data: Some(record.data.clone()),
            });
            message.partition_key_table.push(record.partition_key.clone());
            message.explicit_hash_key_table.extend(hash_key);
        }
        message
    }

    /// The blob of an aggregate of these records.
    pub(crate) fn blob(records: &[UserRecord]) -> Bytes {
        seal(&aggregate(records).encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::producer::{aggregate, seal};
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn sample(record: usize) -> Bytes {
        let page = include_bytes!("../../tests/fixtures/kinesis_getrecords_page.json");
        let page: Value = serde_json::from_slice(page).unwrap();
        let data = page["Records"][record]["Data"].as_str().unwrap();
        base64_simd::STANDARD.decode_to_vec(data).unwrap().into()
    }

    #[test]
    fn the_sample_aggregate_holds_what_is_expected_of_it() {
        let expected = include_bytes!("../../tests/fixtures/kpl_expected.json");
        let expected: Value = serde_json::from_slice(expected).unwrap();
        let found = deaggregate(&sample(1)).unwrap();
        let expected = expected["user_records"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(expected["partition_key"].as_str().unwrap(), found.partition_key);
            assert_eq!(expected["explicit_hash_key"].as_str().map(str::as_bytes), found.explicit_hash_key.as_deref());
            assert_eq!(expected["data_utf8"].as_str().unwrap(), found.data);
            assert_eq!(expected["sub_sequence_number"].as_u64().unwrap(), i as u64);
        }
    }

    #[test]
    fn a_wrong_digest_or_no_magic_makes_a_plain_record() {
        assert_eq!(deaggregate(&sample(2)), None);
        assert_eq!(deaggregate(&sample(0)), None);
        assert_eq!(deaggregate(&seal(b"")), None);
        assert_eq!(deaggregate(&seal(b"no protobuf")), None);
        assert_eq!(deaggregate(&seal(&AggregatedRecord::default().encode_to_vec())), None);
    }

    #[test]
    fn a_record_that_points_nowhere_or_has_no_data_makes_the_whole_blob_plain() {
        let good = aggregate(&[UserRecord {
            partition_key: "k".into(),
            explicit_hash_key: Some("7".into()),
            data: "{}".into(),
        }]);
        assert!(deaggregate(&seal(&good.encode_to_vec())).is_some());
        let spoil: [fn(&mut AggregatedUserRecord); 4] = [
            |record| record.partition_key_index = Some(1),
            |record| record.partition_key_index = None,
            |record| record.explicit_hash_key_index = Some(u64::MAX),
            |record| record.data = None,
        ];
        for spoil in spoil {
            let mut bad = good.clone();
            spoil(&mut bad.records[0]);
            assert_eq!(deaggregate(&seal(&bad.encode_to_vec())), None);
        }
    }

    #[test]
    fn a_forged_aggregate_cannot_fill_the_memory() {
        // Empty entries: tag and length, two bytes.
        for tag in [0x0A, 0x12, 0x1A] {
            assert_eq!(count_entries(&[tag, 0].repeat(9)), Some(9));
            assert_eq!(deaggregate(&seal(&[tag, 0].repeat(2_000_000))), None);
        }
    }

    fn user_record() -> impl Strategy<Value = UserRecord> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        (bytes(), proptest::option::of(bytes()), bytes())
            .prop_map(|(partition_key, explicit_hash_key, data)| UserRecord { partition_key, explicit_hash_key, data })
    }

    proptest! {
        #[test]
        fn what_was_aggregated_comes_out_again(records in proptest::collection::vec(user_record(), 1..20)) {
            let blob = seal(&aggregate(&records).encode_to_vec());
            prop_assert_eq!(deaggregate(&blob), Some(records));
        }

        #[test]
        fn arbitrary_bytes_behind_a_right_digest_never_panic(body: Vec<u8>) {
            let _ = deaggregate(&seal(&body));
        }

        #[test]
        fn a_damaged_aggregate_is_a_plain_record(
            records in proptest::collection::vec(user_record(), 1..5), at: prop::sample::Index, flip in 1_u8..,
        ) {
            let mut blob = seal(&aggregate(&records).encode_to_vec()).to_vec();
            let at = at.index(blob.len());
            blob[at] ^= flip;
            prop_assert_eq!(deaggregate(&blob.into()), None);
        }
    }
}
