//! How does a file get to the store while it is still being encoded?
//!
//! ```text
//!  encoder ─► finished parts ─► one waits ─► two on their way ─► there        before the range is settled
//!  range object created ───────────────────────────────────────► completed   only then anybody sees the file
//! ```
//!
//! Parts are not kept once they are there. If the store then loses the upload, the range is read again from its source.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{SetOnce, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::LakeError;
use super::settle::{self, Settled};
use super::store::{ObjectStore, StoreError, Upload};
use crate::BoxFuture;
use crate::bug::{self, Bug};
use crate::clock::Clock;

/// The most parts of a file that are on their way. One more waits; whoever has a further one waits with it.
const AT_ONCE: usize = 2;

/// After an upload was lost files are uploaded whole for so long: a store that loses every upload must not make us begin
/// again and again.
const WHOLE_AFTER_LOSS: Duration = Duration::from_mins(10);

/// Whether files of a lake are uploaded while they are encoded, and how.
pub(super) struct UploadsAhead {
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    /// The size of a part.
    part: usize,
    whole_until: Mutex<Option<Instant>>,
}

/// Where a file is uploaded to, should it become large.
pub(super) struct Destination {
    uploads: Arc<UploadsAhead>,
    path: String,
}

impl UploadsAhead {
    pub(super) fn new(store: Arc<dyn ObjectStore>, clock: Clock, part: usize) -> Self {
        Self { store, clock, part, whole_until: Mutex::default() }
    }

    /// Where a file goes while it is encoded; `None`: it is uploaded whole, once it is complete.
    pub(super) fn of_file(self: &Arc<Self>, path: &str) -> Option<Arc<Destination>> {
        let whole_until = *self.whole_until.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ahead = self.store.takes_parts() && whole_until.is_none_or(|until| self.clock.now() >= until);
        is_ahead.then(|| Arc::new(Destination { uploads: self.clone(), path: path.to_owned() }))
    }

    fn lost_one(&self) {
        let until = self.clock.now() + WHOLE_AFTER_LOSS;
        *self.whole_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl Destination {
    /// The size of a part.
    pub(super) fn part(&self) -> usize {
        self.uploads.part
    }
}

/// An upload that has begun. Dropped before it was completed it is aborted, if there is time for that.
pub(super) struct UploadAhead {
    to: Arc<Destination>,
    /// Takes parts in their order.
    parts: Option<mpsc::Sender<Bytes>>,
    /// One task, which uploads them.
    task: JoinSet<Result<Arc<dyn Upload>, StoreError>>,
    /// The upload, once the store has begun it.
    upload: Arc<SetOnce<Arc<dyn Upload>>>,
    /// Whether it is completed, so that there is nothing to abort.
    over: AtomicBool,
    /// Whether nobody wants it any more, so that it need not be begun.
    unwanted: Arc<AtomicBool>,
    /// The bytes that are not there yet.
    on_the_way: Arc<AtomicUsize>,
    /// Where it is aborted, whichever thread drops it.
    runtime: Handle,
}

impl UploadAhead {
    pub(super) fn begin(to: Arc<Destination>) -> Self {
        let (parts, waiting) = mpsc::channel(1);
        let (upload, on_the_way, unwanted) = (Arc::default(), Arc::default(), Arc::<AtomicBool>::default());
        let mut task = JoinSet::new();
        task.spawn({
            let (to, begun, on_the_way, unwanted) =
                (to.clone(), Arc::clone(&upload), Arc::clone(&on_the_way), unwanted.clone());
            async move {
                let upload = begin(&to, &begun, &unwanted).await?;
                send(&to, waiting, &upload, &on_the_way).await?;
                Ok(upload)
            }
        });
        Self {
            to,
            parts: Some(parts),
            task,
            upload,
            over: AtomicBool::new(false),
            unwanted,
            on_the_way,
            runtime: Handle::current(),
        }
    }

    /// The bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.on_the_way.load(Ordering::Relaxed)
    }

    /// Hands over a part, behind those before it. Waits while too many are on their way.
    pub(super) async fn push(&mut self, part: Bytes) -> Result<(), LakeError> {
        let len = part.len();
        self.on_the_way.fetch_add(len, Ordering::Relaxed);
        let sent = match &self.parts {
            Some(parts) => parts.send(part).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.why_it_ended().await) }
    }

    /// Hands over the rest of the file, in parts.
    pub(super) async fn push_all(&mut self, mut rest: Bytes) -> Result<(), LakeError> {
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(self.to.part()));
            self.push(part).await?;
        }
        Ok(())
    }

    /// Once the rest was handed over and the range is created: completes the file, or finds it there, from another attempt
    /// at the same range.
    pub(super) async fn complete(mut self, same: impl Fn(&Bytes) -> bool) -> Result<(), LakeError> {
        self.parts = None;
        let (to, upload) = (self.to.clone(), self.joined().await.map_err(|error| self.lost(error))?);
        let (uploads, over) = (&to.uploads, &self.over);
        let complete = || -> BoxFuture<'_, _> {
            Box::pin(async { upload.complete().await.inspect(|()| over.store(true, Ordering::Relaxed)) })
        };
        match settle::settle_by(&*uploads.store, &uploads.clock, &to.path, complete, same).await {
            Ok(Settled::Mine) => Ok(()),
            Ok(Settled::Theirs(_)) => Err(LakeError::corrupt(&to.path, "there is another object of this name")),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// The task ends before all parts are there only with an error.
    async fn why_it_ended(&mut self) -> LakeError {
        match self.joined().await {
            Err(error) => self.lost(error),
            Ok(_) => LakeError::corrupt(&self.to.path, "its upload ended before its last part"),
        }
    }

    async fn joined(&mut self) -> Result<Arc<dyn Upload>, StoreError> {
        match self.task.join_next().await {
            Some(ended) => unless_panicked(ended).await,
            None => Err(StoreError::Fatal(format!("{}: its upload has ended already", self.to.path))),
        }
    }

    fn lost(&self, error: StoreError) -> LakeError {
        match error {
            StoreError::Gone(why) => {
                self.to.uploads.lost_one();
                LakeError::UploadLost { path: self.to.path.clone(), why }
            }
            other => other.into(),
        }
    }
}

impl Drop for UploadAhead {
    fn drop(&mut self) {
        if self.over.load(Ordering::Relaxed) || bug::is_made(Bug::UploadLeft) {
            return;
        }
        self.unwanted.store(true, Ordering::Relaxed);
        let (mut task, upload) = (std::mem::take(&mut self.task), self.upload.clone());
        self.runtime.spawn(async move {
            // If it is just being begun, only the answer says which one has to be aborted.
            tokio::select! {
                biased;
                _ = upload.wait() => {}
                _ = task.join_next() => {}
            }
            // Before the abort, or a part that is still on its way would outlive it.
            task.shutdown().await;
            if let Some(upload) = upload.get() {
                upload.abort().await;
            }
        });
    }
}

/// Begins an upload, unless nobody wants it any more, and puts it where whoever aborts it finds it.
async fn begin(
    to: &Destination,
    begun: &SetOnce<Arc<dyn Upload>>,
    unwanted: &AtomicBool,
) -> Result<Arc<dyn Upload>, StoreError> {
    let uploads = &to.uploads;
    let begin = || -> BoxFuture<'_, _> {
        match unwanted.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(StoreError::Gone("nobody wants it any more".to_owned())) }),
            false => uploads.store.begin(&to.path),
        }
    };
    let upload = settle::insist(&uploads.clock, &to.path, begin).await?;
    // Nobody else begins it.
    let _ = begun.set(upload.clone());
    Ok(upload)
}

/// Uploads all parts that come; returns once they are there.
async fn send(
    to: &Arc<Destination>,
    mut parts: mpsc::Receiver<Bytes>,
    upload: &Arc<dyn Upload>,
    on_the_way: &Arc<AtomicUsize>,
) -> Result<(), StoreError> {
    let mut under_way = JoinSet::new();
    let mut number = 0;
    loop {
        if under_way.len() >= AT_ONCE
            && let Some(ended) = under_way.join_next().await
        {
            unless_panicked(ended).await?;
        }
        let part = tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => {
                unless_panicked(ended).await?;
                continue;
            }
            part = parts.recv() => part,
        };
        let Some(part) = part else { break };
        number += 1;
        let (to, upload, on_the_way) = (to.clone(), upload.clone(), on_the_way.clone());
        under_way.spawn(async move {
            let done = settle::insist(&to.uploads.clock, &to.path, || upload.part(number, part.clone())).await;
            on_the_way.fetch_sub(part.len(), Ordering::Relaxed);
            done
        });
    }
    while let Some(ended) = under_way.join_next().await {
        unless_panicked(ended).await?;
    }
    Ok(())
}

async fn unless_panicked<T>(ended: Result<Result<T, StoreError>, JoinError>) -> Result<T, StoreError> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(answer) => answer,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shutting down: nobody will look at an answer any more.
        Err(Err(_)) => std::future::pending().await,
    }
}
