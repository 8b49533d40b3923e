//! How is a table of the file that stands for JSON written as JSON?

use std::fmt::Write as _;
use std::ops::Range;

use toml_edit::{Item, TableLike, Value};

/// How deep tables and lists may lie in one another. Deeper ones are no pattern of any change: DynamoDB's own limit is
/// 32, of which each takes two.
const MAX_DEPTH: usize = 100;

/// Why a value has no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson {
    /// What was found.
    pub(super) found: &'static str,
    /// What to do about it.
    pub(super) cure: &'static str,
    /// Where it stands, if it is told.
    pub(super) span: Option<Range<usize>>,
}

/// The JSON of a table, its members in the order of the file.
pub(super) fn json_of_table(table: &dyn TableLike) -> Result<String, NotJson> {
    let mut out = String::new();
    members(table, &mut out, 0)?;
    Ok(out)
}

fn members(table: &dyn TableLike, out: &mut String, depth: usize) -> Result<(), NotJson> {
    if depth >= MAX_DEPTH {
        let cure = "a pattern has no more levels than an item";
        return Err(NotJson { found: "tables lie too deep in one another", cure, span: None });
    }
    out.push('{');
    let items = table.iter().filter(|(_, item)| !item.is_none());
    for (number, (name, item)) in items.enumerate() {
        separate(number, out);
        text(name, out);
        out.push(':');
        match item {
            Item::Value(value) => self::value(value, out, depth + 1)?,
            Item::Table(table) => members(table, out, depth + 1)?,
            Item::ArrayOfTables(tables) => {
                out.push('[');
                for (number, table) in tables.iter().enumerate() {
                    separate(number, out);
                    members(table, out, depth + 2)?;
                }
                out.push(']');
            }
            Item::None => out.push_str("null"),
        }
    }
    out.push('}');
    Ok(())
}

fn value(value: &Value, out: &mut String, depth: usize) -> Result<(), NotJson> {
    let refuse = |found, cure| Err(NotJson { found, cure, span: value.span() });
    match value {
        Value::String(value) => text(value.value(), out),
        // Writing to a String cannot fail.
        Value::Integer(number) => _ = write!(out, "{}", number.value()),
        Value::Float(number) if number.value().is_finite() => _ = write!(out, "{:?}", number.value()),
        Value::Float(_) => return refuse("JSON has no such number", "name a finite number"),
        Value::Boolean(truth) => out.push_str(if *truth.value() { "true" } else { "false" }),
        Value::Datetime(_) => {
            return refuse("JSON has no times", "write it as a string or number, as the change has it");
        }
        Value::Array(_) if depth >= MAX_DEPTH => {
            return refuse("lists lie too deep in one another", "a pattern has no more levels than an item");
        }
        Value::Array(list) => {
            out.push('[');
            for (number, element) in list.iter().enumerate() {
                separate(number, out);
                self::value(element, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::InlineTable(table) => members(table, out, depth)?,
    }
    Ok(())
}

fn separate(number: usize, out: &mut String) {
    if number > 0 {
        out.push(',');
    }
}

/// A JSON string. A string always serialises.
fn text(value: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml_edit::Document;

    fn json(toml: &str) -> Result<String, NotJson> {
        json_of_table(Document::parse(toml).unwrap().as_table())
    }

    #[test]
    fn every_value_that_json_has_stays_what_it_is() {
        let toml = "
            eventName = ['INSERT', \"MO\\\"DIFY\\n\"]
            dynamodb.NewImage.status.S = [{ prefix = 'é' }]
            n = [1, -2, 1.0, 1e300, 9007199254740993, true, false, []]
            [[list]]
            a = {}
            [[list]]
            [table.\"x.y\"]
        ";
        let expected = r#"{"eventName":["INSERT","MO\"DIFY\n"],"dynamodb":{"NewImage":{"status":{"S":[{"prefix":"é"}]}}},"n":[1,-2,1.0,1e300,9007199254740993,true,false,[]],"list":[{"a":{}},{}],"table":{"x.y":{}}}"#;
        assert_eq!(json(toml).as_deref(), Ok(expected));
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }

    #[test]
    fn what_json_does_not_have_is_refused_where_it_stands() {
        let span = |toml| json(toml).unwrap_err().span.unwrap();
        assert_eq!(span("a = [2026-11-20]"), 5..15);
        assert_eq!(span("a = { b = nan }"), 10..13);
        assert!(json(&format!("a = {}{}", "[".repeat(70), "]".repeat(70))).is_ok());
        assert!(json(&format!("{} = {}{}", ["a"; 50].join("."), "[".repeat(70), "]".repeat(70))).is_err());
    }
}
