//! The envelope of a change that is written without white space, along the marks of the record.
//!
//! A short cut of the careful walk in [`super`], which gives the same for everything that this one takes.

use std::borrow::Cow;

use super::Found;
use crate::decode::json::{Part, Track};

/// Reads all of a record. `None`: the careful walk must decide.
pub(super) fn walk(track: Track<'_>) -> Option<Found<'_>> {
    let mut found = Found::default();
    let end = track.members(0, |name, at| member(track, &mut found, name, at))?;
    (end == track.bytes().len()).then_some(found)
}

#[inline]
fn member<'a>(track: Track<'a>, found: &mut Found<'a>, name: &[u8], at: usize) -> Option<usize> {
    let envelope = &mut found.envelope;
    match name {
        b"eventName" => {
            let (text, end) = text(track, at)?;
            envelope.event_name = Cow::Borrowed(text);
            Some(end)
        }
        b"eventID" => {
            let (text, end) = text(track, at)?;
            envelope.event_id = Some(Cow::Borrowed(text));
            Some(end)
        }
        b"tableName" => {
            let (text, end) = text(track, at)?;
            envelope.table = Some(Cow::Borrowed(text));
            Some(end)
        }
        b"eventSourceARN" => {
            let (arn, end) = text(track, at)?;
            envelope.name_table(Some(arn));
            Some(end)
        }
        b"userIdentity" if track.chunk(at)? == b"null" => {
            envelope.ttl = false;
            Some(at + 4)
        }
        b"userIdentity" => None,
        b"dynamodb" => {
            found.dynamodb = true;
            track.members(at, |name, at| change_member(track, found, name, at))
        }
        _ => other(track, at),
    }
}

/// A member of `dynamodb`.
#[inline]
fn change_member<'a>(track: Track<'a>, found: &mut Found<'a>, name: &[u8], at: usize) -> Option<usize> {
    let image = |image: &mut Option<Part<'a>>| {
        let (part, end) = track.is(at, b'{').then(|| track.extent(at))??;
        *image = Some(part);
        Some(end)
    };
    match name {
        b"Keys" => image(&mut found.envelope.keys),
        b"NewImage" => image(&mut found.envelope.new_image),
        b"OldImage" => image(&mut found.envelope.old_image),
        b"ApproximateCreationDateTime" if track.bytes().get(at)?.is_ascii_digit() => {
            let end = number(track, at)?;
            found.time.value = Some(track.between(at, end));
            Some(end)
        }
        b"ApproximateCreationDateTimePrecision" => {
            let (text, end) = text(track, at)?;
            found.time.precision = Some(text);
            Some(end)
        }
        b"ApproximateCreationDateTime" => None,
        _ => other(track, at),
    }
}

/// A string without escapes, and the offset behind it.
#[inline]
fn text(track: Track<'_>, at: usize) -> Option<(&str, usize)> {
    let end = track.is(at, b'"').then(|| track.plain_end(at + 1))??;
    Some((track.between(at + 1, end), end + 1))
}

/// The offset behind a number.
fn number(track: Track<'_>, at: usize) -> Option<usize> {
    let digits = track.bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_whole = matches!(track.bytes().get(at + digits)?, b',' | b'}') && (digits == 1 || !track.is(at, b'0'));
    if digits > 0 && is_whole {
        return Some(at + digits);
    }
    let mut cursor = track.cursor(at);
    cursor.number().ok()?;
    Some(cursor.offset())
}

/// The offset behind a value that nobody wants.
#[inline]
fn other(track: Track<'_>, at: usize) -> Option<usize> {
    if track.is(at, b'"') {
        return track.sound_end(at + 1).map(|end| end + 1);
    }
    if track.bytes().get(at)?.is_ascii_digit() {
        return number(track, at);
    }
    let mut cursor = track.cursor(at);
    cursor.value().ok()?;
    Some(cursor.offset())
}
