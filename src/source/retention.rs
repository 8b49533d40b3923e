//! What may a stream have lost while nobody read it? Pure.
//!
//! A record that was delivered can be asked for again, and the service says if what follows it is gone. A shard of which
//! nothing was delivered has no such witness: its oldest record is whatever is left. Then time alone can tell.

use std::time::Duration;

use crate::change::ShardId;

/// No service trims a record that is younger: DynamoDB Streams keeps 24 hours, Kinesis at least that
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>,
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>).
const LEAST_RETENTION: Duration = Duration::from_hours(24);

/// By how much the clocks of two machines may differ: AWS refuses a request whose time is a quarter of an hour off, and one
/// may be ahead while the other is behind.
const CLOCKS_DIFFER: Duration = Duration::from_mins(30);

/// Whether a record written at `since` may have been trimmed by `now` (both µs since the epoch, by clocks of two machines).
pub fn may_be_trimmed(since: i64, now: i64) -> bool {
    i128::from(now) - i128::from(since) >= (LEAST_RETENTION - CLOCKS_DIFFER).as_micros() as i128
}

/// When a shard of a DynamoDB stream was made, µs since the epoch, by its id: `shardId-`, 20 digits of milliseconds, and
/// a random part. AWS does not document this, but its own Flink connector relies on it
/// (apache/flink-connector-aws, `ShardUtils`). `None` where the id looks different.
pub(super) fn dynamodb_shard_born(shard: &ShardId) -> Option<i64> {
    let (millis, _) = shard.as_str().strip_prefix("shardId-")?.split_once('-')?;
    let millis: i64 = Some(millis).filter(|digits| digits.len() == 20)?.parse().ok()?;
    // The service is from 2012; a number before that is no time.
    Some(millis).filter(|&millis| millis > 1_325_376_000_000)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_id_tells_when_the_shard_was_made() {
        let born = |id: &str| dynamodb_shard_born(&ShardId::new(id));
        assert_eq!(born("shardId-00000001795161600000-5f3c9a1e"), Some(1_795_161_600_000_000));
        for other in [
            "shardId-000000000007",
            "shardId-00000001-Reply",
            "shardId-00000000000000000007-ab",
            "shardId-99999999999999999999-ab",
            "shard-0000",
            "",
        ] {
            assert_eq!(born(other), None, "{other}");
        }
    }

    #[test]
    fn a_day_is_the_limit_however_clocks_differ() {
        let limit = 86_400_000_000 - 1_800_000_000;
        assert!(may_be_trimmed(5, 5 + limit) && !may_be_trimmed(6, 5 + limit));
        assert!(!may_be_trimmed(i64::MAX, i64::MIN) && may_be_trimmed(i64::MIN, i64::MAX));
    }
}
