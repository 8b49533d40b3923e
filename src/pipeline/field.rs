//! What stands behind one key of the file, and how is a mistake in it reported?

use std::ops::Range;

use toml_edit::Value;

use super::report::Report;
use super::text::quote;

/// The value of one key, or one element of a list.
pub(super) struct Field<'a> {
    report: &'a Report<'a>,
    /// `None`: a table or an array of tables.
    value: Option<&'a Value>,
    type_name: &'static str,
    path: String,
    span: Range<usize>,
}

/// Why a value is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What was found, as a sentence without a subject: "is empty".
    pub(super) found: String,
    /// What to do about it.
    pub(super) cure: Option<String>,
    /// Which bytes of a text are wrong, if not all.
    pub(super) part: Option<Range<usize>>,
}

impl Refusal {
    pub(super) fn new(found: impl Into<String>) -> Self {
        Self { found: found.into(), cure: None, part: None }
    }

    /// The value is this text, and that is not what was expected.
    pub(super) fn not(text: &str) -> Self {
        Self::new(format!("found {}", quote(text)))
    }

    pub(super) fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }
}

impl<'a> Field<'a> {
    pub(super) fn new(
        report: &'a Report<'a>,
        value: Option<&'a Value>,
        type_name: &'static str,
        path: String,
        span: Range<usize>,
    ) -> Self {
        Self { report, value, type_name, path, span }
    }

    pub(super) fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// The elements of a list; `None` if it is none.
    pub(super) fn elements(&self) -> Option<impl Iterator<Item = Field<'a>>> {
        let list = self.value?.as_array()?;
        Some(list.iter().enumerate().map(|(number, value)| {
            let path = format!("{}[{number}]", self.path);
            let span = value.span().unwrap_or_else(|| self.span.clone());
            self.report.read(&path, span.clone());
            Field::new(self.report, Some(value), value.type_name(), path, span)
        }))
    }

    /// The value has another type than the one expected.
    pub(super) fn wrong_type(&self, expected: &str, cure: Option<String>) {
        self.refuse(Refusal { cure, ..Refusal::new(format!("found {}", self.describe())) }, expected);
    }

    /// The value is not what was expected.
    pub(super) fn refuse(&self, why: Refusal, expected: &str) {
        // The cure of a mistake inside a text is about that part; what the whole should be would only distract.
        let says_it_all = why.part.is_some() && why.cure.is_some();
        let expected = (!expected.is_empty() && !says_it_all).then(|| expected.to_owned());
        let span = why.part.and_then(|part| self.part(part)).unwrap_or_else(|| self.span.clone());
        self.report.problem(span, &self.path, why.found, expected, why.cure);
    }

    /// Where these bytes of a text stand in the file; `None` if the text is written with escapes.
    fn part(&self, part: Range<usize>) -> Option<Range<usize>> {
        let start = self.span.start + self.report.source(&self.span).find(self.value?.as_str()?)?;
        Some(start + part.start..start + part.end)
    }

    fn describe(&self) -> String {
        match self.value {
            Some(Value::String(text)) => format!("the string {}", quote(text.value())),
            Some(Value::Integer(number)) => format!("the integer {}", number.value()),
            Some(Value::Float(number)) => format!("the number {}", number.value()),
            Some(Value::Boolean(truth)) => format!("`{}`", truth.value()),
            Some(Value::Datetime(time)) => format!("the time {}", time.value()),
            Some(Value::Array(_)) => "a list".to_owned(),
            Some(Value::InlineTable(_)) => "a table".to_owned(),
            None => format!("{} {}", if self.type_name.starts_with('a') { "an" } else { "a" }, self.type_name),
        }
    }
}
