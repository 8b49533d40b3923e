//! A data file in the making: rows of one table and partition, encoded as they collect.
//!
//! A batch of rows is encoded on a worker thread while the next one collects. The encoder travels with it; a batch that
//! is full before it has come back waits for it. What is finished of a large file is uploaded meanwhile.

use std::sync::Arc;

use bytes::Bytes;

use super::LakeError;
use super::file::{FileError, FileWriter};
use super::limits::Limits;
use super::rows::{RowOrigin, Rows};
use super::schema::{TableRules, TableSchema};
use super::side_by_side::side_by_side;
use super::upload_ahead::{Destination, UploadAhead};
use crate::change::{Position, Record, TableName};
use crate::clock::{Clock, Started};
use crate::decode::envelope::Envelope;

/// How much smaller encoded rows are than the raw columns, for the estimate of what has not been encoded yet.
const COMPRESSION_GUESS: usize = 6;

/// The raw rows are measured after so many bytes of records: that looks at every column.
const MEASURE_EVERY: usize = 256 << 10;

/// What the footer of every file of a range says.
pub(super) type Notes = Vec<(&'static str, String)>;

/// What a data file will be.
pub(super) struct NewFile {
    pub(super) table: TableName,
    pub(super) partition: String,
    pub(super) rules: Arc<TableRules>,
    pub(super) origin: RowOrigin,
    pub(super) schema: Arc<TableSchema>,
    /// Its path in the lake.
    pub(super) path: String,
    /// Where it goes while it is encoded, if it does.
    pub(super) destination: Option<Arc<Destination>>,
    pub(super) limits: Limits,
}

/// A data file in the making.
pub(super) struct OpenFile {
    pub(super) table: TableName,
    pub(super) partition: String,
    pub(super) rules: Arc<TableRules>,
    pub(super) rows: Rows,
    pub(super) end: Option<Position>,
    pub(super) origin: RowOrigin,
    path: String,
    destination: Option<Arc<Destination>>,
    /// Since a part of it was finished.
    upload: Option<UploadAhead>,
    limits: Limits,
    encoder: Encoder,
    /// What the encoder, with the batch it has, takes in memory, and what that may come to in the file.
    encoder_memory: usize,
    encoder_bytes: usize,
    /// Rows that were given to the encoder.
    encoded_rows: usize,
    /// What `rows` takes, and the bytes of the records added since that was measured.
    measured: usize,
    unmeasured: usize,
    /// Rows by operation, of which there are three.
    operations: Vec<(String, u64)>,
    /// Values that did not fit their column.
    pub(super) to_rest: u64,
}

/// Where a file's encoder is.
enum Encoder {
    /// No row has been encoded yet.
    None,
    Here(Box<FileWriter>),
    /// On a worker thread with a batch.
    Away(Started<Result<Box<FileWriter>, FileError>>),
}

/// A data file that is complete and has passed its check.
pub(super) struct FinishedFile {
    pub(super) table: TableName,
    pub(super) partition: String,
    pub(super) rows: usize,
    pub(super) schema: u32,
    pub(super) generation: i64,
    pub(super) end: Position,
    pub(super) path: String,
    /// The bytes of the whole file.
    pub(super) size: usize,
    /// Those of them that are not uploaded.
    pub(super) rest: Bytes,
    /// Where the others are.
    pub(super) upload: Option<UploadAhead>,
}

/// Completes all files that have rows, in the order of their last records, so that parts of one partition follow each
/// other. Uses up to `threads` threads: for the files, and if these are fewer for the columns of each.
pub(super) fn finish_files(
    files: Vec<OpenFile>,
    notes: &Notes,
    threads: usize,
) -> Result<Vec<FinishedFile>, FileError> {
    let threads_of_each = threads.div_ceil(files.len().max(1));
    let mut finished: Vec<Option<FinishedFile>> = files.iter().map(|_| None).collect();
    let tasks = files.into_iter().zip(&mut finished).collect();
    side_by_side(threads, tasks, |(file, finished): (OpenFile, _)| {
        *finished = file.finish(notes, threads_of_each)?;
        Ok::<_, FileError>(())
    })?;
    let mut finished: Vec<_> = finished.into_iter().flatten().collect();
    finished.sort_by_key(|file| file.end);
    Ok(finished)
}

impl OpenFile {
    pub(super) fn new(file: NewFile) -> Self {
        let NewFile { table, partition, rules, origin, schema, path, destination, limits } = file;
        Self {
            table,
            partition,
            rules,
            rows: Rows::new(origin.clone(), schema),
            end: None,
            origin,
            path,
            destination,
            upload: None,
            limits,
            encoder: Encoder::None,
            encoder_memory: 0,
            encoder_bytes: 0,
            encoded_rows: 0,
            measured: 0,
            unmeasured: 0,
            operations: Vec::new(),
            to_rest: 0,
        }
    }

    /// Whether rows were encoded, so that no column can be added.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.encoder, Encoder::None)
    }

    /// The bytes that rows wait with to be encoded, roughly.
    pub(super) fn raw(&self) -> usize {
        self.measured + self.unmeasured
    }

    /// The bytes that all of it takes in memory, roughly.
    pub(super) fn memory(&self) -> usize {
        self.raw() + self.encoder_memory + self.upload.as_ref().map_or(0, UploadAhead::memory)
    }

    /// The bytes the file would have if it ended here, roughly.
    pub(super) fn encoded(&self) -> usize {
        self.raw() / COMPRESSION_GUESS + self.encoder_bytes
    }

    /// Counts a change that was added.
    pub(super) fn count(&mut self, record: &Record, change: &Envelope<'_>, to_rest: u64) {
        self.end = Some(record.position);
        self.to_rest += to_rest;
        match self.operations.iter_mut().find(|(operation, _)| **operation == *change.event_name) {
            Some((_, rows)) => *rows += 1,
            None => self.operations.push((change.event_name.to_string(), 1)),
        }
        self.unmeasured += record.payload.len();
        if self.unmeasured >= MEASURE_EVERY {
            self.measure();
        }
    }

    /// Looks what the rows really take.
    pub(super) fn measure(&mut self) {
        if self.unmeasured > 0 {
            (self.measured, self.unmeasured) = (self.rows.bytes(), 0);
        }
    }

    /// Rows by operation.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, u64)> {
        self.operations.iter().map(|(operation, rows)| (operation.as_str(), *rows))
    }

    /// Begins to encode the rows collected so far, once those before them are. With `close_group` they end a row group.
    pub(super) async fn encode(&mut self, clock: &Clock, notes: Notes, close_group: bool) -> Result<(), LakeError> {
        self.settle().await?;
        (self.encoder_memory, self.encoder_bytes) = (self.raw() + self.encoder_memory, self.encoded());
        let mut rows = self.rows.hand_over();
        (self.measured, self.unmeasured) = (0, 0);
        self.encoded_rows += rows.len();
        let (encoder, rules, cores) = (self.take_encoder(), self.rules.clone(), clock.clone());
        let (group, part) = (self.limits.group, self.destination.as_ref().map(|to| to.part()));
        let encoding = clock.start(move || {
            let mut encoder = match encoder {
                Some(encoder) => encoder,
                None => Box::new(FileWriter::new(rows.schema(), &rules, &notes)?.in_pieces(group, part)),
            };
            let batch = rows.finish()?;
            drop(rows);
            let cores = cores.claim_cores();
            encoder.write_on(cores.count(), &batch)?;
            if close_group {
                encoder.close_group(cores.count())?;
            }
            Ok(encoder)
        });
        self.encoder = Encoder::Away(encoding);
        Ok(())
    }

    /// Whether a batch is being encoded.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.encoder, Encoder::Away(_))
    }

    /// Whether a batch has been encoded that nobody has taken back.
    pub(super) fn is_back(&self) -> bool {
        matches!(&self.encoder, Encoder::Away(encoding) if encoding.is_finished())
    }

    /// Waits until the batch on its way is encoded, and until what that has finished is on its way to the store.
    pub(super) async fn settle(&mut self) -> Result<(), LakeError> {
        if let Encoder::Away(encoding) = &mut self.encoder {
            let encoded = encoding.join().await;
            // On an error the file stays without those rows; `finish` then refuses.
            self.encoder = Encoder::None;
            let mut encoder = encoded?;
            let finished = encoder.take_parts();
            (self.encoder_memory, self.encoder_bytes) = (encoder.memory(), encoder.encoded());
            self.encoder = Encoder::Here(encoder);
            self.upload(finished).await?;
        }
        Ok(())
    }

    async fn upload(&mut self, parts: Vec<Bytes>) -> Result<(), LakeError> {
        if let Some(to) = self.destination.as_ref().filter(|_| !parts.is_empty()) {
            let upload = self.upload.get_or_insert_with(|| UploadAhead::begin(to.clone()));
            for part in parts {
                upload.push(part).await?;
            }
        }
        Ok(())
    }

    fn take_encoder(&mut self) -> Option<Box<FileWriter>> {
        match std::mem::replace(&mut self.encoder, Encoder::None) {
            Encoder::Here(encoder) => Some(encoder),
            _ => None,
        }
    }

    fn finish(mut self, notes: &Notes, threads: usize) -> Result<Option<FinishedFile>, FileError> {
        let Some(end) = self.end else { return Ok(None) };
        let mut encoder = match self.take_encoder() {
            Some(encoder) => encoder,
            None => {
                Box::new(FileWriter::new(self.rows.schema(), &self.rules, notes)?.in_pieces(self.limits.group, None))
            }
        };
        self.encoded_rows += self.rows.len();
        if !self.rows.is_empty() {
            encoder.write_on(threads, &self.rows.finish()?)?;
        }
        if encoder.rows() != self.encoded_rows {
            let why = format!("only {} of {} rows were encoded", encoder.rows(), self.encoded_rows);
            return Err(FileError::Unreadable(why));
        }
        let (taken, rest) = (encoder.taken(), encoder.finish_on(threads)?);
        Ok(Some(FinishedFile {
            table: self.table,
            partition: self.partition,
            rows: self.encoded_rows,
            schema: self.rows.schema().version,
            generation: self.origin.generation,
            end,
            path: self.path,
            size: taken + rest.len(),
            rest,
            upload: self.upload,
        }))
    }
}
