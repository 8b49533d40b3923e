//! The two walks over a record, side by side: the quick one along its marks, and the careful one. Rows must be the same.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests and fuzz targets call it")]

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::columns::{Misfits, NotAdded, new_attributes};
use super::rows::{RowOrigin, Rows};
use super::schema::{NewAttributes, TableRules, TableSchema};
use crate::change::{Channel, Position, SequenceNumber, ShardId};
use crate::decode::envelope::{self, Envelope};
use crate::decode::json::Marks;

/// What became of a record: the misfits, or that it is broken. (Where it is broken may be said differently.)
pub(super) type Outcome = Result<Misfits, ()>;

/// Reads both records one after the other, and puts them into columns that the first, where it is sound, has named.
pub(super) fn land(
    payloads: &[Vec<u8>],
    schema: &Arc<TableSchema>,
    rules: &TableRules,
    quick: bool,
) -> (Vec<Outcome>, RecordBatch) {
    let mut rows = Rows::new(RowOrigin::of(ShardId::new("s")), schema.clone());
    let mut marks = Marks::default();
    let outcomes = payloads.iter().enumerate().map(|(at, payload)| {
        let change = if quick {
            envelope::read_marked(payload, Channel::Kinesis, &mut marks)
        } else {
            envelope::read(payload, Channel::Kinesis)
        };
        let position = Position::new(SequenceNumber::from_ordinal(at as u64));
        match rows.add(position, &change.map_err(drop)?, rules) {
            Ok(misfits) => Ok(misfits),
            Err(NotAdded::Broken(_)) => Err(()),
            Err(NotAdded::NewAttribute) => panic!("the schema is full"),
        }
    });
    let outcomes = outcomes.collect();
    (outcomes, rows.finish().unwrap())
}

/// The schema of a table whose attributes are those of a change, and rules under which it grows no more; `None` if an
/// image is broken.
pub(super) fn schema(change: &Envelope<'_>, declared: &[(&str, &str)]) -> Option<(Arc<TableSchema>, TableRules)> {
    let declared = declared.iter().map(|(name, kind)| ((*name).to_owned(), kind.parse().unwrap())).collect();
    let rules = TableRules { max_columns: 4, declared, ..TableRules::default() };
    let mut found = NewAttributes::default();
    for image in [change.new_image, change.old_image].into_iter().flatten() {
        new_attributes(image, &TableSchema::empty("T"), &rules, &mut found).ok()?;
    }
    let schema = TableSchema::empty("T").grown(found.found(), &rules).unwrap_or_else(|| TableSchema::empty("T"));
    let columns = schema.columns.len();
    Some((Arc::new(schema), TableRules { max_columns: columns, ..rules }))
}

/// Panics unless both walks give the same rows of these records, in a table whose attributes are those of the first one.
pub(crate) fn check(payloads: &[Vec<u8>], nested: bool) {
    let declared: &[_] =
        if nested { &[("a", "struct<a: string, b: list<string>>"), ("b", "list<string>")] } else { &[] };
    let first = payloads.first().and_then(|first| envelope::read(first, Channel::Kinesis).ok());
    let (schema, rules) = first
        .and_then(|change| schema(&change, declared))
        .unwrap_or_else(|| (Arc::new(TableSchema::empty("T")), TableRules { max_columns: 0, ..TableRules::default() }));
    let (quick, careful) = (land(payloads, &schema, &rules, true), land(payloads, &schema, &rules, false));
    assert_eq!(quick, careful);
}
