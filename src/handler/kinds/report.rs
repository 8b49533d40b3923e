//! Which changes does an answer with `batchItemFailures` name as failed? Pure.
//!
//! Lambda's words (AWS's manual and recorded answers): nothing named is success; an identifier that is empty, null, no
//! text or of no change of the call makes the whole call a failure.

use serde_json::Value;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It names nothing.
    Done,
    /// The changes at these places failed; sorted, each once.
    Failed(Vec<usize>),
    /// It names something that is no change of the call.
    Invalid,
}

/// Reads an answer to a call whose changes have these identifiers, of which each may have several.
pub(super) fn read(answer: &Value, place: impl Fn(&str) -> Option<usize>) -> Report {
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Report::Done,
        Some(Value::Array(failures)) => failures,
        Some(_) => return Report::Invalid,
    };
    let named = |failure: &Value| failure.get("itemIdentifier")?.as_str().and_then(&place);
    let places: Option<Vec<usize>> = failures.iter().map(named).collect();
    match places {
        None => Report::Invalid,
        Some(places) if places.is_empty() => Report::Done,
        Some(mut places) => {
            places.sort_unstable();
            places.dedup();
            Report::Failed(places)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_they_mean_to_lambda() {
        let read = |answer: &str| {
            let answer: Value = serde_json::from_str(answer).unwrap();
            super::read(&answer, |id| ["a", "b", "c"].iter().position(|known| *known == id))
        };
        for done in [r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, "{}", "[]", "null", r#""""#, "1"] {
            assert_eq!(read(done), Report::Done, "{done}");
        }
        for invalid in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"x"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":123}]}"#,
            r#"{"batchItemFailures":[{"item":"a"}]}"#,
            r#"{"batchItemFailures":["a"]}"#,
            r#"{"batchItemFailures":{}}"#,
        ] {
            assert_eq!(read(invalid), Report::Invalid, "{invalid}");
        }
        let some = r#"{"batchItemFailures":[{"itemIdentifier":"c"},{"itemIdentifier":"b"},{"itemIdentifier":"c"}]}"#;
        assert_eq!(read(some), Report::Failed(vec![1, 2]));
    }
}
