//! Which addresses does a name lead to that a webhook may be sent to? The address that is judged is the one that is
//! connected to: nobody can answer one thing to the check and another to the connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Reach, reach};
use crate::BoxFuture;

/// Turns a name into addresses.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The machine's own.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    })
}

/// A name that leads to no address that may be called.
#[derive(Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// Whether `allow_private` would let one through.
    pub private: bool,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.private {
            "the name leads to this machine or a private network; if that is meant, set `allow_private = true`"
        } else {
            "the name leads to a link-local address, which is never called"
        })
    }
}

impl std::error::Error for Forbidden {}

/// Looks names up and keeps what may be called.
pub(super) struct Filtered {
    lookup: Lookup,
    allow_private: bool,
}

impl Filtered {
    pub(super) fn new(lookup: Lookup, allow_private: bool) -> Self {
        Self { lookup, allow_private }
    }
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, most) = ((self.lookup)(name.as_str().to_owned()), reach_allowed(self.allow_private));
        Box::pin(async move {
            let found = found.await?;
            let nearest = found.iter().map(|address| reach(*address)).min();
            let kept: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach(*address) <= most)
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            match (kept.is_empty(), nearest) {
                (true, Some(nearest)) => Err(Forbidden { private: nearest == Reach::Private }.into()),
                _ => Ok(Box::new(kept.into_iter()) as Addrs),
            }
        })
    }
}

fn reach_allowed(allow_private: bool) -> Reach {
    if allow_private { Reach::Private } else { Reach::Public }
}
