//! One stream: finds its shards, starts each when its parents are durably finished, and sees them to their end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handler::Sink;
use super::shard::{self, Ended, ShardTask};
use super::{EngineError, OnGap, Shared, finished};
use crate::change::ShardId;
use crate::checkpoint::patient::{load_patiently, save_patiently};
use crate::checkpoint::{Checkpoint, CheckpointKey, StartAt};
use crate::clock::Clock;
use crate::source::lineage::{self, StartPolicy, first_checkpoints};
use crate::source::retention::may_be_trimmed;
use crate::source::{ShardInfo, ShardList, StreamApi, StreamError, is_gone, list_all};

/// The sink under which the lake's positions are kept.
pub(crate) const LAKE: &str = "lake";

/// The shard and sink of the checkpoint that says that the first discovery is complete.
pub(crate) const DISCOVERED: (&str, &str) = ("_stream", "_discovered");

/// The least time between two lists of shards, so that many shards that end together cost one list (DescribeStream
/// allows 10 a second for all readers of an account).
const BETWEEN_LISTS: Duration = Duration::from_millis(500);

/// The sink under which the streams of an origin are remembered.
pub(crate) const STREAMS: &str = "_streams";

/// Reads one stream to its end; see [`super::Engine::run`]. A stream that is not the `newest` of its origin is only read
/// if reading it had begun when it was.
pub(super) async fn run(
    shared: Arc<Shared>,
    sink: Sink,
    api: Arc<dyn StreamApi>,
    newest: bool,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut stream = Stream::load(shared, sink, api).await?;
    let predecessors = stream.predecessors().await?;
    if !newest && !predecessors.contains(&stream.api.identity().id) {
        return Ok(());
    }
    let ended = match stream.follow_on(&predecessors).await {
        Ok(()) => stream.follow(&stop).await,
        Err(error) => Err(error),
    };
    stop.cancel();
    let drained = stream.drain().await;
    ended.and(drained)
}

struct Stream {
    shared: Arc<Shared>,
    /// Whose stream this is: it has positions of its own.
    sink: Sink,
    api: Arc<dyn StreamApi>,
    checkpoints: HashMap<ShardId, Checkpoint>,
    /// Where its first shards begin. A stream that follows another of its origin is read whole.
    start: StartPolicy,
    /// When the first discovery was, µs since the epoch: what had been trimmed by then is no gap.
    discovered: Option<i64>,
    list: ShardList,
    /// Parents that the service says it does not have any more.
    gone: HashSet<ShardId>,
    /// Shards that came and went while nobody read: their tasks mark the gap.
    lost: HashSet<ShardId>,
    finished: HashSet<ShardId>,
    /// Shards whose tip was reached in a run that ends there.
    at_tip: HashSet<ShardId>,
    running: HashSet<ShardId>,
    tasks: JoinSet<(String, Result<(), EngineError>)>,
    /// How shards ended, told by their tasks.
    ended: tokio::sync::mpsc::UnboundedReceiver<(ShardId, Ended)>,
    end: tokio::sync::mpsc::UnboundedSender<(ShardId, Ended)>,
}

impl Stream {
    async fn load(shared: Arc<Shared>, sink: Sink, api: Arc<dyn StreamApi>) -> Result<Self, EngineError> {
        let stored = load_patiently(&*shared.state, &shared.clock, &api.identity().id).await?;
        let (own, discovery) = (sink.key(), sink.discovered());
        let discovered = stored.iter().find_map(|(key, at)| match at {
            Checkpoint::Start(StartAt::Latest(micros))
                if key.shard.as_str() == DISCOVERED.0 && key.sink == discovery =>
            {
                Some(*micros)
            }
            _ => None,
        });
        let checkpoints: HashMap<_, _> =
            stored.into_iter().filter(|(key, _)| key.sink == own).map(|(key, at)| (key.shard, at)).collect();
        let ended = checkpoints.iter().filter(|(_, at)| **at == Checkpoint::ShardEnd);
        let finished = ended.map(|(shard, _)| shard.clone()).collect();
        let (end, ended) = tokio::sync::mpsc::unbounded_channel();
        let start = shared.settings.start;
        Ok(Self {
            shared,
            sink,
            api,
            checkpoints,
            start,
            discovered,
            list: ShardList { shards: Vec::new(), enabled: true },
            gone: HashSet::new(),
            lost: HashSet::new(),
            finished,
            at_tip: HashSet::new(),
            running: HashSet::new(),
            tasks: JoinSet::new(),
            ended,
            end,
        })
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), EngineError> {
        let what = match &self.sink {
            Sink::Lake => format!("shards of {}", self.api.identity().id),
            handler => format!("shards of {} for {}", self.api.identity().id, handler.key()),
        };
        let watched = self.shared.health.watch(&what, self.shared.clock.now());
        let discovery = self.api.pace().discovery;
        let mut fresh_list = true;
        loop {
            if fresh_list {
                tokio::select! {
                    biased;
                    listed = self.list() => listed?,
                    () = stop.cancelled() => return Ok(()),
                }
                watched.answered(self.shared.clock.now());
            }
            self.start_ready(stop);
            if self.is_complete() {
                watched.finished();
                return self.switched_off();
            }
            let soon = self.shared.settings.once || !self.missing().is_empty();
            let next_list = if soon { discovery.min(2 * BETWEEN_LISTS) } else { discovery };
            fresh_list = tokio::select! {
                biased;
                Some((shard, ended)) = self.ended.recv() => { self.shard_ended(shard, ended); false }
                Some(done) = self.tasks.join_next() => { finished(done)?; false }
                () = self.shared.clock.sleep(next_list) => true,
                () = stop.cancelled() => return Ok(()),
            };
        }
    }

    /// The streams of the same origin that this pipeline has read, this one included.
    async fn predecessors(&self) -> Result<Vec<String>, EngineError> {
        let Some(origin) = &self.api.identity().origin else { return Ok(Vec::new()) };
        let stored = load_patiently(&*self.shared.state, &self.shared.clock, origin).await?;
        let streams = self.sink.streams();
        Ok(stored.into_iter().filter(|(key, _)| key.sink == streams).map(|(key, _)| key.shard.to_string()).collect())
    }

    /// Begins a stream that may follow others of its origin: between them, changes went unrecorded. The gap is marked in
    /// the lake before anything of this stream is, and then the stream is remembered.
    async fn follow_on(&mut self, predecessors: &[String]) -> Result<(), EngineError> {
        let identity = self.api.identity().clone();
        let Some(origin) = identity.origin.filter(|_| !predecessors.contains(&identity.id)) else { return Ok(()) };
        if !predecessors.is_empty() {
            self.start = StartPolicy::TrimHorizon;
            let what =
                format!("the stream of {origin} was made anew: changes between its end and {} are lost", identity.id);
            self.gap("made-anew", &what)?;
            self.list().await?;
            if let Some(first) = self.list.shards.first().filter(|_| self.sink.is_lake()) {
                let mut lake = self.shared.lake.open_shard(self.api.identity(), &first.id, None).await?;
                if lake.is_new() {
                    lake.mark_gap(&what).await?;
                    self.shared.totals.gap();
                }
            }
        }
        let key = CheckpointKey { stream: origin, shard: ShardId::new(identity.id), sink: self.sink.streams() };
        let begun = Checkpoint::Start(StartAt::TrimHorizon);
        Ok(save_patiently(&*self.shared.state, &self.shared.clock, &key, &begun).await?)
    }

    /// A stream that ends because it was switched off leaves changes unrecorded until another is made.
    fn switched_off(&self) -> Result<(), EngineError> {
        match &self.api.identity().origin {
            Some(origin) if !self.list.enabled => {
                let what = format!("the stream of {origin} was switched off; all it had is in the lake");
                self.gap("switched-off", &what)
            }
            _ => Ok(()),
        }
    }

    /// Counts and tells a gap, and stops if the pipeline says so.
    fn gap(&self, reason: &str, what: &str) -> Result<(), EngineError> {
        let identity = self.api.identity();
        let stream = identity.table.as_deref().unwrap_or(&identity.id);
        // The lake's is counted; the handlers' are the same.
        if self.sink.is_lake() {
            self.shared.metrics.gaps.with([stream, reason]).inc();
        }
        tracing::error!(sink = self.sink.key(), stream, reason, what, "changes are not recorded");
        match self.shared.settings.on_gap {
            OnGap::Fail => Err(EngineError::Gap(what.to_owned())),
            OnGap::Resume => Ok(()),
        }
    }

    /// Reads the list; the first one of a stream's life is also where the pipeline's `start` is written down.
    async fn list(&mut self) -> Result<(), EngineError> {
        let mut patience = Patience::new(&self.shared.clock);
        self.list = loop {
            match list_all(&*self.api).await {
                Ok(list) => break list,
                Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
                // The shards being read will find out what they can still get.
                Err(StreamError::NotFound(_)) if self.discovered.is_some() => {
                    break ShardList { shards: std::mem::take(&mut self.list.shards), enabled: false };
                }
                Err(error) => return Err(EngineError::Source(error.to_string())),
            }
        };
        if self.discovered.is_none() {
            let now = self.shared.clock.wall_micros();
            let read = self.read_already().await?;
            for (shard, first) in first_checkpoints(&self.list.shards, self.start, now, &read) {
                if !self.checkpoints.contains_key(&shard) {
                    self.save(shard.clone(), self.sink.key(), &first).await?;
                    if first == Checkpoint::ShardEnd {
                        self.finished.insert(shard.clone());
                    }
                    self.checkpoints.insert(shard, first);
                }
            }
            let mark = ShardId::new(DISCOVERED.0);
            self.save(mark, self.sink.discovered(), &Checkpoint::Start(StartAt::Latest(now))).await?;
            self.discovered = Some(now);
        }
        self.ask_for_missing().await
    }

    /// The listed shards of which the lake has something, although there is no state. Read from the oldest record on,
    /// a shard finds that by itself.
    async fn read_already(&self) -> Result<HashSet<ShardId>, EngineError> {
        let mut read = HashSet::new();
        for shard in self.list.shards.iter().filter(|_| self.sink.is_lake() && self.start != StartPolicy::TrimHorizon) {
            if self.shared.lake.has_read(self.api.identity(), &shard.id).await? {
                read.insert(shard.id.clone());
            }
        }
        Ok(read)
    }

    /// Asks for every shard that the list should have and has not: parents, and shards that were begun. The children of
    /// one that is not proven to be gone go on waiting.
    async fn ask_for_missing(&mut self) -> Result<(), EngineError> {
        for shard in self.missing() {
            let gone = is_gone(&*self.api, &shard).await.map_err(|error| EngineError::Source(error.to_string()))?;
            if gone && self.was_due(&shard) {
                self.lost.insert(shard.clone());
            }
            if gone && (self.checkpoints.contains_key(&shard) || self.lost.contains(&shard)) {
                // It was not read to its end: its task will find the gap.
                self.list.shards.push(ShardInfo { id: shard, parents: Vec::new(), closed: true });
            } else if gone {
                tracing::debug!(%shard, "a parent shard has been trimmed; its children are roots");
                self.gone.insert(shard);
            }
        }
        Ok(())
    }

    /// Whether records of a shard that is gone unread were written after the first discovery. Every shard of that has a
    /// checkpoint, so that one without, and with a child without, is of later; and time must have passed for it to be
    /// trimmed.
    fn was_due(&self, shard: &ShardId) -> bool {
        let is_new = |child: &&ShardInfo| !self.checkpoints.contains_key(&child.id);
        let of_later = || self.list.shards.iter().filter(is_new).any(|child| child.parents.contains(shard));
        let now = self.shared.clock.wall_micros();
        let trimmed_since = self.discovered.is_some_and(|first| may_be_trimmed(first, now));
        trimmed_since && (self.checkpoints.contains_key(shard) || of_later())
    }

    fn missing(&self) -> BTreeSet<ShardId> {
        let parents = lineage::missing_parents(&self.list.shards, &self.finished, &self.gone);
        let listed = |shard: &ShardId| self.list.shards.iter().any(|known| known.id == *shard);
        let begun = self.checkpoints.keys().filter(|shard| !self.finished.contains(*shard) && !listed(shard));
        let missing = parents.into_iter().chain(begun).filter(|shard| !self.running.contains(*shard));
        missing.cloned().collect()
    }

    async fn save(&self, shard: ShardId, sink: String, checkpoint: &Checkpoint) -> Result<(), EngineError> {
        let key = CheckpointKey { stream: self.api.identity().id.clone(), shard, sink };
        Ok(save_patiently(&*self.shared.state, &self.shared.clock, &key, checkpoint).await?)
    }

    fn start_ready(&mut self, stop: &CancellationToken) {
        let ready = lineage::ready(&self.list.shards, &self.finished, &self.gone);
        let startable: Vec<ShardInfo> = ready
            .into_iter()
            .filter(|shard| !self.running.contains(&shard.id) && !self.at_tip.contains(&shard.id))
            .cloned()
            .collect();
        for shard in startable {
            let task = ShardTask {
                shared: self.shared.clone(),
                sink: self.sink.clone(),
                stream_id: self.api.identity().id.as_str().into(),
                api: self.api.clone(),
                follows: shard.parents.iter().any(|parent| self.finished.contains(parent)),
                lost: self.lost.contains(&shard.id),
                due_since: self.due_since(&shard),
                ends: shard.closed || self.list.shards.iter().any(|child| child.parents.contains(&shard.id)),
                checkpoint: self.checkpoints.get(&shard.id).cloned(),
                shard: shard.id.clone(),
                stop: stop.child_token(),
            };
            self.running.insert(shard.id.clone());
            let end = self.end.clone();
            self.tasks.spawn(async move {
                let id = shard.id;
                let result = shard::run(task).await.map(|ended| {
                    // The receiver lives as long as the tasks do.
                    let _ = end.send((id.clone(), ended));
                });
                (id.to_string(), result)
            });
        }
        if self.sink.is_lake() {
            self.count_shards();
        }
    }

    /// Since when records of a shard may have been written that must not be missing.
    fn due_since(&self, shard: &ShardInfo) -> Option<i64> {
        Some(self.api.born(&shard.id)?.max(self.discovered?))
    }

    fn count_shards(&self) {
        let finished = self.list.shards.iter().filter(|shard| self.finished.contains(&shard.id)).count();
        let waiting = self.list.shards.len().saturating_sub(finished + self.running.len());
        let gauges = &self.shared.metrics.shards;
        for (state, count) in [("waiting", waiting), ("reading", self.running.len()), ("finished", finished)] {
            gauges.with([state]).set(count as f64);
        }
    }

    fn shard_ended(&mut self, shard: ShardId, ended: Ended) {
        self.running.remove(&shard);
        match ended {
            Ended::Finished | Ended::Overtaken(Some(Checkpoint::ShardEnd)) => {
                self.checkpoints.insert(shard.clone(), Checkpoint::ShardEnd);
                self.finished.insert(shard);
            }
            Ended::Tip(checkpoint) => {
                self.at_tip.insert(shard.clone());
                self.checkpoints.extend(checkpoint.map(|at| (shard, at)));
            }
            // It goes on from where the other process has come to.
            Ended::Overtaken(checkpoint) => self.checkpoints.extend(checkpoint.map(|at| (shard, at))),
            Ended::Stopped => {}
        }
    }

    /// Whether nothing is left to read in a run that ends by itself, or on a stream that was switched off.
    fn is_complete(&mut self) -> bool {
        let bounded = self.shared.settings.once || self.api.pace().finite || !self.list.enabled;
        if !bounded || !self.running.is_empty() || !self.missing().is_empty() {
            return false;
        }
        let open: Vec<_> = self
            .list
            .shards
            .iter()
            .filter(|shard| !self.finished.contains(&shard.id) && !self.at_tip.contains(&shard.id))
            .collect();
        // A shard with a child is about to end: what looked like its tip is not.
        for parent in open.iter().flat_map(|shard| &shard.parents) {
            self.at_tip.remove(parent);
        }
        open.is_empty()
    }

    async fn drain(&mut self) -> Result<(), EngineError> {
        let mut ended = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            ended = ended.and(finished(done).map(drop));
        }
        ended
    }
}

/// Waits longer and longer, and says so now and then.
pub(crate) struct Patience {
    clock: Clock,
    faults: u32,
}

impl Patience {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), faults: 0 }
    }

    pub(crate) async fn wait(&mut self, why: &str) {
        self.faults += 1;
        if self.faults.is_multiple_of(8) {
            tracing::warn!(why, faults = self.faults, "the source keeps failing; still trying");
        }
        let wait = Duration::from_millis(200).saturating_mul(1 << self.faults.min(8)).min(Duration::from_secs(30));
        self.clock.sleep(self.clock.jittered(wait)).await;
    }
}
