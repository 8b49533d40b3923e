//! What do the rows of a table say of its items? Reads the lake's files back: images as DynamoDB JSON, and how rows rank.

pub mod canonical;
pub mod states;

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::range::{Range, RangeFile};
use super::schema::{AttributeType, TableSchema};
use super::{Lake, LakeError, settle};
use crate::change::TableName;
use crate::decode::number::decimal_text;
use crate::pipeline::spec::ColumnType;

/// A row, as far as the latest state of its item is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `_generation`.
    pub generation: i64,
    /// `_sequence`.
    pub sequence: String,
    /// `_sub`.
    pub sub: i32,
    /// `_changed_at`.
    pub changed_at: Option<i64>,
    /// `_op`.
    pub op: String,
    /// The new image; on a REMOVE the keys.
    pub image: Value,
}

impl Lake {
    /// Gives all rows of a table to `each`, file by file, in no order of time.
    pub async fn read_table(&self, table: &TableName, mut each: impl FnMut(Row)) -> Result<(), LakeError> {
        for file in self.files_of(table).await? {
            let Some(body) = settle::read(&*self.store, &self.clock, &file.path).await? else {
                tracing::warn!(path = file.path, "a file of an open range is not there yet");
                continue;
            };
            let schema = self.registry.version(table, file.schema).await?;
            let rows = self.clock.offload(move || rows(&body, &schema)).await;
            rows.map_err(|why| LakeError::corrupt(&file.path, &why))?.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    /// Whether there are rows of a table that are of an older generation than this.
    pub async fn has_older(&self, table: &TableName, generation: i64) -> Result<bool, LakeError> {
        Ok(self.files_of(table).await?.iter().any(|file| file.generation < generation))
    }

    /// The files of all ranges that have rows of a table.
    async fn files_of(&self, table: &TableName) -> Result<Vec<RangeFile>, LakeError> {
        let mut files = Vec::new();
        for object in settle::list(&*self.store, &self.clock, "_watershed/ranges", None).await? {
            let Some(bytes) = settle::read(&*self.store, &self.clock, &object.path).await? else { continue };
            let range = Range::parse(&bytes).map_err(|why| LakeError::corrupt(&object.path, &why))?;
            files.extend(range.files.into_iter().filter(|file| *file.table == **table));
        }
        Ok(files)
    }
}

fn rows(file: &Bytes, schema: &TableSchema) -> Result<Vec<Row>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for batch in reader.build().map_err(|error| error.to_string())? {
        rows_of(&batch.map_err(|error| error.to_string())?, schema, &mut rows)?;
    }
    Ok(rows)
}

fn rows_of(batch: &RecordBatch, schema: &TableSchema, rows: &mut Vec<Row>) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"));
    let wrong = |name: &str| format!("column {name} is of another type");
    let op = column("_op")?.as_string_opt::<i32>().ok_or_else(|| wrong("_op"))?;
    let sequence = column("_sequence")?.as_string_opt::<i32>().ok_or_else(|| wrong("_sequence"))?;
    let sub = column("_sub")?.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong("_sub"))?;
    let generation = column("_generation")?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong("_generation"))?;
    let time = column("_changed_at")?;
    let time = time.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong("_changed_at"))?;
    let top = StructArray::from(batch.clone());
    for row in 0..batch.num_rows() {
        rows.push(Row {
            generation: generation.value(row),
            sequence: sequence.value(row).to_owned(),
            sub: sub.value(row),
            changed_at: time.is_valid(row).then(|| time.value(row)),
            op: op.value(row).to_owned(),
            image: image(&top, row, schema)?,
        });
    }
    Ok(())
}

fn image(columns: &StructArray, row: usize, schema: &TableSchema) -> Result<Value, String> {
    let mut attributes = Map::new();
    for column in &schema.columns {
        let Some(array) = columns.column_by_name(&column.column).filter(|array| array.is_valid(row)) else { continue };
        let value = typed(array, row, column.takes, &column.storage);
        let value = value.ok_or_else(|| format!("column {} is of another type", column.column))?;
        attributes.insert(column.attribute.clone(), value);
    }
    let rest = columns.column_by_name("_rest").and_then(|rest| rest.as_string_opt::<i32>());
    if let Some(rest) = rest.filter(|rest| rest.is_valid(row)) {
        let rest: Map<String, Value> =
            serde_json::from_str(rest.value(row)).map_err(|error| format!("_rest: {error}"))?;
        attributes.extend(rest);
    }
    Ok(Value::Object(attributes))
}

fn typed(array: &ArrayRef, row: usize, takes: AttributeType, storage: &ColumnType) -> Option<Value> {
    Some(match (takes, storage) {
        (AttributeType::Json, _) => from_plain(array.as_string_opt::<i32>()?.value(row))?,
        (AttributeType::Bool, _) => json!({"BOOL": array.as_boolean_opt()?.value(row)}),
        (AttributeType::S, _) => json!({"S": scalar(array, row, takes, storage)?}),
        (AttributeType::N, _) => json!({"N": scalar(array, row, takes, storage)?}),
        (AttributeType::B, _) => json!({"B": scalar(array, row, takes, storage)?}),
        (AttributeType::M, ColumnType::Struct(fields)) => {
            let map = array.as_struct_opt()?;
            let mut members = Map::new();
            for (field, column) in fields.iter().zip(map.columns()) {
                if column.is_valid(row) {
                    let takes = AttributeType::inside(&field.storage);
                    members.insert(field.name.clone(), typed(column, row, takes, &field.storage)?);
                }
            }
            json!({"M": members})
        }
        (_, ColumnType::List(element)) => {
            let elements = array.as_list_opt::<i32>()?.value(row);
            let all = 0..elements.len();
            let set = |takes| all.clone().map(|at| scalar(&elements, at, takes, element)).collect::<Option<Vec<_>>>();
            match takes {
                AttributeType::Ss => json!({"SS": set(AttributeType::S)?}),
                AttributeType::Ns => json!({"NS": set(AttributeType::N)?}),
                AttributeType::Bs => json!({"BS": set(AttributeType::B)?}),
                _ => {
                    let takes = AttributeType::inside(element);
                    let list: Option<Vec<_>> = all.map(|at| typed(&elements, at, takes, element)).collect();
                    json!({"L": list?})
                }
            }
        }
        _ => return None,
    })
}

fn scalar(array: &ArrayRef, row: usize, takes: AttributeType, storage: &ColumnType) -> Option<String> {
    Some(match (takes, storage) {
        (AttributeType::B, _) => base64_simd::STANDARD.encode_to_string(array.as_binary_opt::<i32>()?.value(row)),
        (_, ColumnType::Decimal(digits)) => {
            decimal_text(array.as_primitive_opt::<Decimal128Type>()?.value(row), digits.scale() as i8)
        }
        (_, ColumnType::Int64) => array.as_primitive_opt::<Int64Type>()?.value(row).to_string(),
        (_, ColumnType::Double) => array.as_primitive_opt::<Float64Type>()?.value(row).to_string(),
        _ => array.as_string_opt::<i32>()?.value(row).to_owned(),
    })
}

/// The plain JSON of a map or list back as DynamoDB JSON: what `decode/nested.rs` made of it.
fn from_plain(plain: &str) -> Option<Value> {
    Some(match plain.as_bytes().first()? {
        b'n' => json!({"NULL": true}),
        b't' | b'f' => json!({"BOOL": plain == "true"}),
        b'"' => json!({"S": serde_json::from_str::<String>(plain).ok()?}),
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(plain).ok()?;
            let elements: Option<Vec<_>> = elements.iter().map(|element| from_plain(element.get())).collect();
            json!({"L": elements?})
        }
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(plain).ok()?;
            let only = members.keys().next().filter(|_| members.len() == 1);
            if only.is_some_and(|name| ["SS", "NS", "BS", "B"].contains(&name.as_str())) {
                return serde_json::from_str(plain).ok();
            }
            let typed: Option<Map<_, _>> =
                members.iter().map(|(name, value)| Some((name.clone(), from_plain(value.get())?))).collect();
            json!({"M": typed?})
        }
        _ => json!({"N": plain}),
    })
}
