//! One stream: starts each of its shards when its parents are durably finished, and sees them to their end.

mod discovery;

use std::collections::{HashMap, HashSet};
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
use crate::source::lineage::{self, StartPolicy};
use crate::source::{ShardInfo, ShardList, StreamApi};

/// The sink under which the lake's positions are kept.
pub(crate) const LAKE: &str = "lake";

/// The shard and sink of the checkpoint that says that the first discovery is complete.
pub(crate) const DISCOVERED: (&str, &str) = ("_stream", "_discovered");

/// The least time between two lists of shards, so that many shards that end together cost one list (DescribeStream
/// allows 10 a second for all readers of an account).
const BETWEEN_LISTS: Duration = Duration::from_millis(500);

/// So many lists in a row have to show that nothing is left, in a run that ends by itself: each is late and may hide a shard.
const LISTS_TO_END: u32 = 5;

/// After so many lists, about a minute, such a run says that it waits for a shard.
const LISTS_TO_TELL: u32 = 60;

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
        let discovery = sink.discovered();
        let discovered = stored.iter().find_map(|(key, at)| match at {
            Checkpoint::Start(StartAt::Latest(micros))
                if key.shard.as_str() == DISCOVERED.0 && key.sink == discovery =>
            {
                Some(*micros)
            }
            _ => None,
        });
        let (end, ended) = tokio::sync::mpsc::unbounded_channel();
        let start = shared.settings.start;
        let mut stream = Self {
            shared,
            sink,
            api,
            checkpoints: HashMap::new(),
            start,
            discovered,
            list: ShardList { shards: Vec::new(), enabled: true },
            gone: HashSet::new(),
            lost: HashSet::new(),
            finished: HashSet::new(),
            at_tip: HashSet::new(),
            running: HashSet::new(),
            tasks: JoinSet::new(),
            ended,
            end,
        };
        stream.remember_all(stored);
        Ok(stream)
    }

    /// Takes over what is stored by now.
    async fn load_positions(&mut self) -> Result<(), EngineError> {
        let stored = load_patiently(&*self.shared.state, &self.shared.clock, &self.api.identity().id).await?;
        self.remember_all(stored);
        Ok(())
    }

    fn remember_all(&mut self, stored: Vec<(CheckpointKey, Checkpoint)>) {
        let own = self.sink.key();
        for (key, at) in stored.into_iter().filter(|(key, _)| key.sink == own) {
            self.remember(key.shard, at);
        }
    }

    fn remember(&mut self, shard: ShardId, at: Checkpoint) {
        if at == Checkpoint::ShardEnd {
            self.finished.insert(shard.clone());
        }
        self.checkpoints.insert(shard, at);
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), EngineError> {
        let what = match &self.sink {
            Sink::Lake => format!("shards of {}", self.api.identity().id),
            handler => format!("shards of {} for {}", self.api.identity().id, handler.key()),
        };
        let watched = self.shared.health.watch(&what, self.shared.clock.now());
        let discovery = self.api.pace().discovery;
        let (mut fresh_list, mut agree, mut hiding) = (true, 0, 0);
        loop {
            if fresh_list {
                tokio::select! {
                    biased;
                    listed = self.list() => listed?,
                    () = stop.cancelled() => return Ok(()),
                }
                watched.answered(self.shared.clock.now());
                hiding = if self.waits_for_a_child() { hiding + 1 } else { 0 };
                if hiding == LISTS_TO_TELL {
                    let stream = &self.api.identity().id;
                    tracing::warn!(%stream, "a shard has ended, but the list does not show the one behind it: waiting for that");
                }
            }
            self.start_ready(stop);
            let complete = self.is_complete();
            agree = if complete { agree + u32::from(fresh_list) } else { 0 };
            if complete && (agree >= LISTS_TO_END || self.api.pace().finite) {
                watched.finished();
                return self.switched_off();
            }
            let next_list = match () {
                () if complete => discovery.min(BETWEEN_LISTS),
                () if self.shared.settings.once || !self.missing().is_empty() => discovery.min(2 * BETWEEN_LISTS),
                () => discovery,
            };
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
        let discovered = self.discovered?;
        match self.checkpoints.get(&shard.id) {
            // It was there at the first discovery: since then every record of it is due, whenever it was made. Shards that
            // don't tell when that was live for as long as they are wanted, and may simply be quiet.
            Some(Checkpoint::Start(_)) => self.api.born(&shard.id).map(|_| discovered),
            _ => Some(self.api.born(&shard.id)?.max(discovered)),
        }
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
            Ended::Finished => self.remember(shard, Checkpoint::ShardEnd),
            Ended::Tip(checkpoint) => {
                self.at_tip.insert(shard.clone());
                self.checkpoints.extend(checkpoint.map(|at| (shard, at)));
            }
            // It goes on from where the other process has come to.
            Ended::Overtaken(Some(checkpoint)) => self.remember(shard, checkpoint),
            Ended::Overtaken(None) | Ended::Stopped => {}
        }
    }

    /// Whether nothing is left to read in a run that ends by itself, or on a stream that was switched off.
    fn is_complete(&mut self) -> bool {
        let bounded = self.shared.settings.once || self.api.pace().finite || !self.list.enabled;
        if !bounded || !self.running.is_empty() || !self.missing().is_empty() || self.hides_a_child() {
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

    /// Whether a shard that has ended has no child in the list, although the stream takes records: it has one, and the list
    /// does not show it yet.
    fn hides_a_child(&self) -> bool {
        let has_child = |shard: &ShardId| self.list.shards.iter().any(|child| child.parents.contains(shard));
        let mut ended = self.list.shards.iter().filter(|shard| shard.closed || self.finished.contains(&shard.id));
        let live = self.list.enabled && !self.api.pace().finite;
        live && ended.any(|shard| !has_child(&shard.id) && !self.gone.contains(&shard.id))
    }

    /// Whether nothing else keeps a run from ending by itself.
    fn waits_for_a_child(&self) -> bool {
        self.shared.settings.once && self.running.is_empty() && self.hides_a_child()
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
