//! What does a backfill stand on? The parts that a pipeline file describes; in a simulated world others.

use std::sync::Arc;

use crate::assembly::{Assembly, AssemblyError};
use crate::change::TableName;
use crate::checkpoint::StateStore;
use crate::clock::Clock;
use crate::engine::EngineSettings;
use crate::engine::handler::HandlerParts;
use crate::lake::Lake;
use crate::lake::latest::states::Order;
use crate::source::export::{Export, Made, Target};
use crate::source::scan::{LastKeys, ScanOf, ScanStream};
use crate::source::{StreamFinder, StreamIdentity, TableFacts};

/// The parts of a backfill. What each is, [`Assembly`] says.
pub(crate) trait Ground: Send + Sync {
    /// Time and randomness.
    fn clock(&self) -> &Clock;

    /// The tables whose items are read, each with what it is called to the service.
    fn tables(&self) -> Vec<(TableName, String)>;

    /// How the engine behaves.
    fn engine_settings(&self, once: bool) -> EngineSettings;

    /// What a table says of itself.
    fn table_facts(&self, table: &str) -> impl Future<Output = Result<TableFacts, AssemblyError>> + Send;

    /// The streams of the source.
    fn finder(&self) -> impl Future<Output = Result<Arc<dyn StreamFinder>, AssemblyError>> + Send;

    /// The state, taken; or refused, because a daemon has it.
    fn state(&self) -> impl Future<Output = Result<Arc<dyn StateStore>, AssemblyError>> + Send;

    /// The state, only to look at.
    fn state_to_look_at(&self) -> impl Future<Output = Result<Arc<dyn StateStore>, AssemblyError>> + Send;

    /// The lake, for the tail.
    fn lake(&self) -> impl Future<Output = Result<Arc<Lake>, AssemblyError>> + Send;

    /// The lake, for tables whose keys are known.
    fn lake_for(
        &self,
        tables: &[(TableName, Vec<String>)],
    ) -> impl Future<Output = Result<Arc<Lake>, AssemblyError>> + Send;

    /// The handlers, for the tail.
    fn handlers(&self) -> impl Future<Output = Result<Vec<HandlerParts>, AssemblyError>> + Send;

    /// A scan of a table.
    fn scan(
        &self,
        identity: StreamIdentity,
        of: ScanOf,
        prefix: &str,
        last_keys: Arc<dyn LastKeys>,
    ) -> impl Future<Output = Result<Arc<ScanStream>, AssemblyError>> + Send;

    /// By what the changes of an item are ordered.
    fn order(&self) -> Order;

    /// Whether an export of a table can be made.
    fn can_be_exported(&self, table: &TableFacts) -> impl Future<Output = Result<(), AssemblyError>> + Send;

    /// Has an export of a table made.
    fn new_export(
        &self,
        table: &TableFacts,
        to: &Target,
        purpose: &str,
    ) -> impl Future<Output = Result<Made, AssemblyError>> + Send;

    /// Exports, with sound manifests.
    fn exports(&self, uris: &[String]) -> impl Future<Output = Result<Vec<Export>, AssemblyError>> + Send;
}

impl Ground for Assembly<'_> {
    fn clock(&self) -> &Clock {
        self.clock()
    }

    fn tables(&self) -> Vec<(TableName, String)> {
        self.tables()
    }

    fn engine_settings(&self, once: bool) -> EngineSettings {
        self.engine_settings(once)
    }

    async fn table_facts(&self, table: &str) -> Result<TableFacts, AssemblyError> {
        self.table_facts(table).await
    }

    async fn finder(&self) -> Result<Arc<dyn StreamFinder>, AssemblyError> {
        self.finder().await
    }

    async fn state(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        self.state().await
    }

    async fn state_to_look_at(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        self.state_to_look_at().await
    }

    async fn lake(&self) -> Result<Arc<Lake>, AssemblyError> {
        self.lake().await
    }

    async fn lake_for(&self, tables: &[(TableName, Vec<String>)]) -> Result<Arc<Lake>, AssemblyError> {
        self.lake_for(tables).await
    }

    async fn handlers(&self) -> Result<Vec<HandlerParts>, AssemblyError> {
        self.handlers().await
    }

    async fn scan(
        &self,
        identity: StreamIdentity,
        of: ScanOf,
        prefix: &str,
        last_keys: Arc<dyn LastKeys>,
    ) -> Result<Arc<ScanStream>, AssemblyError> {
        self.scan(identity, of, prefix, last_keys).await
    }

    fn order(&self) -> Order {
        self.order()
    }

    async fn can_be_exported(&self, table: &TableFacts) -> Result<(), AssemblyError> {
        self.can_be_exported(table).await
    }

    async fn new_export(&self, table: &TableFacts, to: &Target, purpose: &str) -> Result<Made, AssemblyError> {
        self.new_export(table, to, purpose).await
    }

    async fn exports(&self, uris: &[String]) -> Result<Vec<Export>, AssemblyError> {
        self.exports(uris).await
    }
}
