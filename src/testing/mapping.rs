//! Lambda's side of a stream's mapping: batches of a shard in its order, several at once, tried again whole, in halves, or
//! from the record that an answer names; and environments that are killed, frozen, and given the same batch twice.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use super::gate::Gate;
use super::house::{House, Process};
use super::stream::{Shard, Written};
use super::tally;
use crate::change::ShardId;
use crate::clock::Clock;
use crate::lake::{Lake, LakeError};
use crate::lambda::Function;
use crate::pipeline::spec::Origin;
use crate::source::StreamApi as _;
use crate::source::kpl::{UserRecord, producer};

/// How long a zombie is waited for at the end: longer than any is frozen.
const LAST_BREATH: Duration = Duration::from_secs(300);

/// A mapping and its function.
pub(super) struct Mapping {
    house: House,
    origin: Origin,
    batch: usize,
    timeout: Duration,
    bisect: bool,
    /// Environments that wait for a batch.
    warm: Mutex<Vec<Environment>>,
    born: AtomicU32,
    /// Calls that nobody waits for any more.
    zombies: Mutex<Vec<(Gate, JoinHandle<()>)>>,
    /// Whether nothing more will be written.
    done: AtomicBool,
}

struct Environment {
    /// Whether nothing goes wrong in it.
    calm: bool,
    function: Arc<Function>,
    gate: Gate,
    clock: Clock,
}

/// A record of the service: what an event has as one, and an answer can name.
#[derive(Clone)]
struct Item {
    identifier: String,
    event: String,
}

enum Answer {
    Done,
    /// The first record that is not.
    Pending(String),
    Failed(String),
}

impl Mapping {
    pub(super) fn new(house: House) -> Result<Self, String> {
        let mut random = StdRng::seed_from_u64(house.plan.seed ^ 0x0a9e);
        let origin = match house.plan.kinesis {
            true => "type = \"kinesis\"\nstream = \"changes\"",
            false => "type = \"dynamodb-streams\"\ntables = [\"Table0\"]",
        };
        let text = format!("name = \"simulated\"\n[source]\n{origin}\n[lake]\npath = \"lake\"\n");
        let pipeline = crate::pipeline::read("simulated.toml", &text).map_err(|wrong| format!("{wrong:?}"))?;
        Ok(Self {
            house,
            origin: pipeline.source.origin,
            batch: random.random_range(1..40),
            timeout: Duration::from_millis(random.random_range(3000..15_000)),
            bisect: random.random_bool(0.5),
            warm: Mutex::default(),
            born: AtomicU32::new(0),
            zombies: Mutex::default(),
            done: AtomicBool::new(false),
        })
    }

    /// From now on nothing more is written.
    pub(super) fn is_all(&self) {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.done.store(true, Ordering::Relaxed);
    }

    /// Sends everything that is written to the function, until it is done.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), String> {
        let (mut begun, mut finished) = (HashSet::new(), HashSet::new());
        let mut shards: JoinSet<(ShardId, bool, Result<(), String>)> = JoinSet::new();
        loop {
            let done = self.done.load(Ordering::Relaxed);
            let ready = self.house.stream.look(|shards| {
                let ready = |shard: &&Shard| {
                    !begun.contains(&shard.id) && shard.parents.iter().all(|parent| finished.contains(parent))
                };
                shards.iter().filter(ready).map(|shard| shard.id.clone()).collect::<Vec<_>>()
            });
            for shard in ready {
                begun.insert(shard.clone());
                shards.spawn(self.clone().shard(shard));
            }
            tokio::select! {
                biased;
                Some(ended) = shards.join_next() => {
                    let (shard, closed, ended) = ended.map_err(|join| format!("the mapping: {join}"))?;
                    ended?;
                    if closed {
                        finished.insert(shard);
                    }
                }
                () = self.house.clock.sleep(Duration::from_secs(1)) => {}
            }
            let all = self.house.stream.look(|shards| shards.iter().all(|shard| begun.contains(&shard.id)));
            if done && all && shards.is_empty() {
                break;
            }
        }
        self.house.clock.sleep(LAST_BREATH).await;
        for (gate, zombie) in self.zombies.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if !zombie.is_finished() {
                self.house.kill(&gate);
            }
            zombie.abort();
        }
        Ok(())
    }

    /// One shard, in as many lanes as batches may be on their way at once.
    async fn shard(self: Arc<Self>, shard: ShardId) -> (ShardId, bool, Result<(), String>) {
        let mut lanes = JoinSet::new();
        for lane in 0..self.house.plan.workers {
            lanes.spawn(self.clone().lane(shard.clone(), lane));
        }
        let (mut closed, mut result) = (true, Ok(()));
        while let Some(ended) = lanes.join_next().await {
            match ended {
                Ok(Ok(to_its_end)) => closed &= to_its_end,
                Ok(Err(why)) => result = Err(why),
                Err(join) => result = Err(format!("a lane of the mapping: {join}")),
            }
        }
        (shard, closed, result)
    }

    /// The records of some items of a shard, batch by batch. Answers whether it came to the shard's end.
    async fn lane(self: Arc<Self>, shard: ShardId, lane: u32) -> Result<bool, String> {
        let number = u64::from(shard.as_str().bytes().fold(lane, |hash, byte| hash.wrapping_mul(31) + u32::from(byte)));
        let mut random = StdRng::seed_from_u64(self.house.plan.seed ^ number << 20);
        let mut next = 0;
        loop {
            let done = self.done.load(Ordering::Relaxed);
            let (items, behind, closed) = self.take(&shard, lane, next);
            if items.is_empty() && (closed || done) {
                return Ok(closed);
            }
            if items.is_empty() {
                self.house.clock.sleep(Duration::from_millis(random.random_range(100..2000))).await;
                continue;
            }
            self.see_to(items, &mut random).await?;
            next = behind;
        }
    }

    /// The next batch of a lane, the place behind it, and whether the shard is closed.
    fn take(&self, id: &ShardId, lane: u32, from: usize) -> (Vec<Item>, usize, bool) {
        let (arn, lanes) = (self.house.stream.identity().id.clone(), self.house.plan.workers);
        self.house.stream.look(|shards| {
            let Some(shard) = shards.iter().find(|shard| shard.id == *id) else { return (Vec::new(), from, true) };
            let (mut items, mut at) = (Vec::new(), from);
            while at < shard.records.len() && items.len() < self.batch {
                let number = shard.records[at].position.sequence;
                let end = at + shard.records[at..].partition_point(|record| record.position.sequence == number);
                if u32::from(shard.records[at].slot) % lanes == lane {
                    items.push(item(&shard.records[at..end], id, &arn, self.house.plan.kinesis));
                }
                at = end;
            }
            (items, at, shard.closed)
        })
    }

    /// Sends a batch until all of it is done.
    async fn see_to(&self, items: Vec<Item>, random: &mut StdRng) -> Result<(), String> {
        let mut waiting = vec![items];
        while let Some(batch) = waiting.pop() {
            let rest = match self.invoke(&batch, random).await? {
                Answer::Done => continue,
                Answer::Pending(first) => {
                    let at = batch.iter().position(|item| item.identifier == first);
                    let at = at.ok_or_else(|| format!("the answer names {first}, which is not in the batch"))?;
                    batch[at..].to_vec()
                }
                Answer::Failed(why) => {
                    tracing::debug!(records = batch.len(), why, "a batch failed");
                    batch
                }
            };
            self.house.clock.sleep(Duration::from_millis(random.random_range(100..2000))).await;
            if self.bisect && rest.len() > 1 {
                let (left, right) = rest.split_at(rest.len() / 2);
                waiting.extend([right.to_vec(), left.to_vec()]);
            } else {
                waiting.push(rest);
            }
        }
        Ok(())
    }

    /// One invocation, and what may become of it. An error is a violation.
    async fn invoke(&self, batch: &[Item], random: &mut StdRng) -> Result<Answer, String> {
        let environment = match self.environment().await {
            Ok(environment) => environment,
            Err(why) => return Ok(Answer::Failed(format!("it did not start: {why}"))),
        };
        let rough = self.house.faults().pauses;
        let mut happens = |probability: f64| tally::fault(rough && random.random_bool(probability));
        let (held, killed, twice) = (happens(0.05), happens(0.1), happens(0.05));
        if twice && let Ok(other) = self.environment().await {
            let call = self.call(&other, batch);
            self.leave(&other.gate, call);
        }
        let mut call = self.call(&environment, batch);
        if held {
            environment.gate.hold(Duration::from_millis(random.random_range(100..120_000)));
        }
        let life = if killed { Duration::from_millis(random.random_range(1..5000)) } else { self.timeout };
        match tokio::time::timeout(life, &mut call).await {
            Ok(Ok(answered)) => {
                if environment.calm == self.house.calm.load(Ordering::Relaxed) {
                    self.warm.lock().unwrap_or_else(PoisonError::into_inner).push(environment);
                }
                match answered {
                    Ok(answer) => read(&answer),
                    Err(why) => Ok(Answer::Failed(why)),
                }
            }
            Ok(Err(join)) => Err(format!("an invocation: {join}")),
            Err(_) if !held && !killed => Err(format!("an invocation did not answer within {:?}", self.timeout)),
            Err(_) => {
                // Whoever is frozen may be thawed, and does not know what has happened meanwhile.
                if held {
                    self.leave(&environment.gate, call);
                } else {
                    self.house.kill(&environment.gate);
                    call.abort();
                }
                Ok(Answer::Failed("it was killed".to_owned()))
            }
        }
    }

    /// Nobody waits for this call any more.
    fn leave(&self, gate: &Gate, call: JoinHandle<Result<String, String>>) {
        let zombie = (gate.clone(), tokio::spawn(async move { drop(call.await) }));
        self.zombies.lock().unwrap_or_else(PoisonError::into_inner).push(zombie);
    }

    fn call(&self, environment: &Environment, batch: &[Item]) -> JoinHandle<Result<String, String>> {
        let records: Vec<&str> = batch.iter().map(|item| item.event.as_str()).collect();
        let event = Bytes::from(format!("{{\"Records\":[{}]}}", records.join(",")));
        let deadline = environment.clock.wall_micros() / 1000 + self.timeout.as_millis() as i64;
        let function = environment.function.clone();
        tokio::spawn(async move { function.invoke(event, deadline).await.map(|answer| answer.get().to_owned()) })
    }

    /// One that waits, or a new one.
    async fn environment(&self) -> Result<Environment, LakeError> {
        if let Some(warm) = self.warm.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(warm);
        }
        let calm = self.house.calm.load(Ordering::Relaxed);
        let process = self.house.process("environment", self.born.fetch_add(1, Ordering::Relaxed));
        let handlers = self.house.handlers(&process);
        let Process { seed, gate, clock, store, .. } = process;
        let lake = Lake::open(store, clock.clone(), self.house.lake_settings(seed)).await?;
        let function = Arc::new(Function::of(self.origin.clone(), lake, handlers, clock.clone()));
        Ok(Environment { calm, function, gate, clock })
    }
}

/// What an answer says.
fn read(answer: &str) -> Result<Answer, String> {
    let said: Value = serde_json::from_str(answer).map_err(|error| format!("the answer {answer}: {error}"))?;
    let failures = said["batchItemFailures"].as_array().ok_or_else(|| format!("the answer {answer}"))?;
    match failures.first().map(|first| first["itemIdentifier"].as_str()) {
        None => Ok(Answer::Done),
        Some(Some(first)) => Ok(Answer::Pending(first.to_owned())),
        Some(None) => Err(format!("the answer {answer}")),
    }
}

/// A record of the service as an event has it.
fn item(records: &[Written], shard: &ShardId, arn: &str, kinesis: bool) -> Item {
    let identifier = records.first().map(|first| first.position.sequence.to_string()).unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    if !kinesis {
        let event = records.iter().map(|record| text(&record.payload)).collect();
        return Item { identifier, event };
    }
    let data = match records {
        [one] => one.payload.clone(),
        several => {
            let user = |record: &Written| UserRecord {
                partition_key: Bytes::from_static(b"key"),
                explicit_hash_key: None,
                data: record.payload.clone(),
            };
            producer::blob(&several.iter().map(user).collect::<Vec<_>>())
        }
    };
    let data = base64_simd::STANDARD.encode_to_string(&data);
    let event = format!(
        r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"key","sequenceNumber":"{identifier}","data":"{data}","approximateArrivalTimestamp":1795132800.5}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"{shard}:{identifier}","eventName":"aws:kinesis:record","awsRegion":"us-east-1","eventSourceARN":"{arn}"}}"#
    );
    Item { identifier, event }
}
