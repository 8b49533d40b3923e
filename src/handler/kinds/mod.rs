//! Which targets can a handler have? One module for each `type` of a pipeline file, and what they share.

mod aws;
#[cfg(any(feature = "handler-sqs", feature = "handler-sns", feature = "handler-eventbridge"))]
#[cfg_attr(
    not(all(feature = "handler-sqs", feature = "handler-sns", feature = "handler-eventbridge")),
    allow(dead_code, reason = "no kind needs all of it")
)]
mod batches;
pub mod dynamodb;
#[cfg(feature = "handler-eventbridge")]
pub mod eventbridge;
pub mod exec;
#[cfg(feature = "handler-lambda")]
pub mod lambda;
pub mod log;
mod payloads;
mod report;
mod secret;
#[cfg(feature = "handler-sns")]
pub mod sns;
#[cfg(feature = "handler-sqs")]
pub mod sqs;
#[cfg(feature = "handler-sqs")]
pub mod sqs_letters;
pub mod webhook;

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::Handler;
use super::payload::{Format, TemplateError};
use crate::clock::Clock;
use crate::lake::store::ObjectStore;
use crate::pipeline::spec::{self, Target};
use crate::source::{Aws, AwsError};

pub use payloads::Payloads;
pub use secret::SecretError;

/// Where a `log` handler writes: the standard output, as a rule.
pub type Out = Arc<Mutex<dyn Write + Send>>;

/// What handlers are made of besides what the pipeline file says.
pub struct Deps {
    /// The lake's store, for payloads that are too large.
    pub store: Arc<dyn ObjectStore>,
    /// Time.
    pub clock: Clock,
    /// The AWS configuration; needed by the types for which [`needs_aws`] says so.
    pub aws: Option<Arc<Aws>>,
    /// Where `log` writes.
    pub out: Out,
}

/// Why a handler can't be made. The text says the cure.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// AWS can't be reached at all.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There was no AWS configuration to make it of.
    #[error("it needs an AWS configuration")]
    NoAws,
    /// The template is none.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A secret is not where the file says, or is none.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The URL of a webhook is not one that may be called.
    #[error("url: {0}")]
    Url(#[from] webhook::address::NotATarget),
    /// There is no HTTP client to be had.
    #[error("no HTTPS: {0}")]
    Http(String),
    /// This build leaves the type out.
    #[error("this build has no `{0}` handlers: build watershed with `--features handler-{0}`")]
    NotBuilt(&'static str),
}

/// Whether handlers of this target call AWS.
pub fn needs_aws(target: &Target) -> bool {
    !matches!(target, Target::Webhook { .. } | Target::Exec { .. } | Target::Log)
}

/// Makes the handler that the pipeline file describes. Nothing is called yet, and no process started.
///
/// # Errors
/// [`KindError`]: what the file says can't be had on this machine.
pub fn build(handler: &spec::Handler, deps: &Deps) -> Result<Arc<dyn Handler>, KindError> {
    let payloads = |most: usize| -> Result<Payloads, KindError> {
        let format = Format::new(&handler.payload)?;
        Ok(Payloads::new(&handler.name, format, deps.store.clone(), most))
    };
    let aws = || deps.aws.as_deref().ok_or(KindError::NoAws);
    Ok(match &handler.target {
        Target::Webhook { url, secrets, allow_private } => {
            let endpoint = webhook::Endpoint { url, secrets, allow_private: *allow_private };
            let payloads = payloads(webhook::MAX_PAYLOAD)?;
            Arc::new(webhook::Webhook::new(handler, &endpoint, payloads, deps.clock.clone(), webhook::system_lookup())?)
        }
        Target::Exec { command } => {
            Arc::new(exec::Exec::new(handler, command, payloads(usize::MAX)?, deps.clock.clone()))
        }
        Target::Log => Arc::new(log::Log::new(payloads(usize::MAX)?, deps.out.clone(), deps.clock.clone())),
        Target::DynamoDb { table, region, role, loop_attribute } => {
            let place = dynamodb::Replica { table, region: region.as_deref(), role: role.as_deref() };
            Arc::new(dynamodb::DynamoDb::new(aws()?, handler, &place, loop_attribute.clone()))
        }
        #[cfg(feature = "handler-lambda")]
        Target::Lambda { function } => {
            Arc::new(lambda::Lambda::new(aws()?, handler, function, payloads(lambda::MAX_PAYLOAD)?))
        }
        #[cfg(feature = "handler-sqs")]
        Target::Sqs { queue } => Arc::new(sqs::Sqs::new(aws()?, handler, queue, payloads(batches::MAX_PAYLOAD)?)),
        #[cfg(feature = "handler-sns")]
        Target::Sns { topic } => Arc::new(sns::Sns::new(aws()?, handler, topic, payloads(batches::MAX_PAYLOAD)?)),
        #[cfg(feature = "handler-eventbridge")]
        Target::EventBridge { bus, source, detail_type } => {
            let event = eventbridge::Event { bus, source, detail_type: detail_type.as_deref() };
            Arc::new(eventbridge::EventBridge::new(aws()?, handler, &event, payloads(batches::MAX_PAYLOAD)?))
        }
        #[allow(unreachable_patterns, reason = "reached where a feature is off")]
        left_out => return Err(KindError::NotBuilt(left_out.type_name())),
    })
}
