//! How does an image become the SDK's attribute values, exactly? A number stays the text it is. Pure.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::decode::item::{self, Kind, Value};
use crate::decode::json::{Elements, Malformed, Members, Part};

/// An item, or its key.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Why an image is no item that can be written. The text has no value of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAnItem {
    /// It is not JSON.
    #[error("an image is not readable: {0}")]
    Malformed(#[from] Malformed),
    /// A name or a string is no Unicode text.
    #[error("an image has a string that is no Unicode text")]
    NotText,
    /// Bytes that are not base64.
    #[error("an image has bytes that are not base64")]
    NotBase64,
    /// A type that this version does not know.
    #[error("an image has a value of a type that this version does not know")]
    Unknown,
}

/// The item of an image.
pub(super) fn item(image: Part<'_>) -> Result<Item, NotAnItem> {
    let mut found = Item::new();
    item::walk::<NotAnItem>(image, |name, value| {
        found.insert(name.decode().ok_or(NotAnItem::NotText)?.into_owned(), attribute(value)?);
        Ok(())
    })?;
    Ok(found)
}

fn attribute(value: Value<'_>) -> Result<AttributeValue, NotAnItem> {
    Ok(match value.kind {
        Kind::S(text) => AttributeValue::S(text.decode().ok_or(NotAnItem::NotText)?.into_owned()),
        Kind::N(text) => AttributeValue::N(text.decode().ok_or(NotAnItem::NotText)?.into_owned()),
        Kind::B(text) => AttributeValue::B(bytes(&text.decode().ok_or(NotAnItem::NotText)?)?),
        Kind::Bool(truth) => AttributeValue::Bool(truth),
        Kind::Null => AttributeValue::Null(true),
        Kind::Ss(array) => AttributeValue::Ss(set(array)?),
        Kind::Ns(array) => AttributeValue::Ns(set(array)?),
        Kind::Bs(array) => AttributeValue::Bs(set(array)?.iter().map(|text| bytes(text)).collect::<Result<_, _>>()?),
        Kind::M(object) => AttributeValue::M(map(object)?),
        Kind::L(array) => AttributeValue::L(list(array)?),
        Kind::Unknown => return Err(NotAnItem::Unknown),
    })
}

fn bytes(text: &str) -> Result<Blob, NotAnItem> {
    base64_simd::STANDARD.decode_to_vec(text).map(Blob::new).map_err(|_| NotAnItem::NotBase64)
}

fn set(array: Part<'_>) -> Result<Vec<String>, NotAnItem> {
    let mut found = Vec::new();
    let mut texts = true;
    let strings = item::walk_set(array, |text| {
        let text = text.decode().map(|text| found.push(text.into_owned()));
        texts &= text.is_some();
        true
    })?;
    match (strings, texts) {
        (true, true) => Ok(found),
        (true, false) => Err(NotAnItem::NotText),
        (false, _) => Err(NotAnItem::Unknown),
    }
}

fn map(object: Part<'_>) -> Result<Item, NotAnItem> {
    let mut found = Item::new();
    let mut cursor = object.cursor();
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        let name = name.decode().ok_or(NotAnItem::NotText)?.into_owned();
        found.insert(name, attribute(item::value(&mut cursor)?)?);
    }
    Ok(found)
}

fn list(array: Part<'_>) -> Result<Vec<AttributeValue>, NotAnItem> {
    let mut found = Vec::new();
    let mut cursor = array.cursor();
    let mut elements = Elements::open(&mut cursor)?;
    while elements.next(&mut cursor)? {
        found.push(attribute(item::value(&mut cursor)?)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Channel;
    use crate::decode::envelope;

    fn read(image: &str) -> Result<Item, NotAnItem> {
        let text = format!(r#"{{"eventName":"INSERT","dynamodb":{{"NewImage":{image}}}}}"#);
        item(envelope::read(text.as_bytes(), Channel::Streams).unwrap().new_image.unwrap())
    }

    /// The way back, as DynamoDB JSON.
    fn json(value: &AttributeValue) -> serde_json::Value {
        use serde_json::json;
        let base64 = |blob: &Blob| base64_simd::STANDARD.encode_to_string(blob);
        match value {
            AttributeValue::S(text) => json!({ "S": text }),
            AttributeValue::N(text) => json!({ "N": text }),
            AttributeValue::B(blob) => json!({ "B": base64(blob) }),
            AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
            AttributeValue::Null(_) => json!({ "NULL": true }),
            AttributeValue::Ss(set) => json!({ "SS": set }),
            AttributeValue::Ns(set) => json!({ "NS": set }),
            AttributeValue::Bs(set) => json!({ "BS": set.iter().map(base64).collect::<Vec<_>>() }),
            AttributeValue::M(map) => {
                json!({ "M": map.iter().map(|(name, value)| (name.clone(), json(value))).collect::<serde_json::Map<_, _>>() })
            }
            AttributeValue::L(list) => json!({ "L": list.iter().map(json).collect::<Vec<_>>() }),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_type_goes_there_and_back() {
        let image = include_str!("../../../../tests/fixtures/attribute_values_all_types.json");
        let item = read(image).unwrap();
        let back: serde_json::Map<_, _> = item.iter().map(|(name, value)| (name.clone(), json(value))).collect();
        assert_eq!(serde_json::Value::from(back), serde_json::from_str::<serde_json::Value>(image).unwrap());
    }

    #[test]
    fn what_can_not_be_written_exactly_is_refused() {
        for (image, why) in [
            (r#"{"a":{"X":"1"}}"#, NotAnItem::Unknown),
            (r#"{"a":{"M":{"b":{"L":[{"X":"1"}]}}}}"#, NotAnItem::Unknown),
            (r#"{"a":{"SS":[1]}}"#, NotAnItem::Unknown),
            (r#"{"a":{"B":"%"}}"#, NotAnItem::NotBase64),
            (r#"{"a":{"BS":["%"]}}"#, NotAnItem::NotBase64),
            (r#"{"a":{"S":"\ud800"}}"#, NotAnItem::NotText),
            (r#"{"\ud800":{"S":"x"}}"#, NotAnItem::NotText),
            (r#"{"a":{"SS":["\ud800"]}}"#, NotAnItem::NotText),
        ] {
            assert_eq!(read(image).unwrap_err(), why, "{image}");
        }
        assert!(matches!(read(r#"{"a":{"S":x}}"#), Err(NotAnItem::Malformed(_) | NotAnItem::Unknown)));
    }
}
