//! The plain JSON of a map or list in one go, along the marks of its text.
//!
//! A short cut of the careful walk in [`super`], which gives the same for everything that this one takes. It looks at each
//! byte once, whatever the depth; the other one looks for the end of each map and list first.

use crate::decode::bytes::put;
use crate::decode::json::Track;
use crate::decode::number;

/// How deep values are followed. DynamoDB allows 32 levels.
const MAX_DEPTH: u32 = 40;

/// Appends the plain JSON of the map or list whose typed value, `{"M":{…}}`, begins at `at`, and answers the offset behind
/// it. `None`, and `out` as it was, if the careful walk must decide.
pub fn plain_json_at(track: Track<'_>, at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    let end = match track.chunk::<6>(at)? {
        b"{\"M\":{" => map(track, at + 5, out, 0),
        b"{\"L\":[" => list(track, at + 5, out, 0),
        _ => return None,
    };
    let end = end.filter(|&end| track.is(end, b'}'));
    if end.is_none() {
        out.truncate(start);
    }
    Some(end? + 1)
}

/// What typed values begin with, as the first six bytes of a word.
const fn beginning(text: &[u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = *text;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

const S: u64 = beginning(b"{\"S\":\"");
const N: u64 = beginning(b"{\"N\":\"");
const M: u64 = beginning(b"{\"M\":{");
const L: u64 = beginning(b"{\"L\":[");

/// One value of any type.
fn value(track: Track<'_>, at: usize, out: &mut Vec<u8>, depth: u32) -> Option<usize> {
    let begins = u64::from_le_bytes(*track.chunk::<8>(at)?) << 16 >> 16;
    let end = match begins {
        S => {
            let end = track.sound_end(at + 6)? + 1;
            put(out, track.bytes(), at + 5, end);
            end
        }
        N => {
            let end = track.plain_end(at + 6)?;
            if !number::is_json_number_between(track.bytes(), at + 6, end) {
                return None;
            }
            put(out, track.bytes(), at + 6, end);
            end + 1
        }
        M => map(track, at + 5, out, depth + 1)?,
        L => list(track, at + 5, out, depth + 1)?,
        _ => word(track, at, out)?,
    };
    track.is(end, b'}').then_some(end + 1)
}

/// A boolean or null.
#[inline(never)]
fn word(track: Track<'_>, at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let rest = track.bytes().get(at..)?;
    Some(match rest {
        [b'{', b'"', b'B', b'O', b'O', b'L', b'"', b':', b't', b'r', b'u', b'e', ..] => constant(b"true", at + 12, out),
        [b'{', b'"', b'B', b'O', b'O', b'L', b'"', b':', b'f', b'a', b'l', b's', b'e', ..] => {
            constant(b"false", at + 13, out)
        }
        [b'{', b'"', b'N', b'U', b'L', b'L', b'"', b':', b't', b'r', b'u', b'e', ..] => constant(b"null", at + 12, out),
        _ => return None,
    })
}

#[inline]
fn constant(word: &[u8], end: usize, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(word);
    end
}

/// From an opening brace to behind its partner.
fn map(track: Track<'_>, open: usize, out: &mut Vec<u8>, depth: u32) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    if track.is(open + 1, b'}') {
        out.extend_from_slice(b"{}");
        return Some(open + 2);
    }
    // At the brace or comma before a member, which is copied with the name.
    let mut at = open;
    loop {
        if !track.is(at + 1, b'"') {
            return None;
        }
        let name_end = track.plain_end(at + 2)?;
        if !track.is(name_end + 1, b':') {
            return None;
        }
        put(out, track.bytes(), at, name_end + 2);
        let end = value(track, name_end + 2, out, depth)?;
        match track.bytes().get(end)? {
            b',' => at = end,
            // Such a map could be mistaken for a set or for bytes.
            b'}' if at == open
                && name_end - at <= 4
                && matches!(track.between(at + 2, name_end), "SS" | "NS" | "BS" | "B") =>
            {
                return None;
            }
            b'}' => {
                out.push(b'}');
                return Some(end + 1);
            }
            _ => return None,
        }
    }
}

/// From an opening bracket to behind its partner.
fn list(track: Track<'_>, open: usize, out: &mut Vec<u8>, depth: u32) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    out.push(b'[');
    if track.is(open + 1, b']') {
        out.push(b']');
        return Some(open + 2);
    }
    let mut at = open + 1;
    loop {
        let end = value(track, at, out, depth)?;
        match track.bytes().get(end)? {
            b',' => out.push(b','),
            b']' => {
                out.push(b']');
                return Some(end + 1);
            }
            _ => return None,
        }
        at = end + 1;
    }
}
