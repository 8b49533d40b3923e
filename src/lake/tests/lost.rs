//! A range of members that a killed writer left, and whose kept records somebody has deleted: the batch completes it if it
//! comes again, or it is passed over behind a gap marker. Otherwise the chain stops, and says what can be done.

use super::*;
use crate::lake::member_shard::{IfLost, Landed, MemberShard};

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    let image = |n: u64| json!({"Id": {"N": n.to_string()}, format!("a{}", n % 3): {"S": "x"}});
    let change = |n: u64| {
        let mut change = modify(&image(n), &json!({}));
        change["eventID"] = json!(n.to_string());
        change
    };
    let mut records: Vec<_> = numbers.clone().map(|n| record(n, &change(n))).collect();
    if let Some(odd) = records.get_mut(2) {
        odd.payload = Bytes::from(format!("no change {}", numbers.start));
    }
    records
}

async fn chain(store: &Arc<MemoryStore>, lost: IfLost<'_>) -> Result<MemberShard, LakeError> {
    open(store, rules(5)).await.open_members(&stream(), &ShardId::new("events"), lost).await
}

async fn land(chain: &mut MemberShard, records: Vec<Record>) -> usize {
    let mut landed = Landed::default();
    chain.land(records, None, &mut landed).await.unwrap();
    landed.durable
}

/// A whole lake of two ranges, and the same as a writer left it that was killed before the files of the second, after
/// which somebody deleted its kept records.
async fn torn() -> (Arc<MemoryStore>, Arc<MemoryStore>) {
    let whole = Arc::new(MemoryStore::new());
    let mut shard = chain(&whole, IfLost::default()).await.unwrap();
    assert_eq!(land(&mut shard, records(1..20)).await, 19);
    assert_eq!(land(&mut shard, records(20..50)).await, 30);
    let torn = Arc::new(MemoryStore::new());
    let of_range =
        |path: &str| path.contains("-0000000001-") || path.contains("dead-letters/") && path.ends_with("01.ndjson");
    for (path, body) in whole.objects() {
        if !of_range(&path) && !path.contains("/records/") {
            torn.create(&path, body).await.unwrap();
        }
    }
    (whole, torn)
}

#[tokio::test]
async fn the_batch_completes_it_if_it_comes_again() {
    let (whole, torn) = torn().await;
    // In a larger batch, in no order, twice.
    let mut batch = records(10..70);
    batch.truncate(10);
    batch.extend(records(50..70));
    batch.extend(records(20..50));
    batch.extend(records(20..50));
    batch.reverse();
    let lost = IfLost { at_hand: &batch, pass_over: false };
    chain(&torn, lost).await.unwrap();
    assert_eq!(all_rows(&torn), all_rows(&whole));
    let without_records = |store: &MemoryStore| {
        store.objects().into_keys().filter(|path| !path.contains("/records/")).collect::<Vec<_>>()
    };
    assert_eq!(without_records(&torn), without_records(&whole));
}

#[tokio::test]
async fn without_it_the_chain_stops_and_says_what_can_be_done() {
    let (_, torn) = torn().await;
    let before = torn.objects().len();
    // One record of the range is missing: that does not complete it.
    let mut part = records(20..50);
    part.pop();
    for at_hand in [&[][..], &part] {
        let refused = chain(&torn, IfLost { at_hand, pass_over: false }).await.err().unwrap().to_string();
        for said in ["range 1 of shard events", "give it back", "the mapping sends one", "on_gap = \"resume\""] {
            assert!(refused.contains(said), "{refused}");
        }
    }
    assert_eq!(torn.objects().len(), before);
}

/// The rows of all ranges but the one that is not complete.
async fn rows_of(store: &MemoryStore) -> Vec<Row> {
    let readable = MemoryStore::new();
    for (path, body) in store.objects() {
        if !(path.starts_with("_watershed/ranges/") && path.ends_with("00001.json")) {
            readable.create(&path, body).await.unwrap();
        }
    }
    all_rows(&readable)
}

#[tokio::test]
async fn told_to_resume_it_is_passed_over_behind_a_gap_marker() {
    let (_, torn) = torn().await;
    let lost = IfLost { at_hand: &[], pass_over: true };
    let mut shard = chain(&torn, lost).await.unwrap();
    // What the range holds stays its; what is new lands behind the marker.
    assert_eq!(land(&mut shard, records(20..50)).await, 30);
    assert_eq!(land(&mut shard, records(60..70)).await, 10);
    assert_eq!(land(&mut shard, records(1..20)).await, 19);
    let mut found: Vec<String> =
        rows_of(&torn).await.iter().map(|row| row.new["Id"]["N"].as_str().unwrap().to_owned()).collect();
    found.sort();
    let mut expected: Vec<String> =
        (1..20).chain(60..70).filter(|n| ![3, 62].contains(n)).map(|n: u64| n.to_string()).collect();
    expected.sort();
    assert_eq!(found, expected);
    let objects = torn.objects();
    let ranges: Vec<Range> = objects
        .iter()
        .filter(|(path, _)| path.starts_with("_watershed/ranges/"))
        .map(|(_, body)| Range::parse(body).unwrap())
        .collect();
    assert_eq!(ranges.iter().map(|range| range.gap.is_some()).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(ranges[2].gap.as_ref().unwrap().reason.contains("not there any more"));
    assert_eq!(objects.keys().filter(|path| path.starts_with("_watershed/gaps/")).count(), 1);
    // Another process goes on there, and marks nothing again.
    let mut again = chain(&torn, lost).await.unwrap();
    assert_eq!(land(&mut again, records(20..50)).await, 30);
    assert_eq!(land(&mut again, records(50..60)).await, 10);
    assert_eq!(rows_of(&torn).await.len(), expected.len() + 9);
}
