//! An upload that fails on purpose, as its store does.

use std::sync::Arc;

use bytes::Bytes;

use super::faulty::{CONFLICT, Fault, FaultyStore, LATE_BY, lost, unavailable};
use crate::BoxFuture;
use crate::lake::store::{StoreError, Upload};
use crate::testing::tally;

pub(super) struct FaultyUpload {
    pub(super) store: FaultyStore,
    pub(super) path: String,
    pub(super) inner: Arc<dyn Upload>,
}

impl FaultyUpload {
    /// Does something once its time-out is over; nobody waits for the answer any more.
    fn later<F: Future + Send + 'static>(&self, work: impl FnOnce(Arc<dyn Upload>) -> F + Send + 'static)
    where
        F::Output: Send,
    {
        let (inner, clock) = (self.inner.clone(), self.store.clock.clone());
        tokio::spawn(async move {
            clock.sleep(LATE_BY).await;
            let _ = work(inner).await;
        });
    }

    async fn forgotten<T>(&self) -> Result<T, StoreError> {
        self.inner.abort().await;
        Err(StoreError::Gone("404 NoSuchUpload (injected)".to_owned()))
    }
}

impl Upload for FaultyUpload {
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = match self.store.travel(false).await {
                Fault::None => self.inner.part(number, body).await,
                Fault::AnswerLost | Fault::ExistsAfterSuccess => {
                    self.inner.part(number, body).await.and_then(|()| Err(lost()))
                }
                Fault::Late => {
                    self.later(async move |upload| upload.part(number, body).await);
                    Err(lost())
                }
                Fault::Conflict | Fault::Unavailable | Fault::ExistsWithoutEffect => Err(unavailable()),
                Fault::Forgotten => self.forgotten().await,
            };
            self.store.delay().await;
            answer
        })
    }

    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = match self.store.travel(false).await {
                Fault::None => self.inner.complete().await,
                Fault::Conflict => Err(StoreError::Gone(CONFLICT.to_owned())),
                Fault::Unavailable => Err(unavailable()),
                Fault::AnswerLost => match self.inner.complete().await {
                    Err(fatal @ StoreError::Fatal(_)) => Err(fatal),
                    _ => Err(lost()),
                },
                Fault::Late => {
                    self.later(async move |upload| upload.complete().await);
                    Err(lost())
                }
                Fault::ExistsAfterSuccess => {
                    self.inner.complete().await.and_then(|()| Err(StoreError::Exists(self.path.clone())))
                }
                Fault::ExistsWithoutEffect => Err(StoreError::Exists(self.path.clone())),
                Fault::Forgotten => self.forgotten().await,
            };
            self.store.delay().await;
            answer
        })
    }

    fn abort(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.store.travel(false).await {
                Fault::None => self.inner.abort().await,
                _ => tally::leave(&self.path),
            }
        })
    }
}
