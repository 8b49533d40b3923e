//! Where do attributes go that have no column, or whose value does not fit it? Into one JSON object a row, as they came.

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use super::values::{Nulls, Variable};

/// With more members than this, names are sorted to find one that stands there twice.
const FEW: usize = 8;

/// The `_rest` of many rows.
#[derive(Debug, Default)]
pub(super) struct Rest {
    values: Variable,
    nulls: Nulls,
    /// Where in the values' bytes the names of the row's members are.
    names: Vec<(usize, usize)>,
}

impl Rest {
    /// Adds a member to the row in the making: its name as it stands between the quotes, and its value.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let out = &mut self.values.data;
        out.extend_from_slice(if self.names.is_empty() { b"{\"" } else { b",\"" });
        let start = out.len();
        out.extend_from_slice(name);
        self.names.push((start, out.len()));
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    }

    /// The same, of a member as it is written, `"name":value`, whose name is that long.
    pub(super) fn add_member(&mut self, member: &[u8], name: usize) {
        let out = &mut self.values.data;
        out.push(if self.names.is_empty() { b'{' } else { b',' });
        let start = out.len() + 1;
        self.names.push((start, start + name));
        out.extend_from_slice(member);
    }

    /// Closes row `row`. `false` if a name stands there twice.
    #[inline]
    pub(super) fn close(&mut self, row: usize) -> bool {
        self.names.is_empty() || self.close_object(row)
    }

    fn close_object(&mut self, row: usize) -> bool {
        let different = self.names.len() < 2 || self.are_different();
        if different {
            let start = self.names[0].0 - 2;
            self.values.data.push(b'}');
            self.values.close_behind(self.nulls.value_at(row), start);
            self.names.clear();
        }
        different
    }

    fn are_different(&self) -> bool {
        let mut names: Vec<&[u8]> = self.names.iter().map(|&(from, to)| &self.values.data[from..to]).collect();
        if names.len() <= FEW {
            return names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
        }
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Takes back row `row`, closed or not.
    pub(super) fn take_back(&mut self, row: usize) {
        if self.nulls.len > row {
            self.nulls.truncate(row);
            self.values.truncate(row);
        }
        self.values.forget_open();
        self.names.clear();
    }

    /// Hands over all rows, and keeps room for as many. No row is in the making.
    pub(super) fn hand_over(&mut self) -> Self {
        let nulls = std::mem::take(&mut self.nulls);
        Self { values: self.values.hand_over(), nulls, names: Vec::new() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.bytes()
    }

    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.values.pad(self.nulls.pad(rows));
        self.values.finish_text(self.nulls.finish())
    }
}
