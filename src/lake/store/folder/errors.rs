//! What does an error of the file system mean for the lake, and what cures it?

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::lake::store::StoreError;

/// A file where the path wants a folder means that the object is not there, as in S3.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether `hard_link` failed because there is no such thing here. EPERM (1) is what Linux says on FAT; a lack of
/// permission is EACCES.
pub(super) fn is_linkless(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(1))
}

pub(super) fn not_ours(name: &Path) -> StoreError {
    StoreError::Fatal(format!(
        "{} leads through something that is not a plain folder or file of the lake (a symbolic link?); remove it, or \
         let the lake's path point to where the data is",
        name.display()
    ))
}

/// What an I/O error means for the lake.
pub(super) fn failed(what: &str, name: &Path, error: &io::Error) -> StoreError {
    let text = format!("cannot {what} {}: {error}", name.display());
    let cure = match error.kind() {
        // Nothing about the disk or the lake: a busy machine or network, which passes.
        ErrorKind::Interrupted
        | ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::ResourceBusy
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::OutOfMemory => return StoreError::Unsettled(text),
        // Too many open files, in the process or on the machine (EMFILE, ENFILE), which std has no kind for.
        _ if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) => {
            return StoreError::Unsettled(text);
        }
        // Removed under us, by whoever tidies up there; made again next time.
        ErrorKind::NotFound => return StoreError::Unsettled(text),
        ErrorKind::StorageFull => "the disk is full: make room, then start again",
        ErrorKind::QuotaExceeded => "the disk quota is used up: raise it or make room, then start again",
        ErrorKind::PermissionDenied => "watershed's user needs to read and write there: change owner or mode",
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: mount it for writing",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a file is where the lake needs a folder: move it away",
        ErrorKind::InvalidFilename => "the name is too long for this file system",
        _ => "check the disk",
    };
    StoreError::Fatal(format!("{text} ({cure})"))
}
