//! Where do attributes go that have no column, or whose value does not fit it? Into one JSON object a row, as they came.

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use super::nulls::Nulls;
use super::values::Variable;

/// With more members than this, names are sorted to find one that stands there twice.
const FEW: usize = 8;

/// One of 4096 places for a name: equal names have the same.
fn glance(name: &[u8]) -> usize {
    let eight = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let short = name.iter().take(8).fold(0, |word, &byte| word << 8 | u64::from(byte));
    let all = short ^ eight(name.last_chunk()).rotate_left(29) ^ (name.len() as u64) << 56;
    (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
}

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
        let name = |&(from, to): &(usize, usize)| &self.values.data[from..to];
        if self.names.len() <= FEW {
            return self
                .names
                .iter()
                .enumerate()
                .all(|(at, one)| !self.names[..at].iter().any(|n| name(n) == name(one)));
        }
        // Mostly a glance is enough: names that share no place in a small table are different.
        let mut places = [0_u64; 64];
        let alone = self.names.iter().all(|one| {
            let place = glance(name(one));
            let word = &mut places[place / 64];
            let is_free = *word >> (place % 64) & 1 == 0;
            *word |= 1 << (place % 64);
            is_free
        });
        alone || {
            let mut names: Vec<&[u8]> = self.names.iter().map(name).collect();
            names.sort_unstable();
            names.windows(2).all(|pair| pair[0] != pair[1])
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_that_stands_there_twice_is_found(names in proptest::collection::vec("[a-c]{0,3}|name_of_many_bytes_[0-9]{1,3}", 0..40)) {
            let mut rest = Rest::default();
            for name in &names {
                rest.add(name.as_bytes(), b"{}");
            }
            let mut different = names.clone();
            different.sort();
            different.dedup();
            prop_assert_eq!(rest.close(0), different.len() == names.len());
        }
    }
}
