//! A lake in a bucket of Amazon S3, or of a compatible store that honours conditional writes.
//!
//! `create` is one PutObject with `If-None-Match: *`, or for large objects a multipart upload whose completion carries
//! it. Retries, time-outs and credentials are those of the client we are given; what an answer means is in
//! [`answers`]. Keys are the lake's paths behind a prefix, handed over raw: the SDK encodes them, once.

mod answers;
mod location;
mod multipart;

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, EncodingType};
use bytes::Bytes;

use super::{Listed, ObjectStore, StoreError, Upload, check_folder, check_path};
use crate::BoxFuture;
use answers::Request;
pub use location::{NotAnS3Location, S3Location};

/// Above this size an object is uploaded in parts, a few side by side, so that a lost connection costs one part. A
/// smaller one is a single request: atomic, cheapest, and nothing can be left behind.
///
/// It is also the largest part: parts are of equal size, between half of it and it. (S3 allows 5 MiB to 5 GiB, and 10,000
/// of them, which are 156 GiB of ours.)
const MULTIPART_ABOVE: usize = 16 << 20;

/// Every S3-compatible store knows this one, and S3 checks what arrived against it.
const CHECKSUM: ChecksumAlgorithm = ChecksumAlgorithm::Crc32;

/// A lake in a bucket, below a prefix.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    location: S3Location,
    /// [`MULTIPART_ABOVE`], or less in tests.
    multipart_above: usize,
}

impl S3Store {
    /// A lake at `bucket` below `prefix` (may be empty). The client decides on region, endpoint, credentials, time-outs
    /// and retries; adaptive retries suit S3's 503s best.
    pub fn new(client: Client, bucket: impl Into<String>, prefix: &str) -> Self {
        Self { client, location: S3Location::new(bucket, prefix), multipart_above: MULTIPART_ABOVE }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.location.key_prefix())
    }

    fn request<'a>(&'a self, operation: &'static str, path: &'a str) -> Request<'a> {
        Request { operation, bucket: &self.location.bucket, path }
    }

    async fn put(&self, path: &str, body: Bytes) -> Result<(), StoreError> {
        let put = self.client.put_object().bucket(&self.location.bucket).key(self.key(path));
        let put = put.if_none_match("*").checksum_algorithm(CHECKSUM).body(ByteStream::from(body));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.request("PutObject", path).failed(&error)),
        }
    }

    async fn get_whole(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let request = self.request("GetObject", path);
        let get = self.client.get_object().bucket(&self.location.bucket).key(self.key(path));
        match get.checksum_mode(ChecksumMode::Enabled).send().await {
            // A connection that breaks in the middle, or bytes that do not match their checksum.
            Ok(found) => match found.body.collect().await {
                Ok(body) => Ok(Some(body.into_bytes())),
                Err(error) => Err(request.broken(&error)),
            },
            Err(error) if answers::is_absent(&error, "NoSuchKey") => Ok(None),
            Err(error) => Err(request.failed(&error)),
        }
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let request = self.request("HeadObject", path);
        match self.client.head_object().bucket(&self.location.bucket).key(self.key(path)).send().await {
            Ok(found) => match found.content_length().and_then(|size| u64::try_from(size).ok()) {
                Some(size) => Ok(Some(size)),
                None => Err(request.nonsense("no size")),
            },
            Err(error) if answers::is_absent(&error, "NotFound") => Ok(None),
            Err(error) => Err(request.failed(&error)),
        }
    }

    async fn list_pages(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let request = self.request("ListObjectsV2", folder);
        let (prefix, skip) = (self.key(&check_folder(folder)?), self.location.key_prefix().len());
        let (mut found, mut token, mut seen) = (Vec::new(), None::<String>, HashSet::new());
        loop {
            let list = self.client.list_objects_v2().bucket(&self.location.bucket).prefix(&prefix);
            // Encoded, since XML cannot hold every character that a key can.
            let list = list.encoding_type(EncodingType::Url).set_continuation_token(token.take());
            let list = list.set_start_after(after.map(|after| self.key(after)));
            let page = list.send().await.map_err(|error| request.failed(&error))?;
            let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
            for object in page.contents() {
                let (Some(key), Some(size)) = (object.key(), object.size()) else {
                    return Err(request.nonsense("an object without key or size"));
                };
                let key = if is_encoded { decoded(key) } else { Some(key.to_owned()) };
                let Some(path) = key.as_deref().and_then(|key| key.starts_with(&prefix).then(|| key.get(skip..))?)
                else {
                    return Err(request.nonsense("a key that was not asked for"));
                };
                // Consoles leave empty objects named like folders; they are none of ours.
                if check_path(path).is_ok() {
                    found.push(Listed { path: path.to_owned(), size: size.try_into().unwrap_or_default() });
                }
            }
            if !page.is_truncated().unwrap_or_default() {
                break;
            }
            match page.next_continuation_token() {
                Some(next) if seen.insert(next.to_owned()) => token = Some(next.to_owned()),
                Some(_) => return Err(request.nonsense("the same page again")),
                None => return Err(request.nonsense("a page with no way to the next")),
            }
        }
        // General-purpose buckets have done both; directory buckets do neither.
        found.retain(|listed| after.is_none_or(|after| listed.path.as_str() > after));
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

impl ObjectStore for S3Store {
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            if body.len() > self.multipart_above { self.upload(path, body).await } else { self.put(path, body).await }
        })
    }

    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            self.get_whole(path).await
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            self.head(path).await
        })
    }

    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(self.list_pages(folder, after))
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            Ok(Arc::new(self.begin_upload(path).await?) as Arc<dyn Upload>)
        })
    }

    fn describe(&self) -> String {
        self.location.to_string()
    }
}

/// A key from a listing with `encoding-type=url`: a form's encoding, in which a space is a `+`. `None` if what comes
/// out is not text.
fn decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let hex = |digit: u8| char::from(digit).to_digit(16);
        match (first, behind) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, ..]) => {
                bytes.push(u8::try_from(hex(*high)? * 16 + hex(*low)?).ok()?);
                rest = &behind[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
