//! One stream: finds its shards, starts each when its parents are durably finished, and sees them to their end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::shard::{self, Ended, ShardTask};
use super::{EngineError, Shared, finished};
use crate::change::ShardId;
use crate::checkpoint::patient::{load_patiently, save_patiently};
use crate::checkpoint::{Checkpoint, CheckpointKey, StartAt};
use crate::clock::Clock;
use crate::source::lineage::{Lineage, first_checkpoints};
use crate::source::{ShardInfo, ShardList, StreamApi, StreamError, list_all};

/// The sink under which the lake's positions are kept.
pub(crate) const LAKE: &str = "lake";

/// The shard and sink of the checkpoint that says that the first discovery is complete.
pub(crate) const DISCOVERED: (&str, &str) = ("_stream", "_discovered");

/// The least time between two lists of shards, so that many shards that end together cost one list (DescribeStream
/// allows 10 a second for all readers of an account).
const BETWEEN_LISTS: Duration = Duration::from_millis(500);

/// Reads one stream to its end; see [`super::Engine::run`].
pub(super) async fn run(
    shared: Arc<Shared>,
    api: Arc<dyn StreamApi>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut stream = Stream::load(shared, api).await?;
    let ended = stream.follow(&stop).await;
    stop.cancel();
    let drained = stream.drain().await;
    ended.and(drained)
}

struct Stream {
    shared: Arc<Shared>,
    api: Arc<dyn StreamApi>,
    checkpoints: HashMap<ShardId, Checkpoint>,
    discovered: bool,
    list: ShardList,
    lineage: Lineage,
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
    async fn load(shared: Arc<Shared>, api: Arc<dyn StreamApi>) -> Result<Self, EngineError> {
        let stored = load_patiently(&*shared.state, &shared.clock, &api.identity().id).await?;
        let discovered = stored.iter().any(|(key, _)| (key.shard.as_str(), key.sink.as_str()) == DISCOVERED);
        let checkpoints: HashMap<_, _> =
            stored.into_iter().filter(|(key, _)| key.sink == LAKE).map(|(key, at)| (key.shard, at)).collect();
        let ended = checkpoints.iter().filter(|(_, at)| **at == Checkpoint::ShardEnd);
        let finished = ended.map(|(shard, _)| shard.clone()).collect();
        let (end, ended) = tokio::sync::mpsc::unbounded_channel();
        Ok(Self {
            shared,
            api,
            checkpoints,
            discovered,
            list: ShardList { shards: Vec::new(), enabled: true },
            lineage: Lineage::default(),
            finished,
            at_tip: HashSet::new(),
            running: HashSet::new(),
            tasks: JoinSet::new(),
            ended,
            end,
        })
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), EngineError> {
        let watched =
            self.shared.health.watch(&format!("shards of {}", self.api.identity().id), self.shared.clock.now());
        let discovery = self.api.pace().discovery;
        let mut fresh_list = true;
        loop {
            if fresh_list {
                tokio::select! {
                    listed = self.list() => listed?,
                    () = stop.cancelled() => return Ok(()),
                }
                watched.answered(self.shared.clock.now());
            }
            self.start_ready(stop);
            if self.is_complete() {
                watched.finished();
                return Ok(());
            }
            let soon = self.lineage.in_doubt() || self.shared.settings.once;
            let next_list = if soon { discovery.min(2 * BETWEEN_LISTS) } else { discovery };
            fresh_list = tokio::select! {
                Some((shard, ended)) = self.ended.recv() => { self.shard_ended(shard, ended); false }
                Some(done) = self.tasks.join_next() => { finished(done)?; false }
                () = self.shared.clock.sleep(next_list) => true,
                () = stop.cancelled() => return Ok(()),
            };
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
                Err(StreamError::NotFound(_)) if self.discovered => {
                    break ShardList { shards: std::mem::take(&mut self.list.shards), enabled: false };
                }
                Err(error) => return Err(EngineError::Source(error.to_string())),
            }
        };
        self.lineage.observe(&self.list.shards);
        if !self.discovered {
            let now = self.shared.clock.wall_micros();
            for (shard, first) in first_checkpoints(&self.list.shards, self.shared.settings.start, now) {
                if !self.checkpoints.contains_key(&shard) {
                    self.save(shard.clone(), LAKE, &first).await?;
                    if first == Checkpoint::ShardEnd {
                        self.finished.insert(shard.clone());
                    }
                    self.checkpoints.insert(shard, first);
                }
            }
            let (shard, sink) = DISCOVERED;
            self.save(ShardId::new(shard), sink, &Checkpoint::Start(StartAt::Latest(now))).await?;
            self.discovered = true;
        }
        Ok(())
    }

    async fn save(&self, shard: ShardId, sink: &str, checkpoint: &Checkpoint) -> Result<(), EngineError> {
        let key = CheckpointKey { stream: self.api.identity().id.clone(), shard, sink: sink.to_owned() };
        Ok(save_patiently(&*self.shared.state, &self.shared.clock, &key, checkpoint).await?)
    }

    fn start_ready(&mut self, stop: &CancellationToken) {
        let begun: HashSet<ShardId> = self.running.iter().chain(self.checkpoints.keys()).cloned().collect();
        let ready = self.lineage.ready(&self.list.shards, &self.finished, &begun);
        let startable: Vec<ShardInfo> = ready
            .into_iter()
            .filter(|shard| !self.running.contains(&shard.id) && !self.at_tip.contains(&shard.id))
            .cloned()
            .collect();
        for shard in startable {
            let task = ShardTask {
                shared: self.shared.clone(),
                api: self.api.clone(),
                follows: shard.parents.iter().any(|parent| self.finished.contains(parent)),
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
        self.count_shards();
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
            Ended::Finished => {
                self.checkpoints.insert(shard.clone(), Checkpoint::ShardEnd);
                self.finished.insert(shard);
            }
            Ended::Tip(checkpoint) => {
                self.at_tip.insert(shard.clone());
                self.checkpoints.extend(checkpoint.map(|at| (shard, at)));
            }
            // It goes on from where the lake's chain ends, whoever wrote it.
            Ended::Overtaken | Ended::Stopped => {}
        }
    }

    /// Whether nothing is left to read in a run that ends by itself, or on a stream that was switched off.
    fn is_complete(&mut self) -> bool {
        let bounded = self.shared.settings.once || self.api.pace().finite || !self.list.enabled;
        if !bounded || !self.running.is_empty() || self.lineage.in_doubt() {
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
            ended = ended.and(finished(done));
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
