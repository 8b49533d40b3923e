//! What kinds of values does a pipeline file have, whatever they mean: durations, byte sizes, words, lists?

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use toml_edit::Value;

use super::field::{Field, Refusal};
use super::nearest::{nearest, one_word_of};
use super::text::printable;

/// How to read a value, and how to say what is expected of it.
pub(super) struct Kind<T> {
    expected: String,
    read: Reading<T>,
}

/// Takes a field and what is expected of it; whatever is wrong has been reported.
type Reading<T> = Box<dyn Fn(&Field<'_>, &str) -> Option<T>>;

impl<T> Kind<T> {
    /// Any single value. `read` answers `None` to a value of the wrong type.
    pub(super) fn value(
        expected: impl Into<String>,
        read: impl Fn(&Value) -> Option<Result<T, Refusal>> + 'static,
    ) -> Self {
        let read = move |field: &Field<'_>, expected: &str| match field.value().and_then(&read) {
            Some(Ok(value)) => Some(value),
            Some(Err(why)) => {
                field.refuse(why, expected);
                None
            }
            None => {
                field.wrong_type(expected, None);
                None
            }
        };
        Self { expected: expected.into(), read: Box::new(read) }
    }

    /// A text.
    pub(super) fn text(expected: impl Into<String>, read: impl Fn(&str) -> Result<T, Refusal> + 'static) -> Self {
        Self::value(expected, move |value| value.as_str().map(&read))
    }

    /// What is expected, for messages.
    pub(super) fn expected(&self) -> &str {
        &self.expected
    }

    /// The value of a field; `None` if it is wrong, which is then reported.
    pub(super) fn read(&self, field: &Field<'_>) -> Option<T> {
        (self.read)(field, &self.expected)
    }
}

/// A duration in humantime's words. `for_example` is one in `range`.
pub(super) fn duration(range: RangeInclusive<Duration>, for_example: &str) -> Kind<Duration> {
    let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    let expected = format!("a duration from {least} to {most}, such as \"{for_example}\"");
    Kind::value(expected, move |value| {
        if let Some(number) = value.as_integer() {
            return Some(Err(Refusal::new(format!("found the integer {number}"))
                .cure(format!("a duration has a unit: \"{number}s\" or \"{number}ms\""))));
        }
        value.as_str().map(|text| {
            let duration = parse_duration(text)?;
            if range.contains(&duration) { Ok(duration) } else { Err(Refusal::not(text)) }
        })
    })
}

/// No part of a duration that can be meant has more digits. (humantime 2.4 panics on some that are near 2^64 s.)
const DURATION_DIGITS: usize = 9;
/// No duration that can be meant is longer, in bytes.
const DURATION_LENGTH: usize = 64;

fn parse_duration(text: &str) -> Result<Duration, Refusal> {
    let digits = text.split(|c: char| !c.is_ascii_digit() && !c.is_whitespace()).map(str::len).max();
    if text.len() > DURATION_LENGTH || digits.unwrap_or(0) > DURATION_DIGITS {
        return Err(Refusal::not(text));
    }
    humantime::parse_duration(text).map_err(|why| {
        let refusal = Refusal::not(text);
        match why {
            humantime::DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
                refusal.cure(format!("`{unit}` is no unit; units are `ms`, `s`, `m` (minutes), `h`"))
            }
            humantime::DurationError::UnknownUnit { value, .. } => {
                refusal.cure(format!("a duration has a unit: \"{value}s\" or \"{value}ms\""))
            }
            _ => refusal,
        }
    })
}

/// A number of bytes: an integer, or a text with a unit.
pub(super) fn byte_size(range: RangeInclusive<u64>, for_example: &str) -> Kind<u64> {
    let (least, most) = (format_bytes(*range.start()), format_bytes(*range.end()));
    let expected = format!("a size from {least} to {most}, such as \"{for_example}\", or a number of bytes");
    Kind::value(expected, move |value| {
        let (bytes, shown) = match (value.as_integer(), value.as_str()) {
            (Some(number), _) => (u64::try_from(number).ok(), Refusal::new(format!("found {number}"))),
            (_, Some(text)) => match text.parse::<ByteSize>() {
                Ok(size) => (Some(size.as_u64()), Refusal::not(text)),
                Err(_) => {
                    return Some(Err(Refusal::not(text).cure("units are `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`")));
                }
            },
            _ => return None,
        };
        Some(bytes.filter(|bytes| range.contains(bytes)).ok_or(shown))
    })
}

/// A number of bytes exactly, in the largest binary unit that divides it.
pub(super) fn format_bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let exact = units.into_iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    exact.map_or_else(|| format!("{bytes} B"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

/// A whole number.
pub(super) fn whole_number(range: RangeInclusive<u64>) -> Kind<u64> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    Kind::value(expected, move |value| {
        let number = value.as_integer()?;
        let fits = u64::try_from(number).ok().filter(|number| range.contains(number));
        Some(fits.ok_or_else(|| Refusal::new(format!("found {number}"))))
    })
}

/// `true` or `false`.
pub(super) fn truth() -> Kind<bool> {
    Kind::value("`true` or `false`", |value| Some(Ok(value.as_bool()?)))
}

/// Whatever stands there.
pub(super) fn anything() -> Kind<()> {
    Kind::value("a value", |_| Some(Ok(())))
}

/// One of a few words.
pub(super) fn choice<T: Clone + 'static, const N: usize>(words: [(&'static str, T); N]) -> Kind<T> {
    let names = words.each_ref().map(|(name, _)| *name);
    Kind::text(one_word_of(names), move |text| match words.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(value.clone()),
        None => {
            let guess = nearest(text, names).map(|meant| format!("did you mean \"{meant}\"?"));
            Err(Refusal { cure: guess, ..Refusal::not(text) })
        }
    })
}

/// A list of so many values, no two the same. `what` says what they are: "one or more table names". `name` is the
/// text that two of them must not share.
pub(super) fn list<T: 'static>(
    what: &str,
    count: RangeInclusive<usize>,
    element: Kind<T>,
    name: impl Fn(&T) -> String + 'static,
) -> Kind<Vec<T>> {
    let read = move |field: &Field<'_>, expected: &str| {
        let Some(fields) = field.elements() else {
            let quoted = field.value().and_then(Value::as_str).map(|text| format!("write a list: [{text:?}]"));
            field.wrong_type(expected, quoted.filter(|cure| cure.len() < 100));
            return None;
        };
        let (mut values, mut names, mut found) = (Vec::new(), HashSet::new(), 0);
        for field in fields {
            found += 1;
            let Some(value) = element.read(&field) else {
                continue;
            };
            let name = name(&value);
            if names.contains(&name) {
                field.refuse(twice(&name, field.value().and_then(Value::as_str)), "");
            }
            names.insert(name);
            values.push(value);
        }
        if !count.contains(&found) {
            let shown = if found == 0 { "the list is empty".to_owned() } else { format!("found {found}") };
            field.refuse(Refusal::new(shown), expected);
        }
        Some(values)
    };
    Kind { expected: format!("a list of {what}"), read: Box::new(read) }
}

fn twice(name: &str, written: Option<&str>) -> Refusal {
    let only_case = written.is_some_and(|written| written != name && written.to_lowercase() == name);
    let cure = if only_case { "name it once: upper and lower case are the same here" } else { "name it once" };
    Refusal::new(format!("`{}` is in the list twice", printable(name))).cure(cure)
}

/// A list, or one value alone for a list of one.
pub(super) fn one_or_list<T: 'static>(expected: &str, one: Kind<T>, list: Kind<Vec<T>>) -> Kind<Vec<T>> {
    let read = move |field: &Field<'_>, _: &str| {
        if field.value().is_some_and(Value::is_str) { Some(vec![one.read(field)?]) } else { list.read(field) }
    };
    Kind { expected: expected.to_owned(), read: Box::new(read) }
}
