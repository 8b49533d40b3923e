//! A process that is held up, or killed: nothing of it gets out and nothing comes in until it goes on, as if no time had
//! passed for it. On the way, everything it does can be told: the trace of a world.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::BoxFuture;
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};
use crate::clock::Clock;
use crate::handler::{Delivery, Handler, HandlerError, Limits, Outcome};
use crate::lake::store::{Listed, ObjectStore, StoreError, Upload};
use crate::source::{
    Pace, ReadFrom, RecordsPage, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder, StreamIdentity,
};

/// The one way between a process and everything outside of it. Clones are the same.
#[derive(Clone)]
pub struct Gate {
    process: Arc<str>,
    clock: Clock,
    until: Arc<Mutex<Option<Instant>>>,
    dead: Arc<AtomicBool>,
}

impl Gate {
    /// An open one. The clock is the world's, not the process's.
    pub fn new(process: &str, clock: Clock) -> Self {
        Self { process: process.into(), clock, until: Arc::default(), dead: Arc::default() }
    }

    /// Holds the process up.
    pub fn hold(&self, time: Duration) {
        tracing::debug!(process = &*self.process, ?time, "held up");
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now() + time);
    }

    /// Kills the process: whatever it still wants to do on its way out does not happen.
    pub fn kill(&self) {
        tracing::debug!(process = &*self.process, "killed");
        self.dead.store(true, Ordering::Relaxed);
    }

    /// Whose it is.
    pub fn process(&self) -> &str {
        &self.process
    }

    async fn pass(&self) {
        loop {
            if self.dead.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            match until.filter(|until| *until > self.clock.now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    /// Lets a call out and its answer in.
    pub async fn through<T>(&self, call: impl Future<Output = T>) -> T {
        self.pass().await;
        let answer = call.await;
        self.pass().await;
        answer
    }
}

/// Something outside, seen through a gate.
pub struct Gated<T: ?Sized> {
    gate: Gate,
    inner: Arc<T>,
}

impl<T: ?Sized> Gated<T> {
    /// `inner`, as the process behind `gate` gets at it.
    pub fn new(gate: &Gate, inner: Arc<T>) -> Arc<Self> {
        Arc::new(Self { gate: gate.clone(), inner })
    }
}

/// What an answer says, in a few letters.
fn said<T, E: std::fmt::Display>(answer: &Result<T, E>) -> String {
    answer.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string)
}

impl<T: ObjectStore + ?Sized> ObjectStore for Gated<T> {
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.create(path, body)).await;
            tracing::debug!(process = &*self.gate.process, path, answer = said(&answer), "create");
            answer
        })
    }

    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.get(path)).await;
            tracing::trace!(process = &*self.gate.process, path, answer = said(&answer), "get");
            answer
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.size(path)).await;
            tracing::trace!(process = &*self.gate.process, path, ?answer, "size");
            answer
        })
    }

    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.list(folder, after)).await;
            tracing::trace!(process = &*self.gate.process, folder, after, answer = said(&answer), "list");
            answer
        })
    }

    #[cfg(test)]
    fn delete(&self, path: &str) {
        self.inner.delete(path);
    }

    fn takes_parts(&self) -> bool {
        self.inner.takes_parts()
    }

    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.begin(path)).await;
            tracing::debug!(process = &*self.gate.process, path, answer = said(&answer), "begin");
            let (gate, path) = (self.gate.clone(), path.to_owned());
            Ok(Arc::new(GatedUpload { gate, path, inner: answer? }) as Arc<dyn Upload>)
        })
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// An upload of a process behind a gate.
struct GatedUpload {
    gate: Gate,
    path: String,
    inner: Arc<dyn Upload>,
}

impl Upload for GatedUpload {
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.part(number, body)).await;
            tracing::trace!(process = &*self.gate.process, path = self.path, number, answer = said(&answer), "part");
            answer
        })
    }

    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.complete()).await;
            tracing::debug!(process = &*self.gate.process, path = self.path, answer = said(&answer), "complete");
            answer
        })
    }

    fn abort(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.gate.through(self.inner.abort()).await;
            tracing::debug!(process = &*self.gate.process, path = self.path, "abort");
        })
    }
}

impl<T: StateStore + ?Sized> StateStore for Gated<T> {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(self.gate.through(self.inner.load(stream)))
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        Box::pin(self.gate.through(self.inner.survey()))
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.save(key, checkpoint)).await;
            let (shard, sink) = (&key.shard, &key.sink);
            tracing::debug!(process = &*self.gate.process, %shard, sink, ?checkpoint, answer = said(&answer), "save");
            answer
        })
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl<T: StreamApi + ?Sized> StreamApi for Gated<T> {
    fn identity(&self) -> &StreamIdentity {
        self.inner.identity()
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.list_shards(from)).await;
            tracing::trace!(process = &*self.gate.process, from, ?answer, "shards");
            answer
        })
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.shard_iterator(shard, from)).await;
            tracing::debug!(process = &*self.gate.process, %shard, ?from, answer = said(&answer), "iterator");
            answer
        })
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.get_records(shard, iterator)).await;
            if let Ok(page) = &answer
                && let (Some(first), Some(last)) = (page.records.first(), page.records.last())
            {
                let (from, to) = (first.position, last.position);
                tracing::debug!(process = &*self.gate.process, %shard, %from, %to, records = page.records.len(), "page");
            }
            answer
        })
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn born(&self, shard: &ShardId) -> Option<i64> {
        self.inner.born(shard)
    }
}

/// Finds one stream.
pub struct Found(pub Arc<dyn StreamApi>);

impl StreamFinder for Found {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        Box::pin(async { Ok(vec![self.0.clone()]) })
    }
}

impl<T: Handler + ?Sized> Handler for Gated<T> {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.inner.handle(delivery)).await;
            let changes = delivery.changes.len();
            tracing::debug!(process = &*self.gate.process, changes, answer = said(&answer), "call");
            answer
        })
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}
