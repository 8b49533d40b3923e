//! Creating an object in parts: only its completion makes it visible, whole, if nobody was faster.
//!
//! ```text
//! CreateMultipartUpload ─► UploadPart × n, a few at once ─► CompleteMultipartUpload (If-None-Match: *)
//!                                │ failed                      │ refused, or it may never succeed
//!                                └──────► Abort ◄──────────────┘
//! ```
//!
//! When the completion's outcome is unknown the upload is left alone. Aborting never touches a finished object; it
//! frees the parts, which are billed and invisible. What a killed process leaves behind is for the bucket's lifecycle
//! rule (`AbortIncompleteMultipartUpload`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::answers::is_absent;
use super::{CHECKSUM, S3Store};
use crate::BoxFuture;
use crate::lake::store::{StoreError, Upload};

/// How many parts are under way at once: enough to fill a connection to S3, few enough to leave other uploads theirs.
const PARTS_AT_ONCE: usize = 4;

/// S3 makes one checksum of the parts' checksums, as if it had seen the object whole: only such a one can a reader
/// check.
const WHOLE: ChecksumType = ChecksumType::FullObject;

/// What S3 says of an upload that was completed or aborted, or that it has forgotten.
const FORGOTTEN: &str = "NoSuchUpload";

/// An upload that was begun.
pub(super) struct S3Upload {
    store: S3Store,
    path: String,
    id: String,
    /// Those that are there, by number.
    parts: Mutex<BTreeMap<u32, CompletedPart>>,
}

impl S3Store {
    pub(super) async fn begin_upload(&self, path: &str) -> Result<S3Upload, StoreError> {
        let create = self.client.create_multipart_upload().bucket(&self.location.bucket).key(self.key(path));
        let created = create.checksum_algorithm(CHECKSUM).checksum_type(WHOLE).send().await;
        let request = self.request("CreateMultipartUpload", path);
        let created = created.map_err(|error| request.failed(&error))?;
        let id = created.upload_id().ok_or_else(|| request.nonsense("no upload id"))?.to_owned();
        Ok(S3Upload { store: self.clone(), path: path.to_owned(), id, parts: Mutex::default() })
    }

    /// `create` for a large object.
    pub(super) async fn upload(&self, path: &str, body: Bytes) -> Result<(), StoreError> {
        let upload = Arc::new(self.begin_upload(path).await?);
        if let Err(error) = upload.all_parts(&body, part_size(body.len(), self.multipart_above)).await {
            // Never completed, so there is nothing that could have happened.
            upload.give_up().await;
            return Err(unsettled_if_gone(error));
        }
        let completed = upload.finish().await;
        if let Err((_, is_over)) = &completed
            && *is_over
        {
            upload.give_up().await;
        }
        completed.map_err(|(error, _)| unsettled_if_gone(error))
    }
}

/// The next attempt makes an upload of its own.
fn unsettled_if_gone(error: StoreError) -> StoreError {
    match error {
        StoreError::Gone(why) => StoreError::Unsettled(why),
        other => other,
    }
}

impl S3Upload {
    async fn all_parts(self: &Arc<Self>, body: &Bytes, size: usize) -> Result<(), StoreError> {
        let mut waiting = (0..body.len()).step_by(size).zip(1u32..);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < PARTS_AT_ONCE
                && let Some((start, number)) = waiting.next()
            {
                let (upload, part) = (self.clone(), body.slice(start..body.len().min(start + size)));
                under_way.spawn(async move { upload.put_part(number, part).await });
            }
            match under_way.join_next().await {
                None => return Ok(()),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    // Before the abort, or a part that is still under way would outlive it.
                    under_way.shutdown().await;
                    return Err(error);
                }
                Some(Err(failed)) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(StoreError::Unsettled(format!("{}: the program is ending", self.path))),
                },
            }
        }
    }

    async fn put_part(&self, number: u32, body: Bytes) -> Result<(), StoreError> {
        let store = &self.store;
        // Nobody has more than S3's 10,000.
        let at = i32::try_from(number).unwrap_or(i32::MAX);
        let put = store.client.upload_part().bucket(&store.location.bucket).key(store.key(&self.path));
        let put = put.upload_id(&self.id).part_number(at).checksum_algorithm(CHECKSUM).body(ByteStream::from(body));
        let done = put.send().await.map_err(|error| {
            let is_forgotten = is_absent(&error, FORGOTTEN);
            gone_if(is_forgotten, store.request("UploadPart", &self.path).failed(&error))
        })?;
        let part = CompletedPart::builder().part_number(at).set_e_tag(done.e_tag);
        let part = part.set_checksum_crc32(done.checksum_crc32).build();
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(number, part);
        Ok(())
    }

    /// The error, and whether the upload is over with it: refused, or beyond repair.
    async fn finish(&self) -> Result<(), (StoreError, bool)> {
        let store = &self.store;
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = store.client.complete_multipart_upload().bucket(&store.location.bucket);
        let complete = complete.key(store.key(&self.path)).upload_id(&self.id).multipart_upload(parts);
        let Err(error) = complete.checksum_type(WHOLE).if_none_match("*").send().await else { return Ok(()) };
        // After a conflict S3 wants the upload done again from the start.
        let is_conflict = error.raw_response().is_some_and(|response| response.status().as_u16() == 409);
        let is_forgotten = is_absent(&error, FORGOTTEN);
        let error = store.request("CompleteMultipartUpload", &self.path).failed(&error);
        let is_over = is_conflict || !matches!(error, StoreError::Unsettled(_));
        Err((gone_if(is_conflict || is_forgotten, error), is_over))
    }

    async fn give_up(&self) {
        let store = &self.store;
        let abort = store.client.abort_multipart_upload().bucket(&store.location.bucket).key(store.key(&self.path));
        match abort.upload_id(&self.id).send().await {
            Ok(_) => {}
            // Completed, by a request whose answer was lost, or aborted before.
            Err(error) if is_absent(&error, FORGOTTEN) => {}
            Err(error) => {
                let error = store.request("AbortMultipartUpload", &self.path).failed(&error);
                tracing::warn!(path = self.path, %error, "parts of an unfinished upload stay in the bucket");
            }
        }
    }
}

impl Upload for S3Upload {
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.put_part(number, body))
    }

    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.finish().await.map_err(|(error, _)| error) })
    }

    fn abort(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.give_up())
    }
}

fn gone_if(is_gone: bool, error: StoreError) -> StoreError {
    match error {
        StoreError::Unsettled(why) if is_gone => StoreError::Gone(why),
        other => other,
    }
}

/// Equal parts, as few as can be with none above `largest`.
fn part_size(len: usize, largest: usize) -> usize {
    len.div_ceil(len.div_ceil(largest).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::store::s3::MULTIPART_ABOVE as LARGEST;

    #[test]
    fn parts_are_equal_and_neither_small_nor_large() {
        for len in [LARGEST + 1, 2 * LARGEST, 2 * LARGEST + 1, 3 * LARGEST + 7, 1 << 30, (1 << 37) + 1] {
            let size = part_size(len, LARGEST);
            assert!((LARGEST / 2..=LARGEST).contains(&size), "{len}: {size}");
            assert!(len.div_ceil(size) <= 10_000);
        }
    }
}
