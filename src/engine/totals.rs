//! What a run has done, for its summary.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::change::TableName;
use crate::lake::shard::Committed;

/// Counts what became durable. Only durable rows count.
#[derive(Debug, Default)]
pub struct Totals {
    counts: Mutex<Counts>,
}

/// The counts of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Rows by table and operation.
    pub rows: BTreeMap<(TableName, String), u64>,
    /// Data files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ranges.
    pub ranges: u64,
    /// Records that were no changes.
    pub undecodable: u64,
    /// Values that are in `_rest` because they did not fit their column.
    pub to_rest: u64,
    /// Gaps that were gone over.
    pub gaps: u64,
}

impl Totals {
    /// A range became durable.
    pub fn committed(&self, range: &Committed) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, rows) in &range.operations {
            *counts.rows.entry(key.clone()).or_default() += rows;
        }
        counts.files += range.files.len() as u64;
        counts.bytes += range.files.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
        counts.ranges += 1;
        counts.undecodable += range.undecodable;
        counts.to_rest += range.to_rest.values().sum::<u64>();
    }

    /// A gap was marked.
    pub fn gap(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).gaps += 1;
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
