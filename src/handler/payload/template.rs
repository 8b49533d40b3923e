//! How does a user's template write a change?
//!
//! The language is Jinja's. A template has the members of the format `change` as variables (`id`, `table`, `op`, `ttl`,
//! `changed_at`, `shard`, `sequence`, `sub`, `keys`, `new`, `old`); images are DynamoDB JSON: `new.Rating.N`. Nothing is
//! escaped by itself: `{{ new.Message.S | tojson }}` is a JSON string. What is not there is an error, never an empty
//! text; `is defined` and `default(…)` ask first.

use minijinja::{Environment, Error, UndefinedBehavior};

use super::{PayloadError, plain};
use crate::handler::Change;

/// A template that was found right.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
}

/// What is wrong with a template, or what it stumbled over. The text has no value of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the template: {why}")]
pub struct TemplateError {
    /// The line in the template, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// An environment knows its templates by name. Without an ending the name asks for no escaping.
const NAME: &str = "template";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| {
            let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
            TemplateError { line: error.line().unwrap_or(1), why: format!("{}{detail}", error.kind()) }
        })?;
        Ok(Self { environment })
    }

    /// Writes the change.
    ///
    /// # Errors
    /// An image that is not JSON; something in the template that the change does not have.
    pub fn write(&self, change: &Change, handler: &str) -> Result<String, PayloadError> {
        plain::with_members(change, handler, |members| {
            // An object of strings, truths, numbers and images that were checked.
            let members = serde_json::to_string(members).unwrap_or_default();
            let members: minijinja::Value = serde_json::from_str(&members).unwrap_or_default();
            let rendered = self.environment.get_template(NAME).and_then(|template| template.render(members));
            rendered.map_err(|error| PayloadError::Template(stumbled(&error)))
        })
    }
}

/// An error's details may have values of the item; its kind and line have none.
fn stumbled(error: &Error) -> TemplateError {
    TemplateError { line: error.line().unwrap_or(1), why: error.kind().to_string() }
}
