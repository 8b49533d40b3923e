//! What a sample of changes says about the columns of its tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::numbers::Numbers;
use crate::change::TableName;
use crate::commands::change::Change;
use crate::decode::item::{self, Kind, Value};
use crate::decode::json::{Malformed, Text};
use crate::lake::schema::{AttributeType, Column, NewAttributes, TableRules, TableSchema};
use crate::lake::{LakeSettings, columns, shard};
use crate::pipeline::spec::ColumnType;

/// All that has been looked at.
pub(super) struct Sample {
    settings: LakeSettings,
    pub(super) tables: BTreeMap<TableName, TableSample>,
    /// Records that are no changes.
    pub(super) no_changes: u64,
    /// Whether there was more.
    pub(super) was_cut: bool,
}

/// One table.
pub(super) struct TableSample {
    rules: Arc<TableRules>,
    pub(super) schema: TableSchema,
    pub(super) changes: u64,
    /// What is known of each column of the schema.
    pub(super) columns: Vec<ColumnSample>,
    /// The keys that the pipeline file or the table tells, otherwise those of the first change.
    pub(super) keys: Vec<String>,
    /// Whether the keys are those of the first change, whose order may be any.
    pub(super) keys_are_guessed: bool,
    /// Values whose attribute has no column.
    pub(super) without_column: u64,
}

/// One column.
#[derive(Default)]
pub(super) struct ColumnSample {
    /// Values, in new and old images.
    pub(super) values: u64,
    /// Those of them that go to `_rest`.
    pub(super) misfits: u64,
    numbers: Numbers,
    number_misfits: u64,
}

impl Sample {
    pub(super) fn new(settings: LakeSettings) -> Self {
        Self { settings, tables: BTreeMap::new(), no_changes: 0, was_cut: false }
    }

    /// How many records were looked at.
    pub(super) fn records(&self) -> u64 {
        self.no_changes + self.changes()
    }

    pub(super) fn changes(&self) -> u64 {
        self.tables.values().map(|table| table.changes).sum()
    }

    /// Looks at one change, which has been walked before and is sound.
    pub(super) fn add(&mut self, change: &Change<'_>) {
        let rules = self.settings.tables.get(&change.table).unwrap_or(&self.settings.default_rules);
        let new = || TableSample::new(&change.table, rules.clone());
        let table = self.tables.entry(change.table.clone()).or_insert_with(new);
        let added = table.add(change);
        debug_assert!(added.is_ok());
    }
}

impl TableSample {
    fn new(name: &str, rules: Arc<TableRules>) -> Self {
        Self {
            schema: TableSchema::empty(name),
            changes: 0,
            columns: Vec::new(),
            keys: rules.keys.clone(),
            keys_are_guessed: false,
            without_column: 0,
            rules,
        }
    }

    /// The same steps as the lake takes: grow the schema by what is new, then find each value's column.
    fn add(&mut self, change: &Change<'_>) -> Result<(), Malformed> {
        let envelope = &change.envelope;
        let mut new = NewAttributes::default();
        shard::look_for_new(envelope, &self.schema, &self.rules, &mut new);
        if !new.found().is_empty() {
            let naming = shard::with_keys(&self.rules, &self.schema, envelope);
            if self.keys.is_empty() && !naming.keys.is_empty() {
                self.keys.clone_from(&naming.keys);
                self.keys_are_guessed = true;
            }
            if let Some(grown) = self.schema.grown(new.found(), &naming) {
                self.columns.resize_with(grown.columns.len(), ColumnSample::default);
                self.schema = grown;
            }
        }
        self.changes += 1;
        for image in [envelope.new_image.or(envelope.keys), envelope.old_image].into_iter().flatten() {
            item::walk(image, |name, value| self.see(name, &value))?;
        }
        Ok(())
    }

    fn see(&mut self, name: Text<'_>, value: &Value<'_>) -> Result<(), Malformed> {
        match name.decode().and_then(|attribute| self.schema.column_of(&attribute)) {
            Some(at) => self.columns[at].see(&self.schema.columns[at], value),
            None => {
                self.without_column += 1;
                Ok(())
            }
        }
    }

    /// The declared type of an attribute.
    pub(super) fn declared(&self, attribute: &str) -> Option<&ColumnType> {
        self.rules.declared.iter().find(|(name, _)| name == attribute).map(|(_, storage)| storage)
    }
}

impl ColumnSample {
    fn see(&mut self, column: &Column, value: &Value<'_>) -> Result<(), Malformed> {
        let misfit = u64::from(!columns::fits(column.takes, &column.storage, value)?);
        self.values += 1;
        self.misfits += misfit;
        match (column.takes, value.kind) {
            (AttributeType::N, Kind::N(text)) => {
                self.numbers.see(text.raw);
                self.number_misfits += misfit;
            }
            (AttributeType::Ns, Kind::Ns(array)) => {
                item::walk_set(array, |text| {
                    self.numbers.see(text.raw);
                    true
                })?;
                self.number_misfits += misfit;
            }
            _ => {}
        }
        Ok(())
    }

    /// A type that would hold every number seen, where the column's own is wider than need be or did not hold them
    /// all. What somebody declared is only questioned when it failed.
    pub(super) fn better(&self, column: &Column, declared: bool) -> Option<ColumnType> {
        let found = match column.takes {
            AttributeType::N => self.numbers.tightest()?,
            AttributeType::Ns => self.numbers.tightest_list()?,
            _ => return None,
        };
        (found != column.storage && (!declared || self.number_misfits > 0)).then_some(found)
    }
}
