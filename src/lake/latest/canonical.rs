//! When are two items the same? Their canonical texts are: numbers in their plain form, sets and members in order. Pure.

use serde_json::{Map, Value, json};

use crate::decode::number;

/// The canonical text of an item.
pub fn text(item: &Value) -> String {
    let Value::Object(attributes) = item else { return item.to_string() };
    let all: Map<_, _> = sorted(attributes).map(|(name, value)| (name.clone(), typed(value))).collect();
    Value::Object(all).to_string()
}

/// The canonical text of its key.
pub fn key(item: &Value, keys: &[String]) -> String {
    let attributes = keys.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone())));
    text(&Value::Object(attributes.collect()))
}

fn sorted(members: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut all: Vec<_> = members.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter()
}

fn typed(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().filter(|only| only.len() == 1).and_then(|only| only.iter().next())
    else {
        return value.clone();
    };
    let canonical = |number: &Value| number.as_str().map_or_else(|| number.clone(), |text| json!(plain(text)));
    let in_order = |mut all: Vec<Value>| {
        all.sort_by_cached_key(ToString::to_string);
        Value::Array(all)
    };
    let inner = match (kind.as_str(), inner) {
        ("N", number) => canonical(number),
        ("NS", Value::Array(all)) => in_order(all.iter().map(canonical).collect()),
        ("SS" | "BS", Value::Array(all)) => in_order(all.clone()),
        ("L", Value::Array(all)) => Value::Array(all.iter().map(typed).collect()),
        ("M", Value::Object(all)) => {
            Value::Object(sorted(all).map(|(name, value)| (name.clone(), typed(value))).collect())
        }
        (_, other) => other.clone(),
    };
    json!({ kind: inner })
}

/// A number as people write it, the same for all texts of it: `1.5` for `15e-1`.
fn plain(text: &str) -> String {
    let canonical = number::canonical(text);
    let (sign, unsigned) = canonical.strip_prefix('-').map_or(("", &*canonical), |unsigned| ("-", unsigned));
    let Some((digits, exponent)) = unsigned.split_once('e') else { return canonical.into_owned() };
    let Ok(exponent) = exponent.parse::<i32>() else { return canonical.into_owned() };
    let (count, places) = (digits.len(), exponent.unsigned_abs() as usize);
    match exponent {
        0.. => format!("{sign}{digits}{}", "0".repeat(places)),
        _ if places < count => format!("{sign}{}.{}", &digits[..count - places], &digits[count - places..]),
        _ => format!("{sign}0.{}{digits}", "0".repeat(places - count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_plainly() {
        for (text, expected) in [
            ("1.50", "1.5"),
            ("1E2", "100"),
            ("-100", "-100"),
            ("0.001", "0.001"),
            ("-0.10", "-0.1"),
            ("0", "0"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
            ("x", "x"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn one_item_has_one_text() {
        let one =
            json!({"a": {"N": "1.50"}, "b": {"NS": ["2", "10"]}, "c": {"M": {"x": {"N": "1E2"}, "y": {"L": []}}}});
        let other =
            json!({"c": {"M": {"y": {"L": []}, "x": {"N": "100"}}}, "b": {"NS": ["10.0", "2"]}, "a": {"N": "1.5"}});
        assert_eq!(text(&one), text(&other));
        let list = |numbers: [&str; 2]| text(&json!({"l": {"L": numbers.map(|number| json!({"N": number}))}}));
        assert_ne!(list(["1", "2"]), list(["2", "1"]));
        assert_ne!(text(&json!({"a": {"S": "1.50"}})), text(&json!({"a": {"S": "1.5"}})));
        assert_eq!(key(&one, &["a".to_owned(), "missing".to_owned()]), r#"{"a":{"N":"1.5"}}"#);
    }
}
