//! Holds the builders to "all of a value or nothing of it", and to counting what they take.

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray};
use proptest::prelude::*;

use super::*;
use crate::decode::json::Cursor;
use crate::lake::schema::Column;
use crate::testing::column_types::{any_type, value_of};

/// A table of one column.
fn table(takes: AttributeType, storage: &str) -> TableSchema {
    let column =
        Column { attribute: "a".into(), column: "a".into(), takes, storage: storage.parse().unwrap(), key: false };
    TableSchema::new("T".into(), 1, vec![column])
}

/// Adds each value as a row's only attribute and answers which of them went to `_rest`.
fn add(columns: &mut ImageColumns, schema: &TableSchema, from: usize, values: &[&str]) -> Vec<bool> {
    let rules = TableRules::default();
    let mut add = |(row, value): (usize, &&str)| {
        columns.add(row, format!(r#"{{"a":{value}}}"#).as_str().into(), schema, &rules).unwrap()
    };
    values.iter().enumerate().map(|(at, value)| add((from + at, value)).to_rest > 0).collect()
}

const META: &str = "struct<Lang: string, Score: decimal(5,2), Tags: list<string>, Extra: json, At: struct<X: int64>>";

const FULL: &str = r#"{"M":{"Score":{"N":"9.5"},"Lang":{"S":"de"},"Tags":{"L":[{"S":"x"},{"S":"y"}]},
    "Extra":{"M":{"z":{"N":"1"}}},"At":{"M":{"X":{"N":"7"}}}}}"#;

#[test]
fn members_fill_fields_and_missing_ones_are_null() {
    let schema = table(AttributeType::M, META);
    let mut columns = ImageColumns::new(&schema);
    let values = [r#"{"M":{}}"#, FULL, r#"{"M":{"L\u0061ng":{"S":"fr"}}}"#];
    assert_eq!(add(&mut columns, &schema, 1, &values), [false; 3]);
    let arrays = columns.finish(5).unwrap();
    let maps = arrays[0].as_struct();
    let there = |array: &dyn Array| (0..array.len()).map(|row| array.is_valid(row)).collect::<Vec<_>>();
    assert_eq!(there(maps), [false, true, true, true, false]);
    assert_eq!(there(maps.column(0)), [false, false, true, true, false]);
    assert_eq!(maps.column(0).as_string::<i32>().value(3), "fr");
    assert_eq!(there(maps.column(4)), [false, false, true, false, false]);
    assert_eq!(maps.column(4).as_struct().column(0).as_primitive::<Int64Type>().value(2), 7);
    assert_eq!(maps.column(3).as_string::<i32>().value(2), r#"{"z":1}"#);
    assert_eq!(maps.column(2).as_list::<i32>().value(2).as_string::<i32>().value(1), "y");
}

/// Values of which one part does not fit.
const MISFITS: [&str; 14] = [
    r#"{"M":{"Lang":{"S":"de"},"More":{"S":"x"}}}"#,
    r#"{"M":{"Lang":{"S":"de"},"lang":{"S":"de"}}}"#,
    r#"{"M":{"Lang":{"S":"de"},"Score":{"NULL":true}}}"#,
    r#"{"M":{"Tags":{"L":[{"S":"x"},{"NULL":true}]}}}"#,
    r#"{"M":{"Tags":{"SS":["x"]}}}"#,
    r#"{"M":{"Lang":{"N":"1"}}}"#,
    r#"{"M":{"Tags":{"L":[]},"Score":{"N":"9.50"}}}"#,
    r#"{"M":{"Tags":{"L":[{"S":"x"}]},"Score":{"N":"1000"}}}"#,
    r#"{"M":{"Lang":{"S":"a"},"Lang":{"S":"b"}}}"#,
    r#"{"M":{"At":{"M":{"X":{"N":"1"},"Y":{"N":"1"}}}}}"#,
    r#"{"M":{"Lang":{"S":"\ud800"}}}"#,
    r#"{"M":{"Extra":{"L":[{"N":"007"}]}}}"#,
    r#"{"L":[]}"#,
    r#"{"S":"x"}"#,
];

#[test]
fn a_value_of_which_a_part_does_not_fit_stays_whole() {
    let schema = table(AttributeType::M, META);
    let mut columns = ImageColumns::new(&schema);
    for (at, misfit) in MISFITS.into_iter().enumerate() {
        assert_eq!(add(&mut columns, &schema, 2 * at, &[FULL, misfit]), [false, true], "{misfit}");
    }
    let arrays = columns.finish(2 * MISFITS.len()).unwrap();
    let (maps, rest) = (arrays[0].as_struct(), arrays[1].as_string::<i32>());
    for (at, misfit) in MISFITS.into_iter().enumerate() {
        assert!(maps.is_valid(2 * at) && maps.is_null(2 * at + 1) && rest.is_null(2 * at));
        assert_eq!(maps.column(0).as_string::<i32>().value(2 * at), "de");
        assert_eq!(maps.column(2).as_list::<i32>().value_length(2 * at), 2);
        assert_eq!(rest.value(2 * at + 1), format!(r#"{{"a":{misfit}}}"#));
    }
}

#[test]
fn a_list_takes_the_one_type_its_schema_says() {
    let (list, set) = (r#"{"L":[{"S":"b"},{"S":"b"}]}"#, r#"{"SS":["b","a"]}"#);
    for (takes, to_rest) in [(AttributeType::L, [false, true]), (AttributeType::Ss, [true, false])] {
        let schema = table(takes, "list<string>");
        let mut columns = ImageColumns::new(&schema);
        assert_eq!(add(&mut columns, &schema, 0, &[list, set]), to_rest);
    }
    let schema = table(AttributeType::L, "list<list<struct<b: bool>>>");
    let mut columns = ImageColumns::new(&schema);
    let fits = r#"{"L":[{"L":[]},{"L":[{"M":{}},{"M":{"b":{"BOOL":true}}}]}]}"#;
    let misfit = r#"{"L":[{"L":[{"M":{"b":{"BOOL":true}}}]},{"L":[{"M":{"b":{"S":""}}}]}]}"#;
    assert_eq!(add(&mut columns, &schema, 0, &[fits, misfit, fits]), [false, true, false]);
    let arrays = columns.finish(3).unwrap();
    let lists = arrays[0].as_list::<i32>();
    assert_eq!(lists.value_offsets(), [0, 2, 2, 4]);
    let inner = lists.values().as_list::<i32>();
    assert_eq!(inner.value_offsets(), [0, 0, 2, 2, 4]);
    let bools = inner.values().as_struct().column(0).as_boolean();
    assert_eq!(bools, &BooleanArray::from(vec![None, Some(true), None, Some(true)]));
}

#[test]
fn a_row_is_taken_back_through_all_levels() {
    let schema = table(AttributeType::M, META);
    let rules = TableRules::default();
    let mut columns = ImageColumns::new(&schema);
    add(&mut columns, &schema, 0, &[FULL]);
    let broken = format!(r#"{{"a":{FULL},"a":{FULL}}}"#);
    for _ in 0..3 {
        assert!(columns.add(4, broken.as_str().into(), &schema, &rules).is_err());
        columns.take_back(4);
    }
    add(&mut columns, &schema, 4, &[r#"{"M":{"Tags":{"L":[{"S":"z"}]}}}"#]);
    let arrays = columns.finish(5).unwrap();
    let maps = arrays[0].as_struct();
    assert_eq!(maps.column(2).as_list::<i32>().value_offsets(), [0, 2, 2, 2, 2, 3]);
    assert!(maps.is_valid(4) && maps.column(0).is_null(4) && maps.column(0).is_valid(0));
    assert!(columns.finish(0).unwrap()[0].is_empty());
}

#[test]
fn what_will_be_padded_is_counted() {
    let schema = table(AttributeType::L, "list<struct<a: decimal(38,9), b: struct<c: int64, d: list<json>>>>");
    let mut columns = ImageColumns::new(&schema);
    let before = columns.bytes();
    let many = format!(r#"{{"L":[{}{{"M":{{}}}}]}}"#, r#"{"M":{}},"#.repeat(9_999));
    assert_eq!(add(&mut columns, &schema, 0, &[&many]), [false]);
    let counted = columns.bytes() - before;
    assert!((10_000 * 28..10_000 * 32).contains(&counted), "{counted}");
    columns.take_back(0);
    assert_eq!(columns.bytes(), before);
}

proptest! {
    /// What is made for a type is not merely given back somehow: it fills its column.
    #[test]
    fn a_value_of_its_type_fills_its_column(
        (storage, value) in any_type().prop_flat_map(|storage| { let value = value_of(&storage); (Just(storage), value) })
    ) {
        let text = value.to_string();
        let value = item::value(&mut Cursor::new(&text)).unwrap();
        prop_assert_eq!(fits(AttributeType::inside(&storage), &storage, &value), Ok(true), "{} {}", storage, text);
    }
}
