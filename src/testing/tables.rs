//! The tables of a world and who writes them: items with attributes that come and go, and a stream of their changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::plan::Plan;
use super::store::MemoryStore;
use super::stream::SimulatedStream;
use crate::change::SequenceNumber;
use crate::clock::Clock;

/// Items that changes are of.
const ITEMS: u32 = 40;

/// Items that were there before the stream was; most of them never change.
const OLD_ITEMS: std::ops::Range<u32> = 30..60;

/// The tables, as a reader that reads consistently finds them. Clones are the same tables.
#[derive(Clone, Default)]
pub struct Tables {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    kinesis: bool,
    items: BTreeMap<u32, Value>,
    /// All that became of an item.
    versions: BTreeMap<u32, Vec<Version>>,
}

/// What an item was like, from a moment on. Moments are numbers of objects that the lake had then.
struct Version {
    image: Option<Value>,
    made: usize,
    /// When the stream told of it.
    told: Option<usize>,
}

impl Tables {
    /// The tables of a plan. With backfills there are items that no stream knows.
    pub fn new(plan: &Plan, random: &mut StdRng) -> Self {
        let tables = Self::default();
        let mut inner = tables.lock();
        inner.kinesis = plan.kinesis;
        if plan.backfills > 0 {
            for id in OLD_ITEMS {
                let image = image(id, 0, random);
                inner.put(id, Some(image), 0);
                inner.tell(id, 0);
            }
        }
        drop(inner);
        tables
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all tables.
    pub fn names(&self) -> Vec<&'static str> {
        if self.lock().kinesis { vec!["Table0", "Table1"] } else { vec!["Table0"] }
    }

    /// The items of a table at this moment, by their keys.
    pub fn items(&self, table: &str) -> BTreeMap<String, Value> {
        let inner = self.lock();
        let of_table = inner.items.iter().filter(|(id, _)| inner.table_of(**id) == table);
        of_table.map(|(id, image)| (key_of(*id), image.clone())).collect()
    }

    /// Whether an item is in the second table.
    pub fn is_in_second(&self, key: &str) -> bool {
        id_of(key).is_some_and(|id| self.lock().table_of(id) == "Table1")
    }

    /// Whether an item ever was like this.
    pub fn had(&self, key: &str, image: &Value) -> bool {
        let inner = self.lock();
        let versions = id_of(key).and_then(|id| inner.versions.get(&id));
        versions.is_some_and(|versions| versions.iter().any(|version| version.image.as_ref() == Some(image)))
    }

    /// The items of a table of which the lake has to know at the moment `at` all that the stream had told by `read`: those
    /// of which nothing else happened in between. `None`: removed.
    pub fn known_at(&self, table: &str, read: usize, at: usize) -> BTreeMap<String, Option<Value>> {
        let inner = self.lock();
        let of_table = inner.versions.iter().filter(|(id, _)| inner.table_of(**id) == table);
        let state = of_table.filter_map(|(id, versions)| {
            let is_told = |version: &&Version| version.told.is_some_and(|told| told <= read);
            let between = versions.iter().filter(|version| !is_told(version)).any(|version| version.made < at);
            let last = versions.iter().rfind(is_told).filter(|_| !between)?;
            Some((key_of(*id), last.image.clone()))
        });
        state.collect()
    }
}

impl Inner {
    fn table_of(&self, id: u32) -> &'static str {
        if self.kinesis && id % 2 == 1 { "Table1" } else { "Table0" }
    }

    fn put(&mut self, id: u32, image: Option<Value>, made: usize) -> Option<Value> {
        self.versions.entry(id).or_default().push(Version { image: image.clone(), made, told: None });
        match image {
            Some(image) => self.items.insert(id, image),
            None => self.items.remove(&id),
        }
    }

    /// The stream has told of all that became of an item.
    fn tell(&mut self, id: u32, now: usize) {
        for version in self.versions.entry(id).or_default() {
            version.told.get_or_insert(now);
        }
    }
}

fn key_of(id: u32) -> String {
    format!("item-{id}")
}

fn id_of(key: &str) -> Option<u32> {
    key.strip_prefix("item-")?.parse().ok()
}

/// Writes items at moments of its own, and makes the stream change its shards.
pub struct Writer {
    /// How much, and of which kind.
    pub plan: Plan,
    /// What is written.
    pub tables: Tables,
    /// What tells of it.
    pub stream: SimulatedStream,
    /// The lake, whose growth is the time of the tables' history.
    pub objects: Arc<MemoryStore>,
    /// The world's time.
    pub clock: Clock,
    /// While this is so, hours lie between two writes.
    pub slow: watch::Receiver<bool>,
}

impl Writer {
    /// Writes all there is to write.
    pub async fn run(mut self) {
        let mut random = StdRng::seed_from_u64(self.plan.seed ^ 0xbeef);
        for number in 0..self.plan.changes {
            self.pause(&mut random).await;
            if random.random_bool(0.03) {
                self.stream.reshard();
            }
            let id = random.random_range(0..ITEMS);
            let count = if self.plan.kinesis { random.random_range(1..4) } else { 1 };
            let mut events = Vec::new();
            for sub in 0..count {
                let garbage = random.random_bool(0.01) && (self.plan.kinesis || !self.plan.function);
                events.push((!garbage).then(|| self.change(id, number * 4 + sub, &mut random)));
            }
            if self.plan.backfills > 0 {
                // The stream tells a moment later.
                self.clock.sleep(Duration::from_millis(random.random_range(0..500))).await;
            }
            let source = (!self.plan.kinesis).then(|| self.stream_id());
            self.stream.write_numbered((id % 16) as u8, |sequence| {
                events.into_iter().map(|event| bytes_of(event, source.as_deref(), sequence)).collect()
            });
            self.tables.lock().tell(id, self.objects.count());
        }
    }

    fn stream_id(&self) -> String {
        use crate::source::StreamApi as _;
        self.stream.identity().id.clone()
    }

    async fn pause(&mut self, random: &mut StdRng) {
        let (millis, seconds) = (random.random_range(0..800), random.random_range(60..3 * 3600));
        let pause =
            if *self.slow.borrow_and_update() { Duration::from_secs(seconds) } else { Duration::from_millis(millis) };
        tokio::select! {
            biased;
            () = self.clock.sleep(pause) => {}
            // Nobody is there any more who could change it: the pause is as long as it was.
            Ok(()) = self.slow.changed() => {}
        }
    }

    /// One change of an item: a new version of it, or its end.
    fn change(&self, id: u32, version: u32, random: &mut StdRng) -> Value {
        let mut inner = self.tables.lock();
        let exists = inner.items.contains_key(&id);
        let new = (!exists || random.random_bool(0.8)).then(|| image(id, version, random));
        let old = inner.put(id, new.clone(), self.objects.count());
        let event = match (&old, &new) {
            (None, _) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (Some(_), None) => "REMOVE",
        };
        let at = self.clock.wall_micros() / 1000;
        let mut dynamodb = json!({"Keys": {"Id": {"S": key_of(id)}}});
        if self.plan.kinesis {
            dynamodb["ApproximateCreationDateTime"] = json!(at);
            dynamodb["ApproximateCreationDateTimePrecision"] = json!("MILLISECOND");
        } else {
            dynamodb["ApproximateCreationDateTime"] = json!(at / 1000);
        }
        if let Some(new) = new {
            dynamodb["NewImage"] = new;
        }
        if let Some(old) = old {
            dynamodb["OldImage"] = old;
        }
        let mut change = json!({"eventID": format!("event-{version}"), "eventName": event, "dynamodb": dynamodb});
        if self.plan.kinesis {
            change["tableName"] = json!(inner.table_of(id));
        }
        change
    }
}

/// A record as the service has it: DynamoDB's says its number and its stream.
fn bytes_of(change: Option<Value>, source: Option<&str>, sequence: SequenceNumber) -> Bytes {
    let Some(mut change) = change else { return Bytes::from_static(b"\xffnot a change") };
    if let Some(source) = source {
        change["dynamodb"]["SequenceNumber"] = json!(sequence.to_string());
        change["eventSource"] = json!("aws:dynamodb");
        change["eventSourceARN"] = json!(source);
    }
    Bytes::from(change.to_string())
}

fn image(id: u32, version: u32, random: &mut StdRng) -> Value {
    let mut new = json!({"Id": {"S": key_of(id)}, "Version": {"N": version.to_string()}});
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
    new
}
