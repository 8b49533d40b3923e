//! What is in a state file, and how is it replaced so that a crash leaves the old or the new one?

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::change::ShardId;
use crate::checkpoint::stored::Stored;
use crate::checkpoint::{Checkpoint, CheckpointKey, StateError};

/// Far more than a state file ever has; what is larger is not ours and is not read into memory.
const MAX_FILE: u64 = 64 * 1024;
const CURE: &str = "delete it: the lake's own chain of ranges is the truth, so the lake stays exactly-once and the \
                    next start only walks that chain";

/// A state file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    stream: String,
    shard: String,
    sink: String,
    checkpoint: String,
    #[serde(rename = "checkpointSubSequenceNumber")]
    sub: u32,
    position: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<u64>,
}

pub(super) fn read(path: &Path) -> Result<Option<(CheckpointKey, Checkpoint)>, StateError> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read the state file", path, &error)),
    }
    let content: Content = serde_json::from_slice(&text)
        .map_err(|error| bad_file(path, &format!("is damaged or not a state file ({error})")))?;
    let Content { stream, shard, sink, checkpoint, sub, position, start_time, range } = content;
    let checkpoint = Stored { checkpoint, sub, position, start_time, range }
        .to_checkpoint()
        .map_err(|what| bad_file(path, &format!("is damaged: {what}")))?;
    Ok(Some((CheckpointKey { stream, shard: ShardId::new(shard), sink }, checkpoint)))
}

pub(super) fn write(path: &Path, key: &CheckpointKey, checkpoint: &Checkpoint) -> io::Result<()> {
    let Stored { checkpoint, sub, position, start_time, range } = Stored::from(checkpoint);
    let content = Content {
        stream: key.stream.clone(),
        shard: key.shard.as_str().to_owned(),
        sink: key.sink.clone(),
        checkpoint,
        sub,
        position,
        start_time,
        range,
    };
    let mut text = serde_json::to_vec(&content)?;
    text.push(b'\n');

    let Some(folder) = path.parent() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        if let Some(root) = folder.parent() {
            sync_folder(root)?;
        }
    }
    // One name per key is enough: saves of one key take turns, and the lock keeps other processes out.
    let fresh = path.with_extension("json.new");
    let mut file = File::create(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    sync_folder(folder)
}

/// A new name is durable once its folder is. (Elsewhere than on Unix a folder cannot be opened for this.)
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(super) fn bad_file(path: &Path, what: &str) -> StateError {
    StateError::Fatal(format!("the state file {} {what}; {CURE}", path.display()))
}

pub(super) fn io_error(what: &str, path: &Path, error: &io::Error) -> StateError {
    use io::ErrorKind as Kind;
    let text = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        // A busy or flaky disk (a network file system) may come back; these do not by themselves.
        Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem
        | Kind::StorageFull
        | Kind::QuotaExceeded
        | Kind::FileTooLarge
        | Kind::NotFound
        | Kind::NotADirectory
        | Kind::IsADirectory
        | Kind::AlreadyExists
        | Kind::InvalidFilename
        | Kind::Unsupported => StateError::Fatal(text),
        _ => StateError::Transient(text),
    }
}
