//! Rebuilds the change from a row of the lake: the independent way back, against which "no value changes on its way"
//! is held. Written for plainness, with serde_json trees.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::decode::number::decimal_text;
use crate::lake::schema::{AttributeType, TableSchema};
use crate::pipeline::spec::{ColumnType, StructField};

/// A row of the lake, as a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `_op`.
    pub op: String,
    /// `_shard`.
    pub shard: String,
    /// `_sequence`.
    pub sequence: String,
    /// `_sub`.
    pub sub: i32,
    /// `_generation`.
    pub generation: i64,
    /// The new image; on a REMOVE the keys.
    pub new: Value,
    /// The old image.
    pub old: Option<Value>,
}

/// All rows of a data file.
pub fn rows(file: &Bytes, schema: &TableSchema) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).expect("a data file has a footer");
    let columns = ProjectionMask::leaves(reader.parquet_schema(), leaves_with_values(reader.metadata()));
    let batches = reader.with_projection(columns).build().expect("a data file can be read");
    batches.flat_map(|batch| rows_of_batch(&batch.expect("a data file's pages can be read"), schema)).collect()
}

/// Of a column of which the footer says that it has no value anywhere there is nothing to read. To open it would take most of
/// the time of a small file.
fn leaves_with_values(metadata: &ParquetMetaData) -> Vec<usize> {
    let is_empty = |column: &ColumnChunkMetaData| {
        let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
        nulls.is_some_and(|nulls| nulls == column.num_values() as u64)
    };
    let schema = metadata.file_metadata().schema_descr();
    let is_needed = |leaf: &usize| {
        // Of lists and structs the leaves do not tell all; and `_rest` says which rows have an old image.
        let column = schema.column(*leaf);
        let is_scalar = match column.path().parts() {
            // Of these a [`Row`] says nothing.
            [name] if ["_ttl", "_changed_at", "_event_id"].contains(&name.as_str()) => return false,
            [name] => name != "_rest",
            [old, name] => old == "_old" && name != "_rest",
            _ => false,
        };
        !is_scalar || metadata.row_groups().iter().any(|group| !is_empty(group.column(*leaf)))
    };
    (0..schema.num_columns()).filter(is_needed).collect()
}

/// All rows of a batch.
pub fn rows_of_batch(batch: &RecordBatch, schema: &TableSchema) -> Vec<Row> {
    let text = |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
    let old = batch["_old"].as_struct();
    let top = StructArray::from(batch.clone());
    (0..batch.num_rows())
        .map(|row| Row {
            op: text("_op", row),
            shard: text("_shard", row),
            sequence: text("_sequence", row),
            sub: batch["_sub"].as_primitive::<Int32Type>().value(row),
            generation: batch["_generation"].as_primitive::<Int64Type>().value(row),
            new: image(&top, row, schema),
            old: old.is_valid(row).then(|| image(old, row, schema)),
        })
        .collect()
}

fn image(columns: &StructArray, row: usize, schema: &TableSchema) -> Value {
    let mut attributes = Map::new();
    for column in &schema.columns {
        let Some(array) = columns.column_by_name(&column.column) else { continue };
        if array.is_valid(row) {
            attributes.insert(column.attribute.clone(), typed(array, row, column.takes, &column.storage));
        }
    }
    let rest = columns.column_by_name("_rest").expect("every file has _rest").as_string::<i32>();
    if rest.is_valid(row) {
        let rest: BTreeMap<String, Value> = serde_json::from_str(rest.value(row)).expect("_rest is JSON");
        for (name, value) in rest {
            assert!(attributes.insert(name.clone(), value).is_none(), "{name} is in a column and in _rest");
        }
    }
    Value::Object(attributes)
}

fn typed(array: &dyn Array, row: usize, takes: AttributeType, storage: &ColumnType) -> Value {
    match (takes, storage) {
        (AttributeType::Json, _) => typed_json(array.as_string::<i32>().value(row)),
        (AttributeType::Bool, _) => json!({"BOOL": array.as_boolean().value(row)}),
        (AttributeType::S, _) => json!({"S": scalar(array, row, takes, storage)}),
        (AttributeType::N, _) => json!({"N": scalar(array, row, takes, storage)}),
        (AttributeType::B, _) => json!({"B": scalar(array, row, takes, storage)}),
        (AttributeType::M, ColumnType::Struct(fields)) => {
            let map = array.as_struct();
            let member = |(at, field): (usize, &StructField)| {
                let takes = AttributeType::inside(&field.storage);
                let column = map.column(at);
                column.is_valid(row).then(|| (field.name.clone(), typed(column, row, takes, &field.storage)))
            };
            json!({"M": fields.iter().enumerate().filter_map(member).collect::<Map<_, _>>()})
        }
        (_, ColumnType::List(element)) => {
            let elements = array.as_list::<i32>().value(row);
            let all = 0..elements.len();
            let set = |takes| all.clone().map(|at| scalar(&elements, at, takes, element)).collect::<Vec<_>>();
            match takes {
                AttributeType::Ss => json!({"SS": set(AttributeType::S)}),
                AttributeType::Ns => json!({"NS": set(AttributeType::N)}),
                AttributeType::Bs => json!({"BS": set(AttributeType::B)}),
                _ => {
                    let takes = AttributeType::inside(element);
                    json!({"L": all.map(|at| typed(&elements, at, takes, element)).collect::<Vec<_>>()})
                }
            }
        }
        (_, _) => unreachable!("sets and lists are lists, declared maps are structs"),
    }
}

fn scalar(array: &dyn Array, row: usize, takes: AttributeType, storage: &ColumnType) -> String {
    match (takes, storage) {
        (AttributeType::B, _) => base64_simd::STANDARD.encode_to_string(array.as_binary::<i32>().value(row)),
        (_, ColumnType::Decimal(digits)) => {
            decimal_text(array.as_primitive::<Decimal128Type>().value(row), digits.scale() as i8)
        }
        (_, ColumnType::Int64) => array.as_primitive::<Int64Type>().value(row).to_string(),
        (_, ColumnType::Double) => array.as_primitive::<Float64Type>().value(row).to_string(),
        _ => array.as_string::<i32>().value(row).to_owned(),
    }
}

/// Plain JSON back to DynamoDB JSON; the inverse of `decode::nested`. Works on the text, so that numbers keep all digits.
fn typed_json(plain: &str) -> Value {
    let raw = |text: &str| serde_json::from_str::<String>(text).expect("a JSON string");
    match plain.as_bytes()[0] {
        b'n' => json!({"NULL": true}),
        b't' | b'f' => json!({"BOOL": plain == "true"}),
        b'"' => json!({"S": raw(plain)}),
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(plain).expect("a JSON array");
            json!({"L": elements.iter().map(|element| typed_json(element.get())).collect::<Vec<_>>()})
        }
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(plain).expect("a JSON object");
            let only = members.keys().next().filter(|_| members.len() == 1);
            if only.is_some_and(|name| ["SS", "NS", "BS", "B"].contains(&name.as_str())) {
                return serde_json::from_str(plain).expect("a set or bytes");
            }
            let typed = members.iter().map(|(name, value)| (name.clone(), typed_json(value.get())));
            json!({"M": typed.collect::<Map<_, _>>()})
        }
        _ => json!({"N": plain}),
    }
}
