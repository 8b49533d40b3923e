//! Turns an `M` or `L` into plain JSON text that an analyst can use, when nothing is lost by it.
//!
//! `S` becomes a string, `N` a number with all its digits, `NULL` null, `M` an object, `L` an array. JSON has no sets
//! and no bytes: those keep their DynamoDB form, `{"SS":["q"]}`. So that the way back is certain, a real map that looks
//! like such a form is not plain, nor is a number that JSON would not write this way; their attribute stays in
//! DynamoDB JSON, in `_rest`.

mod along;

pub use along::plain_json_at;

use super::item::{self, Kind, Value};
use super::json::{Elements, Malformed, Members, Part};
use super::number;

/// Appends the plain JSON of `value` (an `M` or `L`) to `out`. `false`, and `out` as it was, if it has no plain form.
pub fn plain_json(value: &Value<'_>, out: &mut Vec<u8>) -> Result<bool, Malformed> {
    let start = out.len();
    let plain = append(value, out);
    if !matches!(plain, Ok(true)) {
        out.truncate(start);
    }
    plain
}

fn append(value: &Value<'_>, out: &mut Vec<u8>) -> Result<bool, Malformed> {
    match value.kind {
        Kind::S(text) => {
            out.push(b'"');
            out.extend_from_slice(text.raw.as_bytes());
            out.push(b'"');
        }
        Kind::N(text) => {
            if text.escaped || !number::is_json_number(text.raw) {
                return Ok(false);
            }
            out.extend_from_slice(text.raw.as_bytes());
        }
        Kind::Bool(true) => out.extend_from_slice(b"true"),
        Kind::Bool(false) => out.extend_from_slice(b"false"),
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::B(_) => out.extend_from_slice(value.raw.as_bytes()),
        Kind::Ss(array) | Kind::Ns(array) | Kind::Bs(array) => {
            if !item::walk_set(array, |_| true)? {
                return Ok(false);
            }
            out.extend_from_slice(value.raw.as_bytes());
        }
        Kind::M(object) => return append_map(object, out),
        Kind::L(array) => return append_list(array, out),
        Kind::Unknown => return Ok(false),
    }
    Ok(true)
}

fn append_map(object: Part<'_>, out: &mut Vec<u8>) -> Result<bool, Malformed> {
    let mut cursor = object.cursor();
    let mut members = Members::open(&mut cursor)?;
    let mut count = 0;
    let mut looks_typed = false;
    out.push(b'{');
    while let Some(name) = members.next(&mut cursor)? {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        looks_typed = ["SS", "NS", "BS", "B"].iter().any(|tag| name.is(tag));
        out.push(b'"');
        out.extend_from_slice(name.raw.as_bytes());
        out.extend_from_slice(b"\":");
        if !append(&item::value(&mut cursor)?, out)? {
            return Ok(false);
        }
    }
    out.push(b'}');
    Ok(!(count == 1 && looks_typed))
}

fn append_list(array: Part<'_>, out: &mut Vec<u8>) -> Result<bool, Malformed> {
    let mut cursor = array.cursor();
    let mut elements = Elements::open(&mut cursor)?;
    let mut first = true;
    out.push(b'[');
    while elements.next(&mut cursor)? {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        if !append(&item::value(&mut cursor)?, out)? {
            return Ok(false);
        }
    }
    out.push(b']');
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json::Cursor;

    fn plain(typed: &str) -> Option<String> {
        let value = item::value(&mut Cursor::new(typed)).unwrap();
        let mut out = b"before".to_vec();
        let fits = plain_json(&value, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(fits || text == "before");
        fits.then(|| text["before".len()..].to_owned())
    }

    #[test]
    fn plain_values_become_plain_json() {
        assert_eq!(
            plain(r#"{"M":{"a":{"S":"x\n"},"n":{"N":"12345678901234567890123456789012345678"},"l":{"L":[{"BOOL":false},{"NULL":true},{"L":[]},{"M":{}}]}}}"#).unwrap(),
            r#"{"a":"x\n","n":12345678901234567890123456789012345678,"l":[false,null,[],{}]}"#
        );
        assert_eq!(
            plain(r#"{"L":[{"SS":["q"]},{"B":"AA=="},{"M":{"SS":{"S":"x"},"y":{"N":"1"}}}]}"#).unwrap(),
            r#"[{"SS":["q"]},{"B":"AA=="},{"SS":"x","y":1}]"#
        );
    }

    #[test]
    fn what_could_be_mistaken_is_not_plain() {
        for typed in [
            r#"{"M":{"SS":{"L":[{"S":"q"}]}}}"#,
            r#"{"L":[{"M":{"B":{"S":"AA=="}}}]}"#,
            r#"{"L":[{"M":{"\u0042":{"S":"AA=="}}}]}"#,
            r#"{"L":[{"N":"007"}]}"#,
            r#"{"L":[{"X":"1"}]}"#,
            r#"{"M":{"a":{"NS":[1]}}}"#,
        ] {
            assert_eq!(plain(typed), None, "{typed}");
        }
    }
}
