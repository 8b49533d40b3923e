//! Holds uploads that overlap with encoding to losing and doubling nothing, and to their bounds.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::lake::shard::LakeShard;
use crate::testing::store::{Faults, FaultyStore};

const KIB: usize = 1 << 10;

/// A hundred kilobytes go the way of a hundred megabytes.
const SMALL: Limits = Limits { batch: 32 * KIB, raw: 128 * KIB, group: 16 * KIB, part: 8 * KIB };

async fn open_with(store: Arc<dyn ObjectStore>, clock: &Clock) -> Arc<Lake> {
    let (tables, default_rules) = (HashMap::new(), Arc::new(rules(10)));
    let pipeline = "test".to_owned();
    let settings = LakeSettings { pipeline, roll: NO_HURRY, tables, default_rules, only: None, limits: SMALL };
    Lake::open(store, clock.clone(), settings).await.unwrap()
}

async fn open_shard(lake: &Arc<Lake>) -> LakeShard {
    lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap()
}

/// Records `1..=count` of a kilobyte each that hardly get smaller.
fn records(count: u64) -> Vec<Record> {
    let mut random = StdRng::seed_from_u64(count);
    let one = |n| {
        let bytes: Vec<u8> = (0..750).map(|_| random.random()).collect();
        let new = json!({"text": {"S": base64_simd::STANDARD.encode_to_string(bytes)}});
        record(n, &modify(&new, &json!({})))
    };
    (1..=count).map(one).collect()
}

/// Checks that all records are in the lake once.
fn all_there(store: &MemoryStore, records: &[Record]) {
    let rows = all_rows(store);
    let sequences: Vec<u64> = rows.iter().map(|row| row.sequence[3..].parse().unwrap()).collect();
    assert_eq!(sequences, (1..=records.len() as u64).collect::<Vec<_>>());
    for (row, record) in rows.iter().zip(records) {
        let change: Value = serde_json::from_slice(&record.payload).unwrap();
        assert_eq!(row.new, change["dynamodb"]["NewImage"]);
    }
}

fn ranges(store: &MemoryStore) -> usize {
    store.objects().keys().filter(|path| path.starts_with("_watershed/ranges/")).count()
}

#[tokio::test(start_paused = true)]
async fn a_large_file_is_uploaded_before_its_range_is_there_and_completed_after_it() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let lake = open_with(store.clone(), &clock).await;
    let mut shard = open_shard(&lake).await;
    let all = records(200);
    assert_eq!(shard.accept(&all).await.unwrap(), 200);
    clock.sleep(Duration::from_secs(1)).await;
    let uploads = store.uploads();
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].0.starts_with("T/s-") && uploads[0].0.ends_with("-0000.parquet"), "{uploads:?}");
    assert!(uploads[0].1 > 64 * KIB && uploads[0].1 % SMALL.part == 0, "{uploads:?}");
    assert_eq!(ranges(&store), 0);
    assert!(!store.objects().contains_key(&uploads[0].0));

    let committed = shard.commit().await.unwrap().unwrap();
    let file = &store.objects()[&uploads[0].0];
    assert_eq!(committed.files, [("T".into(), 200, file.len() as u64)]);
    assert_eq!((store.uploads().len(), store.uploads_begun(), shard.memory()), (0, 1, 0));
    all_there(&store, &all);
}

#[tokio::test(start_paused = true)]
async fn a_small_file_is_one_object_and_no_upload() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let mut shard = open_shard(&open_with(store.clone(), &clock).await).await;
    let all = records(10);
    shard.accept(&all).await.unwrap();
    shard.commit().await.unwrap().unwrap();
    assert_eq!(store.uploads_begun(), 0);
    all_there(&store, &all);
}

#[tokio::test(start_paused = true)]
async fn memory_does_not_grow_with_the_file() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    // Parts take their time, so that some are on their way all along.
    let faults = Faults { delay: Duration::from_millis(200), ..Faults::default() };
    let slow = FaultyStore::new(store.clone(), &clock, 1, faults);
    let mut shard = open_shard(&open_with(Arc::new(slow), &clock).await).await;
    let all = records(4000);
    let mut most = 0;
    for page in all.chunks(50) {
        shard.accept(page).await.unwrap();
        most = most.max(shard.memory());
    }
    let committed = shard.commit().await.unwrap().unwrap();
    let size = committed.files[0].2 as usize;
    assert!(size > 2500 * KIB, "{size}");
    assert!(most < 512 * KIB, "{most} bytes of memory for a file of {size}");
    all_there(&store, &all);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_forgotten_after_its_range_is_there_is_read_again_from_the_source() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let lake = open_with(store.clone(), &clock).await;
    let mut shard = open_shard(&lake).await;
    let all = records(200);
    shard.accept(&all).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    // All its parts are there; the last are small enough to wait for the commit.
    let lost = {
        let store = store.clone();
        tokio::spawn(async move {
            while ranges(&store) == 0 {
                tokio::task::yield_now().await;
            }
            store.forget_uploads();
        })
    };
    let error = shard.commit().await.unwrap_err();
    assert!(matches!(&error, LakeError::UploadLost { path, .. } if path.ends_with("-0000.parquet")), "{error}");
    lost.await.unwrap();
    assert_eq!((ranges(&store), all_rows_there(&store)), (1, false));

    let mut shard = open_shard(&lake).await;
    assert!(shard.unfinished().is_some());
    assert_eq!(shard.accept(&all).await.unwrap(), 200);
    assert!(shard.plan_is_reached());
    shard.commit().await.unwrap().unwrap();
    assert_eq!((ranges(&store), store.uploads_begun()), (1, 1));
    all_there(&store, &all);
}

/// Whether all files of all ranges are there.
fn all_rows_there(store: &MemoryStore) -> bool {
    let objects = store.objects();
    let mut ranges = objects.iter().filter(|(path, _)| path.starts_with("_watershed/ranges/"));
    ranges.all(|(_, range)| Range::parse(range).unwrap().files.iter().all(|file| objects.contains_key(&file.path)))
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_forgotten_before_its_range_leaves_no_range_and_the_next_files_are_uploaded_whole() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let lake = open_with(store.clone(), &clock).await;
    let mut shard = open_shard(&lake).await;
    let all = records(600);
    shard.accept(&all[..200]).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    store.forget_uploads();
    let error = async {
        for page in all[200..].chunks(50) {
            shard.accept(page).await?;
            clock.sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, LakeError>(())
    };
    let error = error.await.unwrap_err();
    assert!(matches!(error, LakeError::UploadLost { .. }), "{error}");
    drop(shard);
    assert_eq!(ranges(&store), 0);

    let mut shard = open_shard(&lake).await;
    assert_eq!((shard.position(), shard.unfinished().is_some()), (None, false));
    shard.accept(&all[..300]).await.unwrap();
    shard.commit().await.unwrap().unwrap();
    assert_eq!(store.uploads_begun(), 1);
    clock.sleep(Duration::from_mins(11)).await;
    shard.accept(&all[300..]).await.unwrap();
    shard.commit().await.unwrap().unwrap();
    assert_eq!((store.uploads_begun(), store.uploads().len()), (2, 0));
    all_there(&store, &all);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_being_begun_when_nobody_wants_it_any_more_is_aborted() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let faults = Faults { delay: Duration::from_secs(2), ..Faults::default() };
    let slow = FaultyStore::new(store.clone(), &clock, 3, faults);
    let mut shard = open_shard(&open_with(Arc::new(slow), &clock).await).await;
    shard.accept(&records(64)).await.unwrap();
    // It is there, and the answer is on its way.
    while store.uploads().is_empty() {
        clock.sleep(Duration::from_millis(10)).await;
    }
    drop(shard);
    clock.sleep(Duration::from_secs(10)).await;
    assert_eq!((store.uploads(), store.uploads_begun()), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_aborted_when_another_writer_has_the_range_or_the_shard_is_given_up() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
    let lake = open_with(store.clone(), &clock).await;
    let all = records(200);
    let (mut one, mut other) = (open_shard(&lake).await, open_shard(&lake).await);
    other.accept(&all[..150]).await.unwrap();
    one.accept(&all).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(store.uploads().len(), 2);
    other.commit().await.unwrap().unwrap();
    assert!(matches!(one.commit().await, Err(LakeError::Overtaken { range: 0, .. })));
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(store.uploads(), []);
    all_there(&store, &all[..150]);

    let mut given_up = open_shard(&lake).await;
    given_up.accept(&records(400)[..400]).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(store.uploads().len(), 1);
    drop(given_up);
    clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(store.uploads(), []);
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_every_record_lands_once() {
    let (mut lost, mut begun) = (0, 0);
    for seed in 0..40 {
        let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(seed, 0));
        let faults = Faults {
            conflict: 0.05,
            unavailable: 0.1,
            answer_lost: 0.1,
            late: 0.05,
            exists_after_success: 0.05,
            exists_without_effect: 0.02,
            forgotten: 0.01,
            delay: Duration::from_millis(200),
            ..Faults::default()
        };
        let faulty = FaultyStore::new(store.clone(), &clock, seed, faults);
        let mut random = StdRng::seed_from_u64(seed);
        let all = records(300);
        for process in 0.. {
            assert!(process < 1000, "seed {seed} never ends");
            let lake = open_with(Arc::new(faulty.clone()), &clock).await;
            let mut shard = open_shard(&lake).await;
            match live(&mut shard, &all, &clock, &mut random).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(LakeError::UploadLost { .. }) => lost += 1,
                Err(LakeError::Overtaken { .. }) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        clock.sleep(Duration::from_secs(60)).await;
        all_there(&store, &all);
        begun += store.uploads_begun();
    }
    assert!(lost > 5 && begun > 40, "{lost} of {begun} uploads were lost");
}

/// Lands records, and is killed at some point. Answers whether it came to the end.
async fn live(shard: &mut LakeShard, all: &[Record], clock: &Clock, random: &mut StdRng) -> Result<bool, LakeError> {
    let has = |position: Position| all.iter().filter(|record| record.position <= position).count();
    loop {
        let mut at = shard.position().map_or(0, has);
        if at == all.len() && shard.is_clean() {
            return Ok(true);
        }
        while at < all.len() {
            let page = &all[at..all.len().min(at + random.random_range(1..40))];
            let taken = shard.accept(page).await?;
            at += taken;
            if random.random_bool(0.03) {
                return Ok(false);
            }
            if shard.plan_is_reached() || shard.unfinished().is_none() && random.random_bool(0.05) {
                break;
            }
        }
        let killed = Duration::from_millis(random.random_range(0..20_000));
        match tokio::time::timeout(killed, shard.commit()).await {
            Ok(committed) => drop(committed?),
            Err(_) => return Ok(false),
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
}
