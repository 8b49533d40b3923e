//! Takes an attribute of the usual form in one go: `"name":{"S":"value"}`, without white space, and with marks.
//!
//! This is a short cut only. Whatever it does not know (`None`) is for the careful walk in [`super::item`], which gives the
//! same answer for everything that this one takes: `lake/agree_tests.rs` holds that.

use super::item::{Kind, Value};
use super::json::{Cursor, Text, Track};

/// Takes a member of an image, up to the comma or brace behind it. `None`, and the cursor where it was, if it is not of
/// the usual form.
#[inline]
pub(super) fn member<'a>(cursor: &mut Cursor<'a>) -> Option<(Text<'a>, Value<'a>)> {
    let (track, at) = (cursor.track()?, cursor.offset());
    if !track.is(at, b'"') {
        return None;
    }
    let end = track.plain_end(at + 1)?;
    if !track.is(end + 1, b':') {
        return None;
    }
    let (value, behind) = value_at(track, end + 2)?;
    cursor.go_to(behind);
    Some((Text { raw: track.between(at + 1, end), escaped: false }, value))
}

/// Takes an attribute's value, likewise.
#[inline]
pub(super) fn value<'a>(cursor: &mut Cursor<'a>) -> Option<Value<'a>> {
    let (value, behind) = value_at(cursor.track()?, cursor.offset())?;
    cursor.go_to(behind);
    Some(value)
}

/// The value at an offset, and the offset behind it.
pub(super) fn value_at(track: Track<'_>, at: usize) -> Option<(Value<'_>, usize)> {
    let (kind, end) = match *track.chunk::<7>(at)? {
        [b'{', b'"', tag, b'"', b':', b'"', _] => {
            let (text, end) = track.string(at + 6)?;
            match tag {
                b'S' => (Kind::S(text), end),
                b'N' => (Kind::N(text), end),
                b'B' => (Kind::B(text), end),
                _ => return None,
            }
        }
        [b'{', b'"', b'M', b'"', b':', b'{', _] => track.extent(at + 5).map(|(part, end)| (Kind::M(part), end))?,
        [b'{', b'"', b'L', b'"', b':', b'[', _] => track.extent(at + 5).map(|(part, end)| (Kind::L(part), end))?,
        [b'{', b'"', tag, b'S', b'"', b':', b'['] => {
            let (part, end) = track.extent(at + 6)?;
            match tag {
                b'S' => (Kind::Ss(part), end),
                b'N' => (Kind::Ns(part), end),
                b'B' => (Kind::Bs(part), end),
                _ => return None,
            }
        }
        [b'{', b'"', b'B', b'O', b'O', b'L', b'"'] => match track.bytes().get(at + 7..)? {
            [b':', b't', b'r', b'u', b'e', ..] => (Kind::Bool(true), at + 12),
            [b':', b'f', b'a', b'l', b's', b'e', ..] => (Kind::Bool(false), at + 13),
            _ => return None,
        },
        [b'{', b'"', b'N', b'U', b'L', b'L', b'"'] => match track.bytes().get(at + 7..)? {
            [b':', b't', b'r', b'u', b'e', ..] => (Kind::Null, at + 12),
            _ => return None,
        },
        _ => return None,
    };
    if !track.is(end, b'}') {
        return None;
    }
    let checked = !matches!(kind, Kind::M(_) | Kind::L(_) | Kind::Ss(_) | Kind::Ns(_) | Kind::Bs(_));
    Some((Value { raw: track.between(at, end + 1), kind, checked }, end + 1))
}
