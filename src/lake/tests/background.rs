//! Holds encoding in the background to its bounds, and to losing nothing.

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_encoded_is_bounded_for_all_partitions_together() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, TableRules { partition_by: vec!["p".to_owned()], ..rules(10) }).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    let text = "x".repeat(MIB);
    let mut most = 0;
    for n in 1..=160 {
        let new = json!({"p": {"N": (n % 20).to_string()}, "text": {"S": text}});
        assert_eq!(shard.accept(&[record(n, &modify(&new, &json!({})))]).await.unwrap(), 1);
        most = most.max(shard.memory());
    }
    assert!((32 * MIB..128 * MIB).contains(&most), "{most} bytes at most");
    let committed = shard.commit().await.unwrap().unwrap();
    assert_eq!((committed.files.len(), shard.memory()), (20, 0));
    assert_eq!(committed.operations[&("T".into(), "MODIFY".to_owned())], 160);
    assert_eq!(sequences(&store), (1..=160).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_rows_are_being_encoded_is_complete_when_the_schema_grows() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(10)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    let text = "x".repeat(MIB);
    // The seventeenth row fills a batch; what comes while that is encoded has one more column.
    let image = |n| match n {
        1..=18 => json!({"text": {"S": text}}),
        _ => json!({"text": {"S": text}, "more": {"N": n.to_string()}}),
    };
    let records: Vec<_> = (1..=40).map(|n| record(n, &modify(&image(n), &json!({})))).collect();
    // Not in one go: the schema grows by all that lies ahead.
    let (before, after) = records.split_at(18);
    assert_eq!(shard.accept(before).await.unwrap(), 18);
    assert_eq!(shard.accept(after).await.unwrap(), 22);
    let committed = shard.commit().await.unwrap().unwrap();
    assert_eq!(committed.files.len(), 2);
    assert_eq!(sequences(&store), (1..=40).collect::<Vec<_>>());
}

/// The ordinals of all rows in the store.
fn sequences(store: &MemoryStore) -> Vec<u64> {
    all_rows(store).iter().map(|row| row.sequence[3..].parse().unwrap()).collect()
}
