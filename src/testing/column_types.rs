//! Which column types may a pipeline file declare, and which values are made for them? For properties.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::pipeline::spec::{ColumnType, Decimal, MAX_DECIMAL_PRECISION, StructField};

/// Any type, `list` and `struct` included.
pub fn any_type() -> impl Strategy<Value = ColumnType> {
    scalar_type().prop_recursive(3, 12, 4, |inner| {
        let named = (field_name(), inner.clone());
        prop_oneof![inner.prop_map(ColumnType::list), vec(named, 1..5).prop_map(struct_of)]
    })
}

/// The same without `double`, which alone may change a value.
pub fn exact_type() -> impl Strategy<Value = ColumnType> {
    any_type().prop_filter("a double rounds", |storage| !rounds(storage))
}

fn rounds(storage: &ColumnType) -> bool {
    match storage {
        ColumnType::Double => true,
        ColumnType::List(element) => rounds(element),
        ColumnType::Struct(fields) => fields.iter().any(|field| rounds(&field.storage)),
        _ => false,
    }
}

fn digits() -> impl Strategy<Value = Decimal> {
    (1..=MAX_DECIMAL_PRECISION)
        .prop_flat_map(|precision| (Just(precision), 0..=precision))
        .prop_map(|(precision, scale)| Decimal::new(precision, scale).unwrap())
}

fn scalar_type() -> impl Strategy<Value = ColumnType> {
    prop_oneof![
        Just(ColumnType::String),
        Just(ColumnType::Int64),
        Just(ColumnType::Double),
        digits().prop_map(ColumnType::Decimal),
        Just(ColumnType::Bool),
        Just(ColumnType::Binary),
        Just(ColumnType::Json),
    ]
}

/// Few names, so that random maps have them, and some that need quotes.
fn field_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-d]", "a b|x`y|``|element|list|>|\u{0}|é", "\\PC{1,5}"]
}

/// Of names that only differ in case, or in what is no name in a file, the first stays.
fn struct_of(named: Vec<(String, ColumnType)>) -> ColumnType {
    let mut fields: Vec<StructField> = Vec::new();
    for (name, storage) in named {
        let field = StructField { name, storage };
        let folded = field.column().to_lowercase();
        if fields.iter().all(|other| other.column().to_lowercase() != folded) {
            fields.push(field);
        }
    }
    ColumnType::Struct(fields)
}

/// A value that a field or element of this type holds; of a struct some members may be missing.
pub fn value_of(storage: &ColumnType) -> BoxedStrategy<Value> {
    match storage {
        ColumnType::String => any::<String>().prop_map(|text| json!({"S": text})).boxed(),
        ColumnType::Int64 => any::<i64>().prop_map(|number| json!({"N": number.to_string()})).boxed(),
        ColumnType::Double => (-1000i32..1000).prop_map(|number| json!({"N": number.to_string()})).boxed(),
        ColumnType::Decimal(digits) => decimal(*digits).prop_map(|number| json!({"N": number})).boxed(),
        ColumnType::Bool => any::<bool>().prop_map(|value| json!({"BOOL": value})).boxed(),
        ColumnType::Binary => vec(any::<u8>(), 0..7)
            .prop_map(|bytes| json!({"B": base64_simd::STANDARD.encode_to_string(bytes)}))
            .boxed(),
        ColumnType::Json => prop_oneof![
            btree_map("[a-c]", any::<i8>(), 0..3).prop_map(
                |members| json!({"M": members.into_iter().map(|(name, n)| (name, json!({"N": n.to_string()}))).collect::<Map<_, _>>()})
            ),
            vec(any::<bool>(), 0..3).prop_map(
                |list| json!({"L": list.into_iter().map(|truth| json!({"BOOL": truth})).collect::<Vec<_>>()})
            ),
        ]
        .boxed(),
        ColumnType::List(element) => vec(value_of(element), 0..4).prop_map(|list| json!({"L": list})).boxed(),
        ColumnType::Struct(fields) => {
            let members: Vec<_> = fields
                .iter()
                .map(|field| proptest::option::weighted(0.8, (Just(field.name.clone()), value_of(&field.storage))))
                .collect();
            members
                .prop_map(|members| json!({"M": members.into_iter().flatten().collect::<Map<_, _>>()}))
                .boxed()
        }
    }
}

/// The plain text of a number that fits exactly.
fn decimal(digits: Decimal) -> impl Strategy<Value = String> {
    let end = 10i128.pow(u32::from(digits.precision()));
    (-end + 1..end).prop_map(move |value| crate::decode::number::decimal_text(value, digits.scale() as i8))
}
