//! A lake in memory: the plainest implementation of the seam, and so its definition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::BoxFuture;
use crate::lake::store::{Listed, ObjectStore, StoreError, Upload, check_folder, check_path};

/// Objects in a map. Clones share it, so a test keeps one and looks at what was written.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    uploads: Arc<Mutex<Uploads>>,
    /// Who uploads through this clone.
    by: Arc<str>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    order: Vec<String>,
}

/// Uploads that are neither completed nor aborted, by number.
#[derive(Debug, Default)]
struct Uploads {
    begun: usize,
    open: BTreeMap<usize, Open>,
}

#[derive(Debug)]
struct Open {
    path: String,
    by: Arc<str>,
    parts: BTreeMap<u32, Bytes>,
}

impl MemoryStore {
    /// An empty lake.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same lake, for one who is known by this name.
    pub fn of(&self, by: &str) -> Self {
        Self { by: by.into(), ..self.clone() }
    }

    /// Everything that is in it now, by path.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().objects.clone()
    }

    /// How many objects have been created so far.
    pub fn count(&self) -> usize {
        self.lock().order.len()
    }

    /// The paths of everything, in the order in which it was created.
    pub fn order(&self) -> Vec<String> {
        self.lock().order.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The uploads that are neither completed nor aborted: their paths, and the bytes that are there.
    pub fn uploads(&self) -> Vec<(String, usize)> {
        let uploads = self.lock_uploads();
        uploads.open.values().map(|open| (open.path.clone(), open.parts.values().map(Bytes::len).sum())).collect()
    }

    /// Who began each of them, with its path.
    pub fn uploads_left(&self) -> Vec<(String, String)> {
        self.lock_uploads().open.values().map(|open| (open.by.to_string(), open.path.clone())).collect()
    }

    /// How many uploads were ever begun.
    pub fn uploads_begun(&self) -> usize {
        self.lock_uploads().begun
    }

    /// Forgets all uploads, as a bucket's lifecycle rule does.
    pub fn forget_uploads(&self) {
        self.lock_uploads().open.clear();
    }

    fn lock_uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectStore for MemoryStore {
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            // A real store answers later: whoever runs beside us gets a turn.
            tokio::task::yield_now().await;
            let mut inner = self.lock();
            if inner.objects.contains_key(path) {
                return Err(StoreError::Exists(path.to_owned()));
            }
            inner.objects.insert(path.to_owned(), body);
            inner.order.push(path.to_owned());
            Ok(())
        })
    }

    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            tokio::task::yield_now().await;
            Ok(self.lock().objects.get(path).cloned())
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move { Ok(self.get(path).await?.map(|body| body.len() as u64)) })
    }

    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(async move {
            let folder = check_folder(folder)?;
            tokio::task::yield_now().await;
            let is_below = |path: &String| path.starts_with(&folder) && after.is_none_or(|after| path.as_str() > after);
            let inner = self.lock();
            let found = inner.objects.iter().filter(|(path, _)| is_below(path));
            Ok(found.map(|(path, body)| Listed { path: path.clone(), size: body.len() as u64 }).collect())
        })
    }

    #[cfg(test)]
    fn delete(&self, path: &str) {
        self.lock().objects.remove(path);
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        Box::pin(async move {
            check_path(path)?;
            tokio::task::yield_now().await;
            let mut uploads = self.lock_uploads();
            uploads.begun += 1;
            let number = uploads.begun;
            uploads.open.insert(number, Open { path: path.to_owned(), by: self.by.clone(), parts: BTreeMap::new() });
            Ok(Arc::new(MemoryUpload { store: self.clone(), number }) as Arc<dyn Upload>)
        })
    }

    fn describe(&self) -> String {
        "a lake in memory".to_owned()
    }
}

struct MemoryUpload {
    store: MemoryStore,
    number: usize,
}

impl MemoryUpload {
    fn gone(&self) -> StoreError {
        StoreError::Gone(format!("there is no upload {}", self.number))
    }
}

impl Upload for MemoryUpload {
    fn part<'a>(&'a self, number: u32, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut uploads = self.store.lock_uploads();
            let open = uploads.open.get_mut(&self.number).ok_or_else(|| self.gone())?;
            open.parts.insert(number, body);
            Ok(())
        })
    }

    fn complete(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let (mut uploads, mut inner) = (self.store.lock_uploads(), self.store.lock());
            let Open { path, parts, .. } = uploads.open.get(&self.number).ok_or_else(|| self.gone())?;
            if inner.objects.contains_key(path) {
                return Err(StoreError::Exists(path.clone()));
            }
            let parts: Vec<&[u8]> = parts.values().map(|part| &part[..]).collect();
            inner.objects.insert(path.clone(), parts.concat().into());
            inner.order.push(path.clone());
            uploads.open.remove(&self.number);
            Ok(())
        })
    }

    fn abort(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.store.lock_uploads().open.remove(&self.number);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_store_in_memory_conforms() {
        crate::testing::store::conformance(&MemoryStore::new()).await;
    }
}
