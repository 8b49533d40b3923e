//! How is a change written for a handler? Pure functions of the change: the same bytes on every attempt.

pub mod debezium;
pub mod lambda;
pub mod plain;
pub mod template;

#[cfg(test)]
pub(crate) mod tests;

use serde_json::value::RawValue;

use super::Change;
use crate::decode::envelope::NotAChange;
use crate::decode::json::{Malformed, Part};
use crate::pipeline::spec;

pub use template::{Template, TemplateError};

/// A handler's format, ready to write.
#[derive(Debug)]
pub enum Format {
    /// Our own ([`plain`]).
    Change,
    /// That of Lambda's event source mappings ([`lambda`]).
    Lambda,
    /// That of Debezium ([`debezium`]).
    Debezium,
    /// The user's ([`template`]).
    Template(Box<Template>),
}

/// Why a change can't be written: no repetition mends it. No text has a value of the item.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Its bytes are no change.
    #[error(transparent)]
    NotAChange(#[from] NotAChange),
    /// An image is not of the form of one.
    #[error("an image is not readable: {0}")]
    Image(#[from] Malformed),
    /// The template fails for this change.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The format has no word for this kind of event.
    #[error("the format `{0}` has no word for this kind of event")]
    NoWord(&'static str),
}

impl Format {
    /// As the pipeline file says.
    ///
    /// # Errors
    /// A template that is none.
    pub fn new(payload: &spec::Payload) -> Result<Self, TemplateError> {
        Ok(match payload {
            spec::Payload::Change => Self::Change,
            spec::Payload::Lambda => Self::Lambda,
            spec::Payload::Debezium => Self::Debezium,
            spec::Payload::Template(text) => Self::Template(Box::new(Template::compile(text)?)),
        })
    }

    /// Writes a change as `handler` gets it. JSON on one line; what a template writes is as it writes it.
    ///
    /// # Errors
    /// [`PayloadError`], on every attempt.
    pub fn write(&self, change: &Change, handler: &str) -> Result<String, PayloadError> {
        match self {
            Self::Change => plain::write(change, handler),
            Self::Lambda => lambda::write(change, handler),
            Self::Debezium => debezium::write(change, handler),
            Self::Template(template) => template.write(change, handler),
        }
    }
}

/// An image as it came, checked, and on one line: JSON has line breaks only between its tokens.
fn image(part: Option<Part<'_>>) -> Result<Option<Box<RawValue>>, PayloadError> {
    let Some(part) = part else { return Ok(None) };
    let unreadable = |_| PayloadError::Image(Malformed { at: 0, what: "it is not JSON" });
    // Looked at as it came: a line break inside a string is no JSON, and would be healed otherwise.
    let text: &RawValue = serde_json::from_str(part.text()).map_err(unreadable)?;
    if !text.get().contains(['\n', '\r']) {
        return Ok(Some(text.to_owned()));
    }
    RawValue::from_string(text.get().replace(['\n', '\r'], "")).map(Some).map_err(unreadable)
}

/// When the change was made, RFC 3339 in UTC.
fn time(micros: Option<i64>) -> Option<String> {
    Some(jiff::Timestamp::from_microsecond(micros?).ok()?.to_string())
}

/// A JSON string. A string always serialises.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Whether a text is one JSON value.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The same on one line. JSON stays what it is; in other texts a line break becomes a blank.
pub fn on_one_line(text: &str) -> String {
    text.trim_end_matches(['\n', '\r']).replace(['\n', '\r'], " ")
}
