//! Do rows hold what a plain decoder reads, one that builds a `serde_json` tree of every record?

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use base64_simd::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::*;
use crate::change::Channel;
use crate::decode::{envelope, number};
use crate::lake::agree::{land, schema};
use crate::lake::schema::{AttributeType, Column, TableSchema};

/// What stands in a column, as JSON.
fn cell(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => STANDARD.encode_to_string(array.as_binary::<i32>().value(row)).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Decimal128(_, scale) => {
            number::decimal_text(array.as_primitive::<Decimal128Type>().value(row), *scale).into()
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            (0..elements.len()).map(|at| cell(&elements, at)).collect()
        }
        other => panic!("{other}: no column of these tests"),
    }
}

/// What a column of the default types should hold of a typed value; `None`: it goes to `_rest`.
fn expected(column: &Column, value: &Value) -> Option<Value> {
    let (tag, inside) = single(value)?;
    let fits_one = |takes: AttributeType, inside: &Value| match takes {
        AttributeType::N => number::decimal(inside.as_str()?, 38, 9).map(|_| inside.clone()),
        AttributeType::B => {
            let bytes = STANDARD.decode_to_vec(inside.as_str()?).ok()?;
            (STANDARD.encode_to_string(bytes) == inside.as_str()?).then(|| inside.clone())
        }
        _ => inside.as_str().map(Value::from),
    };
    let fits_all = |takes| inside.as_array()?.iter().map(|element| fits_one(takes, element)).collect();
    match (column.takes, tag) {
        (AttributeType::S, "S") | (AttributeType::N, "N") | (AttributeType::B, "B") => fits_one(column.takes, inside),
        (AttributeType::Bool, "BOOL") => inside.as_bool().map(Value::from),
        (AttributeType::Ss, "SS") => fits_all(AttributeType::S),
        (AttributeType::Ns, "NS") => fits_all(AttributeType::N),
        (AttributeType::Bs, "BS") => fits_all(AttributeType::B),
        (AttributeType::Json, "M" | "L") => plain(value),
        _ => None,
    }
}

fn single(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().map(|(tag, inside)| (tag.as_str(), inside))
}

/// The plain form of a typed value, if it has one.
fn plain(value: &Value) -> Option<Value> {
    let (tag, inside) = single(value)?;
    match tag {
        "S" => inside.as_str().map(Value::from),
        "N" => plain_number(inside.as_str()?),
        "BOOL" => inside.as_bool().map(Value::from),
        "NULL" => (inside == &Value::Bool(true)).then_some(Value::Null),
        "B" => inside.is_string().then(|| value.clone()),
        "SS" | "NS" | "BS" => inside.as_array()?.iter().all(Value::is_string).then(|| value.clone()),
        "L" => inside.as_array()?.iter().map(plain).collect(),
        "M" => {
            let members = inside.as_object()?;
            let looks_typed = ["SS", "NS", "BS", "B"].iter().any(|tag| members.contains_key(*tag));
            let plain: Option<Map<_, _>> = members.iter().map(|(name, v)| Some((name.clone(), plain(v)?))).collect();
            plain.filter(|_| !(members.len() == 1 && looks_typed)).map(Value::Object)
        }
        _ => None,
    }
}

/// A number beyond the range of doubles is none for `serde_json`: there the cell is not compared.
fn plain_number(text: &str) -> Option<Value> {
    let is_number = text.trim() == text && serde_json::from_str::<&RawValue>(text).is_ok();
    is_number.then(|| serde_json::from_str(text).unwrap_or_default())
}

/// Whether no name stands twice in an object of `text`: a tree keeps one of them only.
fn without_doubles(text: &str, tree: &Value) -> bool {
    fn names(value: &Value) -> usize {
        match value {
            Value::Object(members) => members.len() + members.values().map(names).sum::<usize>(),
            Value::Array(elements) => elements.iter().map(names).sum(),
            _ => 0,
        }
    }
    // Each name has a colon behind its closing quote; in texts of these tests there may be more of them.
    names(tree) >= text.matches("\":").count() + text.matches("\" :").count()
}

fn check_image(tree: &Value, schema: &TableSchema, columns: &[ArrayRef], row: usize) -> Result<(), TestCaseError> {
    let mut rest = tree.as_object().cloned().unwrap_or_default();
    for (column, array) in schema.columns.iter().zip(columns) {
        let value = tree.get(&column.attribute).and_then(|value| expected(column, value));
        let mut found = cell(array, row);
        if column.takes == AttributeType::Json
            && let Some(text) = found.as_str()
        {
            // Numbers beyond the range of doubles.
            let Ok(parsed) = serde_json::from_str(text) else {
                rest.remove(&column.attribute);
                continue;
            };
            found = parsed;
        }
        if value.is_some() {
            rest.remove(&column.attribute);
        }
        prop_assert_eq!(found, value.unwrap_or_default(), "{} in {}", column.attribute, tree);
    }
    let found = cell(&columns[schema.columns.len()], row);
    let found = found.as_str().map_or(json!({}), |text| serde_json::from_str(text).unwrap());
    prop_assert_eq!(found, Value::Object(rest), "{}", tree);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rows_hold_what_a_tree_holds(first in record(), records in proptest::collection::vec(record(), 1..6)) {
        let Ok(change) = envelope::read(first.as_bytes(), Channel::Kinesis) else { return Ok(()) };
        let Some((schema, rules)) = schema(&change, &[]) else { return Ok(()) };
        // The first one twice: the second time its attributes come as they did before.
        let texts: Vec<String> = [first.clone(), first].into_iter().chain(records).collect();
        let payloads: Vec<_> = texts.iter().map(|text| text.clone().into_bytes()).collect();
        let (outcomes, rows) = land(&payloads, &schema, &rules, true);
        let new = &rows.columns()[8..rows.num_columns() - 1];
        let old = rows.columns().last().unwrap().as_struct().columns();
        let landed = texts.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(text, _)| text);
        for (row, text) in landed.enumerate() {
            let Ok(tree) = serde_json::from_str::<Value>(text) else { continue };
            // Nobody writes a type with an escape; the decoder takes it for none it knows.
            if without_doubles(text, &tree) && !text.contains(r"\u0053") {
                check_image(&tree["dynamodb"]["NewImage"], &schema, new, row)?;
                check_image(&tree["dynamodb"]["OldImage"], &schema, old, row)?;
            }
        }
    }
}
