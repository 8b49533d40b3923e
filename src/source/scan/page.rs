//! How a raw `Scan` answer is cut into items, without copying or decoding one.

use bytes::Bytes;

use crate::decode::json::{Cursor, Elements, Malformed, Members};

/// What one answer holds.
#[derive(Debug, PartialEq)]
pub(crate) struct ScanPage {
    /// The items as the service wrote them.
    pub(crate) items: Vec<Bytes>,
    /// `LastEvaluatedKey`, as it came; `None`: the segment is at its end.
    pub(crate) last_key: Option<String>,
    /// `ConsumedCapacity.CapacityUnits`.
    pub(crate) units: f64,
}

/// Cuts one answer up. Inside an item nothing is checked but its extent.
pub(crate) fn cut(page: &Bytes) -> Result<ScanPage, Malformed> {
    let mut cursor = Cursor::of_bytes(page);
    let mut found = ScanPage { items: Vec::new(), last_key: None, units: 0.0 };
    let mut has_items = false;
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next_unchecked(&mut cursor)? {
        if name.is("Items") {
            has_items = true;
            let mut elements = Elements::open(&mut cursor)?;
            while elements.next(&mut cursor)? {
                cursor.peek();
                let start = cursor.offset();
                cursor.value_unchecked()?;
                found.items.push(page.slice(start..cursor.offset()));
            }
        } else if name.is("LastEvaluatedKey") && cursor.peek() == Some(b'{') {
            let key = cursor.value_unchecked()?;
            found.last_key = Some(String::from_utf8_lossy(key).into_owned()).filter(|key| key != "{}");
        } else if name.is("ConsumedCapacity") && cursor.peek() == Some(b'{') {
            found.units = units(&mut cursor)?;
        } else {
            cursor.value_unchecked()?;
        }
    }
    cursor.end()?;
    // Without this check a garbled answer would look like the end of the segment.
    if has_items { Ok(found) } else { Err(Malformed { at: 0, what: "an answer with `Items`" }) }
}

fn units(cursor: &mut Cursor<'_, [u8]>) -> Result<f64, Malformed> {
    let mut units = 0.0;
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next_unchecked(cursor)? {
        let value = cursor.value_unchecked()?;
        if name.is("CapacityUnits") {
            units = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        }
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_key_and_cost() {
        let text = r#"{"Count":2,"Items":[{"a":{"S":"x"}}, {"a":{"S":"]}"}}],"ScannedCount":2,
            "ConsumedCapacity":{"TableName":"T","CapacityUnits":1.5},"LastEvaluatedKey":{"a":{"S":"]}"}}}"#;
        let page = cut(&Bytes::from(text)).unwrap();
        assert_eq!(page.items, [r#"{"a":{"S":"x"}}"#, r#"{"a":{"S":"]}"}}"#]);
        assert_eq!((page.last_key.as_deref(), page.units), (Some(r#"{"a":{"S":"]}"}}"#), 1.5));
        let last = cut(&Bytes::from_static(br#"{"Items":[],"LastEvaluatedKey":null}"#)).unwrap();
        assert_eq!(last, ScanPage { items: Vec::new(), last_key: None, units: 0.0 });
    }

    #[test]
    fn a_garbled_answer_is_no_end() {
        for text in ["{}", "", r#"{"Items":[{"a":1}"#, r#"{"Items":null}"#] {
            assert!(cut(&Bytes::from(text)).is_err(), "{text}");
        }
    }
}
