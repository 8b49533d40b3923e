//! A backfill begins while a tail goes on: since when a generation is, and which of them a gap makes invalid.

use super::*;
use crate::lake::generation::{Generation, Method};
use crate::lake::range::Range;

fn wanted() -> Generation {
    Generation {
        format: 1,
        table: "T".to_owned(),
        generation: 0,
        method: Method::Scan { segments: 2 },
        snapshot_only: false,
        fresh: false,
        keys: vec!["Id".to_owned()],
        began_at: 0,
        created_at: String::new(),
        writer: String::new(),
    }
}

fn change(ordinal: u64) -> Record {
    record(ordinal, &modify(&json!({"Id": {"N": ordinal.to_string()}}), &json!({})))
}

fn ranges(store: &MemoryStore) -> Vec<Range> {
    let objects = store.objects();
    let ranges = objects.iter().filter(|(path, _)| path.starts_with("_watershed/ranges/"));
    ranges.map(|(_, bytes)| Range::parse(bytes).unwrap()).collect()
}

#[tokio::test]
async fn what_was_read_before_a_generation_began_is_written_before_it_or_read_again() {
    let store = Arc::new(MemoryStore::new());
    // The tail and the backfill are two processes: each has a lake of its own.
    let (tail, backfill) = (open(&store, rules(9)).await, open(&store, rules(9)).await);
    let shard = ShardId::new("s");
    let mut writer = tail.open_shard(&stream(), &shard, None).await.unwrap();
    writer.accept(&[change(1)]).await.unwrap();
    writer.commit().await.unwrap();
    writer.accept(&[change(2)]).await.unwrap();
    let begun = backfill.generations().begin(wanted()).await.unwrap();
    assert_eq!(begun.generation, 1);
    assert!(matches!(writer.commit().await, Err(LakeError::Overtaken { range: 1, .. })));
    let mut writer = tail.open_shard(&stream(), &shard, None).await.unwrap();
    writer.accept(&[change(2)]).await.unwrap();
    writer.commit().await.unwrap();
    let generations: Vec<i64> = ranges(&store).iter().map(|range| range.files[0].generation).collect();
    assert_eq!(generations, [0, 1]);
    let rows = all_rows(&store);
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn a_range_of_a_killed_writer_keeps_its_generation() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(9)).await;
    let shard = ShardId::new("s");
    let mut writer = lake.open_shard(&stream(), &shard, None).await.unwrap();
    writer.accept(&[change(1)]).await.unwrap();
    writer.commit().await.unwrap();
    // Its file did not get there.
    let file = ranges(&store)[0].files[0].path.clone();
    let without = Arc::new(MemoryStore::new());
    for (path, bytes) in store.objects().into_iter().filter(|(path, _)| *path != file) {
        without.create(&path, bytes).await.unwrap();
    }
    let lake = open(&without, rules(9)).await;
    lake.generations().begin(wanted()).await.unwrap();
    let mut writer = lake.open_shard(&stream(), &shard, None).await.unwrap();
    assert!(writer.unfinished().is_some());
    writer.accept(&[change(1)]).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(without.objects()[&file], store.objects()[&file]);
}

#[tokio::test]
async fn the_rows_of_a_backfill_rank_below_every_change_of_their_generation() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(9)).await;
    let begun = lake.generations().begin(wanted()).await.unwrap();
    let way = lake.for_backfill([("T".into(), begun.generation)].into(), true);
    let backfill = StreamIdentity { id: "backfill".to_owned(), ..stream() };
    let mut writer = way.open_shard(&backfill, &ShardId::new("backfill-1-0000"), None).await.unwrap();
    let item = |ordinal| Record {
        channel: Channel::Snapshot(7),
        payload: Bytes::from(r#"{"Id":{"N":"1"}}"#),
        ..change(ordinal)
    };
    writer.accept(&[item(u64::MAX - 1), item(u64::MAX)]).await.unwrap();
    // A later generation does not concern it.
    lake.generations().begin(wanted()).await.unwrap();
    writer.commit().await.unwrap();
    let mut tail = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    tail.accept(&[change(1)]).await.unwrap();
    tail.commit().await.unwrap();
    let rows = all_rows(&store);
    let sequences: Vec<&str> = rows.iter().map(|row| row.sequence.as_str()).collect();
    assert_eq!(sequences, ["00018446744073709551614", "00018446744073709551615", "0011"]);
    assert_eq!(rows[0].op, "SNAPSHOT");
    let mut generations: Vec<_> = ranges(&store).iter().map(|range| range.files[0].generation).collect();
    generations.sort_unstable();
    assert_eq!(generations, [1, 2]);
    // It says where a scan goes on.
    let last = way.last_range(&backfill, &ShardId::new("backfill-1-0000")).await.unwrap().unwrap();
    assert_eq!(last.last_key, None, "the keys of this table are not known");
    assert_eq!(last.records.len(), 1);
}

#[tokio::test]
async fn a_gap_makes_generations_invalid_that_were_under_way() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(9)).await;
    let mut writer = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    writer.accept(&[change(1)]).await.unwrap();
    writer.commit().await.unwrap();
    writer.mark_gap("before").await.unwrap();
    let begun = lake.generations().begin(wanted()).await.unwrap();
    assert!(lake.generations().gaps_since("T", begun.generation).await.unwrap().is_empty());
    writer.mark_gap("after").await.unwrap();
    let gaps = lake.generations().gaps_since("T", begun.generation).await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.reason.as_str()).collect::<Vec<_>>(), ["after"]);
    assert_eq!(gaps[0].since.as_deref(), Some("2026-11-20T09:00:00.000Z"));
    assert!(lake.generations().gaps_since("Other", 0).await.unwrap().is_empty());
    let next = lake.generations().begin(wanted()).await.unwrap();
    assert!(lake.generations().gaps_since("T", next.generation).await.unwrap().is_empty());
}
