//! A file of the folder that comes in parts: its temporary file grows with them, and gets its name at the end.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Folder, Upload, blocking, failed};
use crate::BoxFuture;
use crate::lake::store::StoreError;

/// What a day's sweep or a colleague may take away: then the file has to be written again.
const GONE: &str = "its temporary file is no longer there";

#[derive(Debug, Clone)]
pub(super) struct FolderUpload {
    folder: Arc<Folder>,
    path: String,
    temporary: PathBuf,
    /// `None`: there is nothing any more to write to.
    parts: Arc<Mutex<Option<Parts>>>,
}

#[derive(Debug)]
struct Parts {
    file: fs::File,
    /// The size of all parts but the last, known with the first.
    size: Option<u64>,
    /// Those whose place is not known yet.
    waiting: Vec<(u32, Bytes)>,
}

impl FolderUpload {
    pub(super) fn begin(folder: Arc<Folder>, path: String) -> Result<Self, StoreError> {
        folder.place(&path)?;
        let (file, temporary) = folder.create_temporary()?;
        let parts = Parts { file, size: None, waiting: Vec::new() };
        Ok(Self { folder, path, temporary, parts: Arc::new(Mutex::new(Some(parts))) })
    }

    fn gone(&self) -> StoreError {
        StoreError::Gone(format!("{}: {GONE}", self.path))
    }

    /// Does file work on the parts, where it does not hold up the readers.
    async fn with_parts(
        &self,
        work: impl FnOnce(&Self, &mut Option<Parts>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || work(&this, &mut this.parts.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    fn complete_with(&self, parts: &mut Option<Parts>) -> Result<(), StoreError> {
        let Some(Parts { file, waiting, .. }) = parts else { return Err(self.gone()) };
        if !waiting.is_empty() {
            return Err(StoreError::Fatal(format!("{}: its first part was never uploaded", self.path)));
        }
        file.sync_all().map_err(|error| failed("write", &self.temporary, &error))?;
        if fs::symlink_metadata(&self.temporary).is_err() {
            return Err(self.gone());
        }
        self.folder.publish(&self.path, &self.temporary)?;
        self.remove(parts);
        Ok(())
    }

    fn remove(&self, parts: &mut Option<Parts>) {
        if parts.take().is_some() {
            // What stays is swept away in a day.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Upload for FolderUpload {
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.with_parts(move |this, parts| {
            let parts = parts.as_mut().ok_or_else(|| this.gone())?;
            parts.put(number, body).map_err(|error| failed("write", &this.temporary, &error))
        }))
    }

    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.with_parts(Self::complete_with))
    }

    fn abort(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let done = self.with_parts(|this, parts| {
                this.remove(parts);
                Ok(())
            });
            // The program is ending: what stays is swept away in a day.
            let _ = done.await;
        })
    }
}

impl Parts {
    fn put(&mut self, number: u32, body: Bytes) -> std::io::Result<()> {
        if number == 1 {
            self.size = Some(body.len() as u64);
        }
        self.waiting.push((number, body));
        let Some(size) = self.size else { return Ok(()) };
        while let Some((number, body)) = self.waiting.last() {
            self.file.seek(SeekFrom::Start(u64::from(number.saturating_sub(1)) * size))?;
            self.file.write_all(body)?;
            self.waiting.pop();
        }
        Ok(())
    }
}
