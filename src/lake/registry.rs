//! The versions of every table's schema, kept in the lake as a chain of conditional puts.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::schema::{AttributeType, Column, TableRules, TableSchema};
use super::settle::{self, Settled};
use super::store::ObjectStore;
use super::{LakeError, partition};
use crate::change::TableName;
use crate::clock::Clock;

/// All tables' schemas.
pub struct Registry {
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    writer: String,
    tables: Mutex<HashMap<TableName, Arc<Mutex<Versions>>>>,
}

/// The versions of one table, the first at index 0.
type Versions = Vec<Arc<TableSchema>>;

/// A schema object.
#[derive(Serialize, Deserialize)]
struct Stored {
    table: String,
    version: u32,
    columns: Vec<Column>,
    writer: String,
}

impl Registry {
    /// The schemas in `store`; objects are signed with the token `writer`.
    pub fn new(store: Arc<dyn ObjectStore>, clock: Clock, writer: String) -> Self {
        Self { store, clock, writer, tables: Mutex::default() }
    }

    /// The latest version that is known here; version 0 for a table without rows. Another writer may have gone on
    /// since: that is found out when this one wants to.
    pub async fn current(&self, table: &TableName) -> Result<Arc<TableSchema>, LakeError> {
        let versions = self.versions(table).await?;
        let versions = versions.lock().await;
        Ok(versions.last().cloned().unwrap_or_else(|| Arc::new(TableSchema::empty(table))))
    }

    /// Version `version`, which some range names.
    pub async fn version(&self, table: &TableName, version: u32) -> Result<Arc<TableSchema>, LakeError> {
        let versions = self.versions(table).await?;
        let mut versions = versions.lock().await;
        while versions.len() < version as usize {
            let path = path_of(table, versions.len() as u32 + 1);
            let Some(bytes) = settle::read(&*self.store, &self.clock, &path).await? else {
                return Err(LakeError::corrupt(&path, "a range names this schema version, but it is not there"));
            };
            versions.push(parse(&path, &bytes)?);
        }
        match version.checked_sub(1) {
            Some(index) => Ok(versions[index as usize].clone()),
            None => Ok(Arc::new(TableSchema::empty(table))),
        }
    }

    /// A version with columns for what was found. If another writer was faster, its columns stand and ours come behind.
    pub async fn grow(
        &self,
        table: &TableName,
        found: &[(String, AttributeType)],
        rules: &TableRules,
    ) -> Result<Arc<TableSchema>, LakeError> {
        let versions = self.versions(table).await?;
        let mut versions = versions.lock().await;
        loop {
            let current = versions.last().cloned().unwrap_or_else(|| Arc::new(TableSchema::empty(table)));
            let Some(next) = current.grown(found, rules) else { return Ok(current) };
            let (path, object) = (path_of(table, next.version), self.object(&next));
            // Whole: another of our own, which somebody stopped to wait for, may have had other columns.
            let mine = |found: &Bytes| *found == object;
            let settled = settle::settle(&*self.store, &self.clock, &path, object.clone(), mine);
            versions.push(match settled.await? {
                Settled::Mine => Arc::new(next),
                Settled::Theirs(bytes) => parse(&path, &bytes)?,
            });
        }
    }

    /// The versions of a table; those in the lake are read at first sight.
    async fn versions(&self, table: &TableName) -> Result<Arc<Mutex<Versions>>, LakeError> {
        let mut tables = self.tables.lock().await;
        if let Some(known) = tables.get(table) {
            return Ok(known.clone());
        }
        let listed = settle::list(&*self.store, &self.clock, &folder_of(table), None).await?;
        let mut versions = Versions::new();
        for object in listed {
            let bytes = settle::read(&*self.store, &self.clock, &object.path).await?;
            let bytes = bytes.ok_or_else(|| LakeError::corrupt(&object.path, "it was listed, but is not there"))?;
            versions.push(parse(&object.path, &bytes)?);
        }
        let versions = Arc::new(Mutex::new(versions));
        tables.insert(table.clone(), versions.clone());
        Ok(versions)
    }

    fn object(&self, schema: &TableSchema) -> Bytes {
        let stored = Stored {
            table: schema.table.clone(),
            version: schema.version,
            columns: schema.columns.clone(),
            writer: self.writer.clone(),
        };
        // A struct of strings and numbers always serialises.
        serde_json::to_vec_pretty(&stored).unwrap_or_default().into()
    }
}

fn folder_of(table: &str) -> String {
    format!("_watershed/schema/{}", partition::name_segment(table))
}

fn path_of(table: &str, version: u32) -> String {
    format!("{}/{version:06}.json", folder_of(table))
}

fn parse(path: &str, bytes: &Bytes) -> Result<Arc<TableSchema>, LakeError> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, &error.to_string()))?;
    Ok(Arc::new(TableSchema::new(stored.table, stored.version, stored.columns)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::store::{Faults, FaultyStore, MemoryStore};

    #[tokio::test(start_paused = true)]
    async fn a_version_that_nobody_waited_for_is_not_taken_for_another() {
        let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
        let faults = Faults { delay: Duration::from_secs(2), ..Faults::default() };
        let slow = Arc::new(FaultyStore::new(store.clone(), &clock, 1, faults));
        let registry = Registry::new(slow, clock.clone(), "writer".to_owned());
        let (table, rules) = (TableName::from("T"), TableRules { max_columns: 10, ..TableRules::default() });
        let grow = async |name: &str| registry.grow(&table, &[(name.to_owned(), AttributeType::S)], &rules).await;
        tokio::select! {
            biased;
            _ = grow("a") => panic!("it was to be stopped"),
            () = async { while store.count() == 0 { clock.sleep(Duration::from_millis(1)).await } } => {}
        }
        let grown = grow("b").await.unwrap();
        let names: Vec<&str> = grown.columns.iter().map(|column| &*column.attribute).collect();
        assert_eq!((grown.version, names), (2, vec!["a", "b"]));
        let objects = store.objects();
        let stored = objects.iter().map(|(path, bytes)| parse(path, bytes).unwrap());
        assert_eq!(stored.map(|schema| schema.columns.len()).collect::<Vec<_>>(), [1, 2]);
    }
}
