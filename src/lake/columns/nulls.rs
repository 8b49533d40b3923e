//! Which rows of a column have a value?

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// Which rows have a value.
#[derive(Debug, Default)]
pub(super) struct Nulls {
    /// A bit for each row, once there is a row without a value.
    words: Option<Vec<u64>>,
    pub(super) len: usize,
}

impl Nulls {
    /// Marks `row` as having a value and answers how many rows in between have none.
    #[inline]
    pub(super) fn value_at(&mut self, row: usize) -> usize {
        let skipped = row - self.len;
        self.value_behind(skipped);
        skipped
    }

    /// Adds so many rows without a value, and one that has one.
    #[inline(always)]
    pub(super) fn value_behind(&mut self, skipped: usize) {
        if skipped > 0 {
            self.pad(self.len + skipped);
        }
        let row = self.len;
        self.len += 1;
        if let Some(words) = &mut self.words {
            if words.len() <= row / 64 {
                words.push(0);
            }
            words[row / 64] |= 1 << (row % 64);
        }
    }

    /// Fills up to `rows` rows without a value and answers how many those were.
    #[inline(never)]
    pub(super) fn pad(&mut self, rows: usize) -> usize {
        let skipped = rows - self.len;
        if skipped > 0 {
            let full = self.len;
            let words = self.words.get_or_insert_with(|| ones(full));
            words.resize(rows.div_ceil(64), 0);
            self.len = rows;
        }
        skipped
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.len = rows;
        if let Some(words) = &mut self.words {
            words.truncate(rows.div_ceil(64));
            if let Some(last) = words.last_mut().filter(|_| !rows.is_multiple_of(64)) {
                *last &= (1 << (rows % 64)) - 1;
            }
        }
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        let len = std::mem::take(&mut self.len);
        let words = self.words.take()?;
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(words), 0, len)))
    }
}

/// So many bits that are set.
fn ones(bits: usize) -> Vec<u64> {
    let mut words = vec![u64::MAX; bits.div_ceil(64)];
    if let Some(last) = words.last_mut().filter(|_| !bits.is_multiple_of(64)) {
        *last = (1 << (bits % 64)) - 1;
    }
    words
}
