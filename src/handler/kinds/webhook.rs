//! How are changes sent to an HTTP endpoint? By the rules of Standard Webhooks 1.0.
//!
//! What an answer means is in [`answer`], which machines may be called in [`address`] and [`resolver`].

pub mod address;
pub mod answer;
pub mod resolver;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use sha2::{Digest as _, Sha256};

use super::payloads::outcome;
use super::report::{self, Report};
use super::secret::{Key, signatures};
use super::{KindError, Payloads};
use crate::BoxFuture;
use crate::clock::Clock;
use crate::handler::payload::{Format, is_json};
use crate::handler::{Delivery, Failure, Handler, HandlerError, Limits, Outcome, Verdict};
use crate::pipeline::spec::{self, SecretRef};

pub use resolver::{Lookup, system_lookup};

/// A payload that is larger becomes a reference: 1 MiB.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// The most bytes of records that a call brings: 1 MiB.
pub const MAX_BODY: usize = 1 << 20;
/// The most bytes of an answer that are read: 64 KiB.
pub const MAX_ANSWER: usize = 64 << 10;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What each message has behind its address.
const USER_AGENT: &str = concat!("watershed/", env!("CARGO_PKG_VERSION"));

/// Where calls go, as the pipeline file says.
pub struct Endpoint<'a> {
    /// The URL.
    pub url: &'a str,
    /// What calls are signed with.
    pub secrets: &'a [SecretRef],
    /// Whether a private address may be called.
    pub allow_private: bool,
}

/// A handler of `type = "webhook"`.
pub struct Webhook {
    client: Client,
    url: Url,
    keys: Vec<Key>,
    payloads: Payloads,
    clock: Clock,
    batches: bool,
    report_failures: bool,
}

impl Webhook {
    /// Fetches the secrets and makes the client; `lookup` turns names into addresses.
    ///
    /// # Errors
    /// A secret that is not there, a URL that may not be called, no root certificates.
    pub fn new(
        handler: &spec::Handler,
        endpoint: &Endpoint<'_>,
        payloads: Payloads,
        clock: Clock,
        lookup: Lookup,
    ) -> Result<Self, KindError> {
        let url = address::target(endpoint.url, endpoint.allow_private)?;
        let keys = endpoint.secrets.iter().map(Key::fetch).collect::<Result<_, _>>()?;
        let client = client(&url, endpoint.allow_private, handler.timeout, lookup).map_err(KindError::Http)?;
        let (batches, report_failures) = (handler.batch_size > 1, handler.report_batch_item_failures);
        Ok(Self { client, url, keys, payloads, clock, batches, report_failures })
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let in_list = |payload: &str| match is_json(payload) {
            true => Ok(()),
            false => Err("the template writes no JSON, which a list of changes (`batch_size`) is made of"),
        };
        let written =
            self.payloads.write(delivery, |payload| if self.batches { in_list(payload) } else { Ok(()) }).await?;
        let mut failures = written.failures;
        let ids: Vec<(usize, String)> =
            written.payloads.iter().map(|(index, _)| (*index, self.payloads.id(&delivery.changes[*index]))).collect();
        let calls: Vec<(Vec<(usize, String)>, String)> = if self.batches {
            let bodies: Vec<&str> = written.payloads.iter().map(|(_, payload)| payload.as_str()).collect();
            if ids.is_empty() { Vec::new() } else { vec![(ids, format!("[{}]", bodies.join(",")))] }
        } else {
            ids.into_iter().zip(written.payloads).map(|(id, (_, payload))| (vec![id], payload)).collect()
        };
        for (number, (ids, body)) in calls.into_iter().enumerate() {
            match self.send(&ids, body).await {
                Ok(failed) => failures.extend(failed),
                // With nothing handled before, the call as a whole has failed.
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    let retry = !matches!(error, HandlerError::Refused(_));
                    failures.extend(ids.iter().map(|(index, _)| Failure {
                        index: *index,
                        why: error.to_string(),
                        verdict: Verdict::of(retry),
                    }));
                }
            }
        }
        Ok(outcome(failures))
    }

    /// Sends one message; answers which of its changes failed.
    async fn send(&self, ids: &[(usize, String)], body: String) -> Result<Vec<Failure>, HandlerError> {
        let id = message_id(ids);
        let timestamp = self.clock.wall_micros().div_euclid(1_000_000);
        let json = !matches!(self.payloads.format(), Format::Template(_)) || is_json(&body);
        let content_type = if json { "application/json" } else { "text/plain; charset=utf-8" };
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, content_type)
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures(&self.keys, &id, timestamp, body.as_bytes()));
        let response = request.body(body).send().await.map_err(|error| answer::no_answer(&error, &self.url))?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = header.and_then(|value| answer::retry_after(value, self.clock.wall_micros()));
            return Err(answer::refusal(status, after, &address::shown(&self.url)));
        }
        if !self.report_failures || !says_json(response.headers().get(CONTENT_TYPE)) {
            return Ok(Vec::new());
        }
        let Some(said) = read_capped(response).await.map_err(|error| answer::no_answer(&error, &self.url))? else {
            return Ok(Vec::new());
        };
        let Ok(said) = serde_json::from_slice(&said) else { return Ok(Vec::new()) };
        match report::read(&said, |named| ids.iter().position(|(_, id)| id == named)) {
            Report::Done => Ok(Vec::new()),
            Report::Invalid => Err(HandlerError::Failed("the answer names a change that was not in the call".into())),
            Report::Failed(places) => {
                let failure = |place: usize| {
                    let why = "the endpoint says that it failed".to_owned();
                    Failure { index: ids[place].0, why, verdict: Verdict::Retry }
                };
                Ok(places.into_iter().map(failure).collect())
            }
        }
    }
}

impl Handler for Webhook {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }

    fn limits(&self) -> Limits {
        // Without lists each change is a message of its own, one after the other.
        let changes = if self.batches { usize::MAX } else { 1 };
        // An answer may fail an earlier change of an item and take a later one.
        Limits { changes, bytes: MAX_BODY, several_of_one_item: false }
    }
}

/// The message's id: that of its one change, or one made of those of all its changes.
fn message_id(ids: &[(usize, String)]) -> String {
    if let [(_, only)] = ids {
        return only.clone();
    }
    let mut hash = Sha256::new();
    for (_, id) in ids {
        hash.update(id);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A client that follows no redirect, asks no proxy, and connects to no address but those the resolver lets through.
fn client(url: &Url, allow_private: bool, timeout: Duration, lookup: Lookup) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls()?)
        .dns_resolver(Arc::new(resolver::Filtered::new(lookup, allow_private)))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .https_only(url.scheme() == "https")
        .connect_timeout(CONNECT_TIMEOUT)
        // The engine gives up before, and then knows that it was for the time.
        .timeout(timeout + Duration::from_secs(1))
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| error.to_string())
}

/// TLS with the machine's root certificates.
fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine has no root certificates: install `ca-certificates`, or set SSL_CERT_FILE".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| error.to_string())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn says_json(header: Option<&HeaderValue>) -> bool {
    let value = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|of| of.trim().eq_ignore_ascii_case("application/json"))
}

/// The answer's body; `None` if it is larger than anybody who names changes needs.
async fn read_capped(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
