//! Does a value of the event please an element of a pattern's array?

use super::address::Network;
use super::case::AnyCase;
use super::numeric::{Range, double};
use super::wildcard::Wildcard;

/// A value of the event that is neither object nor array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Leaf<'a> {
    /// A string; `None` if it is no Unicode text.
    Text(Option<&'a [u8]>),
    /// A number as it is written.
    Number(&'a [u8]),
    True,
    False,
    Null,
}

/// An element of a pattern's array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    /// This string.
    Text(Box<str>),
    /// This number, or one written just like it.
    Number {
        text: Box<str>,
        value: Option<f64>,
    },
    True,
    False,
    Null,
    Prefix(Box<str>),
    Suffix(Box<str>),
    AnyCase(AnyCase),
    PrefixAnyCase(AnyCase),
    SuffixAnyCase(AnyCase),
    Wildcard(Wildcard),
    /// A value that pleases none of these.
    AnythingBut(Box<[Matcher]>),
    Numeric(Range<f64>),
    /// The extension `number`: a string or number that is a decimal in this range.
    Decimal(Range<String>),
    /// Any value.
    Present,
    /// No value at all: not for values to please.
    Absent,
    Cidr(Network),
}

impl Matcher {
    pub(super) fn accepts(&self, leaf: Leaf<'_>) -> bool {
        match self {
            Self::True => leaf == Leaf::True,
            Self::False => leaf == Leaf::False,
            Self::Null => leaf == Leaf::Null,
            Self::Present => true,
            Self::Absent => false,
            Self::AnythingBut(none_of) => !none_of.iter().any(|matcher| matcher.accepts(leaf)),
            Self::Decimal(range) => match leaf {
                Leaf::Text(Some(text)) | Leaf::Number(text) => with_str(text, |text| range.contains_decimal(text)),
                _ => false,
            },
            _ => match leaf {
                Leaf::Text(Some(text)) => self.accepts_text(text),
                Leaf::Number(number) => with_str(number, |number| self.accepts_number(number)),
                _ => false,
            },
        }
    }

    fn accepts_text(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(wanted) => wanted.as_bytes() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Self::AnyCase(wanted) => with_str(text, |text| wanted.equals(text)),
            Self::PrefixAnyCase(prefix) => with_str(text, |text| prefix.starts(text)),
            Self::SuffixAnyCase(suffix) => with_str(text, |text| suffix.ends(text)),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Cidr(network) => with_str(text, |text| network.contains(text)),
            _ => false,
        }
    }

    fn accepts_number(&self, number: &str) -> bool {
        match self {
            Self::Number { text, value } => {
                **text == *number || value.is_some_and(|value| double(number) == Some(value))
            }
            Self::Numeric(range) => double(number).is_some_and(|number| range.contains(number)),
            _ => false,
        }
    }
}

fn with_str(bytes: &[u8], accepts: impl FnOnce(&str) -> bool) -> bool {
    std::str::from_utf8(bytes).is_ok_and(accepts)
}
