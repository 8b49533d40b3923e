//! Which handlers does a pipeline file mean: what is called, with which changes, and where their dead letters go?

use std::sync::{Arc, Mutex};

use super::{Assembly, AssemblyError};
use crate::change::Record;
use crate::engine::handler::{Filter, HandlerParts};
use crate::handler::dead_letter::{DeadLetters, StoredDeadLetters};
use crate::handler::kinds::{self, Deps};
use crate::handler::lanes::LaneRules;
use crate::handler::{Handler, Limits};
use crate::lake::store::{FolderStore, ObjectStore, S3Store};
use crate::pipeline::spec::{self, OnFailure};
use crate::route;

/// Where in the lake the dead letters of a handler are.
fn in_lake(handler: &str) -> String {
    format!("_watershed/handlers/{handler}/dead-letters")
}

impl Assembly<'_> {
    /// The handlers, ready to be called.
    pub async fn handlers(&self) -> Result<Vec<HandlerParts>, AssemblyError> {
        let mut handlers = Vec::new();
        for handler in &self.pipeline.handlers {
            handlers.push(self.handler(handler).await?);
        }
        Ok(handlers)
    }

    async fn handler(&self, spec: &spec::Handler) -> Result<HandlerParts, AssemblyError> {
        let of = |error: &dyn std::fmt::Display| AssemblyError::Handler(spec.name.clone(), error.to_string());
        Ok(HandlerParts {
            name: spec.name.as_str().into(),
            handler: self.target(spec).await?,
            tables: spec.tables.as_ref().map(|tables| tables.iter().cloned().collect()),
            filter: filter(spec).map_err(|error| of(&error))?,
            rules: LaneRules {
                lanes: spec.parallelization_factor,
                batch_size: spec.batch_size,
                batch_window: spec.batch_window,
                attempts: spec.maximum_retry_attempts + 1,
                bisect: spec.bisect_batch_on_error,
                limits: Limits::default(),
            },
            maximum_record_age: spec.maximum_record_age,
            timeout: spec.timeout,
            dedupe_window: spec.dedupe_window,
            drop_stale: spec.drop_stale,
            dead_letters: self.dead_letters(spec).await?,
        })
    }

    /// What is called.
    pub async fn target(&self, spec: &spec::Handler) -> Result<Arc<dyn Handler>, AssemblyError> {
        let aws = if kinds::needs_aws(&spec.target) { Some(self.aws().await?.clone()) } else { None };
        let out = Arc::new(Mutex::new(std::io::stdout()));
        let deps = Deps { store: self.store().await?, clock: self.clock.clone(), aws, out };
        kinds::build(spec, &deps).map_err(|error| AssemblyError::Handler(spec.name.clone(), error.to_string()))
    }

    async fn dead_letters(&self, spec: &spec::Handler) -> Result<Arc<dyn DeadLetters>, AssemblyError> {
        match &spec.on_failure {
            #[cfg(feature = "handler-sqs")]
            OnFailure::Sqs(queue) => {
                let kept = self.stored_letters(spec).await?;
                Ok(Arc::new(kinds::sqs_letters::QueuedDeadLetters::new(self.aws().await?, queue, kept, &self.clock)))
            }
            #[cfg(not(feature = "handler-sqs"))]
            OnFailure::Sqs(_) => {
                let why = kinds::KindError::NotBuilt("sqs").to_string();
                Err(AssemblyError::Handler(spec.name.clone(), why))
            }
            _ => Ok(Arc::new(self.stored_letters(spec).await?)),
        }
    }

    /// The dead letters of a handler that are objects; those that go into a queue are in the lake, too.
    pub async fn stored_letters(&self, spec: &spec::Handler) -> Result<StoredDeadLetters, AssemblyError> {
        let (store, folder): (Arc<dyn ObjectStore>, String) = match &spec.on_failure {
            OnFailure::Lake | OnFailure::Sqs(_) => (self.store().await?, in_lake(&spec.name)),
            OnFailure::Folder(folder) => (Arc::new(FolderStore::open(folder, &self.clock).await?), spec.name.clone()),
            OnFailure::S3 { bucket, prefix } => {
                (Arc::new(S3Store::new(self.aws().await?.s3().clone(), bucket, prefix)), spec.name.clone())
            }
        };
        Ok(self.letters_in(store, folder))
    }

    /// In the lake: for handlers that no file names.
    pub async fn letters_in_lake(&self, handler: &str) -> Result<StoredDeadLetters, AssemblyError> {
        Ok(self.letters_in(self.store().await?, in_lake(handler)))
    }

    fn letters_in(&self, store: Arc<dyn ObjectStore>, folder: String) -> StoredDeadLetters {
        StoredDeadLetters::new(store, self.clock.clone(), folder)
    }
}

/// The patterns of a handler, compiled once. A change in which they can't be evaluated is delivered: what is not known to
/// be unwanted must not be dropped.
fn filter(spec: &spec::Handler) -> Result<Option<Filter>, route::FilterError> {
    if spec.filter.is_empty() {
        return Ok(None);
    }
    let texts: Vec<&str> = spec.filter.iter().map(|pattern| pattern.json.as_str()).collect();
    let filter = route::Filter::parse(&texts, route::Extensions { typed_numbers: spec.filter_extensions })?;
    let wants = move |record: &Record, arn: Option<&str>| filter.matches(&record.payload, arn).unwrap_or(true);
    Ok(Some(Arc::new(wants)))
}
