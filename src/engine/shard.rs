//! One shard: a reader that runs ahead by one page, and the loop that puts pages into the lake and makes them durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::budget::Reservation;
use super::deliver;
use super::feed::Feed;
use super::handler::Sink;
use super::reading::{Delivery, Reading, Stopped};
use super::{EngineError, OnGap, Shared};
use crate::bug::{self, Bug};
use crate::change::{Record, ShardId};
use crate::checkpoint::patient::{load_patiently, save_patiently};
use crate::checkpoint::{Checkpoint, CheckpointKey, StartAt, StateError};
use crate::lake::LakeError;
use crate::lake::shard::{Committed, LakeShard};
use crate::source::reader::{ReadError, ShardReader};
use crate::source::retention::may_be_trimmed;
use crate::source::{ReadFrom, StreamApi};
use crate::telemetry::health::Watched;

/// How long a shard rests after another process was faster, so that two that race don't do all work twice.
const AFTER_OVERTAKEN: Duration = Duration::from_secs(2);

/// What a shard's task works with.
pub(super) struct ShardTask {
    pub(super) shared: Arc<Shared>,
    /// Whose positions these are.
    pub(super) sink: Sink,
    pub(super) api: Arc<dyn StreamApi>,
    /// The stream's id, shared by all changes of it.
    pub(super) stream_id: Arc<str>,
    pub(super) shard: ShardId,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Whether a parent of it was read here, so that every record of it is due.
    pub(super) follows: bool,
    /// Whether it is gone, and records of it were due.
    pub(super) lost: bool,
    /// The earliest time at which records of it were written that must not be missing, µs since the epoch; `None`: not
    /// known.
    pub(super) due_since: Option<i64>,
    /// Whether the list says that it ends (it is closed, or has a child): then its tip is not enough, only its end is.
    pub(super) ends: bool,
    pub(super) stop: CancellationToken,
}

impl ShardTask {
    /// What its checkpoint is kept under.
    pub(super) fn key(&self) -> CheckpointKey {
        CheckpointKey { stream: self.api.identity().id.clone(), shard: self.shard.clone(), sink: self.sink.key() }
    }

    /// A shard of which nothing was taken is read from its first record on, if it came after the first discovery (then it
    /// has no checkpoint), or was begun there. If that is so old that the service may have trimmed it, an iterator at the
    /// oldest record says nothing of it: then there may be a gap, and nobody can tell.
    pub(super) fn trimmed_beginning(&self, is_new: bool) -> Option<String> {
        // Of one that is gone its end tells.
        let due = !self.lost && matches!(self.checkpoint, None | Some(Checkpoint::Start(_)));
        let since = self.due_since.filter(|_| due && is_new)?;
        may_be_trimmed(since, self.shared.clock.wall_micros()).then(|| {
            let shard = &self.shard;
            format!("shard {shard} was not read for longer than the stream keeps records; its beginning may be trimmed")
        })
    }

    /// Where reading starts when nothing has been taken. LATEST is for the very moment of the first discovery: later,
    /// it is that moment's time.
    pub(super) fn start(&self) -> ReadFrom {
        match self.checkpoint {
            Some(Checkpoint::Start(StartAt::Timestamp(micros))) => ReadFrom::Timestamp(micros),
            Some(Checkpoint::Start(StartAt::Latest(micros))) => {
                let age = self.shared.clock.wall_micros().saturating_sub(micros);
                if age < 1_000_000 { ReadFrom::Latest } else { ReadFrom::Timestamp(micros) }
            }
            _ if self.follows && bug::is_made(Bug::LatestForChildren) => ReadFrom::Latest,
            _ => ReadFrom::TrimHorizon,
        }
    }

    /// The stream's name in metrics: the table's, or where a stream carries several its own without its creation.
    pub(super) fn stream_label(&self) -> String {
        let identity = self.api.identity();
        identity.table.as_deref().unwrap_or(&identity.id).to_owned()
    }
}

/// How a shard's task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its last record is durable, and there will be no more.
    Finished,
    /// Its tip was reached, in a run that ends there; with the last checkpoint.
    Tip(Option<Checkpoint>),
    /// It was told to stop, and what it had is durable.
    Stopped,
    /// Another process was faster, or what was collected is lost: begin again where that is, at the end of the chain or at
    /// this position.
    Overtaken(Option<Checkpoint>),
}

pub(super) async fn run(task: ShardTask) -> Result<Ended, EngineError> {
    match task.sink.clone() {
        Sink::Lake => into_lake(task).await,
        Sink::Handler(sink) => deliver::run(task, sink).await,
    }
}

async fn into_lake(task: ShardTask) -> Result<Ended, EngineError> {
    let (shared, api, key) = (task.shared.clone(), task.api.clone(), task.key());
    let ended = match Shard::open(task).await {
        Ok(shard) => shard.follow().await,
        Err(error) => Err(error),
    };
    match &ended {
        Err(EngineError::Lake(LakeError::Overtaken { .. }) | EngineError::State(StateError::Overtaken(_))) => {
            tracing::warn!(shard = %key.shard, "another process is ahead in this shard; going on behind it");
        }
        Err(EngineError::Lake(lost @ LakeError::UploadLost { .. })) => {
            tracing::warn!(shard = %key.shard, error = %lost, "the open range is read again from the source");
        }
        _ => return ended,
    }
    shared.clock.sleep(shared.clock.jittered(AFTER_OVERTAKEN)).await;
    // Another process may have finished the shard: then there is nothing to go on with.
    let stored = load_patiently(&*shared.state, &shared.clock, &api.identity().id).await?;
    Ok(Ended::Overtaken(stored.into_iter().find(|(known, _)| *known == key).map(|(_, checkpoint)| checkpoint)))
}

struct Shard {
    task: ShardTask,
    lake: LakeShard,
    held: Reservation,
    watched: Watched,
    /// Whether a range of a killed process is being completed; the reader then does not wait for memory.
    recovering: Arc<AtomicBool>,
    /// Where its pages are shown to handlers.
    feed: Arc<Feed>,
    saved: Option<Checkpoint>,
}

impl Shard {
    async fn open(task: ShardTask) -> Result<Self, EngineError> {
        let shared = &task.shared;
        let hint = match task.checkpoint {
            Some(Checkpoint::At { range, .. }) => range,
            _ => None,
        };
        let lake = shared.lake.open_shard(task.api.identity(), &task.shard, hint).await?;
        let watched = shared.health.watch(task.shard.as_str(), shared.clock.now());
        let recovering = Arc::new(AtomicBool::new(lake.unfinished().is_some()));
        let feed = shared.feeds.of(&task.api.identity().id, &task.shard);
        let (held, saved) = (shared.budget.holder(), task.checkpoint.clone());
        let mut shard = Self { held, lake, watched, recovering, feed, saved, task };
        shard.save_durable().await?;
        Ok(shard)
    }

    async fn follow(mut self) -> Result<Ended, EngineError> {
        let shared = self.task.shared.clone();
        let mut permit = match self.lake.unfinished() {
            Some(_) => shared.recoveries.clone().acquire_owned().await.ok(),
            None => None,
        };
        let mut reader = ShardReader::new(
            self.task.api.clone(),
            shared.clock.clone(),
            self.task.shard.clone(),
            self.task.start(),
            self.lake.position(),
        );
        // What is missing behind the last record is known, and nothing written since then can have been trimmed.
        if self.lake.gap_at().is_some_and(|at| !may_be_trimmed(at, shared.clock.wall_micros())) {
            reader.skip_gap();
        }
        if let Some(what) = self.task.trimmed_beginning(self.lake.is_new()) {
            self.gap("trimmed", &what).await?;
        }
        loop {
            let stopped;
            (reader, stopped) = self.read_until_stopped(reader, &mut permit).await?;
            let whole = self.lake.unfinished().is_none() || self.lake.plan_is_reached();
            if whole {
                self.commit().await?;
            } else if matches!(stopped, Stopped::Tip) && !self.may_be_short() {
                // Empty pages prove nothing: what the range says there was comes, or another process completes it.
                let clock = &self.task.shared.clock;
                clock.sleep(clock.jittered(AFTER_OVERTAKEN)).await;
                return Ok(Ended::Overtaken(None));
            } else if matches!(stopped, Stopped::End | Stopped::Tip) {
                self.source_is_short().await?;
            }
            match stopped {
                Stopped::Asked => return Ok(Ended::Stopped),
                Stopped::Tip => return Ok(Ended::Tip(self.saved)),
                Stopped::End => return self.finish().await,
                Stopped::Failed(ReadError::Fatal(what)) => return Err(EngineError::Source(what)),
                Stopped::Failed(ReadError::Gap(what)) => {
                    if !bug::is_made(Bug::GapInSilence) {
                        self.gap("trimmed", &what).await?;
                    }
                    reader.skip_gap();
                    permit = None;
                }
                Stopped::Failed(ReadError::NotFound(what)) => {
                    if self.lake.position().is_some() || self.task.follows || self.task.lost {
                        self.gap("gone", &format!("shard {} is gone: {what}", self.task.shard)).await?;
                    }
                    return self.finish().await;
                }
            }
        }
    }

    /// A source that does not give again all that an open range says it gave. A stream has trimmed it; what stands still
    /// must have been changed.
    async fn source_is_short(&mut self) -> Result<(), EngineError> {
        let shard = &self.task.shard;
        if self.task.api.pace().finite {
            let why = "the source ended before the range's last record".to_owned();
            return Err(EngineError::Lake(LakeError::Diverged { path: format!("of shard {shard}"), why }));
        }
        let what = format!("records of shard {shard} in a range that a killed process left open have been trimmed");
        self.gap("trimmed", &what).await
    }

    /// Whether records of the open range may be gone: the stream stands still, or has had the time to trim them.
    fn may_be_short(&self) -> bool {
        let now = self.task.shared.clock.wall_micros();
        let since = self.lake.unfinished().and_then(|range| range.changed_until);
        self.task.api.pace().finite || since.is_some_and(|since| may_be_trimmed(since, now))
    }

    /// Whether records of the open range are missing before these, the next that the source gives.
    fn is_short_before(&self, records: &[Record]) -> bool {
        let wanted =
            self.lake.unfinished().and_then(|range| range.first()).filter(|first| self.lake.position() < Some(*first));
        wanted.is_some_and(|wanted| records.first().is_some_and(|record| record.position > wanted))
    }

    /// The central loop: pages in, ranges out. The reader runs ahead in a task of its own, so that the next page comes
    /// while this one is decoded.
    async fn read_until_stopped(
        &mut self,
        reader: ShardReader,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(ShardReader, Stopped), EngineError> {
        let shared = self.task.shared.clone();
        let mut pressure = shared.budget.pressure();
        let (send, mut pages) = mpsc::channel(1);
        let mut reading = JoinSet::new();
        reading.spawn(self.reading().run(reader, send));
        loop {
            let deadline = self.lake.deadline();
            tokio::select! {
               biased;
                delivery = pages.recv() => match delivery {
                    Some(Delivery { page, reservation }) => {
                        self.take(&page.records).await?;
                        drop((page, reservation));
                        if self.lake.unfinished().is_none() {
                            *permit = None;
                        }
                    }
                    None => match reading.join_next().await {
                        Some(Ok(stopped)) => return Ok(stopped),
                        Some(Err(join)) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
                        // Only a runtime that shuts down cancels the reader; then nobody waits for an answer.
                        _ => std::future::pending().await,
                    },
                },
                Ok(()) = pressure.changed() => {
                    if self.lake.unfinished().is_none() && shared.budget.is_large(self.lake.memory()) {
                        self.commit().await?;
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(|| shared.clock.now())), if deadline.is_some() => {
                    if self.lake.is_due() {
                        self.commit().await?;
                    }
                }
            }
        }
    }

    fn reading(&self) -> Reading {
        Reading {
            shared: self.task.shared.clone(),
            budget: self.task.shared.budget.clone(),
            pace: self.task.api.pace(),
            stream: self.task.stream_label(),
            watched: self.watched.clone(),
            recovering: self.recovering.clone(),
            ends: self.task.ends,
            stop: self.task.stop.clone(),
            feed: Some(self.feed.clone()),
        }
    }

    async fn take(&mut self, records: &[Record]) -> Result<(), EngineError> {
        if self.is_short_before(records) {
            self.source_is_short().await?;
        }
        let mut left = records;
        while !left.is_empty() {
            let taken = self.lake.accept(left).await?;
            left = &left[taken..];
            if self.lake.plan_is_reached() || self.lake.is_due() {
                self.commit().await?;
            } else if taken == 0 {
                // Only a range that another process began, and of whose records some did not come, stands in the way.
                self.source_is_short().await?;
            }
            self.held.set(self.lake.memory());
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), EngineError> {
        let shared = self.task.shared.clone();
        let began = shared.clock.now();
        if bug::is_made(Bug::CheckpointBeforeCommit)
            && let Some(position) = self.lake.position()
        {
            self.save(Checkpoint::At { position, range: None }).await?;
        }
        let Some(committed) = self.lake.commit().await? else { return Ok(()) };
        self.held.set(0);
        self.recovering.store(false, Ordering::Relaxed);
        self.save_durable().await?;
        let now = shared.clock.now();
        shared.totals.committed(&committed);
        self.watched.progress(now, false);
        count(&shared, &committed, now.saturating_duration_since(began));
        tracing::debug!(
            shard = %self.task.shard, range = committed.range, end = %committed.end, files = committed.files.len(),
            "range committed"
        );
        Ok(())
    }

    /// Writes down how far the lake has come. Never before it has.
    async fn save_durable(&mut self) -> Result<(), EngineError> {
        if let Some((range, position)) = self.lake.durable() {
            let checkpoint = Checkpoint::At { position, range: Some(range) };
            if self.lake.unfinished().is_none() && self.saved.as_ref() != Some(&checkpoint) {
                self.save(checkpoint).await?;
            }
        }
        Ok(())
    }

    async fn save(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError> {
        let (shared, key) = (&self.task.shared, self.task.key());
        save_patiently(&*shared.state, &shared.clock, &key, &checkpoint).await?;
        self.saved = Some(checkpoint);
        Ok(())
    }

    async fn finish(mut self) -> Result<Ended, EngineError> {
        self.save(Checkpoint::ShardEnd).await?;
        self.watched.finished();
        Ok(Ended::Finished)
    }

    /// Records are lost: counts, says and marks it, and goes on or not as the pipeline says.
    async fn gap(&mut self, reason: &str, what: &str) -> Result<(), EngineError> {
        let shared = self.task.shared.clone();
        let stream = self.task.stream_label();
        shared.metrics.gaps.with([&stream, reason]).inc();
        tracing::error!(shard = %self.task.shard, reason, what, "records are lost in the source");
        if shared.settings.on_gap == OnGap::Fail {
            return Err(EngineError::Gap(what.to_owned()));
        }
        self.lake.mark_gap(what).await?;
        self.recovering.store(false, Ordering::Relaxed);
        shared.totals.gap();
        self.save_durable().await
    }
}

/// Counts a range that became durable.
fn count(shared: &Shared, range: &Committed, took: Duration) {
    let metrics = &shared.metrics;
    for ((table, operation), rows) in &range.operations {
        metrics.rows_written.with([table, operation]).inc_by(*rows);
    }
    for (table, _, bytes) in &range.files {
        metrics.files_written.with([table]).inc();
        metrics.file_bytes_written.with([table]).inc_by(*bytes);
    }
    metrics.ranges_committed.with([]).inc();
    metrics.undecodable.with([]).inc_by(range.undecodable);
    for (table, values) in &range.to_rest {
        metrics.values_to_rest.with([table]).inc_by(*values);
    }
    metrics.unknown_types.with([]).inc_by(range.unknown);
    metrics.commit.with([]).observe(took.as_secs_f64());
    metrics.last_progress.with([]).set(shared.clock.wall_micros() as f64 / 1e6);
}
