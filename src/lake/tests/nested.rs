//! Holds declared columns to "no value changes on its way": random types, values made for them, and such values with
//! one part spoilt.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pipeline::spec::{ColumnType, MAX_TYPE_DEPTH};
use crate::testing::column_types::{exact_type, value_of};

/// The declared attributes, and some more that are inferred.
const ATTRIBUTES: [&str; 3] = ["a", "b", "c"];

/// A value of the type, mostly; otherwise one that nearly is, or any.
fn nearly(storage: &ColumnType) -> impl Strategy<Value = Value> + use<> {
    prop_oneof![
        4 => value_of(storage),
        2 => value_of(storage).prop_map(as_set),
        3 => (value_of(storage), any::<usize>(), value()).prop_map(|(whole, at, part)| spoilt(whole, at, part)),
        1 => value(),
    ]
}

/// A list of strings, numbers or byte strings as the set of them.
fn as_set(value: Value) -> Value {
    let elements = value["L"].as_array().filter(|elements| !elements.is_empty());
    for (tag, set) in [("S", "SS"), ("N", "NS"), ("B", "BS")] {
        let texts: Option<Vec<_>> =
            elements.and_then(|elements| elements.iter().map(|element| element.get(tag)).collect());
        if let Some(texts) = texts {
            return json!({ set: texts });
        }
    }
    value
}

/// `whole` with one of the values in it replaced, or a member added to a map.
fn spoilt(mut whole: Value, at: usize, part: Value) -> Value {
    let mut left = at % values_in(&whole);
    replace(&mut whole, &mut left, part);
    whole
}

/// The values a list or map has.
fn inside(value: &mut Value) -> Vec<&mut Value> {
    match value.as_object_mut().and_then(|typed| typed.iter_mut().next()) {
        Some((tag, Value::Array(elements))) if tag == "L" => elements.iter_mut().collect(),
        Some((tag, Value::Object(members))) if tag == "M" => members.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn values_in(value: &Value) -> usize {
    1 + inside(&mut value.clone()).into_iter().map(|value| values_in(value)).sum::<usize>()
}

fn replace(value: &mut Value, left: &mut usize, part: Value) {
    if *left == 0 {
        match value.get_mut("M").and_then(Value::as_object_mut) {
            Some(members) => _ = members.insert("e".to_owned(), part),
            None => *value = part,
        }
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    for value in inside(value) {
        if *left != usize::MAX {
            replace(value, left, part.clone());
        }
    }
}

fn declared_image(types: &[ColumnType]) -> impl Strategy<Value = Value> + use<> {
    let declared: Vec<_> = ATTRIBUTES
        .iter()
        .zip(types)
        .map(|(name, storage)| proptest::option::weighted(0.7, (Just((*name).to_owned()), nearly(storage))))
        .collect();
    (declared, image()).prop_map(|(declared, others)| {
        let Value::Object(mut attributes) = others else { unreachable!("an image is an object") };
        attributes.retain(|name, _| !ATTRIBUTES.contains(&name.as_str()));
        attributes.extend(declared.into_iter().flatten());
        Value::Object(attributes)
    })
}

fn types_and_images() -> impl Strategy<Value = (Vec<ColumnType>, Vec<(Value, Value)>)> {
    proptest::collection::vec(exact_type(), ATTRIBUTES.len()).prop_flat_map(|types| {
        let images = proptest::collection::vec((declared_image(&types), declared_image(&types)), 1..10);
        (Just(types), images)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_image_of_declared_columns_comes_back((types, images) in types_and_images(), columns in 1usize..9) {
        let declared = ATTRIBUTES.iter().map(|name| (*name).to_owned()).zip(types).collect();
        comes_back(&images, TableRules { declared, ..rules(columns) })?;
    }
}

#[tokio::test]
async fn the_first_value_decides_what_a_list_takes() {
    for (first, second, takes) in
        [(json!({"SS": ["x"]}), json!({"L": [{"S": "x"}]}), "SS"), (json!({"L": []}), json!({"SS": ["x"]}), "L")]
    {
        let store = Arc::new(MemoryStore::new());
        let declared = vec![("a".to_owned(), "list<string>".parse().unwrap())];
        let lake = open(&store, TableRules { declared, ..rules(5) }).await;
        let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
        let images = [first, second].map(|value| json!({ "a": value }));
        let records: Vec<_> =
            images.iter().enumerate().map(|(at, new)| record(at as u64 + 1, &modify(new, new))).collect();
        shard.accept(&records).await.unwrap();
        shard.commit().await.unwrap();
        let schema: Value = serde_json::from_slice(&store.objects()["_watershed/schema/T/000001.json"]).unwrap();
        assert_eq!(schema["columns"][0]["type"], takes);
        assert_eq!(schema["columns"][0]["storage"], "list<string>");
        assert_eq!(all_rows(&store).into_iter().map(|row| row.new).collect::<Vec<_>>(), images);
    }
}

#[test]
fn the_deepest_type_comes_back() {
    let (mut storage, mut value) = ("int64".to_owned(), json!({"N": "7"}));
    for level in 0..MAX_TYPE_DEPTH {
        (storage, value) = match level % 2 {
            0 => (format!("struct<d: {storage}>"), json!({"M": {"d": value}})),
            _ => (format!("list<{storage}>"), json!({"L": [value]})),
        };
    }
    let declared = vec![("a".to_owned(), storage.parse().unwrap())];
    let fits = json!({ "a": value });
    let images = [(fits.clone(), json!({"a": {"L": [{"NULL": true}]}})), (json!({}), fits)];
    comes_back(&images, TableRules { declared, ..rules(3) }).unwrap();
}

#[test]
fn one_part_is_spoilt() {
    let whole = json!({"M": {"a": {"L": [{"S": "x"}]}}});
    let part = || json!({"NULL": true});
    assert_eq!(values_in(&whole), 3);
    assert_eq!(spoilt(whole.clone(), 3, part()), json!({"M": {"a": {"L": [{"S": "x"}]}, "e": {"NULL": true}}}));
    assert_eq!(spoilt(whole.clone(), 1, part()), json!({"M": {"a": {"NULL": true}}}));
    assert_eq!(spoilt(whole, 2, part()), json!({"M": {"a": {"L": [{"NULL": true}]}}}));
}
