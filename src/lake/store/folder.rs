//! A lake in a folder of this machine or of a network file system.
//!
//! An object is written under a temporary name, in parts if it comes in parts, made durable (fsync), and then published
//! with a hard link: that is atomic, and fails if the name is taken. Readers never see part of an object, and what [`FolderStore`] said it has
//! created outlives a power cut.
//!
//! - File systems without hard links (FAT, some network shares) are refused: creating the final name exclusively and
//!   then filling it would show readers half an object, and a rename would overwrite.
//! - Nothing below the lake's folder may be a symbolic link, so one object has one path, and none leads out.
//! - Temporary files lie in `_watershed/tmp`. A killed process leaves its own there; whoever opens the lake removes
//!   those that are older than a day. Should their owner still live (suspended for a day), its publishing fails as
//!   unsettled and it writes the object again. They are no part of the lake: this is the only thing ever removed.

mod errors;
mod upload;

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use self::errors::{failed, is_absent, is_linkless, not_ours};
use self::upload::FolderUpload;
use super::{Listed, ObjectStore, StoreError, Upload, check_folder, check_path};
use crate::BoxFuture;
use crate::clock::Clock;

/// Where temporary files lie, in the lake's own folder: a hard link cannot cross file systems.
const TEMPORARY: &str = "_watershed/tmp";

/// The ending of temporary files.
const TEMPORARY_ENDING: &str = "tmp";

/// When a temporary file is taken for a killed process's. No upload of ours takes a day.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How many folders to remember as durable. Beyond that all are forgotten and synced once more, which only costs time.
const REMEMBERED_FOLDERS: usize = 10_000;

/// A lake in a folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FolderStore {
    shared: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    /// As the caller named it, for people.
    named: PathBuf,
    /// Without symbolic links, so that any other path that comes out of `canonicalize` shows one.
    root: PathBuf,
    /// Tells this process's temporary files from others'.
    token: String,
    temporary_files: AtomicU64,
    /// Folders whose own entry in their parent is known to be on the disk.
    durable: Mutex<HashSet<PathBuf>>,
}

impl FolderStore {
    /// Opens the lake at `root`, makes the folder if there is none, and removes what killed processes left behind.
    pub async fn open(root: impl Into<PathBuf>, clock: &Clock) -> Result<Self, StoreError> {
        let (root, token, now) = (root.into(), clock.token(), clock.wall_micros());
        let shared = blocking(move || {
            fs::create_dir_all(&root).map_err(|error| failed("make", &root, &error))?;
            let canonical = root.canonicalize().map_err(|error| failed("open", &root, &error))?;
            let folder = Folder {
                named: root,
                root: canonical,
                token,
                temporary_files: AtomicU64::new(0),
                durable: Mutex::new(HashSet::new()),
            };
            folder.make(TEMPORARY)?;
            folder.remove_left_overs(now)?;
            Ok(Arc::new(folder))
        });
        Ok(Self { shared: shared.await? })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        blocking(move || work(&shared)).await
    }
}

impl ObjectStore for FolderStore {
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let path = path.to_owned();
        Box::pin(self.run(move |folder| folder.create(&path, &body)))
    }

    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(self.run(move |folder| {
            let Some((name, _)) = folder.find(&path)? else {
                return Ok(None);
            };
            fs::read(&name).map(|body| Some(body.into())).map_err(|error| failed("read", &name, &error))
        }))
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        let path = path.to_owned();
        Box::pin(self.run(move |folder| folder.size(&path)))
    }

    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        let (path, after) = (folder.to_owned(), after.map(str::to_owned));
        Box::pin(self.run(move |folder| folder.list(&path, after.as_deref())))
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        let (shared, path) = (self.shared.clone(), path.to_owned());
        Box::pin(self.run(move |_| Ok(Arc::new(FolderUpload::begin(shared, path)?) as Arc<dyn Upload>)))
    }

    fn describe(&self) -> String {
        self.shared.named.display().to_string()
    }
}

impl Folder {
    fn create(&self, path: &str, body: &[u8]) -> Result<(), StoreError> {
        let (name, folder) = self.place(path)?;
        // Spares the writing; the link decides.
        if fs::symlink_metadata(&name).is_ok() {
            return self.exists(path, &name, &folder);
        }
        let (mut file, temporary) = self.create_temporary()?;
        if let Err(error) = file.write_all(body).and_then(|()| file.sync_all()) {
            let _ = fs::remove_file(&temporary);
            return Err(failed("write", &temporary, &error));
        }
        let published = self.publish(path, &temporary);
        // If this fails, or we are killed just before, the leftover is a second name of a published object: harmless.
        let _ = fs::remove_file(&temporary);
        published
    }

    /// An object's file, and the folder it is in, which is made.
    fn place(&self, path: &str) -> Result<(PathBuf, PathBuf), StoreError> {
        check_path(path)?;
        if is_temporary(path) {
            return Err(StoreError::Fatal(format!("{path}: {TEMPORARY} is for temporary files")));
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        Ok((self.root.join(path), self.make(parent)?))
    }

    /// Gives a temporary file, which is durable, the object's name, if that is free.
    fn publish(&self, path: &str, temporary: &Path) -> Result<(), StoreError> {
        let (name, folder) = self.place(path)?;
        match fs::hard_link(temporary, &name) {
            Ok(()) => sync(&folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.exists(path, &name, &folder),
            Err(error) if is_linkless(&error) => Err(StoreError::Fatal(format!(
                "cannot publish {}: its file system has no hard links ({error}), without which an object cannot appear \
                 whole and only once. Put the lake on another file system, or into S3",
                name.display()
            ))),
            Err(error) if error.kind() == ErrorKind::CrossesDevices => Err(StoreError::Fatal(format!(
                "cannot publish {}: it lies on another file system than {TEMPORARY}; the whole lake has to be on one",
                name.display()
            ))),
            // Our temporary file or the folder was removed under us: nothing was published.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::Unsettled(format!("cannot publish {}: {error}", name.display())))
            }
            Err(error) => Err(failed("publish", &name, &error)),
        }
    }

    /// The answer when the name is taken. Its creator may have been killed before it was durable, and our caller will
    /// build on it: so make it durable now.
    fn exists(&self, path: &str, name: &Path, folder: &Path) -> Result<(), StoreError> {
        match fs::symlink_metadata(name) {
            Ok(found) if found.is_file() => {
                sync(folder)?;
                Err(StoreError::Exists(path.to_owned()))
            }
            Ok(_) => Err(StoreError::Fatal(format!("{} is there, but is not a file", name.display()))),
            Err(error) => Err(StoreError::Unsettled(format!("cannot see {}: {error}", name.display()))),
        }
    }

    /// A new temporary file, open for writing.
    fn create_temporary(&self) -> Result<(fs::File, PathBuf), StoreError> {
        loop {
            let number = self.temporary_files.fetch_add(1, Ordering::Relaxed);
            let name = self.make(TEMPORARY)?.join(format!("{}-{number}.{TEMPORARY_ENDING}", self.token));
            match fs::File::create_new(&name) {
                Ok(file) => return Ok((file, name)),
                // A simulated world's token comes from its seed, so an earlier run had the same.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &name, &error)),
            }
        }
    }

    /// Makes `folder` with its parents, durably, and refuses symbolic links on the way there.
    fn make(&self, folder: &str) -> Result<PathBuf, StoreError> {
        let mut name = self.root.clone();
        for segment in folder.split('/').filter(|segment| !segment.is_empty()) {
            let parent = name.clone();
            name.push(segment);
            match fs::create_dir(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // Some file systems say so (read-only, no permission) before they look whether it is there.
                Err(_) if name.is_dir() => {}
                Err(error) => return Err(failed("make", &name, &error)),
            }
            let is_folder = fs::symlink_metadata(&name).map_err(|error| failed("open", &name, &error))?.is_dir();
            if !is_folder {
                return Err(not_ours(&name));
            }
            // Also if it was there: its maker may have been killed before it was durable.
            if !self.remembered().contains(&name) {
                sync(&parent)?;
                let mut remembered = self.remembered();
                if remembered.len() >= REMEMBERED_FOLDERS {
                    remembered.clear();
                }
                remembered.insert(name.clone());
            }
        }
        Ok(name)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of an object that the caller may build on: so it is made durable first, as in [`Self::exists`].
    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let Some((_, size)) = self.find(path)? else { return Ok(None) };
        sync(&self.make(path.rsplit_once('/').map_or("", |(parent, _)| parent))?)?;
        Ok(Some(size))
    }

    /// An object's file and size.
    fn find(&self, path: &str) -> Result<Option<(PathBuf, u64)>, StoreError> {
        check_path(path)?;
        if is_temporary(path) {
            return Ok(None);
        }
        let name = self.root.join(path);
        match name.canonicalize() {
            Ok(canonical) if canonical == name => {}
            Ok(_) => return Err(not_ours(&name)),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed("open", &name, &error)),
        }
        match fs::symlink_metadata(&name) {
            Ok(found) if found.is_file() => Ok(Some((name, found.len()))),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("open", &name, &error)),
        }
    }

    fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        check_folder(folder)?;
        let name = self.root.join(folder);
        match name.canonicalize() {
            Ok(canonical) if canonical == name => {}
            Ok(_) => return Err(not_ours(&name)),
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &name, &error)),
        }
        let mut found = Vec::new();
        let mut to_visit = vec![folder.to_owned()];
        while let Some(folder) = to_visit.pop() {
            let prefix = if folder.is_empty() { folder.clone() } else { format!("{folder}/") };
            let is_before = after.is_some_and(|after| prefix.as_str() < after && !after.starts_with(&prefix));
            if is_before || is_temporary(&folder) {
                continue;
            }
            let name = self.root.join(&folder);
            let entries = match fs::read_dir(&name) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failed("list", &name, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed("list", &name, &error))?;
                // We write no names that are not text, so this is somebody else's.
                let Ok(segment) = entry.file_name().into_string() else {
                    continue;
                };
                let path = format!("{prefix}{segment}");
                // Of the entry itself, not of what a symbolic link leads to: links are nobody's objects.
                match entry.metadata() {
                    Ok(of) if of.is_dir() => to_visit.push(path),
                    Ok(of) if of.is_file() && after.is_none_or(|after| path.as_str() > after) => {
                        found.push(Listed { path, size: of.len() });
                    }
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(failed("list", &entry.path(), &error)),
                }
            }
        }
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn remove_left_overs(&self, now: i64) -> Result<(), StoreError> {
        let folder = self.root.join(TEMPORARY);
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(now.try_into().unwrap_or_default());
        for entry in fs::read_dir(&folder).map_err(|error| failed("list", &folder, &error))? {
            let Ok(entry) = entry else { continue };
            let name = entry.path();
            let is_left_over = entry.metadata().is_ok_and(|of| {
                let age = of.modified().ok().and_then(|then| now.duration_since(then).ok());
                of.is_file() && age.is_some_and(|age| age > LEFT_OVER_AFTER)
            });
            if is_left_over && name.extension().is_some_and(|ending| ending == TEMPORARY_ENDING) {
                match fs::remove_file(&name) {
                    Ok(()) => {
                        tracing::info!(file = %name.display(), "removed what a killed process left behind")
                    }
                    // Only untidy: another process was faster, or we may not.
                    Err(error) => tracing::debug!(file = %name.display(), %error, "a left-over file stays"),
                }
            }
        }
        Ok(())
    }
}

/// Makes a folder's entries durable.
///
/// A failure is fatal: the kernel may have dropped what it could not write, so another sync would succeed and prove
/// nothing, and a read-back would come from memory.
fn sync(folder: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(|error| {
        StoreError::Fatal(format!("cannot make {} durable ({error}); check the disk", folder.display()))
    })?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Whether a path or folder lies among the temporary files.
fn is_temporary(path: &str) -> bool {
    path.strip_prefix(TEMPORARY).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Runs file work where it does not hold up the readers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Unsettled("the program is ending".to_owned())),
        },
    }
}

#[cfg(test)]
mod tests;
