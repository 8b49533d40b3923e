//! What will a backfill cost, and how long will it take? Pure. Each estimate says what it rests on.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};

use crate::source::{ReadCapacity, TableFacts};

/// What of a table costs one read unit to read consistently.
const UNIT_BYTES: u64 = 4096;

/// The read units a second that DynamoDB gives from one partition. A segment reads from one at a time.
const OF_A_PARTITION: u64 = 3_000;

/// The read units a second that a table paid by request gives from its first day on.
const OF_A_NEW_TABLE: u64 = 12_000;

/// What a core lands from export files in a second: benches/README.md has 184 MB of items' JSON, of which DynamoDB counts
/// something more than half, in 386,000 items.
const BYTES_OF_A_CORE: u64 = 100_000_000;
const ITEMS_OF_A_CORE: u64 = 350_000;

/// The read units that a scan of a whole table costs.
pub(super) fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES)
}

/// How long a scan takes: as long as the least of what bounds it says.
pub(super) fn scan(facts: &TableFacts, read_units: Option<u32>, segments: u32) -> String {
    let wanted = read_units.map(|rate| (u64::from(rate), "--read-units allows".to_owned()));
    let who = if segments == 1 { "one segment".to_owned() } else { format!("{segments} segments") };
    let of_segments = (
        OF_A_PARTITION * u64::from(segments),
        format!("DynamoDB gives to {who}, 3,000 from one partition at a time (--segments reads more side by side)"),
    );
    let (rate, why) = [wanted, Some(of_table(facts)), Some(of_segments)]
        .into_iter()
        .flatten()
        .min_by_key(|(rate, _)| *rate)
        .unwrap_or((OF_A_PARTITION, String::new()));
    format!("{} at the {} a second that {why}", time(units(facts.bytes), rate), HumanCount(rate))
}

/// The read units a second that a table has.
fn of_table(facts: &TableFacts) -> (u64, String) {
    match facts.read_capacity {
        Some(ReadCapacity::Provisioned(rate)) => {
            (rate.into(), "the table has (--read-units leaves some of them to others)".to_owned())
        }
        Some(ReadCapacity::Limited(rate)) => {
            (rate.into(), "the table is limited to (--read-units leaves some of them to others)".to_owned())
        }
        None => {
            let why = "any on-demand table gives: one that has given more before gives more (--read-units bounds it)";
            (OF_A_NEW_TABLE, why.to_owned())
        }
    }
}

/// How long it takes to land an export of so many items and bytes.
pub(super) fn landing(items: u64, bytes: u64, lanes: u32, cores: u32) -> String {
    let at_work = lanes.min(cores).max(1);
    let seconds = bytes.div_ceil(BYTES_OF_A_CORE).max(items.div_ceil(ITEMS_OF_A_CORE));
    let of = if at_work == 1 { "one core".to_owned() } else { format!("{at_work} cores") };
    format!(
        "{} to land it with {of}, at the {} MB or {} items a second that a core takes from a local disk in our bench: getting \
         the files from S3 may take longer",
        time(seconds, at_work.into()),
        BYTES_OF_A_CORE / 1_000_000,
        HumanCount(ITEMS_OF_A_CORE)
    )
}

fn time(amount: u64, rate: u64) -> String {
    match amount.div_ceil(rate.max(1)) {
        0 | 1 => "about a second".to_owned(),
        seconds => format!("about {}", HumanDuration(Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(read_capacity: Option<ReadCapacity>) -> TableFacts {
        TableFacts {
            name: "Reply".into(),
            arn: String::new(),
            keys: Vec::new(),
            stream: None,
            items: 2_000_000,
            bytes: 4 << 30,
            read_capacity,
            view_type: None,
        }
    }

    #[test]
    fn a_scan_takes_as_long_as_what_bounds_it_most_says() {
        assert_eq!(units(4 << 30), 1_048_576);
        let provisioned = |rate| Some(ReadCapacity::Provisioned(rate));
        let cases = [
            (provisioned(100), Some(1_000), 4, "about 3 hours at the 100 a second that the table has"),
            (provisioned(5_000), Some(1_000), 4, "about 17 minutes at the 1,000 a second that --read-units allows"),
            (
                Some(ReadCapacity::Limited(500)),
                None,
                4,
                "about 35 minutes at the 500 a second that the table is limited to",
            ),
            (None, None, 8, "about 88 seconds at the 12,000 a second that any on-demand table gives"),
            (None, None, 1, "about 6 minutes at the 3,000 a second that DynamoDB gives to one segment"),
            (None, Some(400), 8, "about 44 minutes at the 400 a second that --read-units allows"),
        ];
        for (capacity, read_units, segments, expected) in cases {
            let told = scan(&facts(capacity), read_units, segments);
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn landing_an_export_is_bounded_by_cores_and_lanes() {
        let told = landing(1_000, 40_000_000_000, 8, 2);
        assert!(
            told.starts_with("about 3 minutes to land it with 2 cores, at the 100 MB or 350,000 items a second"),
            "{told}"
        );
        assert!(landing(1_000, 40_000_000_000, 1, 2).starts_with("about 7 minutes to land it with one core"));
        // Small items: it is not their bytes that take the time.
        assert!(landing(70_000_000, 1_000, 2, 2).starts_with("about 2 minutes to land it with 2 cores"));
        assert!(landing(0, 0, 1, 2).starts_with("about a second to land it"));
    }
}
