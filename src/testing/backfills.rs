//! Backfills in a world: the product's own, on the world's ground, over a simulated table that can be scanned.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::gate::{Found, Gate};
use super::house::{House, Process};
use super::judge::Objects;
use super::tables::Tables;
use super::tally;
use crate::BoxFuture;
use crate::assembly::AssemblyError;
use crate::backfill::{BackfillError, Ground, Wanted, run_on};
use crate::change::TableName;
use crate::checkpoint::{StateError, StateStore};
use crate::clock::Clock;
use crate::engine::handler::HandlerParts;
use crate::engine::{EngineSettings, OnGap};
use crate::lake::Lake;
use crate::lake::generation::Generation;
use crate::lake::latest::states::Order;
use crate::lake::range::Range;
use crate::source::export::{Export, Made, Target};
use crate::source::scan::{LastKeys, ScanOf, ScanStream, TablePages};
use crate::source::{KeyAttribute, KeyKind, StreamError, StreamFinder, StreamIdentity, TableFacts};

/// A process that backfills.
pub(super) struct Backfilling {
    pub(super) gate: Gate,
    pub(super) task: JoinHandle<Result<(), BackfillError>>,
}

impl House {
    /// Starts a backfill of all tables. `held`: a daemon has the state; otherwise the backfill has a tail of its own.
    pub(super) fn backfill(&self, number: u32, on_gap: OnGap, held: bool) -> Result<Backfilling, String> {
        let process = self.process("backfill", number);
        let origin = match self.plan.kinesis {
            true => "type = \"kinesis\"\nstream = \"changes\"",
            false => "type = \"dynamodb-streams\"\ntables = [\"Table0\"]",
        };
        let text = format!("name = \"simulated\"\nmemory = \"64 MiB\"\n[source]\n{origin}\n[lake]\npath = \"lake\"\n");
        let pipeline = crate::pipeline::read("simulated.toml", &text).map_err(|wrong| format!("{wrong:?}"))?;
        let segments = Some(1 + self.plan.seed as u32 % 3);
        let wanted = Wanted { segments, ..Wanted::default() };
        let gate = process.gate.clone();
        let ground = WorldGround { house: self.clone(), process, on_gap, held };
        let task = tokio::spawn(async move { run_on(&ground, &pipeline, &wanted, &mut Vec::new()).await });
        Ok(Backfilling { gate, task })
    }
}

/// Whether the latest generation of every table is complete, and no gap was found since it began.
pub(super) fn is_complete(objects: &Objects, tables: &[&str]) -> bool {
    tables.iter().all(|table| {
        let folder = format!("_watershed/generations/{table}/");
        let begun = objects.iter().filter(|(path, _)| path.starts_with(&folder) && !path.contains(".done."));
        let latest = begun.filter_map(|(_, bytes)| serde_json::from_slice::<Generation>(bytes).ok()).last();
        let Some(Generation { generation, .. }) = latest else { return false };
        let gaps = objects.iter().filter(|(path, _)| path.starts_with("_watershed/gaps/"));
        let mut since = gaps.filter_map(|(_, bytes)| Range::parse(bytes).ok()?.gap);
        objects.contains_key(&format!("{folder}{generation:06}.done.json"))
            && !since.any(|gap| gap.generations.get(*table).is_some_and(|known| *known >= generation))
    })
}

/// The parts of a backfill in a world.
struct WorldGround {
    house: House,
    process: Process,
    on_gap: OnGap,
    held: bool,
}

impl Ground for WorldGround {
    fn clock(&self) -> &Clock {
        &self.process.clock
    }

    fn tables(&self) -> Vec<(TableName, String)> {
        self.house.tables.names().into_iter().map(|name| (name.into(), name.to_owned())).collect()
    }

    fn engine_settings(&self, once: bool) -> EngineSettings {
        self.house.engine_settings(self.process.seed, self.on_gap, once)
    }

    async fn table_facts(&self, table: &str) -> Result<TableFacts, AssemblyError> {
        let items = self.house.tables.items(table).len() as u64;
        Ok(TableFacts {
            name: table.into(),
            keys: vec![KeyAttribute { name: "Id".to_owned(), kind: KeyKind::String }],
            arn: format!("arn:aws:dynamodb:eu-central-1:111122223333:table/{table}"),
            stream: None,
            read_capacity: None,
            items,
            bytes: items * 100,
            view_type: Some("NEW_AND_OLD_IMAGES".to_owned()),
        })
    }

    async fn finder(&self) -> Result<Arc<dyn StreamFinder>, AssemblyError> {
        Ok(Arc::new(Found(self.process.stream.clone())))
    }

    async fn state(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        match self.held {
            true => Err(StateError::Held("a daemon".to_owned()).into()),
            false => Ok(self.process.state.clone()),
        }
    }

    async fn state_to_look_at(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        Ok(self.process.state.clone())
    }

    async fn lake(&self) -> Result<Arc<Lake>, AssemblyError> {
        let Process { seed, clock, store, .. } = &self.process;
        Ok(Lake::open(store.clone(), clock.clone(), self.house.lake_settings(*seed)).await?)
    }

    async fn lake_for(&self, _: &[(TableName, Vec<String>)]) -> Result<Arc<Lake>, AssemblyError> {
        self.lake().await
    }

    async fn handlers(&self) -> Result<Vec<HandlerParts>, AssemblyError> {
        Ok(self.house.handlers(&self.process))
    }

    async fn scan(
        &self,
        identity: StreamIdentity,
        of: ScanOf,
        prefix: &str,
        last_keys: Arc<dyn LastKeys>,
    ) -> Result<Arc<ScanStream>, AssemblyError> {
        let Process { seed, gate, clock, .. } = &self.process;
        let table = SimulatedTable {
            tables: self.house.tables.clone(),
            gate: gate.clone(),
            clock: clock.clone(),
            faults: self.house.faults().stream,
            random: Mutex::new(StdRng::seed_from_u64(seed ^ 0x5ca9)),
        };
        Ok(ScanStream::new(Arc::new(table), identity, of, prefix, last_keys, clock.clone()))
    }

    fn order(&self) -> Order {
        Order::Sequence
    }

    async fn can_be_exported(&self, _: &TableFacts) -> Result<(), AssemblyError> {
        Err(StreamError::Fatal("a world makes no exports".to_owned()).into())
    }

    async fn new_export(&self, table: &TableFacts, _: &Target, _: &str) -> Result<Made, AssemblyError> {
        self.can_be_exported(table).await.map(|()| Made::FailedEarlier)
    }

    async fn exports(&self, _: &[String]) -> Result<Vec<Export>, AssemblyError> {
        Ok(Vec::new())
    }
}

/// A table that can be scanned, each item as it is when it is read.
struct SimulatedTable {
    tables: Tables,
    gate: Gate,
    clock: Clock,
    faults: bool,
    random: Mutex<StdRng>,
}

impl SimulatedTable {
    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, of: &ScanOf, segment: i32, behind: Option<&str>) -> Result<Bytes, StreamError> {
        self.clock.sleep(Duration::from_millis(self.draw(|random| random.random_range(1..3000)))).await;
        let fault = self.faults && tally::fault(self.draw(|random| random.random_bool(0.1)));
        if fault {
            return Err(match self.draw(|random| random.random_bool(0.5)) {
                true => StreamError::Throttled("simulated".to_owned()),
                false => StreamError::Transient("simulated".to_owned()),
            });
        }
        let behind: Option<Value> = behind
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| StreamError::Fatal(format!("the key behind which the scan goes on is no key: {error}")))?;
        let behind = behind.map(|key| place_of(key["Id"]["S"].as_str().unwrap_or_default()));
        let mut items: Vec<(u32, String, Value)> = self
            .tables
            .items(&of.table)
            .into_iter()
            .map(|(key, image)| (place_of(&key), key, image))
            .filter(|(place, ..)| {
                (place % of.segments) as i32 == segment && behind.is_none_or(|behind| *place > behind)
            })
            .collect();
        items.sort_by_key(|(place, ..)| *place);
        let limit = self.draw(|random| random.random_range(1..8));
        let more = items.len() > limit;
        items.truncate(limit);
        let mut answer = json!({"ConsumedCapacity": {"TableName": of.table, "CapacityUnits": 0.5}});
        if let Some((_, key, _)) = items.last().filter(|_| more) {
            answer["LastEvaluatedKey"] = json!({"Id": {"S": key}});
        }
        answer["Items"] = items.into_iter().map(|(_, _, image)| image).collect();
        let text = answer.to_string();
        self.clock.sleep(Duration::from_millis(self.draw(|random| random.random_range(1..3000)))).await;
        Ok(Bytes::from(text))
    }
}

/// Where an item lies in a scan: as the service has it, in no order that anybody knows.
fn place_of(key: &str) -> u32 {
    key.bytes().fold(7, |place: u32, byte| (place ^ u32::from(byte)).wrapping_mul(0x9e37_79b1)).rotate_left(11)
}

impl TablePages for SimulatedTable {
    fn page<'a>(
        &'a self,
        of: &'a ScanOf,
        segment: i32,
        behind: Option<&'a str>,
        _limit: Option<i32>,
    ) -> BoxFuture<'a, Result<Bytes, StreamError>> {
        Box::pin(async move {
            let answer = self.gate.through(self.answer(of, segment, behind)).await;
            let (table, said) = (&of.table, answer.as_ref().map(|page| String::from_utf8_lossy(page).into_owned()));
            tracing::debug!(process = self.gate.process(), table, segment, behind, ?said, "scan");
            answer
        })
    }
}
