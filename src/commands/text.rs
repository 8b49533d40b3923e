//! How is a value of an item shown to people: short, on one line, and harmless for a terminal?

use std::fmt::Write as _;

use crate::decode::item::{Kind, Value};
use crate::decode::json::Text;
use crate::decode::nested;
use crate::telemetry::log::is_harmful;

/// Appends the first `limit` characters of `text`, and `…` if there are more. Characters that would break the line or
/// steer a terminal become `\n`, `\u{1b}` and the like.
pub(super) fn clip(text: &str, limit: usize, out: &mut String) {
    let mut characters = text.chars();
    for c in characters.by_ref().take(limit) {
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
}

/// The same, as a text of its own.
pub(super) fn clipped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    clip(text, limit, &mut out);
    out
}

/// Appends a string, as it reads once its escapes are resolved.
pub(super) fn clip_text(text: Text<'_>, limit: usize, out: &mut String) {
    match text.decode() {
        Some(decoded) => clip(&decoded, limit, out),
        None => clip(text.raw, limit, out),
    }
}

/// Appends a value: strings in quotes, numbers as they are, nested values as plain JSON where they have it.
pub(super) fn clip_value(value: &Value<'_>, limit: usize, out: &mut String) {
    match value.kind {
        Kind::S(text) => {
            out.push('"');
            clip_text(text, limit, out);
            out.push('"');
        }
        Kind::N(text) => clip_text(text, limit, out),
        Kind::B(text) => {
            out.push_str("base64:");
            clip_text(text, limit, out);
        }
        // Writing to a String can't fail.
        Kind::Bool(value) => _ = write!(out, "{value}"),
        Kind::Null => out.push_str("null"),
        Kind::Ss(array) | Kind::Ns(array) | Kind::Bs(array) => clip(array.text(), limit, out),
        Kind::M(_) | Kind::L(_) => {
            let mut plain = Vec::new();
            match nested::plain_json(value, &mut plain) {
                Ok(true) => clip(&String::from_utf8_lossy(&plain), limit, out),
                _ => clip(value.raw, limit, out),
            }
        }
        Kind::Unknown => clip(value.raw, limit, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::item;
    use crate::decode::json::Cursor;

    fn shown(typed: &str) -> String {
        let mut out = String::new();
        clip_value(&item::value(&mut Cursor::new(typed)).unwrap(), 12, &mut out);
        out
    }

    #[test]
    fn values_are_readable() {
        for (typed, expected) in [
            (r#"{"S":"a \"b\""}"#, r#""a "b"""#),
            (r#"{"S":"a rather long text"}"#, r#""a rather lon…""#),
            (r#"{"N":"12345678901234567890"}"#, "123456789012…"),
            (r#"{"B":"AAEC"}"#, "base64:AAEC"),
            (r#"{"BOOL":false}"#, "false"),
            (r#"{"NULL":true}"#, "null"),
            (r#"{"SS":["a","b"]}"#, r#"["a","b"]"#),
            (r#"{"M":{"a":{"N":"1"}}}"#, r#"{"a":1}"#),
            (r#"{"L":[{"B":"AA=="},{"M":{"SS":{"S":"x"}}}]}"#, r#"{"L":[{"B":"…"#),
            (r#"{"X":1}"#, r#"{"X":1}"#),
        ] {
            assert_eq!(shown(typed), expected, "{typed}");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(shown(r#"{"S":"\u001b[2J\n\u009b\u202e"}"#), r#""\u{1b}[2J\n\u{9b}\u{202e}""#);
        assert_eq!(shown(r#"{"S":"\ud800\n"}"#), r#""\ud800\n""#);
        assert_eq!(clipped("é\u{7f}", 9), r"é\u{7f}");
    }
}
