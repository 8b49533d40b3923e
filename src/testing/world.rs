//! A simulated world: the product's own engine, over a simulated stream, store and state that fail, in a time that
//! passes only when everybody waits. One seed is one history.
//!
//! A writer changes items while shards rotate, split and merge. Daemons, or a function behind a mapping, land them, and are
//! killed, told to stop and held up at random moments; backfills begin and are killed; everybody may be away for too long.
//! Then the world calms down, the pipeline runs to its end, and [`judge`] compares the lake with what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::backfills::{self, Backfilling};
use super::handler::{self, Deliveries, Journal};
use super::house::{Daemon, House, dead_letters};
use super::judge::{self, Evidence};
use super::mapping::Mapping;
use super::plan::Plan;
use super::state::MemoryState;
use super::store::MemoryStore;
use super::stream::{SimulatedStream, StreamFaults};
use super::tables::{Tables, Writer};
use super::{tally, trace};
use crate::backfill::BackfillError;
use crate::clock::Clock;
use crate::engine::{DISCOVERED, EngineError, OnGap};

/// When the world begins: 2026-11-20T00:00:00Z, µs since the epoch.
const BEGINNING: i64 = 1_795_132_800_000_000;

/// How long a calm world may take until everything is in the lake. Simulated time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a process that has ended may still send on its way out takes no longer.
const LAST_WORDS: Duration = Duration::from_mins(5);

/// How long the services keep records.
const KEPT: Duration = Duration::from_hours(24);

/// How full memory may be, in hundredths of the budget: what is read while ranges of killed processes are completed goes
/// beyond it, and the rows of a page take more than its bytes.
const FULLEST: usize = 150;

/// What happened in a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes written by the writer and found in the lake.
    pub rows: u64,
    /// Records that are no changes, found among the dead letters.
    pub dead_letters: u64,
    /// Rows of backfills.
    pub snapshots: u64,
    /// Ranges in the lake.
    pub ranges: u64,
    /// Ranges that mark a gap.
    pub gaps: u64,
    /// Records that were trimmed before they were read; each behind a marker.
    pub trimmed: u64,
    /// Uploads that were begun before their files were complete.
    pub uploads: u64,
    /// Shards there were.
    pub shards: u64,
    /// What each handler got.
    pub deliveries: Vec<Deliveries>,
    /// Simulated seconds.
    pub seconds: u64,
    /// Faults that were injected, kills included.
    pub faults: u64,
    /// How full the fullest memory was, in hundredths of its budget.
    pub fullest: usize,
    /// A digest of the whole lake, for "the same seed gives the same bytes".
    pub digest: String,
}

/// Runs one world from its beginning to its judgement, in a runtime of its own. The error names what is wrong.
pub fn run(plan: Plan) -> Result<Report, String> {
    tally::take();
    tally::take_left();
    tally::take_fullest();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    // Inside, or the world's clock would begin with the machine's.
    let lived = runtime.block_on(async { World::new(plan).live().await });
    // What is still at work ends here, and with it what counts its memory.
    drop(runtime);
    let mut report = lived?;
    report.fullest = tally::take_fullest();
    match report.fullest {
        FULLEST.. => Err(format!("memory was at {} % of its budget", report.fullest)),
        _ => Ok(report),
    }
}

struct World {
    house: House,
    random: StdRng,
    slow: watch::Sender<bool>,
    writer: JoinHandle<()>,
    /// What processes do about gaps now.
    on_gap: OnGap,
    /// How many processes there have been.
    born: u32,
    kills: u64,
    backfilling: Option<Backfilling>,
    /// How many backfills have been begun, or gone on with.
    backfills: u32,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut random = StdRng::seed_from_u64(plan.seed ^ 0x5eed);
        let clock = Clock::simulated(plan.seed, BEGINNING);
        trace::follow(&clock, BEGINNING);
        let stream = stream_of(&plan, &clock);
        let tables = Tables::new(&plan, &mut random);
        let (slow, is_slow) = watch::channel(false);
        let objects = Arc::new(MemoryStore::new());
        let writer = Writer {
            plan,
            tables: tables.clone(),
            stream: stream.clone(),
            objects: objects.clone(),
            clock: clock.clone(),
            slow: is_slow,
        };
        let on_gap = if random.random_bool(0.5) { OnGap::Fail } else { OnGap::Resume };
        let house = House {
            plan,
            clock,
            stream,
            objects,
            state: MemoryState::new(),
            tables,
            journals: (0..plan.handlers).map(|_| Journal::default()).collect(),
            calm: Arc::new(AtomicBool::new(false)),
            killed: Arc::default(),
        };
        Self {
            house,
            random,
            slow,
            writer: tokio::spawn(writer.run()),
            on_gap,
            born: 0,
            kills: 0,
            backfilling: None,
            backfills: 0,
        }
    }

    async fn live(mut self) -> Result<Report, String> {
        if self.house.plan.faults.stream {
            self.house.stream.set_faults(StreamFaults::MANY);
        }
        if self.house.plan.function {
            self.be_mapped().await?;
        } else {
            self.storm().await?;
            self.calm_down();
            self.calm().await?;
            self.backfill_to_its_end().await?;
        }
        // Uploads that nobody needs any more are aborted when whoever began them is done.
        self.house.clock.sleep(LAST_WORDS).await;
        self.house.no_uploads_left()?;
        self.judge()
    }

    fn calm_down(&self) {
        self.house.calm.store(true, Ordering::Relaxed);
        self.house.stream.set_faults(StreamFaults::NONE);
    }

    /// A mapping sends everything to a function. Once all is written nothing goes wrong any more.
    async fn be_mapped(&mut self) -> Result<(), String> {
        let mapping = Arc::new(Mapping::new(self.house.clone())?);
        let mut running = tokio::spawn(mapping.clone().run());
        tokio::select! {
            biased;
            ended = &mut running => return ended.map_err(|error| error.to_string())?.and(Err("it ended".to_owned())),
            written = &mut self.writer => written.map_err(|error| error.to_string())?,
        }
        self.calm_down();
        mapping.is_all();
        match tokio::time::timeout(PATIENCE, running).await {
            Ok(ended) => ended.map_err(|error| error.to_string())?,
            Err(_) => Err("the mapping does not come to its end in a calm world".to_owned()),
        }
    }

    fn judge(&self) -> Result<Report, String> {
        let House { plan, stream, objects, state, clock, tables, journals, .. } = &self.house;
        let (found, order, shards) = (objects.objects(), objects.order(), stream.shards());
        judge::positions(&state.snapshot(), &found)?;
        let one_chain = (plan.function && !plan.kinesis).then_some(crate::lambda::source::SHARD);
        let (kinesis, files) = (plan.kinesis, judge::Files::default());
        let evidence = Evidence { objects: &found, order: &order, shards: &shards, kinesis, one_chain, files };
        let mut report = judge::lake(&evidence)?;
        // Behind a gap that nothing tells, as there are at Kinesis, a generation is called complete that is not.
        if plan.backfills > 0 && !(plan.kinesis && report.trimmed > 0) {
            judge::latest(&evidence, tables)?;
        }
        for (number, journal) in journals.iter().enumerate() {
            let folder = format!("{}/", dead_letters(number));
            let got = handler::judge(&journal.entries(), &found, &folder, &shards);
            report.deliveries.push(got.map_err(|why| format!("handler {number}: {why}"))?);
        }
        report.uploads = objects.uploads_begun() as u64;
        report.faults = tally::take() + self.kills;
        report.seconds = ((clock.wall_micros() - BEGINNING) / 1_000_000) as u64;
        Ok(report)
    }

    /// Everything goes wrong, as planned, until all is written.
    async fn storm(&mut self) -> Result<(), String> {
        let Plan { workers, kills, away, .. } = self.house.plan;
        let mut daemons: Vec<Daemon> = (0..workers).map(|_| self.daemon(false)).collect();
        for kill in 0..kills {
            let life = Duration::from_millis(self.random.random_range(50..20_000));
            self.house.clock.sleep(life).await;
            judge::positions(&self.house.state.snapshot(), &self.house.objects.objects())?;
            if away && kill == kills / 2 && self.has_begun() {
                for daemon in daemons.drain(..) {
                    self.kill(daemon).await?;
                }
                self.end_backfill(true).await?;
                self.be_away().await;
                daemons.extend((0..workers).map(|_| self.daemon(false)));
                continue;
            }
            self.backfill_now_and_then().await?;
            let at = self.random.random_range(0..daemons.len());
            if self.house.plan.faults.pauses && self.random.random_bool(0.3) {
                daemons[at].gate.hold(Duration::from_secs(self.random.random_range(5..90)));
            } else {
                let new = self.daemon(false);
                let old = std::mem::replace(&mut daemons[at], new);
                self.end(old).await?;
            }
        }
        (&mut self.writer).await.map_err(|error| error.to_string())?;
        for daemon in daemons {
            self.end(daemon).await?;
        }
        self.end_backfill(true).await
    }

    /// Ends a process: mostly it is killed, now and then it is told to stop.
    async fn end(&mut self, daemon: Daemon) -> Result<(), String> {
        if self.random.random_bool(0.7) {
            return self.kill(daemon).await;
        }
        tracing::debug!(process = daemon.gate.process(), "told to stop");
        daemon.stop.cancel();
        let on_gap = daemon.on_gap;
        match tokio::time::timeout(PATIENCE, daemon.task).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(ended) => self.gave_up(on_gap, ended),
            Err(_) => Err("a worker that was told to stop does not".to_owned()),
        }
    }

    /// Begins a backfill if there shall be one more, holds it up, or kills it.
    async fn backfill_now_and_then(&mut self) -> Result<(), String> {
        match &self.backfilling {
            None if self.backfills < self.house.plan.backfills && self.random.random_bool(0.7) => {
                let held = self.random.random_bool(0.5);
                self.begin_backfill(held)?;
            }
            None => {}
            Some(running) if running.task.is_finished() => self.end_backfill(false).await?,
            Some(running) => match self.random.random_range(0..10) {
                0..2 => {
                    self.end_backfill(true).await?;
                    // Whoever runs it starts it again.
                    self.begin_backfill(false)?;
                }
                2..4 if self.house.plan.faults.pauses => {
                    running.gate.hold(Duration::from_secs(self.random.random_range(5..90)));
                }
                _ => {}
            },
        }
        Ok(())
    }

    fn begin_backfill(&mut self, held: bool) -> Result<(), String> {
        (self.born, self.backfills) = (self.born + 1, self.backfills + 1);
        self.backfilling = Some(self.house.backfill(self.born, self.on_gap, held)?);
        Ok(())
    }

    /// Takes the backfill's end, or makes one.
    async fn end_backfill(&mut self, kill: bool) -> Result<(), String> {
        let Some(running) = self.backfilling.take() else { return Ok(()) };
        if kill && !running.task.is_finished() {
            self.kills += 1;
            self.house.kill(&running.gate);
            running.task.abort();
        }
        match running.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => self.backfill_failed(&error),
            Err(join) if join.is_panic() => Err(format!("a backfill panicked: {join}")),
            Err(_) => Ok(()),
        }
    }

    /// A backfill may only fail because of a gap.
    fn backfill_failed(&mut self, error: &BackfillError) -> Result<(), String> {
        match error {
            BackfillError::Tail(EngineError::Gap(_)) if self.has_trimmed() => self.on_gap = OnGap::Resume,
            BackfillError::Refused(why) if why.contains("were lost while") && self.has_trimmed() => {}
            error => return Err(format!("a backfill failed: {error}")),
        }
        Ok(())
    }

    /// In a calm world a backfill that was begun is complete in the end; and if none was, there is one now.
    async fn backfill_to_its_end(&mut self) -> Result<(), String> {
        if self.house.plan.backfills == 0 {
            return Ok(());
        }
        for _ in 0..4 {
            if backfills::is_complete(&self.house.objects.objects(), &self.house.tables.names()) {
                return Ok(());
            }
            self.begin_backfill(false)?;
            if tokio::time::timeout(PATIENCE, self.end_backfill(false)).await.is_err() {
                return Err("a backfill does not come to its end in a calm world".to_owned());
            }
        }
        Err("no backfill becomes complete in a calm world".to_owned())
    }

    /// Nothing goes wrong any more: the pipeline comes to its end.
    async fn calm(&mut self) -> Result<(), String> {
        loop {
            let Daemon { on_gap, task, .. } = self.daemon(true);
            match tokio::time::timeout(PATIENCE, task).await {
                Ok(Ok(Ok(()))) => return Ok(()),
                Ok(Ok(Err(EngineError::Gap(_)))) if self.may_stop_at_gaps(on_gap) => self.on_gap = OnGap::Resume,
                Ok(Ok(Err(error))) => return Err(format!("the last run failed: {error}")),
                Ok(Err(join)) => return Err(format!("the last run panicked: {join}")),
                Err(_) => return Err("the pipeline does not come to its end in a calm world".to_owned()),
            }
        }
    }

    fn daemon(&mut self, once: bool) -> Daemon {
        self.born += 1;
        self.house.daemon(self.born, self.on_gap, once)
    }

    /// Kills a process; one that has given up by itself must have had a reason.
    async fn kill(&mut self, daemon: Daemon) -> Result<(), String> {
        self.kills += 1;
        let Daemon { on_gap, task, gate, .. } = daemon;
        if !task.is_finished() {
            self.house.kill(&gate);
        }
        task.abort();
        self.gave_up(on_gap, task.await)
    }

    /// Judges how a process ended that was not told to stop.
    fn gave_up(&mut self, on_gap: OnGap, ended: Result<Result<(), EngineError>, JoinError>) -> Result<(), String> {
        match ended {
            Err(join) if join.is_panic() => Err(format!("a worker panicked: {join}")),
            Ok(Err(EngineError::Gap(_))) if self.may_stop_at_gaps(on_gap) => {
                // Whoever runs it reads what is said, and decides.
                self.on_gap = OnGap::Resume;
                Ok(())
            }
            Ok(Err(error)) => Err(format!("a worker gave up: {error}")),
            Ok(Ok(())) => Err("a worker ended although nobody told it to".to_owned()),
            Err(_) => Ok(()),
        }
    }

    fn may_stop_at_gaps(&self, on_gap: OnGap) -> bool {
        on_gap == OnGap::Fail && self.has_trimmed()
    }

    fn has_trimmed(&self) -> bool {
        self.house.stream.look(|shards| shards.iter().any(|shard| shard.trimmed > 0))
    }

    /// Whether some process came so far as to note its first discovery: what is trimmed before that is no gap.
    fn has_begun(&self) -> bool {
        self.house.state.snapshot().iter().any(|(key, _)| key.shard.as_str() == DISCOVERED.0)
    }

    /// Nobody reads for longer than the stream keeps records.
    async fn be_away(&mut self) {
        tracing::debug!("everybody is away");
        self.slow.send_replace(true);
        let hours = self.random.random_range(20..60);
        self.house.clock.sleep(Duration::from_hours(hours)).await;
        self.slow.send_replace(false);
        tracing::debug!(hours, "somebody is back");
    }
}

fn stream_of(plan: &Plan, clock: &Clock) -> SimulatedStream {
    let id = match plan.kinesis {
        true => "arn:aws:kinesis:us-east-1:111122223333:stream/changes",
        false => "arn:aws:dynamodb:us-east-1:111122223333:table/Table0/stream/2026-11-20T00:00:00.000",
    };
    let stream = SimulatedStream::new(id, plan.seed, clock.clone(), plan.kinesis);
    stream.keep_for(KEPT);
    stream.set_page_bytes(64 << 10);
    if plan.kinesis {
        return stream;
    }
    if plan.function {
        stream.let_numbers_meet();
    }
    stream.of_table("Table0")
}

#[cfg(test)]
mod tests;
