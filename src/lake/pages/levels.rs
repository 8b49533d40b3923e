//! Which rows of a column have a value, as a page says it: definition levels, and repetition levels of lists.
//!
//! Both come from the bits that arrow has for each row, 64 rows at a time; no row is looked at alone unless it has to be.

use std::ops::Range;

use arrow_buffer::NullBuffer;

use super::pack::put_varint;

/// The rows of a leaf in one batch.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// Which rows of the struct that it is a field of are there.
    pub(super) parent: Option<NullBuffer>,
    /// Which rows have a value.
    pub(super) own: Option<NullBuffer>,
    /// The largest definition level.
    pub(super) most: u32,
}

/// Levels in the making, a few bits each.
#[derive(Debug, Default)]
pub(super) struct Levels {
    words: Vec<u64>,
    repeated: Vec<u64>,
}

impl Rows {
    /// Appends the levels of a page of a flat column to `out`, and the rows that have a value to `present`.
    pub(super) fn put(&self, page: Range<usize>, levels: &mut Levels, present: &mut Vec<u32>, out: &mut Vec<u8>) {
        levels.words.clear();
        let rows = page.len();
        if self.own.is_none() && self.parent.is_none() {
            present.extend(page.start as u32..page.end as u32);
            if self.most > 0 {
                put_run(rows, self.most, out);
            }
            return;
        }
        for start in (0..rows).step_by(64) {
            let count = (rows - start).min(64);
            let there = bits(self.parent.as_ref(), page.start + start);
            let valued = bits(self.own.as_ref(), page.start + start) & there & ones(count);
            push_present(present, valued, page.start + start, count);
            match self.most {
                1 => levels.words.push(valued),
                _ => {
                    let null = there & !valued & ones(count);
                    levels.words.push(spread(null as u32) | spread(valued as u32) << 1);
                    if count > 32 {
                        levels.words.push(spread((null >> 32) as u32) | spread((valued >> 32) as u32) << 1);
                    }
                }
            }
        }
        put_levels(&levels.words, self.most, rows, out);
    }

    /// The same for a list whose elements begin at these offsets; answers how many levels there are.
    pub(super) fn put_list(
        &self,
        page: Range<usize>,
        offsets: &[i32],
        levels: &mut Levels,
        present: &mut Vec<u32>,
        out: &mut Vec<u8>,
    ) -> usize {
        let Levels { words, repeated } = levels;
        words.clear();
        repeated.clear();
        let mut count = 0;
        let mut push = |level: u32, again: bool| {
            if count % 32 == 0 {
                words.push(0);
            }
            if count % 64 == 0 {
                repeated.push(0);
            }
            words[count / 32] |= u64::from(level) << (count % 32 * 2);
            repeated[count / 64] |= u64::from(again) << (count % 64);
            count += 1;
        };
        let is_null = |nulls: &Option<NullBuffer>, row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        for row in page {
            if is_null(&self.parent, row) {
                push(0, false);
            } else if is_null(&self.own, row) {
                push(self.most - 2, false);
            } else {
                let (from, to) = (offsets[row] as u32, offsets[row + 1] as u32);
                if from == to {
                    push(self.most - 1, false);
                }
                for element in from..to {
                    push(self.most, element > from);
                    present.push(element);
                }
            }
        }
        put_levels(repeated, 1, count, out);
        put_levels(words, self.most, count, out);
        count
    }
}

/// The bits of up to 64 rows; what is behind the last row can be anything.
fn bits(nulls: Option<&NullBuffer>, row: usize) -> u64 {
    let Some(nulls) = nulls else { return u64::MAX };
    let at = nulls.offset() + row;
    let bytes = &nulls.validity()[at / 8..];
    let low = bytes.first_chunk().map_or_else(
        || bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        |eight| u64::from_le_bytes(*eight),
    );
    match at % 8 {
        0 => low,
        shift => low >> shift | bytes.get(8).map_or(0, |&next| u64::from(next)) << (64 - shift),
    }
}

fn ones(count: usize) -> u64 {
    if count == 64 { u64::MAX } else { (1 << count) - 1 }
}

fn push_present(present: &mut Vec<u32>, mut valued: u64, start: usize, count: usize) {
    if valued == ones(count) {
        present.extend(start as u32..(start + count) as u32);
        return;
    }
    while valued != 0 {
        present.push(start as u32 + valued.trailing_zeros());
        valued &= valued - 1;
    }
}

/// Each bit as the lower of two.
fn spread(bits: u32) -> u64 {
    let mut word = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        word = (word | word << shift) & mask;
    }
    word
}

/// Appends one level for all rows.
fn put_run(rows: usize, level: u32, out: &mut Vec<u8>) {
    with_length(out, |out| {
        put_varint((rows as u64) << 1, out);
        out.push(level as u8);
    });
}

/// Appends levels of one bit each if the largest is 1, otherwise of two: runs where a word says the same throughout.
fn put_levels(words: &[u64], most: u32, count: usize, out: &mut Vec<u8>) {
    let width = if most == 1 { 1 } else { 2 };
    let in_word = 64 / width;
    let every = if width == 1 { u64::MAX } else { 0x5555_5555_5555_5555 };
    // The level that a whole word consists of.
    let uniform = |at: usize| {
        let left = (count - at * in_word).min(in_word);
        let level = words[at] & ((1 << width) - 1);
        (((level * every) ^ words[at]) & ones(left * width) == 0).then_some(level)
    };
    with_length(out, |out| {
        let mut at = 0;
        while at < words.len() {
            let start = at;
            if let Some(level) = uniform(at) {
                while at < words.len() && uniform(at) == Some(level) {
                    at += 1;
                }
                let values = (at * in_word).min(count) - start * in_word;
                put_varint((values as u64) << 1, out);
                out.push(level as u8);
                continue;
            }
            while at < words.len() && uniform(at).is_none() {
                at += 1;
            }
            let groups = ((at * in_word).min(count) - start * in_word).div_ceil(8);
            put_varint((groups as u64) << 1 | 1, out);
            let mut left = groups * width;
            for word in &words[start..at] {
                out.extend_from_slice(&word.to_le_bytes()[..left.min(8)]);
                left -= left.min(8);
            }
        }
    });
}

/// Appends something behind its length in bytes.
fn with_length(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}
