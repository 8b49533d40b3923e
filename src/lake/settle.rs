//! What a store's answer proves, and what to do when it proves nothing: the one place that knows.
//!
//! ```text
//!            ┌── Ok ─────────────────────────────────────────────────► Mine
//!  create ───┼── Exists ──────────────► get ──┬── there, mine ───────► Mine
//!    ▲       └── Unsettled ── wait ───► ▲ │   └── there, not mine ───► Theirs(content)
//!    │                                  └─┤ Unsettled: wait
//!    └────────────────────────────────────┘ not there (after Exists: wait)
//! ```
//!
//! Completing an upload is a create, too; only that [`StoreError::Gone`] ends it once the object is found not to be there.
//!
//! "It exists" (412) does not prove that another writer won: the SDK may have repeated our own request whose answer
//! was lost. A conflict (409) does not prove that anybody won. A timeout proves nothing. Only reading back does, and
//! then the object's own content says whose it is. Nothing is ever deleted, whatever the outcome.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::BoxFuture;
use crate::bug::{self, Bug};
use crate::clock::Clock;
use crate::lake::store::{Listed, ObjectStore, StoreError};

/// How long a store may leave us in the dark before we give up: longer than S3's usual troubles, shorter than anything
/// a shard forgets (24 h).
pub const GIVE_UP: Duration = Duration::from_mins(15);

/// The first wait; each further one is twice as long. A conflict between two writers is over by then.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: S3 wants minutes of low load to scale a prefix up, and we want to notice soon that it has.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How often a call that waits says so.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Whose object it is that is now, for good, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Ours: we created it, now or in a request whose answer we did not get.
    Mine,
    /// Somebody else's, with this content.
    Theirs(Bytes),
}

/// Creates `path` and finds out for certain whose object is there then; waits out [`GIVE_UP`].
///
/// `is_mine` tells the own content from another writer's, by a token or because the content can be no other.
pub async fn settle(
    store: &dyn ObjectStore,
    clock: &Clock,
    path: &str,
    body: Bytes,
    is_mine: impl Fn(&Bytes) -> bool,
) -> Result<Settled, StoreError> {
    Patience::default().settle(store, clock, path, body, is_mine).await
}

/// [`settle`] for whatever creates `path` by a call that may be repeated, as the completion of an upload is. Ends in
/// [`StoreError::Gone`] if that will never succeed, and nothing is there.
pub async fn settle_by<'a>(
    store: &dyn ObjectStore,
    clock: &Clock,
    path: &str,
    create: impl Fn() -> BoxFuture<'a, Result<(), StoreError>>,
    is_mine: impl Fn(&Bytes) -> bool,
) -> Result<Settled, StoreError> {
    Patience::default().settle_by(store, clock, path, create, is_mine).await
}

/// A call that may be repeated, until it has an answer; waits out [`GIVE_UP`].
pub async fn insist<T, F>(clock: &Clock, path: &str, call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    Patience::default().insist(clock, path, call).await
}

/// [`ObjectStore::get`] that waits out [`GIVE_UP`].
pub async fn read(store: &dyn ObjectStore, clock: &Clock, path: &str) -> Result<Option<Bytes>, StoreError> {
    Patience::default().read(store, clock, path).await
}

/// [`ObjectStore::size`] that waits out [`GIVE_UP`].
pub async fn size(store: &dyn ObjectStore, clock: &Clock, path: &str) -> Result<Option<u64>, StoreError> {
    Patience::default().size(store, clock, path).await
}

/// [`ObjectStore::list`] that waits out [`GIVE_UP`].
pub async fn list(
    store: &dyn ObjectStore,
    clock: &Clock,
    folder: &str,
    after: Option<&str>,
) -> Result<Vec<Listed>, StoreError> {
    Patience::default().list(store, clock, folder, after).await
}

/// How long to put up with a store that does not answer for certain. The functions of this module use the default.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After this long the call ends in [`StoreError::Fatal`].
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { give_up: GIVE_UP }
    }
}

impl Patience {
    /// See [`settle`].
    pub async fn settle(
        self,
        store: &dyn ObjectStore,
        clock: &Clock,
        path: &str,
        body: Bytes,
        is_mine: impl Fn(&Bytes) -> bool,
    ) -> Result<Settled, StoreError> {
        self.settle_by(store, clock, path, || store.create(path, body.clone()), is_mine).await
    }

    /// See [`settle_by`].
    async fn settle_by<'a>(
        self,
        store: &dyn ObjectStore,
        clock: &Clock,
        path: &str,
        create: impl Fn() -> BoxFuture<'a, Result<(), StoreError>>,
        is_mine: impl Fn(&Bytes) -> bool,
    ) -> Result<Settled, StoreError> {
        let mut waiting = self.waiting(clock, path);
        loop {
            let doubt = match create().await {
                Ok(()) => return Ok(Settled::Mine),
                Err(StoreError::Exists(_)) if bug::is_made(Bug::ExistsIsSuccess) => return Ok(Settled::Mine),
                Err(StoreError::Unsettled(why)) if why.contains("409") && bug::is_made(Bug::ConflictIsSuccess) => {
                    return Ok(Settled::Mine);
                }
                Err(doubt @ (StoreError::Exists(_) | StoreError::Gone(_))) => Some(doubt),
                Err(unsettled @ StoreError::Unsettled(_)) => {
                    #[cfg(test)]
                    if bug::is_made(Bug::DeleteOnUnknown) {
                        store.delete(path);
                    }
                    waiting.after(unsettled).await?;
                    None
                }
                Err(fatal @ StoreError::Fatal(_)) => return Err(fatal),
            };
            let found = loop {
                match store.get(path).await {
                    Ok(found) => break found,
                    Err(fatal @ StoreError::Fatal(_)) => return Err(fatal),
                    Err(error) => waiting.after(error).await?,
                }
            };
            match (found, doubt) {
                (Some(found), _) if is_mine(&found) => return Ok(Settled::Mine),
                (Some(found), _) => return Ok(Settled::Theirs(found)),
                (None, Some(gone @ StoreError::Gone(_))) => return Err(gone),
                // Said to exist, and is not there: some clients take a 409, after which nothing has landed, for a 412.
                (None, Some(exists)) => waiting.after(exists).await?,
                (None, None) => {}
            }
        }
    }

    /// See [`read`].
    pub async fn read(self, store: &dyn ObjectStore, clock: &Clock, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.insist(clock, path, || store.get(path)).await
    }

    /// See [`size`].
    pub async fn size(self, store: &dyn ObjectStore, clock: &Clock, path: &str) -> Result<Option<u64>, StoreError> {
        self.insist(clock, path, || store.size(path)).await
    }

    /// See [`list`].
    pub async fn list(
        self,
        store: &dyn ObjectStore,
        clock: &Clock,
        folder: &str,
        after: Option<&str>,
    ) -> Result<Vec<Listed>, StoreError> {
        self.insist(clock, folder, || store.list(folder, after)).await
    }

    /// Repeats a call that may be repeated, until it has an answer.
    async fn insist<T, F>(self, clock: &Clock, path: &str, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut waiting = self.waiting(clock, path);
        loop {
            match call().await {
                Err(unsettled @ StoreError::Unsettled(_)) => waiting.after(unsettled).await?,
                answer => return answer,
            }
        }
    }

    pub(super) fn waiting<'a>(self, clock: &'a Clock, path: &'a str) -> Waiting<'a> {
        Waiting { clock, path, give_up: self.give_up, since: clock.now(), next: FIRST_WAIT, warned: None }
    }
}

/// One call's waits, from the first doubt to the end of its patience.
pub(super) struct Waiting<'a> {
    clock: &'a Clock,
    path: &'a str,
    give_up: Duration,
    since: Instant,
    next: Duration,
    warned: Option<Instant>,
}

impl Waiting<'_> {
    /// Waits before the next try, longer each time; when the patience is at its end, that is the error.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        let now = self.clock.now();
        let waited = now - self.since;
        let Some(left) = self.give_up.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return Err(StoreError::Fatal(format!(
                "{}: the store has not given a certain answer for {}, the last one was: {error}. Nothing is lost: \
                 start again once the store works, and it will be read back first",
                self.path,
                rounded(waited)
            )));
        };
        if self.warned.is_none_or(|warned| now - warned >= WARN_EVERY) {
            self.warned = Some(now);
            tracing::warn!(
                path = self.path,
                waited = %rounded(waited),
                gives_up_in = %rounded(left),
                %error,
                "waiting for the lake's store"
            );
        }
        // The last try falls on the very end of the patience.
        self.clock.sleep(self.clock.jittered(self.next).min(left)).await;
        self.next = (self.next * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

/// For people: whole seconds.
fn rounded(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests;
