//! How are messages sent in requests of a few, each of which succeeds or fails on its own?

use crate::handler::{Failure, HandlerError, Limits, Verdict};

/// The most messages of a request.
pub(super) const MAX_ENTRIES: usize = 10;
/// A payload that is larger becomes a reference: 240 KiB, so that with its attributes it fits into the 256 KiB that every
/// queue, topic and bus takes.
pub(super) const MAX_PAYLOAD: usize = 240 << 10;
/// The most bytes of the messages of a request.
pub(super) const MAX_REQUEST: usize = 256 << 10;
/// What a message weighs besides its payload: attributes, ids.
pub(super) const OVERHEAD: usize = 1 << 10;

/// Entries may fail one by one, so a request never has two of one item.
pub(super) const LIMITS: Limits = Limits { changes: MAX_ENTRIES, bytes: MAX_REQUEST, several_of_one_item: false };

/// Cuts entries into requests: payloads are longer than the records they were made of.
pub(super) fn requests(payloads: Vec<(usize, String)>) -> Vec<Vec<(usize, String)>> {
    let mut requests: Vec<Vec<(usize, String)>> = Vec::new();
    let mut bytes = 0;
    for (index, payload) in payloads {
        let more = payload.len() + OVERHEAD;
        match requests.last_mut().filter(|last| last.len() < MAX_ENTRIES && bytes + more <= MAX_REQUEST) {
            Some(last) => {
                last.push((index, payload));
                bytes += more;
            }
            None => {
                requests.push(vec![(index, payload)]);
                bytes = more;
            }
        }
    }
    requests
}

/// What became of the requests of a call: the failures of those that were answered; as a whole an error only if nothing
/// was sent before.
#[derive(Debug, Default)]
pub(super) struct Sent {
    answered: bool,
    pub(super) failures: Vec<Failure>,
}

impl Sent {
    /// Nothing is sent yet, and these changes never will be.
    pub(super) fn after(failures: Vec<Failure>) -> Self {
        Self { answered: false, failures }
    }

    /// Takes in what became of the entries at these places.
    pub(super) fn add(
        &mut self,
        places: &[usize],
        result: Result<Vec<Failure>, HandlerError>,
    ) -> Result<(), HandlerError> {
        match result {
            Ok(failures) => {
                self.answered = true;
                self.failures.extend(failures);
                Ok(())
            }
            Err(error) if !self.answered => Err(error),
            Err(error) => {
                let (why, retry) = (error.to_string(), !matches!(error, HandlerError::Refused(_)));
                self.failures.extend(places.iter().map(|index| Failure {
                    index: *index,
                    why: why.clone(),
                    verdict: Verdict::of(retry),
                }));
                Ok(())
            }
        }
    }
}

/// The failure of one entry, by its id in the request: its number.
pub(super) fn entry_failure(places: &[usize], id: &str, call: &str, code: &str, sender_fault: bool) -> Option<Failure> {
    let index = *places.get(id.parse::<usize>().ok()?)?;
    let retry = !sender_fault || super::aws::is_temporary(code);
    Some(Failure { index, why: format!("{call}: {}", super::payloads::said(code)), verdict: Verdict::of(retry) })
}

/// The same text without characters that queues refuse, which JSON can write otherwise. Only inside of strings can they
/// be, since the text is JSON.
pub(super) fn escaped(json: &str) -> String {
    json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// Whether a queue takes a text: characters that XML 1.0 has.
pub(super) fn is_message(text: &str) -> Result<(), &'static str> {
    let fits =
        |c: char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.is_empty() {
        Err("the template writes nothing, and no message is empty")
    } else if text.chars().all(fits) {
        Ok(())
    } else {
        Err("the template writes control characters, which no message has")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_ten_entries_and_a_quarter_of_a_mebibyte_at_most() {
        let of = |sizes: &[usize]| {
            let payloads = sizes.iter().enumerate().map(|(index, size)| (index, "x".repeat(*size))).collect();
            requests(payloads).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), Vec::<usize>::new());
        assert_eq!(of(&[1; 23]), [10, 10, 3]);
        assert_eq!(of(&[MAX_PAYLOAD, MAX_PAYLOAD, 1, 1]), [1, 3]);
        const { assert!(MAX_PAYLOAD + OVERHEAD <= MAX_REQUEST) };
    }

    #[test]
    fn a_request_that_fails_behind_others_fails_its_entries_only() {
        let mut sent = Sent::default();
        assert!(sent.add(&[0], Err(HandlerError::Failed("a".into()))).is_err());
        sent.add(&[0], Ok(Vec::new())).unwrap();
        sent.add(&[1, 2], Err(HandlerError::Refused("b".into()))).unwrap();
        let failure = |index| Failure { index, why: "b".into(), verdict: Verdict::Refused };
        assert_eq!(sent.failures, [failure(1), failure(2)]);
        let failure = entry_failure(&[4, 7], "1", "sqs:SendMessage", "InternalError", true).unwrap();
        assert_eq!((failure.index, failure.verdict), (7, Verdict::Retry));
        assert!(
            entry_failure(&[4, 7], "2", "x", "x", true).is_none() && entry_failure(&[4], "y", "x", "x", true).is_none()
        );
    }

    #[test]
    fn what_no_queue_takes_is_written_otherwise() {
        assert_eq!(escaped("{\"a\":\"x\u{ffff}\u{fffe}\"}"), r#"{"a":"x\uffff\ufffe"}"#);
        assert!(is_message("a\n\t\r\u{7f}\u{fffd}🌙").is_ok());
        for text in ["", "\0", "\u{1f}", "\u{ffff}"] {
            assert!(is_message(text).is_err(), "{text:?}");
        }
    }
}
