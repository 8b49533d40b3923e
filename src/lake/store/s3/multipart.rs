//! Creating a large object in parts: only its completion makes it visible, whole, if nobody was faster.
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

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{CHECKSUM, S3Store};
use crate::lake::store::StoreError;

/// How many parts are under way at once: enough to fill a connection to S3, few enough to leave other uploads theirs.
const PARTS_AT_ONCE: usize = 4;

/// S3 makes one checksum of the parts' checksums, as if it had seen the object whole: only such a one can a reader
/// check.
const WHOLE: ChecksumType = ChecksumType::FullObject;

impl S3Store {
    /// `create` for a large object.
    pub(super) async fn upload(&self, path: &str, body: Bytes) -> Result<(), StoreError> {
        let create = self.client.create_multipart_upload().bucket(&self.location.bucket).key(self.key(path));
        let created = create.checksum_algorithm(CHECKSUM).checksum_type(WHOLE).send().await;
        let request = self.request("CreateMultipartUpload", path);
        let created = created.map_err(|error| request.failed(&error))?;
        let upload = created.upload_id().ok_or_else(|| request.nonsense("no upload id"))?;

        let parts = match self.upload_parts(path, upload, &body).await {
            Ok(parts) => parts,
            Err(error) => {
                // Never completed, so there is nothing that could have happened.
                self.abort(path, upload).await;
                return Err(error);
            }
        };
        let completed = self.complete(path, upload, parts).await;
        if let Err((_, is_over)) = &completed
            && *is_over
        {
            self.abort(path, upload).await;
        }
        completed.map_err(|(error, _)| error)
    }

    async fn upload_parts(&self, path: &str, upload: &str, body: &Bytes) -> Result<Vec<CompletedPart>, StoreError> {
        let size = part_size(body.len(), self.multipart_above);
        let mut waiting = (0..body.len()).step_by(size).zip(1i32..);
        let mut under_way = JoinSet::new();
        let mut parts = Vec::new();
        loop {
            while under_way.len() < PARTS_AT_ONCE
                && let Some((start, number)) = waiting.next()
            {
                let part = body.slice(start..body.len().min(start + size));
                let (store, path, upload) = (self.clone(), path.to_owned(), upload.to_owned());
                under_way.spawn(async move { store.upload_part(&path, &upload, number, part).await });
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok(Ok(part))) => parts.push(part),
                Some(Ok(Err(error))) => {
                    // Before the abort, or a part that is still under way would outlive it.
                    under_way.shutdown().await;
                    return Err(error);
                }
                Some(Err(failed)) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(StoreError::Unsettled(format!("{path}: the program is ending"))),
                },
            }
        }
        parts.sort_unstable_by_key(|part| part.part_number);
        Ok(parts)
    }

    async fn upload_part(
        &self,
        path: &str,
        upload: &str,
        number: i32,
        part: Bytes,
    ) -> Result<CompletedPart, StoreError> {
        let put = self.client.upload_part().bucket(&self.location.bucket).key(self.key(path));
        let put = put.upload_id(upload).part_number(number).checksum_algorithm(CHECKSUM).body(ByteStream::from(part));
        let done = put.send().await.map_err(|error| self.request("UploadPart", path).failed(&error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(done.e_tag);
        Ok(part.set_checksum_crc32(done.checksum_crc32).build())
    }

    /// The error, and whether the upload is over with it: refused, or beyond repair.
    async fn complete(&self, path: &str, upload: &str, parts: Vec<CompletedPart>) -> Result<(), (StoreError, bool)> {
        let complete = self.client.complete_multipart_upload().bucket(&self.location.bucket).key(self.key(path));
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed =
            complete.upload_id(upload).multipart_upload(parts).checksum_type(WHOLE).if_none_match("*").send().await;
        let Err(error) = completed else { return Ok(()) };
        // After a conflict S3 wants the upload done again from the start.
        let is_conflict = error.raw_response().is_some_and(|response| response.status().as_u16() == 409);
        let error = self.request("CompleteMultipartUpload", path).failed(&error);
        let is_over = is_conflict || !matches!(error, StoreError::Unsettled(_));
        Err((error, is_over))
    }

    async fn abort(&self, path: &str, upload: &str) {
        let abort = self.client.abort_multipart_upload().bucket(&self.location.bucket).key(self.key(path));
        if let Err(error) = abort.upload_id(upload).send().await {
            let error = self.request("AbortMultipartUpload", path).failed(&error);
            tracing::warn!(path, %error, "parts of an unfinished upload stay in the bucket");
        }
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
