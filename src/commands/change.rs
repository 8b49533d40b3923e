//! Is a record a change, and of which table? Judged as the lake does.

use crate::change::{Record, TableName};
use crate::decode::envelope::{self, Envelope};
use crate::decode::item;
use crate::decode::json::Malformed;
use crate::source::StreamIdentity;

/// A record that is a change.
pub(super) struct Change<'a> {
    pub(super) table: TableName,
    pub(super) envelope: Envelope<'a>,
}

/// A record that is none: the lake would put it into its dead letters.
#[derive(Debug)]
pub(super) struct NoChange {
    /// The table, if anything names it.
    pub(super) table: Option<TableName>,
    pub(super) why: String,
}

/// Reads a record of `stream`.
pub(super) fn read<'a>(record: &'a Record, stream: &StreamIdentity) -> Result<Change<'a>, NoChange> {
    let known = record.table.clone().or_else(|| stream.table.clone());
    let envelope = match envelope::read(&record.payload, record.channel) {
        Ok(envelope) => envelope,
        Err(why) => return Err(NoChange { table: known, why: why.to_string() }),
    };
    let named = || envelope.table.as_deref().map(TableName::from);
    let Some(table) = known.or_else(named) else {
        return Err(NoChange { table: None, why: "it names no table".to_owned() });
    };
    for image in [envelope.keys, envelope.new_image, envelope.old_image].into_iter().flatten() {
        if let Err(broken) = item::walk::<Malformed>(image, |_, _| Ok(())) {
            return Err(NoChange { table: Some(table), why: broken.to_string() });
        }
    }
    Ok(Change { table, envelope })
}

/// Whether a pipeline that reads only `tables` wants to see a table. What names none might be of any.
pub(super) fn is_wanted(tables: Option<&[TableName]>, table: Option<&TableName>) -> bool {
    match (tables, table) {
        (Some(tables), Some(table)) => tables.contains(table),
        _ => true,
    }
}
