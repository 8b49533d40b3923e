//! Recorded changes in files, as a stream like any other: the embedded default, with nothing else installed.
//!
//! Every file is a stream of one shard; a record's sequence number is its ordinal in the file, from 1. A file may hold
//! one JSON document a line or be one document, each of any shape that [`super::unwrap`] knows. Nothing is written into
//! it; records appended later are read by the next run.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Pace, ReadFrom, RecordsPage, ShardId, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity, unwrap,
};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::clock::Clock;
use crate::decode::json::Marks;

/// How much of a file of lines is read at once.
const CHUNK: usize = 1 << 20;

/// The longest line, and the largest file that is one document: it has to be in memory at once.
const MAX_DOCUMENT: u64 = 256 << 20;

/// Finds the recorded files of a pipeline.
pub struct FileFinder {
    paths: Vec<PathBuf>,
    clock: Clock,
}

impl FileFinder {
    /// For files, and for folders whose files (not those below) are all read, in the order of their names.
    pub fn new(paths: Vec<PathBuf>, clock: Clock) -> Self {
        Self { paths, clock }
    }

    fn open(&self) -> Result<Vec<Arc<dyn StreamApi>>, StreamError> {
        let mut files = Vec::new();
        for path in &self.paths {
            let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
            if metadata.is_dir() {
                let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
                let mut inside: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                inside.retain(|path| {
                    path.is_file() && !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
                });
                inside.sort();
                files.extend(inside);
            } else {
                files.push(path.clone());
            }
        }
        if files.is_empty() {
            let named: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(StreamError::Fatal(format!("there are no recorded changes in {}", named.join(", "))));
        }
        names_differ(&files)?;
        files.into_iter().map(|path| FileStream::open(path, self.clock.clone())).collect()
    }
}

/// A file's name is its shard: of two with one name, no row's position would tell which it is from.
fn names_differ(files: &[PathBuf]) -> Result<(), StreamError> {
    let mut known = HashMap::new();
    for file in files {
        if let Some(other) = file.file_name().and_then(|name| known.insert(name, file)) {
            return Err(StreamError::Fatal(format!(
                "{} and {} have the same name, by which the rows of recorded changes are told apart. Rename one, or give \
                 it a pipeline of its own",
                other.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

impl StreamFinder for FileFinder {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        Box::pin(async { self.open() })
    }
}

/// One recorded file.
struct FileStream {
    path: PathBuf,
    identity: StreamIdentity,
    shard: ShardId,
    lines: bool,
    clock: Clock,
}

impl FileStream {
    /// Looks at the beginning of the file to tell lines from one document, and to give the file an identity: a file of
    /// other content under the same name is another stream.
    fn open(path: PathBuf, clock: Clock) -> Result<Arc<dyn StreamApi>, StreamError> {
        let head = read_line(&path, 0)?;
        let lines = head.len() == file_size(&path)? as usize
            || unwrap::changes(&Bytes::from(head.clone()), &mut Marks::default()).is_ok();
        let content = if lines { head } else { read_document(&path)? };
        let digest: String = Sha256::digest(&content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
        Ok(Arc::new(Self {
            identity: StreamIdentity { id: format!("file:{}#{digest}", path.display()), table: None, origin: None },
            shard: ShardId::new(&*name),
            path,
            lines,
            clock,
        }))
    }

    /// The page at `place`. A broken line ends the page before it; alone it is the error.
    fn page(path: &Path, lines: bool, place: Place) -> Result<RecordsPage, StreamError> {
        let chunk = match (lines, place.offset) {
            (true, offset) => read_chunk(path, offset)?,
            (false, 0) => read_document(path)?,
            (false, _) => Vec::new(),
        };
        let chunk = Bytes::from(chunk);
        let mut page = Place { ..place };
        let (mut records, mut marks) = (Vec::new(), Marks::default());
        let documents: Vec<Bytes> = if lines { split_lines(&chunk) } else { vec![chunk.clone()] };
        for document in documents {
            if !document.iter().all(u8::is_ascii_whitespace) {
                match unwrap::changes(&document, &mut marks) {
                    Ok(found) => {
                        for change in found {
                            page.ordinal += 1;
                            let position = Position::new(SequenceNumber::from_ordinal(page.ordinal));
                            records.push(Record {
                                position,
                                channel: Channel::Recorded,
                                table: change.table,
                                payload: change.payload,
                            });
                        }
                    }
                    Err(_) if !records.is_empty() => break,
                    Err(malformed) => return Err(broken(path, page.offset, malformed)),
                }
            }
            page.offset += document.len() as u64;
        }
        let left = file_size(path)?.saturating_sub(page.offset);
        Ok(RecordsPage {
            records,
            next: Some(ShardIterator(page.to_string())),
            names_children: false,
            millis_behind: Some(i64::from(left > 0)),
            bytes: chunk.len(),
        })
    }

    /// Where the record behind `ordinal` stands. Only counting tells.
    fn seek(path: &Path, lines: bool, ordinal: u64) -> Result<Place, StreamError> {
        let mut place = Place { offset: 0, ordinal: 0 };
        while place.ordinal < ordinal {
            let page = Self::page(path, lines, place)?;
            let after = page.next.as_ref().and_then(|iterator| Place::parse(&iterator.0)).unwrap_or(place);
            if after.ordinal > ordinal {
                // The reader drops the records of this page that it has.
                return Ok(place);
            }
            if after.offset == place.offset {
                return Err(StreamError::Fatal(format!(
                    "{} has only {} records, but {ordinal} of them are in the lake already: was it cut? Recorded \
                     changes may be appended to, not removed",
                    path.display(),
                    place.ordinal
                )));
            }
            place = after;
        }
        Ok(place)
    }
}

/// A place between two documents of a file: the iterator.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Bytes before it.
    offset: u64,
    /// Records before it.
    ordinal: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.offset, self.ordinal)
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (offset, ordinal) = text.split_once('/')?;
        Some(Self { offset: offset.parse().ok()?, ordinal: ordinal.parse().ok()? })
    }
}

impl StreamApi for FileStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        let shard = ShardInfo { id: self.shard.clone(), parents: Vec::new(), closed: false };
        Box::pin(async { Ok(ShardPage { shards: vec![shard], next: None, enabled: true }) })
    }

    fn shard_iterator<'a>(
        &'a self,
        _shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        let (path, lines) = (self.path.clone(), self.lines);
        Box::pin(async move {
            let ordinal = match from {
                ReadFrom::After(sequence) => sequence.to_ordinal().unwrap_or(0),
                ReadFrom::At(sequence) => sequence.to_ordinal().unwrap_or(0).saturating_sub(1),
                ReadFrom::TrimHorizon | ReadFrom::Latest | ReadFrom::Timestamp(_) => 0,
            };
            let place = self.clock.offload(move || Self::seek(&path, lines, ordinal)).await?;
            Ok(ShardIterator(place.to_string()))
        })
    }

    fn get_records<'a>(
        &'a self,
        _shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        let (path, lines) = (self.path.clone(), self.lines);
        Box::pin(async move {
            let place = Place::parse(&iterator.0).ok_or(StreamError::Expired)?;
            self.clock.offload(move || Self::page(&path, lines, place)).await
        })
    }

    fn pace(&self) -> Pace {
        Pace {
            busy: Duration::ZERO,
            idle: Duration::from_millis(200),
            discovery: Duration::from_secs(10),
            aggregates: false,
            page_bytes: 2 * CHUNK,
            finite: true,
        }
    }
}

/// The lines of a chunk, each with its end.
fn split_lines(chunk: &Bytes) -> Vec<Bytes> {
    let mut start = 0;
    let mut lines = Vec::new();
    for end in memchr::memchr_iter(b'\n', chunk) {
        lines.push(chunk.slice(start..=end));
        start = end + 1;
    }
    if start < chunk.len() {
        lines.push(chunk.slice(start..));
    }
    lines
}

/// About [`CHUNK`] bytes of whole lines from `offset`; a longer line comes whole.
fn read_chunk(path: &Path, offset: u64) -> Result<Vec<u8>, StreamError> {
    let mut chunk = read_at(path, offset, CHUNK)?;
    if chunk.len() < CHUNK {
        return Ok(chunk);
    }
    match memchr::memrchr(b'\n', &chunk) {
        Some(end) => {
            chunk.truncate(end + 1);
            Ok(chunk)
        }
        None => read_line(path, offset),
    }
}

/// The line at `offset`, with its end; the last may have none.
fn read_line(path: &Path, offset: u64) -> Result<Vec<u8>, StreamError> {
    let mut length = CHUNK;
    loop {
        let mut line = read_at(path, offset, length)?;
        if let Some(end) = memchr::memchr(b'\n', &line) {
            line.truncate(end + 1);
            return Ok(line);
        }
        if line.len() < length {
            return Ok(line);
        }
        if length as u64 > MAX_DOCUMENT {
            let at = format!("{}: the line at byte {offset} is longer than 256 MiB", path.display());
            return Err(StreamError::Fatal(at));
        }
        length *= 4;
    }
}

fn read_document(path: &Path) -> Result<Vec<u8>, StreamError> {
    let size = file_size(path)?;
    if size > MAX_DOCUMENT {
        return Err(StreamError::Fatal(format!(
            "{} is one JSON document of {size} bytes; above 256 MiB write one document a line",
            path.display()
        )));
    }
    read_at(path, 0, size as usize)
}

fn read_at(path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, StreamError> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: std::io::Error| unreadable(path, &error))
}

fn file_size(path: &Path) -> Result<u64, StreamError> {
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StreamError {
    StreamError::Fatal(format!("can't read recorded changes from {}: {error}", path.display()))
}

/// Names file, line and column of what is not JSON.
fn broken(path: &Path, document: u64, malformed: crate::decode::json::Malformed) -> StreamError {
    let before = read_at(path, 0, document as usize + malformed.at).unwrap_or_default();
    let line = memchr::memchr_iter(b'\n', &before).count() + 1;
    let column = before.len() - memchr::memrchr(b'\n', &before).map_or(0, |end| end + 1) + 1;
    StreamError::Fatal(format!(
        "{}:{line}:{column}: not JSON: {}. Everything before this line is safe; mend or remove it, then run again",
        path.display(),
        malformed.what
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = r#"{"eventName":"INSERT","dynamodb":{"Keys":{"Id":{"N":"1"}}}}"#;

    async fn read(content: &str, from: ReadFrom) -> Result<Vec<u64>, StreamError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.ndjson");
        std::fs::write(&path, content).unwrap();
        let stream = FileFinder::new(vec![path], Clock::system()).streams().await?.remove(0);
        let shard = stream.list_shards(None).await?.shards.remove(0).id;
        let mut iterator = stream.shard_iterator(&shard, from).await?;
        let mut ordinals = Vec::new();
        loop {
            let page = stream.get_records(&shard, &iterator).await?;
            ordinals.extend(page.records.iter().filter_map(|record| record.position.sequence.to_ordinal()));
            iterator = page.next.unwrap();
            if page.millis_behind == Some(0) {
                return Ok(ordinals);
            }
        }
    }

    #[tokio::test]
    async fn lines_and_documents_are_numbered_through() {
        let lines = format!("{CHANGE}\n\n{{\"Records\":[{CHANGE},{CHANGE}]}}\r\n{CHANGE}");
        assert_eq!(read(&lines, ReadFrom::TrimHorizon).await.unwrap(), [1, 2, 3, 4]);
        let document = format!("{{\n \"Records\": [\n{CHANGE},\n{CHANGE}]}}\n");
        assert_eq!(read(&document, ReadFrom::TrimHorizon).await.unwrap(), [1, 2]);
        assert_eq!(read(&document, ReadFrom::After(SequenceNumber::from_ordinal(2))).await.unwrap(), [0u64; 0]);
        let many = format!("{CHANGE}\n").repeat(50_000);
        let tail = read(&many, ReadFrom::After(SequenceNumber::from_ordinal(49_990))).await.unwrap();
        assert_eq!(tail.last(), Some(&50_000));
    }

    #[tokio::test]
    async fn files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name).join("changes.ndjson"));
        for path in &paths {
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, CHANGE).unwrap();
        }
        for files in [paths.to_vec(), vec![paths[0].clone(), paths[0].clone()]] {
            let found = FileFinder::new(files, Clock::system()).streams().await;
            let error = found.err().unwrap().to_string();
            assert!(error.contains("a/changes.ndjson and ") && error.contains("the same name"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_broken_line_is_named() {
        let lines = format!("{CHANGE}\n{CHANGE}\n{{\"eventName\":oops}}\n{CHANGE}\n");
        let error = read(&lines, ReadFrom::TrimHorizon).await.unwrap_err().to_string();
        assert!(error.contains("changes.ndjson:3:14: not JSON: expected a value"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_was_cut_is_refused() {
        let error = read(&format!("{CHANGE}\n"), ReadFrom::After(SequenceNumber::from_ordinal(5))).await.unwrap_err();
        assert!(error.to_string().contains("has only 1 records, but 5"), "{error}");
    }
}
