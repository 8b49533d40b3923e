//! What outlives every process of a world (stream, objects, state, tables), and how a process gets at it: through faults of
//! its own, with a clock of its own, behind a gate.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::gate::{Found, Gate, Gated};
use super::handler::{HandlerFaults, Journal, SimulatedHandler};
use super::plan::{self, Plan};
use super::state::{FaultyState, MemoryState, StateFaults};
use super::store::{Faults, FaultyStore, MemoryStore};
use super::stream::SimulatedStream;
use super::tables::Tables;
use super::tally;
use crate::checkpoint::StateStore;
use crate::clock::Clock;
use crate::engine::handler::HandlerParts;
use crate::engine::{Engine, EngineError, EngineSettings, OnGap, Parts};
use crate::handler::dead_letter::StoredDeadLetters;
use crate::lake::limits::Limits;
use crate::lake::roll::RollLimits;
use crate::lake::schema::TableRules;
use crate::lake::store::ObjectStore;
use crate::lake::{Lake, LakeSettings};
use crate::source::StreamApi;
use crate::source::lineage::StartPolicy;
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;

/// What outlives processes. Clones are the same.
#[derive(Clone)]
pub(super) struct House {
    pub(super) plan: Plan,
    /// The world's time.
    pub(super) clock: Clock,
    pub(super) stream: SimulatedStream,
    pub(super) objects: Arc<MemoryStore>,
    pub(super) state: MemoryState,
    pub(super) tables: Tables,
    pub(super) journals: Vec<Journal>,
    /// From now on nothing goes wrong any more.
    pub(super) calm: Arc<AtomicBool>,
    /// The names of processes that were killed.
    pub(super) killed: Arc<Mutex<HashSet<String>>>,
}

/// What one process works with.
pub(super) struct Process {
    pub(super) seed: u64,
    pub(super) gate: Gate,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) state: Arc<dyn StateStore>,
    pub(super) stream: Arc<dyn StreamApi>,
}

/// A process that runs the pipeline.
pub(super) struct Daemon {
    pub(super) gate: Gate,
    pub(super) on_gap: OnGap,
    /// Tells it to stop, once it has made durable what it has.
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<Result<(), EngineError>>,
}

impl House {
    /// What goes wrong now.
    pub(super) fn faults(&self) -> plan::Faults {
        if self.calm.load(Ordering::Relaxed) { plan::Faults::NONE } else { self.plan.faults }
    }

    /// Kills a process.
    pub(super) fn kill(&self, gate: &Gate) {
        gate.kill();
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).insert(gate.process().to_owned());
    }

    /// No upload is left but those of processes that were killed, those that were begun without an answer, and those whose
    /// one request to abort them was lost: a bucket's lifecycle rule takes these.
    pub(super) fn no_uploads_left(&self) -> Result<(), String> {
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut excused = tally::take_left();
        for (process, path) in self.objects.uploads_left() {
            if killed.contains(&process) {
                continue;
            }
            let at = excused.iter().position(|excused| *excused == path);
            excused.swap_remove(at.ok_or_else(|| format!("{process} left an upload of {path} behind"))?);
        }
        Ok(())
    }

    /// A process of this number, the like of which there was none before.
    pub(super) fn process(&self, name: &str, number: u32) -> Process {
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(u64::from(number));
        let faults = self.faults();
        let skew = if faults.clocks { StdRng::seed_from_u64(seed).random_range(-90..90) } else { 0 };
        let clock = Clock::simulated(seed, self.clock.wall_micros() + skew * 1_000_000);
        let gate = Gate::new(&format!("{name} {number}"), self.clock.clone());
        let objects = Arc::new(self.objects.of(gate.process()));
        let store = FaultyStore::new(objects, &clock, seed, store_faults(faults.store));
        let state = FaultyState::new(Arc::new(self.state.clone()), clock.clone(), state_faults(faults.state), seed);
        Process {
            seed,
            clock,
            store: Gated::new(&gate, Arc::new(store)),
            state: Gated::new(&gate, Arc::new(state)),
            stream: Gated::new(&gate, Arc::new(self.stream.clone())),
            gate,
        }
    }

    /// The handlers of a process.
    pub(super) fn handlers(&self, process: &Process) -> Vec<HandlerParts> {
        let faults = if self.faults().handlers { HandlerFaults::MANY } else { HandlerFaults::NONE };
        let Process { seed, gate, clock, store, .. } = process;
        let parts = self.journals.iter().enumerate().map(|(number, journal)| {
            let poison = Some(r#""item-13""#.to_owned());
            let handler = SimulatedHandler::new(journal.clone(), clock.clone(), seed + number as u64, faults, poison);
            let letters = StoredDeadLetters::new(store.clone(), clock.clone(), dead_letters(number));
            let handler = Gated::new(gate, Arc::new(handler));
            let mut parts = HandlerParts::new(&format!("handler-{number}"), handler, Arc::new(letters));
            parts.rules.lanes = 1 + number;
            parts.rules.attempts = 3;
            parts.rules.batch_size = 1 + *seed as usize % 20;
            parts.rules.batch_window = Duration::from_millis(seed % 3 * 400);
            parts.timeout = Duration::from_secs(5);
            parts
        });
        parts.collect()
    }

    /// Every process may roll differently: what is in the lake must not depend on it.
    pub(super) fn lake_settings(&self, seed: u64) -> LakeSettings {
        let mut random = StdRng::seed_from_u64(seed);
        let age = Duration::from_millis(random.random_range(500..30_000));
        // The folders are the pipeline's: all its processes have the same.
        let partition_by: &[&str] = match self.plan.seed % 4 {
            0 => &[],
            1 => &["Kind"],
            2 => &["hour"],
            _ => &["hour", "Kind"],
        };
        let rules = TableRules {
            keys: vec!["Id".to_owned()],
            partition_by: partition_by.iter().map(ToString::to_string).collect(),
            max_columns: [3, 6, 12][(self.plan.seed / 4 % 3) as usize],
            ..Default::default()
        };
        let small = Limits { batch: 1 << 10, raw: 2 << 10, group: 1 << 10, part: 512 };
        let limits = if is_ahead(seed) { small } else { Limits::default() };
        LakeSettings {
            pipeline: "simulated".to_owned(),
            roll: RollLimits { bytes: 1 << 20, rows: random.random_range(1..200), age, idle: age },
            tables: HashMap::new(),
            default_rules: Arc::new(rules),
            only: None,
            limits,
        }
    }

    /// How an engine behaves in a process of this seed. Some have little memory; not so little where small files are encoded
    /// early, since an encoder that has begun takes some kilobytes, whatever it has encoded.
    pub(super) fn engine_settings(&self, seed: u64, on_gap: OnGap, once: bool) -> EngineSettings {
        let memory = [64 << 20, 1 << 20, 384 << 10][seed as usize % 3] * if is_ahead(seed) { 4 } else { 1 };
        EngineSettings { start: StartPolicy::TrimHorizon, on_gap, once, memory }
    }

    /// Starts a process that runs the pipeline.
    pub(super) fn daemon(&self, number: u32, on_gap: OnGap, once: bool) -> Daemon {
        let process = self.process("daemon", number);
        let (handlers, lake_settings) = (self.handlers(&process), self.lake_settings(process.seed));
        let settings = self.engine_settings(process.seed, on_gap, once);
        let Process { gate, clock, store, state, stream, .. } = process;
        let stop = CancellationToken::new();
        let told = stop.clone();
        let task = tokio::spawn(async move {
            let lake = Lake::open(store, clock.clone(), lake_settings).await?;
            let (metrics, health) = (Metrics::new(), Health::new(clock.now(), Duration::from_secs(60)));
            let finder = Arc::new(Found(stream));
            let engine = Engine::new(Parts { finder, lake, handlers, state, clock, settings, metrics, health });
            let _watched = tally::Watched(engine.budget());
            engine.run(told).await
        });
        Daemon { gate, on_gap, stop, task }
    }
}

/// Half of the processes upload what they have encoded before the range is there.
fn is_ahead(seed: u64) -> bool {
    StdRng::seed_from_u64(seed ^ 0xa4ea_d000).random_bool(0.5)
}

/// Where the dead letters of a handler are.
pub(super) fn dead_letters(handler: usize) -> String {
    format!("_watershed/handlers/handler-{handler}/dead-letters")
}

fn store_faults(on: bool) -> Faults {
    if !on {
        return Faults::default();
    }
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
}

fn state_faults(on: bool) -> StateFaults {
    if on {
        StateFaults { before: 0.05, after: 0.05, delay: 0.3, longest_delay: Duration::from_millis(300) }
    } else {
        StateFaults { before: 0.0, after: 0.0, delay: 0.0, longest_delay: Duration::ZERO }
    }
}
