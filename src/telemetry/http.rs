//! How do a monitor and a load balancer ask? Over plain HTTP on a loopback address: `/metrics` and `/healthz`.
//!
//! There is neither encryption nor a password, so nothing but loopback is listened on, and a request must be meant
//! for it: a web page that rebinds its own name to 127.0.0.1 still sends that name as `Host`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics::{self, Metrics};
use crate::clock::Clock;

/// How long a request that is under way may delay the end of the process.
const GRACE: Duration = Duration::from_secs(2);

const INDEX: &str = "watershed\n\n/metrics  counters, for Prometheus\n/healthz  200 while positions move, else 503\n";

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can be reached from elsewhere.
    #[error(
        "`listen` = \"{0}\" is not a loopback address: metrics are served without encryption or password; \
         use 127.0.0.1 or [::1], and a proxy in front if others should read them"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address} (`listen`): {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone)]
struct Told {
    metrics: Metrics,
    health: Health,
    clock: Clock,
}

impl Server {
    /// Takes the address; with port 0, a free one.
    pub async fn bind(listen: SocketAddr) -> Result<Self, HttpError> {
        if !is_loopback(listen.ip()) {
            return Err(HttpError::NotLoopback(listen));
        }
        let failed = |source| HttpError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets requests that are under way end, but not for long.
    pub async fn serve(self, metrics: Metrics, health: Health, clock: Clock, stop: CancellationToken) {
        let app = Router::new()
            .route("/", get(async || plain(INDEX.to_owned())))
            .route("/metrics", get(show_metrics))
            .route("/healthz", get(show_health))
            .with_state(Told { metrics, health, clock: clock.clone() })
            .layer(middleware::from_fn(only_for_us));
        let served = axum::serve(self.listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
        let patience = async {
            stop.cancelled().await;
            clock.sleep(GRACE).await;
        };
        tokio::select! {
            ended = served => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the metrics server ended");
                }
            }
            () = patience => {}
        }
    }
}

async fn show_metrics(State(told): State<Told>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], told.metrics.render()).into_response()
}

async fn show_health(State(told): State<Told>) -> Response {
    let verdict = told.health.verdict(told.clock.now());
    let status = if verdict.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "application/json")], verdict.to_json() + "\n").into_response()
}

fn plain(text: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Refuses what was sent here under a foreign name.
async fn only_for_us(request: Request, next: Next) -> Response {
    let mut response = if is_meant_for_us(request.headers(), request.uri()) {
        next.run(request).await
    } else {
        let mut refusal = plain("this server answers to localhost, 127.0.0.1 and [::1] only\n".to_owned());
        *refusal.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        refusal
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether there is a `Host`, and every name that the request gives us is one of this machine.
fn is_meant_for_us(headers: &HeaderMap, uri: &Uri) -> bool {
    let named = headers.get_all(HOST).iter().all(|host| host.to_str().is_ok_and(names_loopback));
    // The request line may name the host too.
    headers.contains_key(HOST) && named && uri.authority().is_none_or(|target| names_loopback(target.as_str()))
}

/// Whether a `Host` header's value, with or without a port, means this machine.
fn names_loopback(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    // `user@localhost` is no host.
    if authority.as_str() != host || host.contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        // `::ffff:127.0.0.1` is the same machine.
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().as_ref().is_some_and(Ipv4Addr::is_loopback)
        }
    }
}

#[cfg(test)]
mod tests;
