//! Reads a whole source in the engine's order, but without state or lake: for commands that only look at it.
//!
//! A shard is delivered after all its parents, new shards and streams are found while reading. Finite streams (files)
//! are read one after the other, so that what comes of them has one order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::change::{Record, ShardId};
use crate::checkpoint::{Checkpoint, StartAt};
use crate::clock::Clock;
use crate::engine::Patience;
use crate::engine::budget::{Budget, Reservation};
use crate::source::lineage::{self, StartPolicy, first_checkpoints};
use crate::source::reader::{Page, Read, ReadError, ShardReader};
use crate::source::{
    ReadFrom, ShardInfo, ShardList, StreamApi, StreamError, StreamFinder, StreamIdentity, is_gone, list_all,
};

/// The least time between two lists of shards.
const BETWEEN_LISTS: Duration = Duration::from_secs(1);

/// The least memory reserved for a page.
const LEAST_PAGE: usize = 64 << 10;

/// The source refuses, and a retry would not mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct FollowError(pub(super) String);

/// What to follow, and how.
#[derive(Clone)]
pub(super) struct Follow {
    pub(super) finder: Arc<dyn StreamFinder>,
    pub(super) clock: Clock,
    /// Where the shards are begun that are there now; those that come later are read from their first record.
    pub(super) start: StartPolicy,
    /// The memory all pages on their way take.
    pub(super) budget: Budget,
}

/// Records of one shard, in shard order.
pub(super) struct Delivery {
    api: Arc<dyn StreamApi>,
    pub(super) shard: ShardId,
    pub(super) records: Vec<Record>,
    _memory: Reservation,
}

impl Delivery {
    /// The stream they are of.
    pub(super) fn stream(&self) -> &StreamIdentity {
        self.api.identity()
    }
}

/// A source that is being read. Dropping it ends all reading.
pub(super) struct Following {
    deliveries: mpsc::Receiver<Delivery>,
    reading: JoinSet<Result<(), FollowError>>,
}

impl Following {
    /// What comes next; `None`: the source is finite, and that was all. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, FollowError> {
        if let Some(delivery) = self.deliveries.recv().await {
            return Ok(Some(delivery));
        }
        match self.reading.join_next().await {
            Some(done) => joined(done)?.map(|()| None),
            None => Ok(None),
        }
    }
}

impl Follow {
    /// Begins to read.
    pub(super) fn start(self) -> Following {
        let (out, deliveries) = mpsc::channel(1);
        let mut reading = JoinSet::new();
        reading.spawn(self.run(out));
        Following { deliveries, reading }
    }

    async fn run(mut self, out: mpsc::Sender<Delivery>) -> Result<(), FollowError> {
        let mut known: HashSet<String> = HashSet::new();
        let mut following = JoinSet::new();
        loop {
            let mut streams = self.find().await?;
            let finite = streams.iter().all(|api| api.pace().finite);
            let discovery = streams.iter().map(|api| api.pace().discovery).min().unwrap_or(BETWEEN_LISTS);
            streams.retain(|api| known.insert(api.identity().id.clone()));
            for api in streams {
                let stream = Stream::new(self.clone(), api, out.clone());
                if finite {
                    stream.run().await?;
                } else {
                    following.spawn(stream.run());
                }
            }
            if finite {
                return Ok(());
            }
            // A stream that appears later (a table's was made anew) is new to its first record.
            self.start = StartPolicy::TrimHorizon;
            tokio::select! {
                Some(done) = following.join_next() => joined(done)??,
                () = self.clock.sleep(discovery.max(BETWEEN_LISTS)) => {}
            }
        }
    }

    async fn find(&self) -> Result<Vec<Arc<dyn StreamApi>>, FollowError> {
        let mut patience = Patience::new(&self.clock);
        loop {
            match self.finder.streams().await {
                Ok(streams) => return Ok(streams),
                Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
                Err(error) => return Err(FollowError(error.to_string())),
            }
        }
    }
}

/// What a task answered. A panic in it is a bug: it is passed on.
fn joined<T>(done: Result<T, JoinError>) -> Result<T, FollowError> {
    done.map_err(|failed| match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => FollowError("the process is shutting down".to_owned()),
    })
}

/// One stream that is being read.
struct Stream {
    follow: Follow,
    api: Arc<dyn StreamApi>,
    out: mpsc::Sender<Delivery>,
    list: ShardList,
    /// Where the shards of the first list begin, unless with their first record.
    starts: HashMap<ShardId, ReadFrom>,
    listed_before: bool,
    /// Parents that the service no longer has.
    gone: HashSet<ShardId>,
    finished: HashSet<ShardId>,
    begun: HashSet<ShardId>,
    reading: JoinSet<Result<ShardId, FollowError>>,
}

impl Stream {
    fn new(follow: Follow, api: Arc<dyn StreamApi>, out: mpsc::Sender<Delivery>) -> Self {
        Self {
            follow,
            api,
            out,
            list: ShardList { shards: Vec::new(), enabled: true },
            starts: HashMap::new(),
            listed_before: false,
            gone: HashSet::new(),
            finished: HashSet::new(),
            begun: HashSet::new(),
            reading: JoinSet::new(),
        }
    }

    async fn run(mut self) -> Result<(), FollowError> {
        loop {
            self.list().await?;
            let mut ended_any = false;
            loop {
                self.begin_ready();
                if self.is_complete() {
                    return Ok(());
                }
                // An ended shard's children may not have been listed yet.
                let discovery = self.api.pace().discovery;
                let soon = ended_any || !self.missing().is_empty();
                let next_list = if soon { discovery.min(BETWEEN_LISTS) } else { discovery };
                tokio::select! {
                    Some(done) = self.reading.join_next() => {
                        self.finished.insert(joined(done)??);
                        ended_any = true;
                    }
                    () = self.follow.clock.sleep(next_list) => break,
                }
            }
        }
    }

    async fn list(&mut self) -> Result<(), FollowError> {
        let mut patience = Patience::new(&self.follow.clock);
        self.list = loop {
            match list_all(&*self.api).await {
                Ok(list) => break list,
                Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
                // It was deleted: its shards find out what they can still get.
                Err(StreamError::NotFound(_)) if self.listed_before => {
                    break ShardList { shards: std::mem::take(&mut self.list.shards), enabled: false };
                }
                Err(error) => return Err(FollowError(error.to_string())),
            }
        };
        if !std::mem::replace(&mut self.listed_before, true) {
            let now = self.follow.clock.wall_micros();
            for (shard, first) in first_checkpoints(&self.list.shards, self.follow.start, now, &HashSet::new()) {
                match first {
                    Checkpoint::ShardEnd => drop(self.finished.insert(shard)),
                    Checkpoint::Start(StartAt::Latest(_)) => drop(self.starts.insert(shard, ReadFrom::Latest)),
                    Checkpoint::Start(StartAt::Timestamp(at)) => {
                        self.starts.insert(shard, ReadFrom::Timestamp(at));
                    }
                    Checkpoint::Start(StartAt::TrimHorizon) | Checkpoint::At { .. } => {}
                }
            }
        }
        for parent in self.missing() {
            if is_gone(&*self.api, &parent).await.map_err(|error| FollowError(error.to_string()))? {
                self.gone.insert(parent);
            }
        }
        Ok(())
    }

    /// Parents that the list does not have, and of which it is not known whether they are gone.
    fn missing(&self) -> Vec<ShardId> {
        lineage::missing_parents(&self.list.shards, &self.finished, &self.gone).into_iter().cloned().collect()
    }

    fn begin_ready(&mut self) {
        let ready = lineage::ready(&self.list.shards, &self.finished, &self.gone);
        let ready: Vec<ShardInfo> = ready.into_iter().cloned().collect();
        for shard in ready {
            if self.begun.insert(shard.id.clone()) {
                let from = self.starts.get(&shard.id).copied().unwrap_or(ReadFrom::TrimHorizon);
                let id = shard.id.clone();
                self.reading.spawn(read(self.follow.clone(), self.api.clone(), id, from, self.out.clone()));
            }
        }
    }

    /// Whether nothing is left of a finite stream, or of one that was switched off.
    fn is_complete(&self) -> bool {
        let bounded = self.api.pace().finite || !self.list.enabled;
        let all_read = self.list.shards.iter().all(|shard| self.finished.contains(&shard.id));
        bounded && self.reading.is_empty() && self.missing().is_empty() && all_read
    }
}

/// Reads one shard to its end, of a finite stream to its tip. What is missing of it is told and passed over.
async fn read(
    follow: Follow,
    api: Arc<dyn StreamApi>,
    shard: ShardId,
    from: ReadFrom,
    out: mpsc::Sender<Delivery>,
) -> Result<ShardId, FollowError> {
    let pace = api.pace();
    let mut page_bytes = pace.page_bytes;
    let mut reader = ShardReader::new(api.clone(), follow.clock.clone(), shard.clone(), from, None);
    loop {
        let mut memory = follow.budget.reserve(page_bytes).await;
        let page: Page = match reader.next().await {
            Ok(Read::Page(page)) => page,
            Ok(Read::End) => return Ok(shard),
            Err(ReadError::Gap(what)) => {
                tracing::warn!(%shard, what, "records are lost in the source; going on behind them");
                reader.skip_gap();
                continue;
            }
            Err(ReadError::NotFound(what)) => {
                tracing::warn!(%shard, what, "the shard is gone");
                return Ok(shard);
            }
            Err(ReadError::Fatal(what)) => return Err(FollowError(what)),
        };
        page_bytes = (page.bytes + page.bytes / 2).max(LEAST_PAGE);
        let pause = if page.records.is_empty() { pace.idle } else { pace.busy };
        if !page.records.is_empty() {
            memory.set(page.bytes);
            let delivery = Delivery { api: api.clone(), shard: shard.clone(), records: page.records, _memory: memory };
            if out.send(delivery).await.is_err() {
                return Ok(shard);
            }
        } else {
            drop(memory);
        }
        if pace.finite && page.millis_behind == Some(0) {
            return Ok(shard);
        }
        follow.clock.sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stream::{SimulatedStream, StreamFaults};
    use bytes::Bytes;

    fn follow(stream: &SimulatedStream, clock: &Clock, start: StartPolicy) -> Following {
        let finder = Arc::new(stream.clone());
        Follow { finder, clock: clock.clone(), start, budget: Budget::new(64 << 20) }.start()
    }

    /// Writes `count` changes of all slots, and reshards now and then.
    fn write(stream: &SimulatedStream, count: u8) {
        for n in 0..count {
            stream.write(n % 16, vec![Bytes::from(vec![n])]);
            if n % 16 == 7 {
                stream.reshard();
            }
        }
    }

    /// Everything that comes until nothing has come for a while, by shard in the order in which shards came.
    async fn all(following: &mut Following, clock: &Clock) -> Vec<(ShardId, Vec<Bytes>)> {
        let mut seen: Vec<(ShardId, Vec<Bytes>)> = Vec::new();
        loop {
            let delivery = tokio::select! {
                biased;
                next = following.next() => next.unwrap().unwrap(),
                () = clock.sleep(Duration::from_secs(400)) => return seen,
            };
            let payloads = delivery.records.iter().map(|record| record.payload.clone());
            match seen.iter_mut().find(|(shard, _)| *shard == delivery.shard) {
                Some((_, known)) => known.extend(payloads),
                None => seen.push((delivery.shard.clone(), payloads.collect())),
            }
        }
    }

    fn check(stream: &SimulatedStream, seen: &[(ShardId, Vec<Bytes>)]) {
        for shard in stream.shards() {
            let written: Vec<Bytes> = shard.records.iter().map(|record| record.payload.clone()).collect();
            let at = seen.iter().position(|(id, _)| *id == shard.id);
            let came = at.map(|at| seen[at].1.clone()).unwrap_or_default();
            assert_eq!(came, written, "{}", shard.id);
            for parent in &shard.parents {
                let before = seen.iter().position(|(id, _)| id == parent);
                assert!(before.is_none() || at.is_none() || before < at, "{} came before {parent}", shard.id);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_record_comes_once_and_parents_come_first() {
        for seed in 0..6 {
            let clock = Clock::simulated(seed, 1_790_000_000_000_000);
            let stream = SimulatedStream::new("s", seed, clock.clone(), seed % 2 == 0);
            write(&stream, 100);
            stream.set_faults(StreamFaults { throttled: 0.01, transient: 0.01, ..StreamFaults::MANY });
            let mut following = follow(&stream, &clock, StartPolicy::TrimHorizon);
            let mut seen = all(&mut following, &clock).await;
            // While it runs, shards come and go.
            write(&stream, 100);
            for (shard, payloads) in all(&mut following, &clock).await {
                match seen.iter_mut().find(|(known, _)| *known == shard) {
                    Some((_, known)) => known.extend(payloads),
                    None => seen.push((shard, payloads)),
                }
            }
            check(&stream, &seen);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn latest_shows_what_comes_from_now_on_also_in_new_shards() {
        let clock = Clock::simulated(1, 1_790_000_000_000_000);
        let stream = SimulatedStream::new("s", 1, clock.clone(), false);
        write(&stream, 40);
        let before: usize = stream.shards().iter().map(|shard| shard.records.len()).sum();
        let mut following = follow(&stream, &clock, StartPolicy::Latest);
        assert!(all(&mut following, &clock).await.is_empty());
        write(&stream, 60);
        let seen = all(&mut following, &clock).await;
        let after: usize = stream.shards().iter().map(|shard| shard.records.len()).sum();
        assert_eq!(seen.iter().map(|(_, payloads)| payloads.len()).sum::<usize>(), after - before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_is_passed_over() {
        let clock = Clock::simulated(1, 1_790_000_000_000_000);
        let stream = SimulatedStream::new("s", 1, clock.clone(), false);
        stream.write(0, vec![Bytes::from_static(b"1")]);
        let mut following = follow(&stream, &clock, StartPolicy::TrimHorizon);
        assert_eq!(all(&mut following, &clock).await[0].1, ["1"]);
        stream.write(0, vec![Bytes::from_static(b"2")]);
        stream.trim();
        stream.write(0, vec![Bytes::from_static(b"3")]);
        assert_eq!(all(&mut following, &clock).await[0].1, ["3"]);
    }
}
