//! What does a line of a program say about a change? Pure.

use serde::Deserialize;

use crate::handler::kinds::payloads::said;

/// A verdict.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The id of the change it is about.
    pub(super) id: String,
    /// Why it was not handled, and whether a repetition makes sense; `None`: it was handled.
    pub(super) failure: Option<(String, bool)>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    ok: bool,
    #[serde(default = "yes")]
    retry: bool,
    error: Option<String>,
}

fn yes() -> bool {
    true
}

impl Verdict {
    /// Reads a line; else says what it is.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let Line { id, ok, retry, error } = serde_json::from_slice(line)
            .map_err(|_| "a line of the program's stdout is no verdict {\"id\":…,\"ok\":…}".to_owned())?;
        let why = || error.as_deref().map_or_else(|| "the program says that it failed".to_owned(), said);
        Ok(Self { failure: (!ok).then(|| (why(), retry)), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_an_id_and_a_truth() {
        let of = |line: &str| Verdict::parse(line.as_bytes()).map(|verdict| verdict.failure);
        assert_eq!(of(r#"{"id":"a","ok":true}"#), Ok(None));
        assert_eq!(of(r#"{"id":"a","ok":true,"error":"x","more":1}"#), Ok(None));
        assert_eq!(of(r#"{"ok":false,"id":"a"}"#), Ok(Some(("the program says that it failed".into(), true))));
        assert_eq!(
            of(r#"{"id":"a","ok":false,"retry":false,"error":"b\u001b[1m\n"}"#),
            Ok(Some(("b\\u{1b}[1m\\n".into(), false)))
        );
        let long = format!(r#"{{"id":"a","ok":false,"error":"{}"}}"#, "x".repeat(5000));
        assert_eq!(of(&long).unwrap().unwrap().0.chars().count(), 201);
        for line in [
            "",
            "ok",
            "{}",
            r#"{"id":"a"}"#,
            r#"{"ok":true}"#,
            r#"{"id":1,"ok":true}"#,
            r#"{"id":"a","ok":"yes"}"#,
            "\u{0}",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
        assert!(Verdict::parse(b"\xff").is_err());
    }
}
