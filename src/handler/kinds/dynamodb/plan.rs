//! What does a change ask of a replica? Pure.
//!
//! With a loop attribute two tables can be replicas of each other. What we write carries the attribute, with a value of
//! its own for each write; so a change that brings a *new* value of it is ours, and not replicated back. One that leaves
//! the value as it was is somebody else's (an update of an item that we had written). Before an item is deleted it is
//! marked, so that the deletion is known for ours too: its old image has the mark.

use aws_sdk_dynamodb::types::AttributeValue;

use super::value::{Item, item};
use crate::handler::Change;

/// What our values of the loop attribute begin with.
const OURS: &str = "watershed:";
/// What the mark of an item begins with that we are about to delete.
const DELETED: &str = "watershed:deleted:";

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// Write this item.
    Put(Item),
    /// Delete the item with this key.
    Delete {
        /// The key.
        key: Item,
        /// The value that marks the item before.
        mark: Option<String>,
    },
    /// Nothing: it is our own write.
    Skip,
}

/// What a change asks for; `id` names its delivery.
///
/// # Errors
/// In words, why it can't be replicated, today or ever.
pub(super) fn plan(change: &Change, loop_attribute: Option<&str>, id: &str) -> Result<Plan, String> {
    let envelope = change.envelope().map_err(|why| why.to_string())?;
    let read = |image| item(image).map_err(|why| why.to_string());
    let (new, old) = (envelope.new_image.map(read).transpose()?, envelope.old_image.map(read).transpose()?);
    let value = |image: &Option<Item>| mark_of(image.as_ref()?, loop_attribute?).map(str::to_owned);
    let (now, before) = (value(&new), value(&old));
    match &*envelope.event_name {
        "INSERT" | "MODIFY" => {
            let Some(mut image) = new else {
                return Err(
                    "the stream has no new images: a replica needs the view type NEW_IMAGE or NEW_AND_OLD_IMAGES"
                        .into(),
                );
            };
            if now.is_some() && now != before {
                return Ok(Plan::Skip);
            }
            if let Some(attribute) = loop_attribute {
                image.insert(attribute.to_owned(), AttributeValue::S(format!("{OURS}{id}")));
            }
            Ok(Plan::Put(image))
        }
        "REMOVE" => {
            if before.is_some_and(|before| before.starts_with(DELETED)) {
                return Ok(Plan::Skip);
            }
            let key = read(envelope.keys.ok_or("the change has no keys")?)?;
            Ok(Plan::Delete { key, mark: loop_attribute.map(|_| format!("{DELETED}{id}")) })
        }
        _ => Err("this version does not know this kind of event".to_owned()),
    }
}

/// Our value of the loop attribute, if the item has one.
fn mark_of<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    match item.get(attribute)? {
        AttributeValue::S(text) if text.starts_with(OURS) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::payload::tests::change;

    fn plan_of(event: &str, images: &str, attribute: Option<&str>) -> Result<Plan, String> {
        let text = format!(r#"{{"eventName":"{event}","dynamodb":{{"Keys":{{"Id":{{"N":"1"}}}}{images}}}}}"#);
        plan(&change(&text), attribute, "d1")
    }

    fn item(pairs: &[(&str, &str)]) -> Item {
        let id = ("Id".to_owned(), AttributeValue::N("1".to_owned()));
        let rest = pairs.iter().map(|(name, value)| (name.to_string(), AttributeValue::S(value.to_string())));
        rest.chain([id]).collect()
    }

    const NEW: &str = r#","NewImage":{"Id":{"N":"1"},"v":{"S":"x"}}"#;

    #[test]
    fn inserts_and_changes_are_written_and_removals_deleted() {
        for event in ["INSERT", "MODIFY"] {
            assert_eq!(plan_of(event, NEW, None), Ok(Plan::Put(item(&[("v", "x")]))));
            assert_eq!(plan_of(event, NEW, Some("_l")), Ok(Plan::Put(item(&[("v", "x"), ("_l", "watershed:d1")]))));
            assert!(plan_of(event, "", None).unwrap_err().contains("NEW_IMAGE"));
        }
        assert_eq!(plan_of("REMOVE", "", None), Ok(Plan::Delete { key: item(&[]), mark: None }));
        let mark = Some("watershed:deleted:d1".to_owned());
        assert_eq!(plan_of("REMOVE", "", Some("_l")), Ok(Plan::Delete { key: item(&[]), mark }));
        assert!(plan_of("ARCHIVE", "", None).is_err());
    }

    #[test]
    fn our_own_writes_do_not_come_back_and_those_of_others_do() {
        let image = |which: &str, mark: &str| format!(r#","{which}":{{"Id":{{"N":"1"}},"_l":{{"S":"{mark}"}}}}"#);
        let (ours, other) = (image("NewImage", "watershed:d0"), image("OldImage", "watershed:d9"));
        let skip = |event, images: String| plan_of(event, &images, Some("_l")) == Ok(Plan::Skip);
        assert!(skip("INSERT", ours.clone()) && skip("MODIFY", ours.clone()) && skip("MODIFY", ours.clone() + &other));
        // Somebody has changed what we had written.
        assert!(!skip("MODIFY", ours.clone() + &image("OldImage", "watershed:d0")));
        // We mark what we delete; somebody else does not.
        assert!(skip("MODIFY", image("NewImage", "watershed:deleted:d0") + &other));
        assert!(skip("REMOVE", image("OldImage", "watershed:deleted:d0")));
        assert!(!skip("REMOVE", other));
        // An attribute of the same name that is not ours is nothing to us.
        assert!(!skip("INSERT", image("NewImage", "x")));
        assert_ne!(plan_of("INSERT", &ours, None), Ok(Plan::Skip));
    }
}
