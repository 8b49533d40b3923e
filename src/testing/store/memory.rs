//! A lake in memory: the plainest implementation of the seam, and so its definition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::BoxFuture;
use crate::lake::store::{Listed, ObjectStore, StoreError, check_folder, check_path};

/// Objects in a map. Clones share it, so a test keeps one and looks at what was written.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    order: Vec<String>,
}

impl MemoryStore {
    /// An empty lake.
    pub fn new() -> Self {
        Self::default()
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

    fn describe(&self) -> String {
        "a lake in memory".to_owned()
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
