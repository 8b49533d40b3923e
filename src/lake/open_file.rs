//! A data file in the making: rows of one table and partition, encoded as they collect.

use std::sync::Arc;

use bytes::Bytes;

use super::file::{FileError, FileWriter};
use super::rows::Rows;
use super::schema::TableRules;
use crate::change::{Position, TableName};

/// A data file in the making.
pub(super) struct OpenFile {
    pub(super) table: TableName,
    pub(super) partition: String,
    pub(super) rules: Arc<TableRules>,
    pub(super) rows: Rows,
    pub(super) encoder: Option<FileWriter>,
    pub(super) encoded_rows: usize,
    /// Whether the schema may not grow: the range has been written already.
    pub(super) pinned: bool,
    pub(super) end: Option<Position>,
}

/// A data file that is complete and has passed its check.
pub(super) struct FinishedFile {
    pub(super) table: TableName,
    pub(super) partition: String,
    pub(super) rows: usize,
    pub(super) schema: u32,
    pub(super) end: Position,
    pub(super) body: Bytes,
}

/// Completes all files that have rows, in the order of their last records, so that parts of one partition follow each
/// other.
pub(super) fn finish_files(
    files: Vec<OpenFile>,
    notes: &[(&'static str, String)],
) -> Result<Vec<FinishedFile>, FileError> {
    let mut finished =
        files.into_iter().filter_map(|file| file.finish(notes).transpose()).collect::<Result<Vec<_>, _>>()?;
    finished.sort_by_key(|file| file.end);
    Ok(finished)
}

impl OpenFile {
    /// Encodes the rows collected so far.
    pub(super) fn encode(&mut self, notes: &[(&'static str, String)]) -> Result<(), FileError> {
        let batch = self.rows.finish()?;
        self.encoded_rows += batch.num_rows();
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(FileWriter::new(self.rows.schema(), &self.rules, notes)?),
        };
        encoder.write(&batch)
    }

    fn finish(mut self, notes: &[(&'static str, String)]) -> Result<Option<FinishedFile>, FileError> {
        if !self.rows.is_empty() {
            self.encode(notes)?;
        }
        let (Some(encoder), Some(end)) = (self.encoder, self.end) else { return Ok(None) };
        Ok(Some(FinishedFile {
            table: self.table,
            partition: self.partition,
            rows: self.encoded_rows,
            schema: self.rows.schema().version,
            end,
            body: encoder.finish()?,
        }))
    }
}
