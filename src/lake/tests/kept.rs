//! A source that can't be read again: what a killed writer left is completed from the records it kept, by whoever opens
//! the shard, and to the same rows.

use super::*;

fn records(count: u64) -> Vec<Record> {
    let image = |n: u64| json!({"Id": {"N": n.to_string()}, format!("a{}", n % 7): {"S": "x".repeat(n as usize % 50)}});
    let mut records: Vec<_> = (1..=count).map(|n| record(n, &modify(&image(n), &image(n + 1)))).collect();
    records[3].payload = Bytes::from_static(b"\xffnot a change");
    records
}

async fn keeping(lake: &Arc<Lake>) -> Result<super::super::shard::LakeShard, LakeError> {
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await?;
    shard.keep_records();
    Ok(shard)
}

/// A lake with two ranges of kept records.
async fn whole() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(5)).await;
    let mut shard = keeping(&lake).await.unwrap();
    for part in records(40).chunks(25) {
        assert_eq!(shard.accept(part).await.unwrap(), part.len());
        shard.commit().await.unwrap().unwrap();
    }
    store
}

/// The same lake without some objects.
async fn without(store: &MemoryStore, gone: impl Fn(&str) -> bool) -> Arc<MemoryStore> {
    let torn = Arc::new(MemoryStore::new());
    for (path, body) in store.objects().into_iter().filter(|(path, _)| !gone(path)) {
        torn.create(&path, body).await.unwrap();
    }
    torn
}

#[tokio::test]
async fn an_open_range_is_completed_from_its_kept_records() {
    let whole = whole().await;
    let expected = all_rows(&whole);
    assert_eq!(expected.len(), 39);
    let last =
        |path: &str| path.contains("-0000000001-") || path.contains("dead-letters/") && path.contains("01.ndjson");
    let torn = without(&whole, last).await;
    assert!(torn.objects().len() < whole.objects().len());
    // Whoever opens the shard, also one that keeps nothing.
    let lake = open(&torn, rules(5)).await;
    let shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    assert!(shard.unfinished().is_none());
    assert_eq!(shard.position(), Some(records(40)[39].position));
    assert_eq!(all_rows(&torn), expected);
    assert_eq!(torn.objects().keys().collect::<Vec<_>>(), whole.objects().keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn without_its_kept_records_a_range_is_not_completed() {
    let whole = whole().await;
    let torn = without(&whole, |path| path.contains("-0000000001-") || path.contains("/records/")).await;
    let lake = open(&torn, rules(5)).await;
    let refused = keeping(&lake).await.err().unwrap().to_string();
    assert!(refused.contains("keeps the records of range 1 of shard s"), "{refused}");
    // Once its files are there nobody misses them.
    let torn = without(&whole, |path| path.contains("/records/")).await;
    let lake = open(&torn, rules(5)).await;
    assert_eq!(keeping(&lake).await.unwrap().position(), Some(records(40)[39].position));
}

#[tokio::test]
async fn records_are_there_before_their_range_and_many_of_them_in_several_objects() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(5)).await;
    let mut shard = keeping(&lake).await.unwrap();
    let large = json!({"Id": {"S": "x".repeat(5 << 20)}});
    let many: Vec<_> = (1..=5).map(|n| record(n, &modify(&large, &json!({})))).collect();
    assert_eq!(shard.accept(&many).await.unwrap(), 5);
    // 16 MiB of them are not held in memory.
    let kept =
        |store: &MemoryStore| store.objects().keys().filter(|path| path.starts_with("_watershed/records/")).count();
    assert_eq!(kept(&store), 1);
    shard.commit().await.unwrap().unwrap();
    assert_eq!(kept(&store), 2);
    let range = store.objects().into_iter().find(|(path, _)| path.starts_with("_watershed/ranges/")).unwrap().1;
    let range = Range::parse(&range).unwrap();
    assert_eq!(range.records.iter().map(|kept| kept.records).collect::<Vec<_>>(), [4, 1]);
    let torn = without(&store, |path| path.ends_with(".parquet")).await;
    let lake = open(&torn, rules(5)).await;
    assert!(keeping(&lake).await.unwrap().unfinished().is_none());
    assert_eq!(all_rows(&torn), all_rows(&store));
}

#[tokio::test]
async fn a_writer_that_is_killed_anywhere_loses_nothing_and_repeats_nothing() {
    let whole = whole().await;
    let paths: Vec<String> = whole.objects().into_keys().collect();
    // Objects appear in the order of commits: whatever suffix of the last commit is missing, the next writer gives the rest.
    let order = ["/records/", "/ranges/", ".parquet", "/dead-letters/"];
    for killed_before in 0..order.len() {
        let gone = |path: &str| {
            let is_of_last = path.contains("00001.json") && path.contains("/ranges/") || path.contains("-0000000001-");
            let step = order.iter().position(|step| path.contains(step)).unwrap_or(0);
            is_of_last && step >= killed_before
        };
        let torn = without(&whole, gone).await;
        let lake = open(&torn, rules(5)).await;
        let mut shard = keeping(&lake).await.unwrap();
        shard.accept(&records(40)).await.unwrap();
        shard.commit().await.unwrap();
        assert_eq!(all_rows(&torn), all_rows(&whole), "killed before {}", order[killed_before]);
        assert!(paths.iter().filter(|path| path.ends_with(".parquet")).all(|path| torn.objects().contains_key(path)));
    }
}
