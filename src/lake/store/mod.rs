//! Where the lake's objects are: the few calls an object store needs, as a seam.
//!
//! Nothing is ever overwritten or deleted: the lake only creates objects, each under a name that nobody else may have
//! used before, and reads them back. So the writer needs no `DeleteObject` permission.

mod folder;
mod probe;
mod s3;

use std::sync::Arc;

use bytes::Bytes;

pub use folder::FolderStore;
pub use probe::probe;
pub use s3::{NotAnS3Location, S3Location, S3Store};

use crate::BoxFuture;

/// What an object store answers when it did not simply do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `create`: an object of that name is there already (HTTP 412). It may well be our own, from a request whose
    /// answer got lost.
    #[error("{0} exists already")]
    Exists(String),
    /// It may have happened or not: a conflict with a concurrent write (409), an overload (503), a timeout, a broken
    /// connection. Read back, then try again.
    #[error("{0}")]
    Unsettled(String),
    /// Of an [`Upload`]: it will never become an object. The store has forgotten it, or wants it done again from the start
    /// (409). An object of its name may be there all the same, from a completion whose answer got lost.
    #[error("{0}")]
    Gone(String),
    /// Nothing a retry would mend: permissions, a missing bucket, a full disk. The text says the cure.
    #[error("{0}")]
    Fatal(String),
}

/// An object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path, relative to the lake.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The calls of an object store. Paths are relative to the lake, `/`-separated, never empty, without `.` or `..`
/// segments.
pub trait ObjectStore: Send + Sync + 'static {
    /// Creates an object, whole or not at all, if none of that name exists (S3: `If-None-Match: *`; a folder:
    /// exclusive create). Readers never see part of it.
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The whole object, or `None` if there is none.
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// The size of the object in bytes, or `None` if there is none. What is there is durable, also after a power cut.
    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>>;

    /// All objects whose path starts with `folder/`, at any depth, sorted by path (byte order), only those behind
    /// `after` if given (a full path). Pages are followed to the end. The empty folder is the whole lake.
    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>>;

    /// Deletes an object: a mistake that is made on purpose, and in tests alone. Nothing else could delete anything.
    #[cfg(test)]
    fn delete(&self, _path: &str) {}

    /// Whether it knows [`Self::begin`]; if not, it takes objects whole.
    fn takes_parts(&self) -> bool {
        false
    }

    /// Begins to upload an object part by part. If the answer gets lost an empty upload is left behind, of which nobody
    /// knows.
    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        Box::pin(async move { Err(StoreError::Fatal(format!("{path}: {} takes objects whole", self.describe()))) })
    }

    /// Where the lake is, for people: a folder's path or `s3://bucket/prefix`.
    fn describe(&self) -> String;
}

/// An object on its way to the store in parts. Nobody sees any of it before [`Self::complete`].
///
/// All calls may be repeated. [`StoreError::Gone`] is for good.
pub trait Upload: Send + Sync + 'static {
    /// Uploads part `number` (from 1). Parts may come in any order and side by side; all but the last are of one size,
    /// 5 MiB at least.
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Makes an object of all parts that were uploaded, whole or not at all, if none of that name exists: what
    /// [`ObjectStore::create`] does.
    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Gives the parts up, if there are any and the store can be reached. Never touches an object.
    fn abort(&self) -> BoxFuture<'_, ()>;
}

/// Refuses a path that an [`ObjectStore`] does not take: a mistake of ours, before it reaches a disk or a bucket.
pub(crate) fn check_path(path: &str) -> Result<(), StoreError> {
    let is_name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if path.split('/').all(is_name) { Ok(()) } else { Err(StoreError::Fatal(format!("{path:?} is no path in a lake"))) }
}

/// The prefix of all paths in `folder`: `folder/`, or nothing for the whole lake.
pub(crate) fn check_folder(folder: &str) -> Result<String, StoreError> {
    if folder.is_empty() {
        return Ok(String::new());
    }
    check_path(folder)?;
    Ok(format!("{folder}/"))
}
