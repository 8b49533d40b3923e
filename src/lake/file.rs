//! Encodes the rows of one data file as Parquet, in memory, and proves the file readable before anybody sees it. What is
//! finished may leave before the file is.

mod begun;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_cmp::{DynComparator, make_comparator};
use arrow_schema::{Schema, SchemaRef, SortOptions};
use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use self::begun::Begun;
use super::limits::Limits;
use super::parts::leaves;
use super::schema::{TableRules, TableSchema};
use super::sink::Sink;

/// The zstd level: the first is several times faster than the usual third and a few per cent larger.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// Who wrote a file, in the form that parquet-java takes apart (`VersionParser`). What it can't, it takes for an old writer of
/// its own, whose delta encodings must not be split (PARQUET-246) and whose statistics are not to be believed: Spark then
/// refuses the file wherever it does not read in vectors, and skips nothing anywhere.
const WRITER: &str = concat!("watershed version ", env!("CARGO_PKG_VERSION"));

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
pub struct FileWriter {
    schema: SchemaRef,
    properties: WriterPropertiesBuilder,
    /// The positions of indexed columns, by which each row group is sorted.
    sort_by: Vec<usize>,
    rows: usize,
    /// The encoded bytes with which a row group ends, and the size of the parts that are taken before the file ends.
    group: usize,
    part: usize,
    /// Since the first rows came: they say how columns are encoded.
    begun: Option<Begun>,
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
        let properties = properties(&arrow, &sort_by, notes)?;
        let (group, part) = (Limits::default().group, usize::MAX);
        Ok(Self { schema: arrow, properties, sort_by, rows: 0, group, part, begun: None })
    }

    /// From now on row groups end with `group` encoded bytes, and with `part` there is something for [`Self::take_parts`]
    /// whenever so many bytes are finished. Call before the first rows come.
    pub fn in_pieces(mut self, group: usize, part: Option<usize>) -> Self {
        (self.group, self.part) = (group, part.unwrap_or(usize::MAX).max(1));
        self
    }

    /// The bytes behind those taken before that are finished, in parts of one size. What is taken is the caller's to keep.
    pub fn take_parts(&mut self) -> Vec<Bytes> {
        self.begun.as_mut().map_or_else(Vec::new, |begun| begun.file.inner_mut().take())
    }

    /// Encodes a batch of rows, sorted by the indexed columns if there are any; then it is a row group of its own.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.write_on(1, batch)
    }

    /// [`Self::write`] on up to `threads` threads: columns side by side.
    pub fn write_on(&mut self, threads: usize, batch: &RecordBatch) -> Result<(), FileError> {
        self.rows += batch.num_rows();
        if self.sort_by.is_empty() {
            return self.begin(batch.columns())?.add(threads, batch);
        }
        let batch = sorted(batch, &self.sort_by)?;
        self.begin(batch.columns())?.add(threads, &batch)?;
        self.close_group(threads)
    }

    /// Ends the row group, which gives back what its encoders take besides the encoded bytes.
    pub fn close_group(&mut self, threads: usize) -> Result<(), FileError> {
        self.begun.as_mut().map_or(Ok(()), |begun| begun.close_group(threads))
    }

    /// How many bytes were taken so.
    pub fn taken(&self) -> usize {
        self.begun.as_ref().map_or(0, |begun| begun.file.inner().taken())
    }

    /// The rows given to it.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes the file takes in memory.
    pub fn memory(&self) -> usize {
        self.begun.as_ref().map_or(0, Begun::memory)
    }

    /// The bytes the file has or will have, as far as one can say now.
    pub fn encoded(&self) -> usize {
        self.begun.as_ref().map_or(0, Begun::encoded)
    }

    /// Completes the file, checks it, and answers all of it that [`Self::take_parts`] has not.
    pub fn finish(self) -> Result<Bytes, FileError> {
        self.finish_on(1)
    }

    /// [`Self::finish`] on up to `threads` threads.
    pub fn finish_on(mut self, threads: usize) -> Result<Bytes, FileError> {
        self.begin(&[])?;
        self.close_group(threads)?;
        let sink = self.begun.map_or_else(|| Ok(Sink::new(usize::MAX)), |begun| begun.file.into_inner())?;
        let (taken, rest) = sink.finish();
        verify_end(&rest, (taken + rest.len()) as u64, self.rows)?;
        Ok(rest)
    }

    fn begin(&mut self, first: &[ArrayRef]) -> Result<&mut Begun, FileError> {
        match &mut self.begun {
            Some(begun) => Ok(begun),
            none => {
                let sink = Sink::new(self.part);
                let mut begun = Begun::new(&self.schema, self.properties.clone(), &self.sort_by, first, sink)?;
                begun.group = self.group;
                Ok(none.insert(begun))
            }
        }
    }
}

/// What all columns have in common.
fn properties(
    schema: &Schema,
    sort_by: &[usize],
    notes: &[(&str, String)],
) -> Result<WriterPropertiesBuilder, FileError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(WRITER.to_owned())
        .set_key_value_metadata(Some(
            notes.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect(),
        ));
    for &at in sort_by {
        let path = ColumnPath::new(vec![schema.field(at).name().clone()]);
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path, BLOOM_FALSE_POSITIVES);
    }
    if !sort_by.is_empty() {
        let sorting = sort_by.iter().map(|&at| SortingColumn {
            column_idx: leaf_of(schema, at) as i32,
            descending: false,
            nulls_first: false,
        });
        properties = properties.set_sorting_columns(Some(sorting.collect()));
    }
    Ok(properties)
}

/// Reads the footer of a whole file back and checks that it promises `rows` rows, in column chunks that lie inside the file.
pub fn verify(file: &Bytes, rows: usize) -> Result<(), FileError> {
    verify_end(file, file.len() as u64, rows)
}

/// [`verify`] for the end of a file of `size` bytes, with its footer.
fn verify_end(end: &Bytes, size: u64, rows: usize) -> Result<(), FileError> {
    let unreadable = |what: String| FileError::Unreadable(what);
    let mut reader = ParquetMetaDataReader::new();
    let parsed = reader.try_parse_sized(end, size).and_then(|()| reader.finish());
    let metadata = parsed.map_err(|error| unreadable(format!("its footer does not parse ({error})")))?;
    let promised = metadata.file_metadata().num_rows();
    if promised != rows as i64 {
        return Err(unreadable(format!("it has {promised} rows instead of {rows}")));
    }
    let columns = metadata.file_metadata().schema_descr().num_columns();
    for group in metadata.row_groups() {
        let inside = group.columns().iter().all(|chunk| {
            let (start, length) = chunk.byte_range();
            start.checked_add(length).is_some_and(|end| end <= size)
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
        let writer = metadata.file_metadata().created_by().unwrap();
        assert!(
            writer.strip_prefix("watershed version ").is_some_and(|number| number.split('.').count() == 3),
            "{writer}"
        );
        assert_eq!(leaves.column(9).path().string(), "m.y.list.element.p");
    }
}
