//! What we encode is what the `parquet` crate reads, and what its own writer would have said of it.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use crate::lake::file::FileWriter;
use crate::lake::schema::{AttributeType, Column, TableRules, TableSchema};

/// A column of each kind, at the top and in the old image, from numbers that repeat or not and are not everywhere.
fn columns(rows: usize, seed: u64, nulls: u64, different: u64) -> Vec<(&'static str, ArrayRef)> {
    let number =
        |row: usize, salt: u64| (row as u64 ^ seed << 20 ^ salt << 50).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let is_there = |row: usize, salt: u64| number(row, salt + 100) % 10 >= nulls;
    let some = |salt: u64| (0..rows).map(move |row| is_there(row, salt).then(|| number(row, salt) % different));
    let text = |n: u64| format!("é{n}{}", "🚚".repeat(n as usize % 30));
    let decimals = |salt: u64, digits: u8| {
        let sign = |n: u64| if n.is_multiple_of(2) { i128::from(n) } else { -i128::from(n) };
        let array = Decimal128Array::from_iter(some(salt).map(|n| n.map(|n| sign(n) % 10_i128.pow(digits.into()))));
        Arc::new(array.with_precision_and_scale(digits, 2).unwrap()) as ArrayRef
    };
    let lists = |salt: u64, elements: &dyn Fn(usize) -> ArrayRef, kind: DataType| {
        let count = |row: usize| if is_there(row, salt) { number(row, salt) as usize % 4 } else { 0 };
        let offsets = OffsetBuffer::<i32>::from_lengths((0..rows).map(count));
        let there = NullBuffer::from_iter((0..rows).map(|row| is_there(row, salt)));
        let elements = elements(offsets.last() as usize);
        let field = Arc::new(Field::new("element", kind, false));
        Arc::new(ListArray::try_new(field, offsets, elements, Some(there)).unwrap()) as ArrayRef
    };
    let texts = |count: usize| {
        Arc::new(StringArray::from_iter_values((0..count).map(|n| text(number(n, 9) % different)))) as ArrayRef
    };
    let longs =
        |count: usize| Arc::new(Int64Array::from_iter_values((0..count).map(|n| number(n, 8) as i64))) as ArrayRef;
    vec![
        ("string", Arc::new(StringArray::from_iter(some(1).map(|n| n.map(text))))),
        (
            "binary",
            Arc::new(BinaryArray::from_iter(some(2).map(|n| n.map(|n| n.to_be_bytes().repeat(n as usize % 12))))),
        ),
        ("decimal(38,2)", decimals(3, 38)),
        ("decimal(25,2)", decimals(4, 25)),
        ("decimal(18,2)", decimals(5, 18)),
        ("decimal(9,2)", decimals(6, 9)),
        ("int64", Arc::new(Int64Array::from_iter(some(7).map(|n| n.map(|n| (n as i64).wrapping_neg() << 20))))),
        ("double", Arc::new(Float64Array::from_iter(some(8).map(|n| n.map(|n| n as f64 * -0.5))))),
        ("bool", Arc::new(BooleanArray::from_iter(some(9).map(|n| n.map(|n| n % 3 == 0))))),
        ("list<string>", lists(10, &texts, DataType::Utf8)),
        ("list<int64>", lists(11, &longs, DataType::Int64)),
    ]
}

fn schema() -> TableSchema {
    let column = |(storage, _): (&str, ArrayRef)| {
        let storage = storage.parse().unwrap();
        let takes = AttributeType::inside(&storage);
        let name = format!("c {storage}");
        Column { attribute: name.clone(), column: name, takes, storage, key: false }
    };
    TableSchema::new("T".into(), 1, columns(0, 0, 0, 1).into_iter().map(column).collect())
}

/// A batch under [`schema`]: the columns the lake adds are made up, too.
fn batch(rows: usize, seed: u64, nulls: u64, different: u64) -> RecordBatch {
    let schema = schema().arrow();
    let image = |seed: u64| columns(rows, seed, nulls, different).into_iter().map(|(_, array)| array);
    let meta = schema.fields().iter().take(8).map(|field| -> ArrayRef {
        let count = rows as i64;
        match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:020}")))),
            other => arrow_cast_of(other, count),
        }
    });
    let rest = |salt: usize| {
        Arc::new(StringArray::from_iter((0..rows).map(|row| (row % 97 == salt).then_some("{}")))) as ArrayRef
    };
    let DataType::Struct(fields) = schema.fields().last().unwrap().data_type() else { panic!("the old image") };
    let there = NullBuffer::from_iter((0..rows).map(|row| !(row as u64 ^ seed).is_multiple_of(5)));
    let old: Vec<ArrayRef> = image(seed + 1).chain([rest(3)]).collect();
    let old = StructArray::try_new(fields.clone(), old, Some(there)).unwrap();
    let arrays = meta.chain(image(seed)).chain([rest(50), Arc::new(old)]).collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

/// Numbers of a meta column's type.
fn arrow_cast_of(data_type: &DataType, rows: i64) -> ArrayRef {
    use arrow_array::{Int32Array, TimestampMicrosecondArray};
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 11 == 0)))),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row as i32 % 3))),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values((0..rows).map(|_| 0))),
        _ => Arc::new(
            TimestampMicrosecondArray::from_iter((0..rows).map(|row| (row % 13 != 0).then_some(row << 30)))
                .with_timezone("UTC"),
        ),
    }
}

fn write(batches: &[RecordBatch], threads: usize) -> Bytes {
    let mut writer = FileWriter::new(&schema(), &TableRules::default(), &[]).unwrap();
    batches.iter().for_each(|batch| writer.write_on(threads, batch).unwrap());
    writer.finish_on(threads).unwrap()
}

fn by_the_crate(batches: &[RecordBatch]) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema().arrow(), None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap().into()
}

fn check(batches: &[RecordBatch], file: Bytes) -> ParquetMetaData {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let metadata = reader.metadata().as_ref().clone();
    let mut reader = reader.with_batch_size(1 << 20).build().unwrap();
    if let Some(read) = reader.next() {
        let (read, mut from) = (read.unwrap(), 0);
        for batch in batches {
            let part = read.slice(from, batch.num_rows());
            for (at, (found, right)) in part.columns().iter().zip(batch.columns()).enumerate() {
                assert_eq!(found, right, "column {at}, {}", part.schema().field(at).name());
            }
            from += batch.num_rows();
        }
        assert_eq!(from, read.num_rows());
        assert!(reader.next().is_none());
    }
    metadata
}

#[test]
fn batches_come_back_with_the_statistics_they_should_have() {
    for (nulls, different) in [(0, 5), (3, 1 << 30), (9, 40), (10, 1)] {
        let batches =
            [batch(700, 1, nulls, different), batch(1, 2, nulls, different), batch(21_000, 3, nulls, different)];
        for threads in [1, 3] {
            let metadata = check(&batches, write(&batches, threads));
            let right = check(&batches, by_the_crate(&batches));
            let (found, right) = (metadata.row_group(0), right.row_group(0));
            for (found, right) in found.columns().iter().zip(right.columns()) {
                let what = |statistics: Option<&Statistics>| {
                    let statistics = statistics.unwrap();
                    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                    let exact = (statistics.min_is_exact(), statistics.max_is_exact());
                    (
                        bytes(statistics.min_bytes_opt()),
                        bytes(statistics.max_bytes_opt()),
                        statistics.null_count_opt(),
                        exact,
                    )
                };
                assert_eq!(what(found.statistics()), what(right.statistics()), "{}", found.column_path());
                assert_eq!(found.num_values(), right.num_values());
            }
        }
    }
}

#[test]
fn a_dictionary_that_is_full_takes_no_more() {
    // The first batch repeats, the others don't, and are too much for one page of a dictionary.
    let batches: Vec<_> = [(8, 6), (9, 1 << 40), (10, 1 << 40), (11, 1 << 40), (12, 6)]
        .into_iter()
        .map(|(seed, different)| batch(30_000, seed, 1, different))
        .collect();
    let metadata = check(&batches, write(&batches, 2));
    let texts = metadata.row_group(0).columns().iter().find(|column| column.column_path().parts() == ["c string"]);
    let encodings: Vec<_> = texts.unwrap().encodings().collect();
    assert!(encodings.contains(&Encoding::RLE_DICTIONARY), "{encodings:?}");
    assert!(encodings.contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY), "{encodings:?}");
}

#[test]
fn a_body_of_any_length_is_a_frame() {
    let mut compressor = super::LazyCompressor::default();
    for length in 0..400 {
        let (body, mut frame) = ((0..length).map(|at| at as u8).collect::<Vec<_>>(), Vec::new());
        super::compress(&mut compressor, &body, &mut frame).unwrap();
        assert_eq!(zstd::bulk::decompress(&frame, length).unwrap(), body);
    }
}

#[test]
fn long_values_have_pages_of_their_own() {
    let schema = schema();
    let large = batch(6, 1, 0, 10);
    let mut arrays = large.columns().to_vec();
    let at = schema.arrow().index_of("c string").unwrap();
    arrays[at] = Arc::new(StringArray::from_iter_values((0..6).map(|row| format!("{row}").repeat(700_000))));
    let large = RecordBatch::try_new(schema.arrow(), arrays).unwrap();
    let large = [large];
    let metadata = check(&large, write(&large, 1));
    let index = metadata.page_index_for_row_group(0);
    let pages = &index.offset_index(at).unwrap().page_locations;
    assert_eq!(pages.iter().map(|page| page.first_row_index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_come_back(
        batches in proptest::collection::vec((0..400_usize, any::<u32>(), 0..=10_u64, 1..300_u64), 1..4),
    ) {
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(rows, seed, nulls, different)| batch(rows, seed.into(), nulls, different))
            .collect();
        check(&batches, write(&batches, 1));
    }
}
