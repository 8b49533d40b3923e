//! A simulated world: the product's own engine, over a simulated stream, store and state that fail, in a time that
//! passes only when everybody waits. One seed is one history.
//!
//! A writer changes items while shards rotate, split and merge; workers run the pipeline and are killed at random
//! moments; then the world calms down, the pipeline runs to its end, and [`judge`] compares the lake with what was
//! written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::handler::{self, Deliveries, HandlerFaults, Journal, SimulatedHandler};
use super::judge;
use super::state::{FaultyState, MemoryState, StateFaults};
use super::store::{Faults, FaultyStore, MemoryStore};
use super::stream::{SimulatedStream, StreamFaults};
use super::tally;
use crate::clock::Clock;
use crate::engine::handler::HandlerParts;
use crate::engine::{Engine, EngineError, EngineSettings, OnGap, Parts};
use crate::handler::dead_letter::StoredDeadLetters;
use crate::lake::limits::Limits;
use crate::lake::roll::RollLimits;
use crate::lake::schema::TableRules;
use crate::lake::{Lake, LakeSettings};
use crate::source::lineage::StartPolicy;
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;

/// When the world begins: 2026-11-20T00:00:00Z, µs since the epoch.
const BEGINNING: i64 = 1_795_132_800_000_000;

/// How long a calm world may take until everything is in the lake. Simulated time.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// What happens in a world.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Everything that is random follows from it.
    pub seed: u64,
    /// Kinesis' manners instead of DynamoDB Streams': aggregates, merges.
    pub kinesis: bool,
    /// How many workers run the pipeline at the same time. More than one is a mistake that must do no harm.
    pub workers: u32,
    /// How often a worker is killed.
    pub kills: u32,
    /// Whether stream, store, state and handlers fail.
    pub faults: bool,
    /// How many handlers there are. One item's changes always fail in them.
    pub handlers: u32,
}

/// What happened in a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes written by the writer and found in the lake.
    pub rows: u64,
    /// Records that are no changes, found among the dead letters.
    pub dead_letters: u64,
    /// Ranges in the lake.
    pub ranges: u64,
    /// Shards there were.
    pub shards: u64,
    /// What each handler got.
    pub deliveries: Vec<Deliveries>,
    /// Simulated seconds.
    pub seconds: u64,
    /// Faults that were injected, kills included.
    pub faults: u64,
    /// A digest of the whole lake, for "the same seed gives the same bytes".
    pub digest: String,
}

/// Runs one world from its beginning to its judgement, in a runtime of its own. The error names what is wrong.
pub fn run(plan: Plan) -> Result<Report, String> {
    tally::take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    // Inside, or the world's clock would begin with the machine's.
    runtime.block_on(async { World::new(plan).live().await })
}

struct World {
    plan: Plan,
    random: StdRng,
    clock: Clock,
    stream: SimulatedStream,
    objects: Arc<MemoryStore>,
    state: MemoryState,
    journals: Vec<Journal>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let clock = Clock::simulated(plan.seed, BEGINNING);
        let stream = SimulatedStream::new("simulated/stream", plan.seed, clock.clone(), plan.kinesis);
        Self {
            random: StdRng::seed_from_u64(plan.seed ^ 0x5eed),
            clock,
            stream,
            objects: Arc::new(MemoryStore::new()),
            state: MemoryState::new(),
            journals: (0..plan.handlers).map(|_| Journal::default()).collect(),
            plan,
        }
    }

    async fn live(mut self) -> Result<Report, String> {
        if self.plan.faults {
            self.stream.set_faults(StreamFaults::MANY);
        }
        let writer = tokio::spawn(write(self.stream.clone(), self.clock.clone(), self.plan.seed));
        let mut workers: Vec<_> = (0..self.plan.workers).map(|worker| self.start(worker, false)).collect();
        for kill in 0..self.plan.kills {
            let life = Duration::from_millis(self.random.random_range(50..20_000));
            self.clock.sleep(life).await;
            judge::checkpoints_behind_lake(&self.state.snapshot(), &self.objects.objects(), self.stream_id())?;
            let at = (kill % self.plan.workers) as usize;
            let old = std::mem::replace(&mut workers[at], self.start(100 + kill, false));
            let dead = old.is_finished();
            old.abort();
            if let (true, Ok(Err(error))) = (dead, old.await) {
                return Err(format!("a worker gave up: {error}"));
            }
        }
        writer.await.map_err(|error| error.to_string())?;
        for worker in workers {
            worker.abort();
            let _ = worker.await;
        }
        self.stream.set_faults(StreamFaults::NONE);
        self.plan.faults = false;
        let last = self.start(u32::MAX, true);
        match tokio::time::timeout(PATIENCE, last).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => return Err(format!("the last run failed: {error}")),
            Ok(Err(join)) => return Err(format!("the last run panicked: {join}")),
            Err(_) => return Err("the pipeline does not come to its end in a calm world".to_owned()),
        }
        judge::checkpoints_behind_lake(&self.state.snapshot(), &self.objects.objects(), self.stream_id())?;
        let mut report = judge::lake(&self.objects.objects(), &self.stream.shards())?;
        for (number, journal) in self.journals.iter().enumerate() {
            let folder = format!("{}/", dead_letters(number));
            let got = handler::judge(&journal.entries(), &self.objects.objects(), &folder, &self.stream.shards());
            report.deliveries.push(got.map_err(|why| format!("handler {number}: {why}"))?);
        }
        report.faults = tally::take() + u64::from(self.plan.kills);
        report.seconds = ((self.clock.wall_micros() - BEGINNING) / 1_000_000) as u64;
        Ok(report)
    }

    fn stream_id(&self) -> &str {
        "simulated/stream"
    }

    /// The handlers of a process.
    fn handlers(&self, store: &Arc<FaultyStore>, clock: &Clock, seed: u64) -> Vec<HandlerParts> {
        let faults = if self.plan.faults { HandlerFaults::MANY } else { HandlerFaults::NONE };
        let parts = self.journals.iter().enumerate().map(|(number, journal)| {
            let poison = Some(r#""item-13""#.to_owned());
            let handler = SimulatedHandler::new(journal.clone(), clock.clone(), seed + number as u64, faults, poison);
            let letters = StoredDeadLetters::new(store.clone(), clock.clone(), dead_letters(number));
            let mut parts = HandlerParts::new(&format!("handler-{number}"), Arc::new(handler), Arc::new(letters));
            parts.rules.lanes = 1 + number;
            parts.rules.attempts = 3;
            parts.rules.batch_size = 1 + seed as usize % 20;
            parts.rules.batch_window = Duration::from_millis(seed % 3 * 400);
            parts.timeout = Duration::from_secs(5);
            parts
        });
        parts.collect()
    }

    /// Starts a worker: a process with a clock, connections and faults of its own.
    fn start(&self, worker: u32, once: bool) -> tokio::task::JoinHandle<Result<(), EngineError>> {
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(u64::from(worker));
        let clock = Clock::simulated(seed, self.clock.wall_micros());
        let store_faults = if self.plan.faults {
            Faults {
                conflict: 0.05,
                unavailable: 0.05,
                answer_lost: 0.05,
                late: 0.02,
                exists_after_success: 0.05,
                exists_without_effect: 0.02,
                forgotten: 0.02,
                delay: Duration::from_millis(200),
                ..Faults::default()
            }
        } else {
            Faults::default()
        };
        let state_faults = if self.plan.faults {
            StateFaults { before: 0.05, after: 0.05, delay: 0.3, longest_delay: Duration::from_millis(300) }
        } else {
            StateFaults { before: 0.0, after: 0.0, delay: 0.0, longest_delay: Duration::ZERO }
        };
        let store = Arc::new(FaultyStore::new(self.objects.clone(), &clock, seed, store_faults));
        let state = Arc::new(FaultyState::new(Arc::new(self.state.clone()), clock.clone(), state_faults, seed));
        let stream = self.stream.clone();
        let handlers = self.handlers(&store, &clock, seed);
        tokio::spawn(async move {
            let lake = Lake::open(store, clock.clone(), lake_settings(seed)).await?;
            let engine = Engine::new(Parts {
                finder: Arc::new(stream),
                lake,
                handlers,
                state,
                clock: clock.clone(),
                settings: EngineSettings {
                    start: StartPolicy::TrimHorizon,
                    on_gap: OnGap::Fail,
                    once,
                    memory: 64 << 20,
                },
                metrics: Metrics::new(),
                health: Health::new(clock.now(), Duration::from_secs(60)),
            });
            engine.run(CancellationToken::new()).await
        })
    }
}

/// Where the dead letters of a handler are.
fn dead_letters(handler: usize) -> String {
    format!("_watershed/handlers/handler-{handler}/dead-letters")
}

/// Every process may roll differently: what is in the lake must not depend on it.
fn lake_settings(seed: u64) -> LakeSettings {
    let mut random = StdRng::seed_from_u64(seed);
    let age = Duration::from_millis(random.random_range(500..30_000));
    let rules = TableRules { partition_by: vec!["hour".into(), "Kind".into()], max_columns: 12, ..Default::default() };
    let rows = random.random_range(1..200);
    // Half of them upload what they have encoded before the range is there.
    let small = Limits { batch: 8 << 10, raw: 16 << 10, group: 2 << 10, part: 1 << 10 };
    LakeSettings {
        pipeline: "simulated".to_owned(),
        roll: RollLimits { bytes: 1 << 20, rows, age, idle: age },
        tables: HashMap::new(),
        default_rules: Arc::new(rules),
        only: None,
        limits: if random.random_bool(0.5) { small } else { Limits::default() },
    }
}

/// Writes changes of some items, at moments of its own, and makes the stream change its shards.
async fn write(stream: SimulatedStream, clock: Clock, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ 0xbeef);
    let mut items: BTreeMap<u32, Value> = BTreeMap::new();
    for number in 0..random.random_range(50..500u32) {
        clock.sleep(Duration::from_millis(random.random_range(0..800))).await;
        if random.random_bool(0.03) {
            stream.reshard();
        }
        let id = random.random_range(0..40u32);
        let count = if stream.aggregates() { random.random_range(1..4) } else { 1 };
        let changes = (0..count).map(|sub| {
            if random.random_bool(0.01) {
                return Bytes::from_static(b"\xffnot a change");
            }
            change(&mut items, id, number * 4 + sub, clock.wall_micros(), &mut random)
        });
        stream.write((id % 16) as u8, changes.collect());
    }
}

/// One change of an item: a new version of it, with attributes that come and go, or its end.
fn change(items: &mut BTreeMap<u32, Value>, id: u32, version: u32, at: i64, random: &mut StdRng) -> Bytes {
    let table = format!("Table{}", id % 2);
    let keys = json!({"Id": {"S": format!("item-{id}")}});
    let old = items.remove(&id);
    let new = (old.is_none() || random.random_bool(0.8)).then(|| {
        let mut new = json!({"Id": {"S": format!("item-{id}")}, "Version": {"N": version.to_string()}});
        let attribute = format!("attribute-{}", random.random_range(0..20));
        new[attribute] = match random.random_range(0..6) {
            0 => json!({"S": ""}),
            1 => json!({"N": "0.1234567890123456789"}),
            2 => json!({"NULL": true}),
            3 => json!({"SS": ["a", "b"]}),
            4 => json!({"M": {"n": {"N": "1"}, "s": {"BS": ["AA=="]}}}),
            _ => json!({"BOOL": true}),
        };
        if random.random_bool(0.5) {
            let kind = ["a/b", "", "..", "k"][random.random_range(0..4)];
            new["Kind"] = json!({"S": kind});
        }
        items.insert(id, new.clone());
        new
    });
    let event = match (&old, &new) {
        (None, _) => "INSERT",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) => "REMOVE",
    };
    let mut dynamodb = json!({"Keys": keys, "ApproximateCreationDateTime": at / 1000});
    dynamodb["ApproximateCreationDateTimePrecision"] = json!("MILLISECOND");
    if let Some(new) = new {
        dynamodb["NewImage"] = new;
    }
    if let Some(old) = old {
        dynamodb["OldImage"] = old;
    }
    let event = json!({"eventID": version.to_string(), "eventName": event, "tableName": table, "dynamodb": dynamodb});
    Bytes::from(event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plan: Plan) -> Report {
        run(plan).unwrap_or_else(|violation| panic!("{plan:?}: {violation}"))
    }

    /// Seeds to run; `WATERSHED_SEEDS=from..to` runs others.
    fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
        let Ok(text) = std::env::var("WATERSHED_SEEDS") else { return default };
        let (from, to) = text.split_once("..").expect("WATERSHED_SEEDS=from..to");
        from.parse().expect("a number")..to.parse().expect("a number")
    }

    #[test]
    fn a_calm_world_lands_everything() {
        for kinesis in [false, true] {
            let report = check(Plan { seed: 1, kinesis, workers: 1, kills: 0, faults: false, handlers: 0 });
            assert!(report.rows > 20, "{report:?}");
        }
    }

    #[test]
    fn nothing_is_lost_or_doubled_by_kills_and_faults() {
        let (mut rows, mut kills) = (0, 0);
        for seed in seeds(0..16) {
            let plan = Plan { seed, kinesis: seed % 2 == 1, workers: 1, kills: 12, faults: true, handlers: 0 };
            rows += check(plan).rows;
            kills += plan.kills;
        }
        println!("kills={kills} rows={rows} lost=0 twice=0");
    }

    #[test]
    fn workers_that_run_at_the_same_time_do_no_harm() {
        for seed in seeds(100..110) {
            check(Plan { seed, kinesis: seed % 2 == 1, workers: 2, kills: 8, faults: true, handlers: 0 });
        }
    }

    #[test]
    fn handlers_get_every_change_of_an_item_in_order() {
        let (mut all, mut kills) = (Deliveries::default(), 0);
        for seed in seeds(200..216) {
            let workers = 1 + u32::from(seed % 4 == 0);
            let plan = Plan { seed, kinesis: seed % 2 == 1, workers, kills: 8, faults: true, handlers: 2 };
            for got in check(plan).deliveries {
                all.handled += got.handled;
                all.repeats += got.repeats;
                all.given_up += got.given_up;
            }
            kills += plan.kills;
        }
        assert!(all.handled > 1000 && all.given_up > 0 && all.repeats > 0, "{all:?}");
        println!("kills={kills} {all:?} never=0 reordered=0");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let plan = Plan { seed: 7, kinesis: true, workers: 2, kills: 6, faults: true, handlers: 1 };
        assert_eq!(check(plan), check(plan));
    }
}
