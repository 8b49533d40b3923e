//! What is answered to a mapping? The first record that is not done, or that all are: one function.
//!
//! ```text
//!  all done              {"batchItemFailures":[]}
//!  some done             {"batchItemFailures":[{"itemIdentifier":"<the first that is not>"}]}
//!  nothing done          an error: also a mapping without ReportBatchItemFailures then sends all of it again
//! ```
//!
//! Lambda takes the lowest number as its checkpoint and sends everything from it on again, so one entry says it all.

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::Batch;
use crate::bug::{self, Bug};

/// How far a batch has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its records that are done, from the first on: in the lake, and resolved for every handler.
    pub done: usize,
    /// Why not all are.
    pub why: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    batch_item_failures: Vec<Failure<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    item_identifier: &'a str,
}

/// The answer to a batch of which so much is done.
///
/// # Errors
/// The invocation's error, if nothing of it is done, or if the first pending record can't be named.
pub fn answer(batch: &Batch, progress: &Progress) -> Result<Box<RawValue>, String> {
    let why = || progress.why.clone().unwrap_or_else(|| "it was not finished in time".to_owned());
    let beside = bug::is_made(Bug::AnswerNamesNext) && (1..batch.items.len() - 1).contains(&progress.done);
    let pending = batch.items.get(progress.done + usize::from(beside));
    if let Some(pending) = pending.filter(|item| progress.done == 0 || item.identifier.is_empty()) {
        let (count, first) = (batch.items.len(), &pending.identifier);
        return Err(format!("none of {count} records is done, the first is {first}: {}", why()));
    }
    let state = batch.window.as_deref().and_then(|state| serde_json::from_str(state).ok());
    let failures = pending.map(|item| Failure { item_identifier: &item.identifier });
    let answer = Answer { batch_item_failures: failures.into_iter().collect(), state };
    serde_json::value::to_raw_value(&answer).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::event::Item;

    fn batch(identifiers: &[&str]) -> Batch {
        let item = |id: &&str| Item { identifier: (*id).to_owned(), records: Vec::new() };
        Batch { arn: None, shard: None, items: identifiers.iter().map(item).collect(), window: None }
    }

    fn answered(batch: &Batch, done: usize) -> Result<String, String> {
        answer(batch, &Progress { done, why: Some("the lake is away".into()) }).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn the_first_pending_record_is_named() {
        let ids = ["1405400000000002063282821", "1405400000000002063282835", "1405400000000002063282842"];
        let three = batch(&ids);
        assert_eq!(answered(&three, 3).unwrap(), r#"{"batchItemFailures":[]}"#);
        for done in [1, 2] {
            let expected = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, ids[done]);
            assert_eq!(answered(&three, done).unwrap(), expected);
        }
        let none = answered(&three, 0).unwrap_err();
        assert_eq!(none, "none of 3 records is done, the first is 1405400000000002063282821: the lake is away");
        assert_eq!(answered(&batch(&[]), 0).unwrap(), r#"{"batchItemFailures":[]}"#);
    }

    #[test]
    fn the_answer_is_of_the_documented_form() {
        let sample = include_str!("../../tests/fixtures/lambda_partial_batch_response.json");
        let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
        let two = batch(&["1", "1405400000000002063282821"]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&answered(&two, 1).unwrap()).unwrap(), sample);
    }

    #[test]
    fn an_empty_identifier_is_never_answered() {
        // Lambda would take it for a failure of the whole batch; then it should be told as one.
        assert!(answered(&batch(&["1", ""]), 1).is_err());
    }

    #[test]
    fn a_windows_state_is_given_back() {
        let mut windowed = batch(&["1", "2"]);
        windowed.window = Some(r#"{"ORDER#2001": 3}"#.to_owned());
        assert_eq!(answered(&windowed, 2).unwrap(), r#"{"batchItemFailures":[],"state":{"ORDER#2001": 3}}"#);
        let partly = r#"{"batchItemFailures":[{"itemIdentifier":"2"}],"state":{"ORDER#2001": 3}}"#;
        assert_eq!(answered(&windowed, 1).unwrap(), partly);
    }
}
