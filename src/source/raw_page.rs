//! How the raw body of a `GetRecords` answer gets past the SDK's parser.
//!
//! [`RawPage`] is an interceptor for one call. When the service answered with success, it puts a deserializer of ours
//! in front of the SDK's: ours keeps the body and answers an empty output. Signing, retries, endpoints and errors stay
//! the SDK's own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;

/// Keeps the body of one successful answer. Clones share it: give one to `interceptor()`, ask the other one.
pub(super) struct RawPage<O> {
    kept: Arc<Mutex<Option<Bytes>>>,
    /// The operation's output type, empty: the SDK insists on getting one.
    empty: fn() -> Result<O, BoxError>,
}

impl<O> RawPage<O> {
    /// For an operation whose empty output `empty` makes.
    pub(super) fn new(empty: fn() -> Result<O, BoxError>) -> Self {
        Self { kept: Arc::default(), empty }
    }

    /// The body, once the call has succeeded.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<O> Clone for RawPage<O> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone(), empty: self.empty }
    }
}

impl<O> fmt::Debug for RawPage<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawPage")
    }
}

impl<O: fmt::Debug + Send + Sync + 'static> Intercept for RawPage<O> {
    fn name(&self) -> &'static str {
        "RawPage"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().status().is_success() {
            config.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        }
        Ok(())
    }
}

impl<O: fmt::Debug + Send + Sync + 'static> DeserializeResponse for RawPage<O> {
    fn deserialize_nonstreaming_with_config(&self, response: &HttpResponse, _: &ConfigBag) -> OutputOrError {
        // An attempt whose body broke off leaves this deserializer behind for the next attempt, whatever that brings.
        if !response.status().is_success() {
            return Err(OrchestratorError::other(format!("HTTP status {}", response.status())));
        }
        // The SDK has read the body into memory by now; such a body is cloned by counting references.
        let body = response.body().try_clone().ok_or_else(|| OrchestratorError::other("the body was not read"))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Bytes::from_owner(InMemory(body)));
        (self.empty)().map(Output::erase).map_err(OrchestratorError::other)
    }
}

/// A body that was read into memory, as the owner of its bytes.
struct InMemory(SdkBody);

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}
