//! What does a backfill read as a change: an item as it is, or a line of an incremental export?

use std::borrow::Cow;

use super::{Envelope, NotAChange, number_or_text, optional_object};
use crate::change::Channel;
use crate::decode::json::{Cursor, Malformed, Members};

/// The operation of a row that is an item as it was read, and no change.
pub(crate) const SNAPSHOT: &str = "SNAPSHOT";

/// Reads the payload of a record of [`Channel::Snapshot`] or [`Channel::NetChange`].
pub(super) fn read(mut cursor: Cursor<'_>, channel: Channel) -> Result<Envelope<'_>, NotAChange> {
    match channel {
        Channel::NetChange(with_old) => net_change(&mut cursor, with_old),
        Channel::Snapshot(at) => snapshot(&mut cursor, at),
        _ => Err(NotAChange::Missing("image of a backfill")),
    }
}

fn snapshot<'a>(cursor: &mut Cursor<'a>, at: i64) -> Result<Envelope<'a>, NotAChange> {
    let new_image = optional_object(cursor)?;
    cursor.end()?;
    if new_image.is_none() {
        return Err(NotAChange::Missing("item"));
    }
    Ok(Envelope { event_name: Cow::Borrowed(SNAPSHOT), changed_at: Some(at), new_image, ..Envelope::default() })
}

/// `{"Metadata":{"WriteTimestampMicros":{"N":"…"}},"Keys":{…},"OldImage":{…},"NewImage":{…}}`: the net change of an item in
/// the export's window. Without old images an insert looks like an update: then it is the item as it was.
fn net_change<'a>(cursor: &mut Cursor<'a>, with_old: bool) -> Result<Envelope<'a>, NotAChange> {
    let mut change = Envelope::default();
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next(cursor)? {
        match name.raw {
            "Metadata" => change.changed_at = written_at(cursor)?,
            "Keys" => change.keys = optional_object(cursor)?,
            "NewImage" => change.new_image = optional_object(cursor)?,
            "OldImage" => change.old_image = optional_object(cursor)?,
            _ => drop(cursor.value()?),
        }
    }
    cursor.end()?;
    if change.keys.is_none() {
        return Err(NotAChange::Missing("`Keys`"));
    }
    change.event_name = Cow::Borrowed(match (change.new_image, change.old_image) {
        (None, _) => "REMOVE",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) if with_old => "INSERT",
        (Some(_), None) => SNAPSHOT,
    });
    Ok(change)
}

fn written_at(cursor: &mut Cursor<'_>) -> Result<Option<i64>, Malformed> {
    let mut at = None;
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next(cursor)? {
        if name.raw != "WriteTimestampMicros" || cursor.peek() != Some(b'{') {
            cursor.value()?;
            continue;
        }
        let mut inner = Members::open(cursor)?;
        while let Some(kind) = inner.next(cursor)? {
            match kind.raw {
                "N" => at = number_or_text(cursor)?.and_then(|micros| micros.parse().ok()),
                _ => drop(cursor.value()?),
            }
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::{read, read_marked};
    use super::*;
    use crate::decode::json::Marks;

    fn both_ways(payload: &str, channel: Channel) -> Result<(String, Option<i64>, bool, bool), String> {
        let mut marks = Marks::default();
        let facts = |change: Result<Envelope<'_>, NotAChange>| {
            let change = change.map_err(|error| error.to_string())?;
            let (new, old) = (change.new_image.is_some(), change.old_image.is_some());
            Ok((change.event_name.into_owned(), change.changed_at, new, old))
        };
        let marked = facts(read_marked(payload.as_bytes(), channel, &mut marks));
        assert_eq!(facts(read(payload.as_bytes(), channel)), marked, "{payload}");
        marked
    }

    #[test]
    fn an_item_is_a_snapshot() {
        let long = format!(r#"{{"Id":{{"S":"{}"}},"N":{{"N":"1"}}}}"#, "x".repeat(500));
        for item in [r#"{"Id":{"S":"a"}}"#, " {} ", &long] {
            let found = both_ways(item, Channel::Snapshot(7)).unwrap();
            assert_eq!(found, ("SNAPSHOT".to_owned(), Some(7), true, false), "{item}");
        }
        for broken in ["", "[]", "null", r#"{"Id":{"S":"a"}}x"#, r#"{"Id""#] {
            assert!(both_ways(broken, Channel::Snapshot(7)).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_net_change_says_what_became_of_an_item() {
        let line = |images: &str| {
            let time = r#""Metadata":{"WriteTimestampMicros":{"N":"1768386096366933"}}"#;
            format!(r#"{{{time},"Keys":{{"pk":{{"S":"2"}}}}{images}}}"#)
        };
        let (new, old) = (r#","NewImage":{}"#, r#","OldImage":{}"#);
        let both = format!("{old}{new}");
        for (images, with_old, operation) in [
            (new, true, "INSERT"),
            (new, false, "SNAPSHOT"),
            (&both, true, "MODIFY"),
            (old, true, "REMOVE"),
            ("", false, "REMOVE"),
        ] {
            let found = both_ways(&line(images), Channel::NetChange(with_old)).unwrap();
            assert_eq!((found.0.as_str(), found.1), (operation, Some(1_768_386_096_366_933)), "{images}");
        }
        assert!(both_ways("{}", Channel::NetChange(true)).unwrap_err().contains("`Keys`"));
    }
}
