//! How are attributes taken that have the form, and mostly the order, of those before them? Without looking at them twice.
//!
//! Images of one table mostly have their attributes in one order, without white space. What a column's attribute begins
//! with, `"Name":{"S":"`, is then known and compared at once; its value ends at the next mark, and its bytes go from the
//! record to the column. Whatever does not look like that is left to the careful walk: `lake/agree_tests.rs` holds that
//! both give the same.

use super::column::{ColumnBuilder, Lists, Slots};
use super::rest::Rest;
use super::values::{Values, Variable, push_fixed};
use crate::decode::json::{Text, Track};
use crate::decode::{base64, nested, number};
use crate::lake::schema::{AttributeType, Column};

/// What stands in a record before the values of a column.
#[derive(Debug)]
pub(super) struct Needle {
    /// The first bytes, and which of them count.
    words: [u64; 4],
    masks: [u64; 4],
    /// All of it: `"Name":{"S":"`, up to the first byte that differs from value to value.
    text: Box<[u8]>,
    /// The attribute without a value: `"Name":{"NULL":true}`.
    null: Box<[u8]>,
    /// The length of the name.
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
        let null = format!("\"{}\":{{\"NULL\":true}}", column.attribute).into_bytes();
        let (mut words, mut masks) = ([0; 4], [0; 4]);
        for (at, &byte) in text.iter().take(32).enumerate() {
            words[at / 8] |= u64::from(byte) << (at % 8 * 8);
            masks[at / 8] |= 0xff << (at % 8 * 8);
        }
        Some(Self { words, masks, text: text.into(), null: null.into(), name: column.attribute.len() })
    }

    /// Whether it stands at an offset.
    #[inline(always)]
    fn is_at(&self, track: Track<'_>, at: usize) -> bool {
        let Some(chunk) = track.chunk::<32>(at) else { return stands_at(&self.text, track, at) };
        let (words, _) = chunk.as_chunks::<8>();
        let difference = |word: usize| (u64::from_le_bytes(words[word]) ^ self.words[word]) & self.masks[word];
        if difference(0) | difference(1) | difference(2) | difference(3) != 0 {
            return false;
        }
        self.text.len() <= 32 || stands_at(&self.text[32..], track, at + 32)
    }
}

#[inline(never)]
fn stands_at(text: &[u8], track: Track<'_>, at: usize) -> bool {
    track.bytes().get(at..).is_some_and(|bytes| bytes.starts_with(text))
}

/// What was found at an offset.
pub(super) enum Usual {
    /// The column's value, which has been added; it ends before this offset.
    Added(usize),
    /// `{"NULL":true}`, which has gone to the rest; it ends before this offset.
    Null(usize),
    /// Something for the careful walk; nothing has changed.
    Other,
}

/// Adds the column's value of row `row` if it stands at `at`.
#[inline(always)]
pub(super) fn add(
    needle: &Needle,
    column: &mut ColumnBuilder,
    rest: &mut Rest,
    row: usize,
    track: Track<'_>,
    at: usize,
) -> Usual {
    let Some(skipped) = row.checked_sub(column.nulls.len) else { return Usual::Other };
    if !needle.is_at(track, at) {
        return null(needle, rest, track, at);
    }
    let end = push(&mut column.slots, skipped, track, at + needle.text.len());
    if end != NONE && track.is(end, b'}') {
        column.nulls.value_behind(skipped);
        return Usual::Added(end + 1);
    }
    if end != NONE {
        column.slots.truncate(column.nulls.len);
    }
    Usual::Other
}

/// Gives the attribute to the rest, if its value is `{"NULL":true}`.
#[inline(never)]
fn null(needle: &Needle, rest: &mut Rest, track: Track<'_>, at: usize) -> Usual {
    if !stands_at(&needle.null, track, at) {
        return Usual::Other;
    }
    rest.add_member(&needle.null, needle.name);
    Usual::Null(at + needle.null.len())
}

/// No offset.
const NONE: usize = usize::MAX;

/// Adds `skipped` values that stand where there is none, then the one whose inside begins at `at`; answers the offset
/// behind its inside. [`NONE`], and nothing changed, if it is not of the usual form or does not fit.
#[inline(always)]
fn push(slots: &mut Slots, skipped: usize, track: Track<'_>, at: usize) -> usize {
    let Slots::Scalars(values) = slots else { return push_other(slots, skipped, track, at) };
    match values {
        Values::Text(values) => push_text(values, skipped, track, at),
        Values::Decimal(values, precision, scale) => {
            let Some(end) = track.plain_end(at) else { return NONE };
            let number = decimal(track, at, end, *precision, *scale);
            if push_fixed(values, skipped, number) { end + 1 } else { NONE }
        }
        Values::Int64(values) => {
            let Some(end) = track.plain_end(at) else { return NONE };
            if push_fixed(values, skipped, int64(track, at, end)) { end + 1 } else { NONE }
        }
        Values::Bool(bits) => {
            let (value, end) = match track.chunk::<5>(at) {
                Some([b't', b'r', b'u', b'e', _]) => (true, at + 4),
                Some(b"false") => (false, at + 5),
                _ => return NONE,
            };
            if skipped > 0 {
                bits.append_n(skipped, false);
            }
            bits.append(value);
            end
        }
        Values::Json(values) => {
            let start = values.data.len();
            let Some(end) = nested::plain_json_at(track, at - 2, &mut values.data) else { return NONE };
            values.close_behind(skipped, start);
            // The closing brace is looked at once more.
            end - 1
        }
        values => push_string(values, skipped, track, at),
    }
}

#[inline(always)]
fn push_text(values: &mut Variable, skipped: usize, track: Track<'_>, at: usize) -> usize {
    match track.plain_end(at) {
        Some(end) => {
            values.push(skipped, track.bytes(), at, end);
            end + 1
        }
        None => push_escaped(values, skipped, track, at),
    }
}

/// The number between two offsets, if the column holds it exactly.
#[inline(always)]
fn decimal(track: Track<'_>, from: usize, to: usize, precision: u8, scale: i8) -> Option<i128> {
    let short = number::short_decimal(track.bytes(), from, to, precision, scale);
    short.or_else(|| number::decimal(track.between(from, to), precision, scale))
}

#[inline(always)]
fn int64(track: Track<'_>, from: usize, to: usize) -> Option<i64> {
    let short = number::short_decimal(track.bytes(), from, to, 18, 0).map(|number| number as i64);
    short.or_else(|| number::int64(track.between(from, to)))
}

/// A text with escapes.
#[inline(never)]
fn push_escaped(values: &mut Variable, skipped: usize, track: Track<'_>, at: usize) -> usize {
    let Some(end) = track.string_end(at) else { return NONE };
    let start = values.data.len();
    if !(Text { raw: &track.bytes()[at..end.at], escaped: end.escaped }).decode_into(&mut values.data) {
        return NONE;
    }
    values.close_behind(skipped, start);
    end.at + 1
}

/// A string of any type, as a column's value or an element.
#[inline(never)]
fn push_string(values: &mut Values, skipped: usize, track: Track<'_>, at: usize) -> usize {
    if let Values::Text(values) = values {
        return push_text(values, skipped, track, at);
    }
    let Some(end) = track.plain_end(at) else { return NONE };
    let done = match values {
        Values::NumberText(values) => {
            values.push(skipped, track.bytes(), at, end);
            true
        }
        Values::Binary(values) => {
            let start = values.data.len();
            let done = base64::append(Text { raw: track.between(at, end), escaped: false }, &mut values.data);
            if done {
                values.close_behind(skipped, start);
            }
            done
        }
        Values::Decimal(values, precision, scale) => {
            push_fixed(values, skipped, decimal(track, at, end, *precision, *scale))
        }
        Values::Int64(values) => push_fixed(values, skipped, int64(track, at, end)),
        Values::Double(values) => push_fixed(values, skipped, number::double(track.between(at, end))),
        Values::Text(_) | Values::Json(_) | Values::Bool(_) => false,
    };
    if done { end + 1 } else { NONE }
}

/// A value of a column whose values are not scalars.
#[inline(never)]
fn push_other(slots: &mut Slots, skipped: usize, track: Track<'_>, at: usize) -> usize {
    match slots {
        Slots::Lists(lists) => push_set(lists, skipped, track, at),
        Slots::Scalars(_) | Slots::Structs(_) => NONE,
    }
}

/// Adds the set whose inside begins at `at`.
fn push_set(lists: &mut Lists, skipped: usize, track: Track<'_>, at: usize) -> usize {
    let Slots::Scalars(values) = &mut lists.elements else { return NONE };
    let before = values.len();
    match push_elements(values, track, at) {
        Some(end) => {
            let elements = values.len() as i32;
            if skipped > 0 {
                lists.pad(skipped);
            }
            lists.offsets.push(elements);
            end
        }
        None => {
            values.truncate(before);
            NONE
        }
    }
}

fn push_elements(values: &mut Values, track: Track<'_>, mut at: usize) -> Option<usize> {
    if track.is(at, b']') {
        return Some(at + 1);
    }
    loop {
        if !track.is(at, b'"') {
            return None;
        }
        let end = push_string(values, 0, track, at + 1);
        if end == NONE {
            return None;
        }
        match track.bytes().get(end)? {
            b',' => at = end + 1,
            b']' => return Some(end + 1),
            _ => return None,
        }
    }
}
