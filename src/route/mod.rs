//! Which changes does a handler want? Lambda's event filter patterns, evaluated on a change's bytes.
//!
//! A [`Pattern`] is what one filter of a Lambda event source mapping says: JSON text, with all operators and rules of the
//! engine behind it. A [`Filter`] is several of them, of which one has to match.
//!
//! **Where the root is.** Patterns see the *change record*, whichever channel it came by: `eventName`, `dynamodb`,
//! `userIdentity`, … at the top. That is the root Lambda has for DynamoDB Streams. For a Kinesis stream Lambda's root is
//! the Kinesis record with the change in `data`; such a pattern is carried over by taking what stands in `data`.
//! The channels' own differences stay visible: only Kinesis changes have `tableName`, their `userIdentity` is an explicit
//! `null` where nobody is meant, and their `ApproximateCreationDateTime` has other units.
//!
//! **What Lambda adds or spells otherwise.** `userIdentity` has `type` and `principalId` in Lambda, `Type` and `PrincipalId`
//! in the Streams API. Both are taken for the same, in patterns and in changes. `eventSourceARN` is added by Lambda; the
//! caller of [`Filter::matches`] hands it over, so that it can be filtered on.
//!
//! **What is Lambda's limit and not ours.** Lambda takes patterns of up to 4,096 characters and five (at most ten) for a
//! mapping, and documents neither `wildcard` nor `cidr` nor `exactly` nor the `equals-ignore-case` form of `prefix` and
//! `suffix` for them. Who wants to take a pattern to Lambda keeps to that. Here the engine's operators are known, and a
//! pattern has at most a thousand fields, and a thousand combinations of its `$or` branches.

mod address;
mod case;
mod choose;
mod compile;
mod decimal;
mod error;
mod matcher;
mod numeric;
mod operators;
mod parse;
mod walk;
mod wildcard;

pub use error::{FilterError, PatternError};
pub use parse::Pattern;

use crate::decode::json::Malformed;
use compile::Compiled;

/// What watershed's patterns may say beyond Lambda's. All off by default, so that patterns stay portable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The operator `number`: `{"total":{"N":[{"number":[">=","19.99"]}]}}` compares DynamoDB numbers by value, with all
    /// their digits. (Lambda's `numeric` never matches them: they are JSON strings.)
    pub typed_numbers: bool,
}

/// Several patterns, of which one has to match; compiled once, used for many changes.
#[derive(Debug, Clone)]
pub struct Filter {
    compiled: Option<Compiled>,
}

impl Filter {
    /// A filter of these patterns. Without any pattern everything passes, as in Lambda.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let patterns: Vec<_> = patterns.into_iter().collect();
        Self { compiled: (!patterns.is_empty()).then(|| Compiled::new(patterns)) }
    }

    /// Reads the patterns, each a JSON text.
    ///
    /// # Errors
    /// The first mistake of the first pattern that has one.
    pub fn parse(patterns: &[&str], extensions: Extensions) -> Result<Self, FilterError> {
        let read = |(at, text): (usize, &&str)| {
            Pattern::parse_with(text, extensions).map_err(|error| FilterError { number: at + 1, error })
        };
        Ok(Self::new(patterns.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?))
    }

    /// Whether a change passes. `event_source_arn` is what the member of that name is taken for if the record has none:
    /// the ARN of the stream it came from.
    ///
    /// The record is read as far as the patterns need it. What they do not name is passed over by its brackets and quotes,
    /// and reading ends with the first pattern that is certain to match. Of members that occur twice both count. A string
    /// that is no Unicode text (a lone surrogate) equals none, and is present.
    ///
    /// # Errors
    /// [`Malformed`] if what was read is no JSON object, is nested more than 128 levels deep, or has more combinations of
    /// array elements than can be tried. That is not a "no": what can't be read may be what the handler waits for. A
    /// change whose envelope was read may still be broken inside of an image.
    pub fn matches(&self, payload: &[u8], event_source_arn: Option<&str>) -> Result<bool, Malformed> {
        match &self.compiled {
            Some(compiled) => walk::matches(compiled, payload, event_source_arn),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod agree_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
