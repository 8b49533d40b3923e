//! A gap is never silent: what the engine does when the source has lost records, by the pipeline's `on_gap`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::totals::Counts;
use super::{Engine, EngineError, EngineSettings, OnGap, Parts};
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, CheckpointKey, StateStore as _};
use crate::clock::Clock;
use crate::lake::limits::Limits;
use crate::lake::range::Range;
use crate::lake::roll::RollLimits;
use crate::lake::schema::TableRules;
use crate::lake::store::ObjectStore as _;
use crate::lake::{Lake, LakeSettings};
use crate::source::lineage::StartPolicy;
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;
use crate::testing::state::MemoryState;
use crate::testing::store::MemoryStore;
use crate::testing::stream::{SimulatedStream, StreamFaults};

struct House {
    clock: Clock,
    objects: Arc<MemoryStore>,
    state: MemoryState,
    start: StartPolicy,
}

impl House {
    fn new() -> Self {
        let clock = Clock::simulated(1, 1_795_132_800_000_000);
        let (objects, state) = (Arc::new(MemoryStore::new()), MemoryState::new());
        Self { clock, objects, state, start: StartPolicy::TrimHorizon }
    }

    fn stream(&self, id: &str) -> SimulatedStream {
        SimulatedStream::new(id, 1, self.clock.clone(), false)
    }

    /// A run that stops at gaps stops at one, and says this of it; answers what it landed before.
    async fn stops_at_gap(&self, stream: &SimulatedStream, what: &str) -> Counts {
        let (ended, counts) = self.run(stream, OnGap::Fail).await;
        assert!(matches!(&ended, Err(EngineError::Gap(why)) if why.contains(what)), "{ended:?}");
        counts
    }

    async fn run(&self, stream: &SimulatedStream, on_gap: OnGap) -> (Result<(), EngineError>, Counts) {
        let age = Duration::from_secs(1);
        let rules = TableRules { max_columns: 9, ..TableRules::default() };
        let settings = LakeSettings {
            pipeline: "p".to_owned(),
            roll: RollLimits { bytes: 1 << 20, rows: 100, age, idle: age },
            tables: HashMap::new(),
            default_rules: Arc::new(rules),
            only: None,
            limits: Limits::default(),
        };
        let engine = Engine::new(Parts {
            finder: Arc::new(stream.clone()),
            lake: Lake::open(self.objects.clone(), self.clock.clone(), settings).await.unwrap(),
            handlers: Vec::new(),
            state: Arc::new(self.state.clone()),
            clock: self.clock.clone(),
            settings: EngineSettings { start: self.start, on_gap, once: true, memory: 64 << 20 },
            metrics: Metrics::new(),
            health: Health::new(self.clock.now(), age),
        });
        let ended = engine.run(CancellationToken::new()).await;
        (ended, engine.totals().counts())
    }

    fn gaps(&self) -> Vec<String> {
        let objects = self.objects.objects();
        let ranges = objects.iter().filter(|(path, _)| path.starts_with("_watershed/ranges/"));
        ranges.filter_map(|(_, bytes)| Some(Range::parse(bytes).unwrap().gap?.reason)).collect()
    }
}

fn write(stream: &SimulatedStream, changes: u32) {
    for number in 0..changes {
        let change = format!(
            r#"{{"eventName":"INSERT","tableName":"T","dynamodb":{{"Keys":{{"Id":{{"N":"{number}"}}}},"ApproximateCreationDateTime":1795165200}}}}"#
        );
        stream.write((number % 16) as u8, vec![Bytes::from(change)]);
    }
}

fn rows(counts: &Counts) -> u64 {
    counts.rows.values().sum()
}

#[tokio::test(start_paused = true)]
async fn trimmed_records_are_a_gap() {
    let house = House::new();
    let stream = house.stream("a");
    write(&stream, 10);
    let (ended, counts) = house.run(&stream, OnGap::Fail).await;
    assert!(ended.is_ok() && rows(&counts) == 10);
    write(&stream, 5);
    stream.trim();
    write(&stream, 3);
    let counts = house.stops_at_gap(&stream, "have been trimmed").await;
    assert!(rows(&counts) == 0 && house.gaps().is_empty());
    let (ended, counts) = house.run(&stream, OnGap::Resume).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((rows(&counts), counts.gaps, house.gaps().len()), (3, 1, 1));
    // The gap is behind: nothing more to say.
    assert_eq!(house.run(&stream, OnGap::Fail).await.1.gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_switched_off_is_read_to_its_end_and_then_a_gap() {
    let house = House::new();
    let stream = house.stream("a");
    write(&stream, 10);
    stream.switch_off();
    let counts = house.stops_at_gap(&stream, "was switched off").await;
    assert_eq!(rows(&counts), 10);
    assert!(house.run(&stream, OnGap::Resume).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_anew_begins_with_the_gap_before_it() {
    let house = House::new();
    let first = house.stream("a");
    write(&first, 10);
    assert!(house.run(&first, OnGap::Fail).await.0.is_ok());
    let second = house.stream("b");
    write(&second, 4);
    house.stops_at_gap(&second, "was made anew").await;
    let (ended, counts) = house.run(&second, OnGap::Resume).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((rows(&counts), counts.gaps, house.gaps().len()), (4, 1, 1));
    // Known from now on.
    assert!(house.run(&second, OnGap::Fail).await.0.is_ok());
}

/// Longer than any stream keeps its records.
const LONG: Duration = Duration::from_hours(25);

/// A stream whose first shard was read to its end, and whose second was still empty then.
async fn read_to_an_empty_shard(house: &House) -> SimulatedStream {
    let stream = house.stream("a");
    write(&stream, 10);
    stream.rotate();
    assert!(house.run(&stream, OnGap::Fail).await.0.is_ok());
    stream
}

#[tokio::test(start_paused = true)]
async fn the_trimmed_beginning_of_a_shard_is_a_gap() {
    let house = House::new();
    let stream = read_to_an_empty_shard(&house).await;
    write(&stream, 5);
    house.clock.sleep(LONG).await;
    stream.trim();
    write(&stream, 3);
    house.stops_at_gap(&stream, "its beginning may be trimmed").await;
    let (ended, counts) = house.run(&stream, OnGap::Resume).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((rows(&counts), counts.gaps, house.gaps().len()), (3, 1, 1));
    assert_eq!(house.run(&stream, OnGap::Fail).await.1.gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_came_and_went_unread_is_a_gap() {
    let house = House::new();
    let stream = read_to_an_empty_shard(&house).await;
    stream.rotate();
    write(&stream, 5);
    stream.rotate();
    house.clock.sleep(LONG).await;
    stream.trim();
    stream.forget();
    write(&stream, 3);
    house.stops_at_gap(&stream, " is gone").await;
    let (ended, counts) = house.run(&stream, OnGap::Resume).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(rows(&counts), 3);
    assert!(counts.gaps > 0 && house.gaps().len() as u64 == counts.gaps, "{counts:?}");
    assert_eq!(house.run(&stream, OnGap::Fail).await.1.gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_before_the_first_run_is_no_gap() {
    let house = House::new();
    let stream = house.stream("a");
    write(&stream, 10);
    stream.rotate();
    write(&stream, 5);
    stream.rotate();
    house.clock.sleep(LONG).await;
    stream.trim();
    stream.forget();
    let (ended, counts) = house.run(&stream, OnGap::Fail).await;
    assert!(ended.is_ok() && counts.gaps == 0, "{ended:?}");
    house.clock.sleep(LONG / 2).await;
    write(&stream, 3);
    let (ended, counts) = house.run(&stream, OnGap::Fail).await;
    assert!(ended.is_ok() && rows(&counts) == 3, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn the_trimmed_beginning_of_a_shard_of_which_nothing_was_read_since_the_first_run_is_a_gap() {
    let house = House::new();
    let stream = house.stream("a");
    assert!(house.run(&stream, OnGap::Fail).await.0.is_ok());
    write(&stream, 5);
    house.clock.sleep(LONG).await;
    stream.trim();
    write(&stream, 3);
    house.stops_at_gap(&stream, "its beginning may be trimmed").await;
    let (ended, counts) = house.run(&stream, OnGap::Resume).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((rows(&counts), house.gaps().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_trimmed_beginning_of_a_shard_that_the_first_list_did_not_show_is_a_gap() {
    let house = House::new();
    let stream = house.stream("a");
    stream.set_faults(StreamFaults { hidden: 1.0, ..StreamFaults::NONE });
    assert!(house.run(&stream, OnGap::Fail).await.0.is_ok());
    stream.set_faults(StreamFaults::NONE);
    write(&stream, 5);
    house.clock.sleep(LONG).await;
    stream.trim();
    write(&stream, 3);
    house.stops_at_gap(&stream, "its beginning may be trimmed").await;
}

/// Lists are late: one that shows nothing left to do may only not show it yet.
#[tokio::test(start_paused = true)]
async fn a_run_does_not_end_because_one_list_hides_a_shard() {
    for round in 0..40 {
        let house = House::new();
        let stream = house.stream("a");
        write(&stream, 3 + round);
        for _ in 0..4 {
            stream.reshard();
            write(&stream, 16);
        }
        stream.set_faults(StreamFaults { hidden: 0.1, ..StreamFaults::NONE });
        let (ended, counts) = house.run(&stream, OnGap::Fail).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(rows(&counts), u64::from(3 + round + 64), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_marked_once_however_often_somebody_starts_before_anything_comes() {
    let house = House::new();
    let stream = house.stream("a");
    write(&stream, 10);
    assert!(house.run(&stream, OnGap::Fail).await.0.is_ok());
    write(&stream, 5);
    house.clock.sleep(LONG).await;
    stream.trim();
    for _ in 0..3 {
        assert!(house.run(&stream, OnGap::Resume).await.0.is_ok());
        assert_eq!(house.gaps().len(), 1);
    }
    // A day later more may be gone.
    write(&stream, 5);
    house.clock.sleep(LONG).await;
    stream.trim();
    write(&stream, 2);
    let (ended, counts) = house.run(&stream, OnGap::Resume).await;
    assert!(ended.is_ok() && rows(&counts) == 2, "{ended:?}");
    assert_eq!(house.gaps().len(), 2);
}

/// A process was killed between a range and its files, and when the next one comes the records are gone.
#[tokio::test(start_paused = true)]
async fn an_open_range_whose_records_were_trimmed_is_a_gap() {
    for rest in [0, 3] {
        let house = House::new();
        let stream = house.stream("a");
        write(&stream, 10);
        assert!(house.run(&stream, OnGap::Fail).await.0.is_ok());
        for path in house.objects.objects().into_keys().filter(|path| path.ends_with(".parquet")) {
            house.objects.delete(&path);
        }
        house.clock.sleep(LONG).await;
        stream.trim();
        write(&stream, rest);
        house.stops_at_gap(&stream, "left open").await;
        let (ended, counts) = house.run(&stream, OnGap::Resume).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!((rows(&counts), counts.gaps, house.gaps().len()), (u64::from(rest), 1, 1));
    }
}

/// Two processes run the pipeline, and the other one has finished a shard: this one learns it.
#[tokio::test(start_paused = true)]
async fn a_shard_that_another_process_has_finished_is_not_gone_on_with() {
    let house = House::new();
    let stream = house.stream("a");
    write(&stream, 10);
    stream.rotate();
    write(&stream, 3);
    let other = async {
        // After this one has read its positions.
        house.clock.sleep(Duration::from_millis(700)).await;
        let key = CheckpointKey { stream: "a".to_owned(), shard: ShardId::new("shard-0000"), sink: "lake".to_owned() };
        house.state.save(&key, &Checkpoint::ShardEnd).await.unwrap();
    };
    let run = tokio::time::timeout(Duration::from_secs(600), house.run(&stream, OnGap::Fail));
    let ((), ended) = tokio::join!(other, run);
    let (ended, counts) = ended.expect("it goes on with the child, and ends");
    assert!(ended.is_ok() && rows(&counts) > 0, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn latest_goes_on_where_the_lake_ends_when_the_state_was_lost() {
    let mut house = House::new();
    let stream = house.stream("a");
    write(&stream, 4);
    assert_eq!(rows(&house.run(&stream, OnGap::Fail).await.1), 4);
    write(&stream, 5);
    stream.rotate();
    write(&stream, 3);
    stream.rotate();
    write(&stream, 2);
    // Without the state, the shards look as at a first start with `latest`: closed, and none of their records due.
    (house.state, house.start) = (MemoryState::new(), StartPolicy::Latest);
    let (ended, counts) = house.run(&stream, OnGap::Fail).await;
    assert!(ended.is_ok() && rows(&counts) == 10, "{ended:?} {counts:?}");
}
