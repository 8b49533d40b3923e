//! Do handlers go beside the lake: without reading twice as long as they keep up, and without holding up anybody?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::handler::HandlerParts;
use super::{Engine, EngineSettings, OnGap, Parts};
use crate::clock::Clock;
use crate::handler::dead_letter::StoredDeadLetters;
use crate::lake::limits::Limits;
use crate::lake::roll::RollLimits;
use crate::lake::schema::TableRules;
use crate::lake::{Lake, LakeSettings};
use crate::source::lineage::StartPolicy;
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;
use crate::testing::handler::{HandlerFaults, Journal, SimulatedHandler};
use crate::testing::state::MemoryState;
use crate::testing::store::MemoryStore;
use crate::testing::stream::SimulatedStream;

struct House {
    clock: Clock,
    stream: SimulatedStream,
    objects: Arc<MemoryStore>,
    metrics: Metrics,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), super::EngineError>>,
}

impl House {
    /// A daemon with handlers whose calls take so long.
    async fn start(handlers: &[(&Journal, Duration)], memory: usize) -> Self {
        let clock = Clock::simulated(1, 1_795_132_800_000_000);
        let stream = SimulatedStream::new("a", 1, clock.clone(), false);
        let (objects, metrics, age) = (Arc::new(MemoryStore::new()), Metrics::new(), Duration::from_secs(1));
        let settings = LakeSettings {
            pipeline: "p".to_owned(),
            roll: RollLimits { bytes: 1 << 20, rows: 1000, age, idle: age },
            tables: HashMap::new(),
            default_rules: Arc::new(TableRules { max_columns: 9, ..TableRules::default() }),
            only: None,
            limits: Limits::default(),
        };
        let parts = handlers.iter().enumerate().map(|(number, (journal, longest))| {
            let faults = HandlerFaults { longest: *longest, ..HandlerFaults::NONE };
            let handler = SimulatedHandler::new((*journal).clone(), clock.clone(), number as u64, faults, None);
            let letters = StoredDeadLetters::new(objects.clone(), clock.clone(), format!("dead-letters-{number}"));
            let mut parts = HandlerParts::new(&format!("handler-{number}"), Arc::new(handler), Arc::new(letters));
            parts.rules.batch_size = 1;
            parts.timeout = Duration::from_secs(600);
            parts
        });
        let engine = Engine::new(Parts {
            finder: Arc::new(stream.clone()),
            lake: Lake::open(objects.clone(), clock.clone(), settings).await.unwrap(),
            handlers: parts.collect(),
            state: Arc::new(MemoryState::new()),
            clock: clock.clone(),
            settings: EngineSettings { start: StartPolicy::TrimHorizon, on_gap: OnGap::Fail, once: false, memory },
            metrics: metrics.clone(),
            health: Health::new(clock.now(), age),
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move { engine.run(stopped).await });
        Self { clock, stream, objects, metrics, stop, running }
    }

    fn write(&self, numbers: std::ops::Range<u32>, bytes: usize) {
        let filling = "x".repeat(bytes);
        for number in numbers {
            let change = format!(
                r#"{{"eventID":"{number}","eventName":"INSERT","tableName":"T","dynamodb":{{"Keys":{{"Id":{{"N":"{}"}}}},"NewImage":{{"Text":{{"S":"{filling}"}}}}}}}}"#,
                number % 50
            );
            self.stream.write((number % 16) as u8, vec![Bytes::from(change)]);
        }
    }

    /// Waits, in simulated time, until something holds.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if holds() {
                return;
            }
            self.clock.sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}");
    }

    /// Rows in the lake.
    fn rows(&self) -> u64 {
        self.metrics.rows_written.with(["T", "INSERT"]).get()
    }

    fn calls(&self) -> u64 {
        self.metrics.get_records_calls.with([]).get()
    }

    async fn end(self) -> Arc<MemoryStore> {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.objects
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_that_keep_up_cost_hardly_a_call() {
    let mut calls = Vec::new();
    for count in [0, 3] {
        let journals: Vec<Journal> = (0..count).map(|_| Journal::default()).collect();
        let handlers: Vec<_> = journals.iter().map(|journal| (journal, Duration::from_millis(2))).collect();
        let house = House::start(&handlers, 64 << 20).await;
        for round in 0..100 {
            house.write(round * 10..round * 10 + 10, 10);
            house.clock.sleep(Duration::from_secs(2)).await;
        }
        let done = || house.rows() == 1000 && journals.iter().all(|journal| journal.entries().len() == 1000);
        house.until("all is delivered", done).await;
        calls.push(house.calls());
        house.end().await;
    }
    assert!(calls[1] <= calls[0] + calls[0] / 5, "{calls:?}: three handlers read for themselves");
}

#[tokio::test(start_paused = true)]
async fn handlers_of_a_shard_in_which_nothing_happens_ask_nothing() {
    let mut calls = Vec::new();
    for count in [0, 3] {
        let journals: Vec<Journal> = (0..count).map(|_| Journal::default()).collect();
        let handlers: Vec<_> = journals.iter().map(|journal| (journal, Duration::from_millis(2))).collect();
        let house = House::start(&handlers, 64 << 20).await;
        house.clock.sleep(Duration::from_secs(1000)).await;
        calls.push(house.calls());
        // And the first change reaches everybody.
        house.write(0..16, 10);
        let done = || house.rows() == 16 && journals.iter().all(|journal| journal.entries().len() == 16);
        house.until("all is delivered", done).await;
        house.end().await;
    }
    // Before the lake's reader has its first answer, each may ask once or twice.
    assert!(calls[0] > 900 && calls[1] <= calls[0] + 6, "{calls:?}: three handlers read for themselves");
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_holds_up_neither_the_lake_nor_another() {
    let (slow, fast) = (Journal::default(), Journal::default());
    let handlers = [(&slow, Duration::from_secs(2)), (&fast, Duration::from_millis(2))];
    let house = House::start(&handlers, 8 << 20).await;
    // Several times what the slow one's memory holds.
    house.write(0..1500, 10_000);
    house.until("the lake and the fast one have all", || house.rows() == 1500 && fast.entries().len() == 1500).await;
    let waited = slow.entries().len();
    assert!(waited < 300, "{waited} by then");
    assert!(house.metrics.undelivered.with(["handler-0"]).get() < (4 << 20) as f64);
    house.until("the slow one has all", || slow.entries().len() == 1500).await;
    let order = |journal: &Journal| journal.entries().iter().map(|entry| entry.event.clone()).collect::<Vec<_>>();
    assert_eq!(order(&slow).len(), 1500, "each once: it read on behind its own position");
    house.end().await;
}
