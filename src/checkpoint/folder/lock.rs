//! Who may write to a state folder? The one process that holds its lock, which the kernel takes back when it dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::file::io_error;
use crate::checkpoint::StateError;
use crate::clock::Clock;

/// No stream's folder can have this name: escaping leaves no dot.
const LOCK: &str = "watershed.lock";

/// What the holder of a state folder writes into its lock file, for whoever finds it locked: process, host, time.
pub fn holder_note(clock: &Clock) -> String {
    let since = match jiff::Timestamp::from_microsecond(clock.wall_micros()) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => "an unknown time".to_owned(),
    };
    format!("process {} on {} since {since}", std::process::id(), host_name())
}

fn host_name() -> String {
    // The standard library does not know the host's name, and a message is not worth a dependency.
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unknown host".to_owned())
}

/// Takes the lock of a folder or says who has it. It is held as long as the file stays open.
pub(super) fn take(folder: &Path, holder_note: &str) -> Result<File, StateError> {
    let lock_path = folder.join(LOCK);
    let failed = |error: &io::Error| io_error("lock the state folder with", &lock_path, error);
    // Not truncated on opening: it may be another's, who is named in it.
    let mut options = OpenOptions::new();
    let mut lock =
        options.read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(|error| failed(&error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut note = String::new();
            let holder = match (&lock).take(400).read_to_string(&mut note) {
                Ok(_) if !note.trim().is_empty() => note.trim(),
                _ => "another process",
            };
            return Err(StateError::Held(format!(
                "the state folder {} is held by {holder}; stop it or use another `state`",
                folder.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    let note = format!("{holder_note}\n");
    lock.set_len(0).and_then(|()| lock.write_all(note.as_bytes())).map_err(|error| failed(&error))?;
    Ok(lock)
}
