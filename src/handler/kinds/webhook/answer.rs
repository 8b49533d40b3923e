//! What does an endpoint's answer, or its silence, say about the changes? Pure.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | handled |
//! | 400, 413, 415, 422 | refused: no repetition makes sense |
//! | 408, 425, 429, 502, 503, 504, no connection | not now: it is not the changes' fault |
//! | redirects, 401, 403, 404, 405, 410 | not now: the address or the secret is wrong, for every change |
//! | every other status, a time-out after the message was sent | failed: perhaps for one of the changes |
//!
//! What is wrong for every change must not send them all to the dead letters: they wait until it is mended.

use std::error::Error;
use std::time::Duration;

use reqwest::Url;

use super::address;
use super::resolver::Forbidden;
use crate::handler::HandlerError;

/// The longest time an endpoint may ask to be left alone: a day.
const MAX_AFTER: Duration = Duration::from_secs(86_400);

/// What a status that is no success says. Bodies of such answers are not looked at: they may repeat what was sent.
pub fn refusal(status: u16, after: Option<Duration>, target: &str) -> HandlerError {
    let not_now = |why| HandlerError::Unavailable { why, after };
    match status {
        410 => not_now(format!("{target} says that the endpoint is gone for good (410): take the handler out")),
        400 | 413 | 415 | 422 => HandlerError::Refused(format!("{target} refuses the message ({status})")),
        408 | 425 | 429 | 502..=504 => {
            HandlerError::Unavailable { why: format!("{target} takes nothing now ({status})"), after }
        }
        300..=399 => {
            not_now(format!("{target} redirects ({status}), which is not followed: write the new address into `url`"))
        }
        401 | 403 => not_now(format!("{target} does not know the signature ({status}): compare the secrets")),
        404 | 405 => not_now(format!("{target} has nothing at this address ({status}): look at `url`")),
        _ => HandlerError::Failed(format!("{target} answered {status}")),
    }
}

/// What it says that there was no answer.
pub fn no_answer(error: &reqwest::Error, url: &Url) -> HandlerError {
    let target = address::shown(url);
    let mut causes = std::iter::successors(error.source(), |error| (*error).source());
    if let Some(forbidden) = causes.find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        return HandlerError::Unavailable { why: format!("{target}: {forbidden}"), after: None };
    }
    if error.is_connect() {
        let root = std::iter::successors(error.source(), |error| (*error).source()).last();
        let root = root.map_or_else(String::new, |root| format!(": {root}"));
        return HandlerError::Unavailable { why: format!("{target} can't be reached{root}"), after: None };
    }
    if error.is_timeout() {
        return HandlerError::Failed(format!("{target} did not answer in time (`timeout`)"));
    }
    HandlerError::Unavailable { why: format!("{target}: the connection broke off"), after: None }
}

/// `Retry-After`: seconds, or a date. `now` is the wall time in µs.
pub fn retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    let after = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_microsecond();
            Duration::from_micros(u64::try_from(date - now).unwrap_or(0))
        }
    };
    Some(after.min(MAX_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means_what_the_table_says() {
        let of = |status| match refusal(status, None, "x") {
            HandlerError::Refused(_) => "refused",
            HandlerError::Failed(_) => "failed",
            HandlerError::Unavailable { .. } => "unavailable",
        };
        for (status, means) in [
            (301, "unavailable"),
            (304, "unavailable"),
            (400, "refused"),
            (401, "unavailable"),
            (404, "unavailable"),
            (408, "unavailable"),
            (410, "unavailable"),
            (413, "refused"),
            (422, "refused"),
            (429, "unavailable"),
            (500, "failed"),
            (501, "failed"),
            (502, "unavailable"),
            (503, "unavailable"),
            (504, "unavailable"),
            (599, "failed"),
        ] {
            assert_eq!(of(status), means, "{status}");
        }
    }

    #[test]
    fn an_endpoint_may_ask_to_be_left_alone() {
        let now = 784_111_770_000_000;
        let seconds = |value: &str| retry_after(value, now).map(|after| after.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:20 GMT"), Some(0));
        assert_eq!(seconds("99999999999"), Some(86_400));
        for none in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }
}
