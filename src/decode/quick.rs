//! Takes an attribute of the usual form in one go: `"name":{"S":"value"}`, without white space, and with marks.
//!
//! This is a short cut only. Whatever it does not know (`None`) is for the careful walk in [`super::item`], which gives the
//! same answer for everything that this one takes: `lake/agree_tests.rs` holds that.

use super::item::{Kind, Value};
use super::json::{Cursor, Text, check_escapes};

/// Takes a member of an image, up to the comma or brace behind it. `None`, and the cursor where it was, if it is not of
/// the usual form.
#[inline]
pub(super) fn member<'a>(cursor: &mut Cursor<'a>) -> Option<(Text<'a>, Value<'a>)> {
    let (text, at, marks) = cursor.insides();
    let (bytes, marks) = (text.as_bytes(), marks?);
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let end = marks.quote(at + 1)?;
    if *bytes.get(end + 1)? != b':' || marks.is_escaped(at + 1, end) {
        return None;
    }
    let mut ahead = cursor.clone();
    ahead.go_to(end + 2);
    let value = value(&mut ahead)?;
    *cursor = ahead;
    Some((Text { raw: &text[at + 1..end], escaped: false }, value))
}

/// Takes an attribute's value, likewise.
#[inline]
pub(super) fn value<'a>(cursor: &mut Cursor<'a>) -> Option<Value<'a>> {
    let (text, at, marks) = cursor.insides();
    let (bytes, marks) = (text.as_bytes(), marks?);
    // A string from behind its opening quote to its closing one.
    let string = |from: usize| {
        let end = marks.quote(from).filter(|&end| end < bytes.len())?;
        let escaped = marks.is_escaped(from, end);
        let sound = !escaped || check_escapes(&bytes[..end], from, marks).is_ok();
        sound.then(|| (Text { raw: &text[from..end], escaped }, end + 1))
    };
    let extent = |from: usize| {
        let end = marks.extent(from).filter(|&end| end <= bytes.len())?;
        Some((cursor.part(from, end), end))
    };
    let (kind, end) = match *bytes.get(at..)?.first_chunk::<7>()? {
        [b'{', b'"', tag, b'"', b':', b'"', _] => {
            let (text, end) = string(at + 6)?;
            match tag {
                b'S' => (Kind::S(text), end),
                b'N' => (Kind::N(text), end),
                b'B' => (Kind::B(text), end),
                _ => return None,
            }
        }
        [b'{', b'"', b'M', b'"', b':', b'{', _] => extent(at + 5).map(|(part, end)| (Kind::M(part), end))?,
        [b'{', b'"', b'L', b'"', b':', b'[', _] => extent(at + 5).map(|(part, end)| (Kind::L(part), end))?,
        [b'{', b'"', tag, b'S', b'"', b':', b'['] => {
            let (part, end) = extent(at + 6)?;
            match tag {
                b'S' => (Kind::Ss(part), end),
                b'N' => (Kind::Ns(part), end),
                b'B' => (Kind::Bs(part), end),
                _ => return None,
            }
        }
        [b'{', b'"', b'B', b'O', b'O', b'L', b'"'] => match bytes.get(at + 7..)? {
            [b':', b't', b'r', b'u', b'e', ..] => (Kind::Bool(true), at + 12),
            [b':', b'f', b'a', b'l', b's', b'e', ..] => (Kind::Bool(false), at + 13),
            _ => return None,
        },
        _ => return None,
    };
    if *bytes.get(end)? != b'}' {
        return None;
    }
    cursor.go_to(end + 1);
    let checked = !matches!(kind, Kind::M(_) | Kind::L(_) | Kind::Ss(_) | Kind::Ns(_) | Kind::Bs(_));
    Some(Value { raw: &text[at..end + 1], kind, checked })
}
