//! How are checkpoints kept in a folder? One small JSON file each, in a folder per stream, behind a lock that lets one
//! process write at a time.
//!
//! `<state>/<stream>/<shard>.<sink>.json`, the names escaped (`names.rs`). A file is replaced whole: written
//! beside its place, synced, renamed over, the folder synced. So a crash leaves the old or the new one, never half.

mod file;
mod lock;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::lock::holder_note;

use self::file::{bad_file, io_error, read, write};
use super::names::escape;
use super::stored::for_people;
use super::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};
use crate::BoxFuture;

/// Checkpoints in a folder of this machine.
#[derive(Debug, Clone)]
pub struct FolderState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Held as long as the state is open, and by the kernel no longer than the process lives; `None`: read-only.
    lock: Option<File>,
    slots: Mutex<HashMap<CheckpointKey, Slot>>,
}

/// What is durable of one key, and the right to change it: saves of one key take turns, those of others do not wait.
type Slot = Arc<Mutex<Known>>;

#[derive(Debug)]
enum Known {
    /// Nobody looked yet, or a write failed half-way: the file has to tell.
    Unread,
    Read(Option<Checkpoint>),
}

impl FolderState {
    /// Opens the folder for this process alone, creating it if need be. `holder_note` (see [`holder_note`]) is what
    /// another process will be told while this one runs.
    pub fn open(path: &Path, holder_note: &str) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(|error| io_error("create the state folder", path, &error))?;
        let lock = lock::take(path, holder_note)?;
        Ok(Self::over(path, Some(lock)))
    }

    /// Opens the folder to look at it only, also while another process holds it. There may be none yet.
    pub fn open_read_only(path: &Path) -> Self {
        Self::over(path, None)
    }

    fn over(path: &Path, lock: Option<File>) -> Self {
        let shared = Shared { root: path.to_owned(), lock, slots: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Files are slow and may hang: the work is done where it holds up nobody, and goes on to its end even if the
    /// caller no longer waits.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StateError::Transient("the process is shutting down".to_owned())),
            },
        }
    }
}

impl StateStore for FolderState {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        let stream = stream.to_owned();
        Box::pin(self.blocking(move |shared| shared.load(&stream)))
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        Box::pin(self.blocking(Shared::survey))
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        let (key, checkpoint) = (key.clone(), checkpoint.clone());
        Box::pin(self.blocking(move |shared| shared.save(&key, checkpoint)))
    }

    fn describe(&self) -> String {
        format!("folder {}", self.shared.root.display())
    }
}

impl Shared {
    fn load(&self, stream: &str) -> Result<Vec<(CheckpointKey, Checkpoint)>, StateError> {
        let mut found = Vec::new();
        for path in files_in(&self.stream_folder(stream))? {
            let Some((key, checkpoint)) = read(&path)? else {
                continue;
            };
            if key.stream != stream || self.path_of(&key) != path {
                return Err(bad_file(&path, "belongs to another stream, shard or sink"));
            }
            if self.lock.is_none() {
                found.push((key, checkpoint));
                continue;
            }
            let slot = self.slot(&key);
            let mut known = locked(&slot);
            // A save that came in between knows better than the file read before it.
            let checkpoint = match &*known {
                Known::Read(Some(newer)) => newer.clone(),
                _ => checkpoint,
            };
            *known = Known::Read(Some(checkpoint.clone()));
            found.push((key, checkpoint));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    fn survey(&self) -> Result<Vec<Saved>, StateError> {
        let mut found = Vec::new();
        for folder in entries_of(&self.root)?.into_iter().filter(|path| path.is_dir()) {
            for path in files_in(&folder)? {
                let Some((key, checkpoint)) = read(&path)? else {
                    continue;
                };
                if self.path_of(&key) != path {
                    return Err(bad_file(&path, "belongs to another stream, shard or sink"));
                }
                // A file is written once, and a checkpoint that follows is another file under the same name.
                let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
                let since_epoch = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                let at = since_epoch.and_then(|time| i64::try_from(time.as_micros()).ok());
                found.push(Saved { key, checkpoint, at });
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn save(&self, key: &CheckpointKey, checkpoint: Checkpoint) -> Result<(), StateError> {
        if self.lock.is_none() {
            return Err(StateError::Fatal(format!("the state folder {} is open for reading", self.root.display())));
        }
        let path = self.path_of(key);
        let slot = self.slot(key);
        let mut known = locked(&slot);
        let durable = match std::mem::replace(&mut *known, Known::Unread) {
            Known::Read(durable) => durable,
            Known::Unread => match read(&path)? {
                Some((stored, _)) if stored != *key => {
                    return Err(bad_file(&path, "belongs to another stream, shard or sink"));
                }
                found => found.map(|(_, checkpoint)| checkpoint),
            },
        };
        if let Some(ahead) = durable.as_ref().filter(|durable| checkpoint.is_behind(durable)) {
            let told = format!("shard {} is at {}, not {}", key.shard, for_people(ahead), for_people(&checkpoint));
            *known = Known::Read(durable);
            return Err(StateError::Overtaken(told));
        }
        write(&path, key, &checkpoint).map_err(|error| io_error("write the state file", &path, &error))?;
        // Memory follows the disk, never the other way round: after a failure above it stays `Unread`.
        *known = Known::Read(Some(checkpoint));
        Ok(())
    }

    fn slot(&self, key: &CheckpointKey) -> Slot {
        let mut slots = locked(&self.slots);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(key.clone()).or_insert_with(|| Arc::new(Mutex::new(Known::Unread))))
    }

    fn stream_folder(&self, stream: &str) -> PathBuf {
        self.root.join(escape(stream, 200))
    }

    fn path_of(&self, key: &CheckpointKey) -> PathBuf {
        // With both limits, the dots and `.json.new` a name stays below the usual 255 bytes.
        let file = format!("{}.{}.json", escape(key.shard.as_str(), 130), escape(&key.sink, 100));
        self.stream_folder(&key.stream).join(file)
    }
}

/// The state files of a stream's folder. Others are a half-written file of a process that was killed, or something the
/// file manager left.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, StateError> {
    let mut files = entries_of(folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(files)
}

/// What is in a folder, which may be none.
fn entries_of(folder: &Path) -> Result<Vec<PathBuf>, StateError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    entries.map_err(|error: io::Error| io_error("read the state folder", folder, &error))
}

/// A panic while the lock was held leaves no half-made state: [`Known`] is `Unread` during a write.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
