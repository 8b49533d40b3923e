//! Encodes the rows of one data file as Parquet, in memory, and proves the file readable before anybody sees it.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_cmp::{DynComparator, make_comparator};
use arrow_schema::{DataType, Schema, SortOptions};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::schema::{TableRules, TableSchema};

/// The zstd level: the first is several times faster than the usual third and a few per cent larger.
const ZSTD_LEVEL: i32 = 1;

/// The most rows of a row group. Encoded columns of a row group stay in memory until it is complete.
const ROW_GROUP_ROWS: usize = 1_000_000;

/// The false-positive rate of Bloom filters on indexed columns.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The encoder refused the rows.
    #[error("encoding Parquet failed: {0}")]
    Encode(#[from] ParquetError),
    /// Sorting or assembling the rows failed.
    #[error("assembling columns failed: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    /// The finished file does not read back.
    #[error("the finished file failed its check: {0}")]
    Unreadable(String),
}

/// A Parquet file in the making.
#[derive(Debug)]
pub struct FileWriter {
    writer: ArrowWriter<Vec<u8>>,
    /// The positions of indexed columns, by which each row group is sorted.
    sort_by: Vec<usize>,
    rows: usize,
}

impl FileWriter {
    /// An empty file for rows of `schema`. `notes` go into the footer.
    pub fn new(schema: &TableSchema, rules: &TableRules, notes: &[(&str, String)]) -> Result<Self, FileError> {
        let arrow = schema.arrow();
        let sort_by: Vec<usize> = rules
            .indexes
            .iter()
            .filter_map(|attribute| schema.column_of(attribute))
            .filter_map(|at| arrow.index_of(&schema.columns[at].column).ok())
            .filter(|&at| !arrow.field(at).data_type().is_nested())
            .collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(concat!("watershed ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(
                notes.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect(),
            ));
        for name in ["_sequence", "_event_id"] {
            // All different: a dictionary would only be built to be thrown away.
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
        }
        for &at in &sort_by {
            let path = ColumnPath::new(vec![arrow.field(at).name().clone()]);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path, BLOOM_FALSE_POSITIVES);
        }
        if !sort_by.is_empty() {
            let sorting = sort_by.iter().map(|&at| SortingColumn {
                column_idx: leaf_of(&arrow, at) as i32,
                descending: false,
                nulls_first: false,
            });
            properties = properties.set_sorting_columns(Some(sorting.collect()));
        }
        let writer = ArrowWriter::try_new(Vec::new(), arrow, Some(properties.build()))?;
        Ok(Self { writer, sort_by, rows: 0 })
    }

    /// Encodes a batch of rows, sorted by the indexed columns if there are any; then it is a row group of its own.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.rows += batch.num_rows();
        if self.sort_by.is_empty() {
            return Ok(self.writer.write(batch)?);
        }
        self.writer.write(&sorted(batch, &self.sort_by)?)?;
        Ok(self.writer.flush()?)
    }

    /// The bytes the file takes in memory.
    pub fn memory(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().capacity()
    }

    /// The bytes the file has or will have, as far as one can say now.
    pub fn encoded(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Completes the file and checks it.
    pub fn finish(self) -> Result<Bytes, FileError> {
        let rows = self.rows;
        let file = Bytes::from(self.writer.into_inner()?);
        verify(&file, rows)?;
        Ok(file)
    }
}

/// Reads the footer back and checks that it promises `rows` rows, in column chunks that lie inside the file.
pub fn verify(file: &Bytes, rows: usize) -> Result<(), FileError> {
    let unreadable = |what: String| FileError::Unreadable(what);
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(file)
        .map_err(|error| unreadable(format!("its footer does not parse ({error})")))?;
    let promised = metadata.file_metadata().num_rows();
    if promised != rows as i64 {
        return Err(unreadable(format!("it has {promised} rows instead of {rows}")));
    }
    let columns = metadata.file_metadata().schema_descr().num_columns();
    for group in metadata.row_groups() {
        let inside = group.columns().iter().all(|chunk| {
            let (start, length) = chunk.byte_range();
            start.checked_add(length).is_some_and(|end| end <= file.len() as u64)
        });
        if group.num_columns() != columns || !inside {
            return Err(unreadable("a column chunk lies outside the file".to_owned()));
        }
    }
    Ok(())
}

/// The index of the Parquet leaf of a scalar field: the leaves of the fields before it count.
fn leaf_of(schema: &Schema, field: usize) -> usize {
    schema.fields()[..field].iter().map(|field| leaves(field.data_type())).sum()
}

fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(element) => leaves(element.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

fn sorted(batch: &RecordBatch, by: &[usize]) -> Result<RecordBatch, FileError> {
    let options = SortOptions { descending: false, nulls_first: false };
    let compare: Vec<DynComparator> =
        by.iter().map(|&at| make_comparator(batch.column(at), batch.column(at), options)).collect::<Result<_, _>>()?;
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    // Stable: rows of one index value stay in shard order.
    order.sort_by(|&a, &b| {
        let columns = compare.iter().map(|compare| compare(a as usize, b as usize));
        columns.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    Ok(arrow_select::take::take_record_batch(batch, &UInt32Array::from(order))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::schema::{AttributeType, Column};
    use crate::pipeline::spec::ColumnType;

    #[test]
    fn rows_are_sorted_by_the_index_that_was_meant() {
        let columns = ["struct<x: string, y: list<struct<p: json, q: bool>>>", "list<list<int64>>", "string"]
            .into_iter()
            .zip(["m", "l", "zone"])
            .map(|(storage, name)| {
                let storage: ColumnType = storage.parse().unwrap();
                let takes = AttributeType::inside(&storage);
                Column { attribute: name.into(), column: name.into(), takes, storage, key: false }
            })
            .collect();
        let schema = TableSchema::new("T".into(), 1, columns);
        // What the pipeline reader refuses may still stand in an index of a column that was inferred as a list.
        let rules = TableRules { indexes: vec!["m".into(), "l".into(), "zone".into()], ..TableRules::default() };
        let mut writer = FileWriter::new(&schema, &rules, &[]).unwrap();
        writer.write(&RecordBatch::new_empty(schema.arrow())).unwrap();
        let file = writer.finish().unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        let leaves = metadata.file_metadata().schema_descr();
        let sorted: Vec<_> = (0..leaves.num_columns())
            .filter(|at| leaf_of(&schema.arrow(), 10) == *at)
            .map(|at| leaves.column(at).path().string())
            .collect();
        assert_eq!(sorted, ["zone"]);
        assert_eq!(leaves.column(0).path().string(), "_op");
        assert_eq!(leaves.column(9).path().string(), "m.y.list.element.p");
    }
}
