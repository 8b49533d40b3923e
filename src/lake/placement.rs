//! In which partition folder a change lies: a pure function of the change, so that a repeat finds the same place.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::partition;
use crate::decode::envelope::Envelope;
use crate::decode::item::{self, Kind};
use crate::decode::json::Malformed;

/// The levels that are taken from the time of the change.
pub const TIME_LEVELS: [&str; 4] = ["year", "month", "day", "hour"];

/// The shortest time any level tells apart.
const HOUR_MICROS: i64 = 3_600_000_000;

/// Finds partition folders; remembers the last one, since neighbours mostly share theirs.
#[derive(Debug)]
pub struct Placement {
    levels: Vec<String>,
    by_time_only: bool,
    last: Option<(Option<i64>, String)>,
}

impl Placement {
    /// For the levels of a table, outermost first.
    pub fn new(levels: &[String]) -> Self {
        let by_time_only = levels.iter().all(|level| TIME_LEVELS.contains(&level.as_str()));
        Self { levels: levels.to_vec(), by_time_only, last: None }
    }

    /// The folders of `change`, `day=2026-11-20/Category=Book`, without slashes at the ends.
    pub fn folder(&mut self, change: &Envelope<'_>) -> Result<&str, Malformed> {
        let hour = change.changed_at.map(|micros| micros.div_euclid(HOUR_MICROS));
        let known = self.by_time_only && self.last.as_ref().is_some_and(|(last, _)| *last == hour);
        if !known {
            let segments: Result<Vec<_>, _> = self.levels.iter().map(|level| segment(level, change)).collect();
            self.last = Some((hour, segments?.join("/")));
        }
        Ok(self.last.as_ref().map_or("", |(_, folder)| folder.as_str()))
    }
}

fn segment(level: &str, change: &Envelope<'_>) -> Result<String, Malformed> {
    let value = match level {
        level if TIME_LEVELS.contains(&level) => change.changed_at.and_then(|micros| time_value(level, micros)),
        attribute => attribute_value(attribute, change)?,
    };
    Ok(partition::segment(level, value.as_deref()))
}

/// Years have four digits, days are whole dates, so that a reader can compare any level as text.
fn time_value(level: &str, micros: i64) -> Option<String> {
    let time = Timestamp::from_microsecond(micros).ok()?.to_zoned(TimeZone::UTC);
    Some(match level {
        "year" => format!("{:04}", time.year()),
        "month" => format!("{:04}-{:02}", time.year(), time.month()),
        "day" => time.date().to_string(),
        _ => format!("{:02}", time.hour()),
    })
}

/// The attribute in the new image, else in the keys, else in the old image: a REMOVE lies with the item it removed.
fn attribute_value(attribute: &str, change: &Envelope<'_>) -> Result<Option<String>, Malformed> {
    for image in [change.new_image, change.keys, change.old_image].into_iter().flatten() {
        let mut found = None;
        item::walk::<Malformed>(image, |name, value| {
            if name.is(attribute) {
                found = match value.kind {
                    Kind::S(text) | Kind::N(text) | Kind::B(text) => text.decode().map(|text| text.into_owned()),
                    Kind::Bool(value) => Some(value.to_string()),
                    _ => None,
                };
            }
            Ok(())
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(levels: &[&str], change: &Envelope<'_>) -> String {
        let levels: Vec<_> = levels.iter().map(|level| (*level).to_owned()).collect();
        Placement::new(&levels).folder(change).unwrap().to_owned()
    }

    #[test]
    fn time_and_attributes() {
        let change = Envelope {
            changed_at: Some(1_795_165_200_000_000),
            new_image: Some(r#"{"Category":{"S":"a/b=c"},"N":{"N":"42"}}"#.into()),
            ..Envelope::default()
        };
        assert_eq!(folder(&["day", "Category"], &change), "day=2026-11-20/Category=a%2Fb%3Dc");
        assert_eq!(folder(&["year", "month", "hour", "N"], &change), "year=2026/month=2026-11/hour=09/N=42");
        assert_eq!(folder(&["Other"], &change), "Other=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder(&["day"], &Envelope::default()), "day=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder(&[], &change), "");
    }

    #[test]
    fn a_removed_item_lies_where_it_lay() {
        let change = Envelope {
            old_image: Some(r#"{"Category":{"S":"Book"}}"#.into()),
            keys: Some("{}".into()),
            ..Envelope::default()
        };
        assert_eq!(folder(&["Category"], &change), "Category=Book");
    }

    #[test]
    fn the_memory_of_the_last_folder_does_not_outlive_its_hour() {
        let mut placement = Placement::new(&["day".to_owned()]);
        let at = |micros| Envelope { changed_at: Some(micros), ..Envelope::default() };
        let midnight = 1_795_132_800_000_000;
        assert_eq!(placement.folder(&at(midnight - 1)).unwrap(), "day=2026-11-19");
        assert_eq!(placement.folder(&at(midnight)).unwrap(), "day=2026-11-20");
        assert_eq!(placement.folder(&at(midnight - 1)).unwrap(), "day=2026-11-19");
    }
}
