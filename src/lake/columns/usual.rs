//! How are attributes taken that have the form, and mostly the order, of those before them? Without looking at them twice.
//!
//! Images of one table mostly have their attributes in one order, without white space. What a column's attribute begins
//! with, `"Name":{"S":"`, is then known and compared at once; its value ends at the next mark, and its bytes go from the
//! record to the column. Whatever does not look like that is left to the careful walk: `lake/agree_tests.rs` holds that
//! both give the same.

use super::column::{ColumnBuilder, Lists, Slots};
use super::values::{Values, decode_base64, push_fixed};
use crate::decode::json::{StringEnd, Text, Track};
use crate::decode::{nested, number};
use crate::lake::schema::{AttributeType, Column};

/// What stands in a record before the values of a column.
#[derive(Debug)]
pub(super) struct Needle {
    /// The first bytes, and which of them count.
    words: [u64; 4],
    masks: [u64; 4],
    /// All of it: `"Name":{"S":"`, up to the first byte that differs from value to value.
    text: Box<[u8]>,
    /// The part of it that is the name and the colon.
    name: usize,
}

impl Needle {
    /// `None` if no value of the column has a usual form.
    pub(super) fn new(column: &Column, builder: &ColumnBuilder) -> Option<Self> {
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if !column.attribute.bytes().all(plain) {
            return None;
        }
        let opening = match (&builder.slots, column.takes) {
            (Slots::Scalars(Values::Text(_)), _) => "{\"S\":\"",
            (Slots::Scalars(Values::NumberText(_) | Values::Decimal(..) | Values::Int64(_) | Values::Double(_)), _) => {
                "{\"N\":\""
            }
            (Slots::Scalars(Values::Binary(_)), _) => "{\"B\":\"",
            (Slots::Scalars(Values::Bool(_)), _) => "{\"BOOL\":",
            (Slots::Scalars(Values::Json(_)), _) => "{\"",
            (Slots::Lists(_), AttributeType::Ss) => "{\"SS\":[",
            (Slots::Lists(_), AttributeType::Ns) => "{\"NS\":[",
            (Slots::Lists(_), AttributeType::Bs) => "{\"BS\":[",
            _ => return None,
        };
        let text = format!("\"{}\":{opening}", column.attribute).into_bytes();
        let (mut words, mut masks) = ([0; 4], [0; 4]);
        for (at, &byte) in text.iter().take(32).enumerate() {
            words[at / 8] |= u64::from(byte) << (at % 8 * 8);
            masks[at / 8] |= 0xff << (at % 8 * 8);
        }
        Some(Self { words, masks, name: column.attribute.len() + 3, text: text.into() })
    }

    /// Whether it stands at an offset.
    #[inline]
    fn is_at(&self, track: Track<'_>, at: usize) -> bool {
        let Some(chunk) = track.chunk::<32>(at) else {
            return track.bytes().get(at..).is_some_and(|bytes| bytes.starts_with(&self.text));
        };
        let (words, _) = chunk.as_chunks::<8>();
        let difference = |word: usize| (u64::from_le_bytes(words[word]) ^ self.words[word]) & self.masks[word];
        if difference(0) | difference(1) | difference(2) | difference(3) != 0 {
            return false;
        }
        self.text.len() <= 32 || track.bytes()[at + 32..].starts_with(&self.text[32..])
    }

    /// Whether the attribute stands at an offset, whatever its value; then where that begins.
    #[inline]
    fn value_of(&self, track: Track<'_>, at: usize) -> Option<usize> {
        let found = track.bytes().get(at..)?.starts_with(&self.text[..self.name]);
        found.then_some(at + self.name)
    }

    /// The name, of which there is nothing to be decoded.
    pub(super) fn name(&self) -> &[u8] {
        &self.text[1..self.name - 2]
    }
}

/// What was found at an offset.
pub(super) enum Usual {
    /// The column's value, which has been added; it ends before this offset.
    Added(usize),
    /// `{"NULL":true}`, between these offsets.
    Null(usize, usize),
    /// Something for the careful walk; nothing has changed.
    Other,
}

/// Adds the column's value of row `row` if it stands at `at`.
#[inline(always)]
pub(super) fn add(needle: &Needle, column: &mut ColumnBuilder, row: usize, track: Track<'_>, at: usize) -> Usual {
    if column.nulls.len > row {
        return Usual::Other;
    }
    if needle.is_at(track, at) {
        return match push(&mut column.slots, row - column.nulls.len, track, at + needle.text.len()) {
            Some(end) if track.is(end, b'}') => {
                column.nulls.value_at(row);
                Usual::Added(end + 1)
            }
            Some(_) => {
                column.slots.truncate(column.nulls.len);
                Usual::Other
            }
            None => Usual::Other,
        };
    }
    match null(needle, track, at) {
        Some((from, to)) => Usual::Null(from, to),
        None => Usual::Other,
    }
}

/// Where the attribute's value stands, if it is `{"NULL":true}`.
#[inline(never)]
fn null(needle: &Needle, track: Track<'_>, at: usize) -> Option<(usize, usize)> {
    let value = needle.value_of(track, at)?;
    (track.chunk(value) == Some(b"{\"NULL\":true}")).then_some((value, value + 13))
}

/// Adds `skipped` values that stand where there is none, then the one whose inside begins at `at`; answers the offset
/// behind its inside. `None`, and nothing changed, if it is not of the usual form or does not fit.
#[inline]
fn push(slots: &mut Slots, skipped: usize, track: Track<'_>, at: usize) -> Option<usize> {
    match slots {
        Slots::Scalars(Values::Json(values)) => {
            let start = values.data.len();
            let end = nested::plain_json_at(track, at - 2, &mut values.data)?;
            values.close_behind(skipped, start);
            // The closing brace is looked at once more.
            Some(end - 1)
        }
        Slots::Scalars(Values::Bool(bits)) => {
            let (value, end) = match track.chunk::<4>(at)? {
                b"true" => (true, at + 4),
                b"fals" if track.is(at + 4, b'e') => (false, at + 5),
                _ => return None,
            };
            bits.append_n(skipped, false);
            bits.append(value);
            Some(end)
        }
        Slots::Scalars(values) => {
            let end = track.string_end(at)?;
            push_string(values, skipped, track, at, end).then_some(end.at + 1)
        }
        Slots::Lists(lists) => push_set(lists, skipped, track, at),
        Slots::Structs(_) => None,
    }
}

/// Adds the string between `from` and `end`.
#[inline]
fn push_string(values: &mut Values, skipped: usize, track: Track<'_>, from: usize, end: StringEnd) -> bool {
    let (bytes, to) = (track.bytes(), end.at);
    match values {
        Values::Text(values) if !end.escaped => values.push(skipped, bytes, from, to),
        Values::Text(values) => {
            let start = values.data.len();
            if !(Text { raw: &bytes[from..to], escaped: true }).decode_into(&mut values.data) {
                return false;
            }
            values.close_behind(skipped, start);
        }
        _ if end.escaped => return false,
        Values::NumberText(values) => values.push(skipped, bytes, from, to),
        Values::Decimal(values, precision, scale) => {
            let number = number::short_decimal(bytes, from, to, *precision, *scale);
            let number = number.or_else(|| number::decimal(track.between(from, to), *precision, *scale));
            return push_fixed(values, skipped, number);
        }
        Values::Int64(values) => {
            let number = number::short_decimal(bytes, from, to, 18, 0).map(|number| number as i64);
            return push_fixed(values, skipped, number.or_else(|| number::int64(track.between(from, to))));
        }
        Values::Double(values) => return push_fixed(values, skipped, number::double(track.between(from, to))),
        Values::Binary(values) => {
            let start = values.data.len();
            if !decode_base64(Text { raw: track.between(from, to), escaped: false }, &mut values.data) {
                return false;
            }
            values.close_behind(skipped, start);
        }
        Values::Json(_) | Values::Bool(_) => return false,
    }
    true
}

/// Adds the set whose inside begins at `at`.
fn push_set(lists: &mut Lists, skipped: usize, track: Track<'_>, at: usize) -> Option<usize> {
    let Slots::Scalars(values) = &mut lists.elements else { return None };
    let before = values.len();
    let end = push_elements(values, track, at);
    match end {
        Some(_) => {
            let elements = values.len() as i32;
            lists.pad(skipped);
            lists.offsets.push(elements);
        }
        None => values.truncate(before),
    }
    end
}

fn push_elements(values: &mut Values, track: Track<'_>, mut at: usize) -> Option<usize> {
    if track.is(at, b']') {
        return Some(at + 1);
    }
    loop {
        let end = track.is(at, b'"').then(|| track.string_end(at + 1))??;
        if !push_string(values, 0, track, at + 1, end) {
            return None;
        }
        match track.bytes().get(end.at + 1)? {
            b',' => at = end.at + 2,
            b']' => return Some(end.at + 2),
            _ => return None,
        }
    }
}
