//! How do texts and byte strings become the body of a page, and which are the least and the greatest of it?

use parquet::basic::Encoding;

use super::bounds::Bounds;
use super::dictionary::Short;
use super::pack::put_differences;
use super::values::Source;

pub(super) struct Bytes<'a> {
    pub(super) offsets: &'a [i32],
    pub(super) data: &'a [u8],
}

impl<'a> Source for Bytes<'a> {
    type Item = &'a [u8];
    type Plain = &'a [u8];

    #[inline]
    fn at(&self, row: u32) -> &'a [u8] {
        &self.data[self.offsets[row as usize] as usize..self.offsets[row as usize + 1] as usize]
    }

    #[inline]
    fn plain(&self, item: &'a [u8]) -> &'a [u8] {
        item
    }

    #[inline]
    fn short(&self, row: u32) -> Option<Short> {
        let (from, to) = (self.offsets[row as usize] as usize, self.offsets[row as usize + 1] as usize);
        let length = to - from;
        if length > 16 {
            return None;
        }
        let bytes = match self.data.get(from..).and_then(|data| data.first_chunk::<16>()) {
            Some(chunk) => u128::from_le_bytes(*chunk) & u128::MAX.checked_shr(128 - 8 * length as u32).unwrap_or(0),
            None => {
                let mut chunk = [0; 16];
                chunk[..length].copy_from_slice(&self.data[from..to]);
                u128::from_le_bytes(chunk)
            }
        };
        Some(Short::new(bytes, length))
    }
}

impl Bytes<'_> {
    pub(super) fn put(&self, present: &[u32], encoding: Encoding, out: &mut Vec<u8>) -> (Encoding, Option<Bounds>) {
        match encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                put_differences(self.lengths(present), true, out);
                self.put_whole(present, out);
            }
            Encoding::DELTA_BYTE_ARRAY => self.put_differing(present, out),
            _ => {
                for &row in present {
                    let value = self.at(row);
                    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    out.extend_from_slice(value);
                }
                return (Encoding::PLAIN, self.bounds(present));
            }
        }
        (encoding, self.bounds(present))
    }

    fn lengths(&self, present: &[u32]) -> impl ExactSizeIterator<Item = i64> {
        present.iter().map(|&row| i64::from(self.offsets[row as usize + 1] - self.offsets[row as usize]))
    }

    /// The bytes of all values: at once, if rows without one have no bytes either.
    fn put_whole(&self, present: &[u32], out: &mut Vec<u8>) {
        let (Some(&first), Some(&last)) = (present.first(), present.last()) else { return };
        let (from, to) = (self.offsets[first as usize], self.offsets[last as usize + 1]);
        if self.lengths(present).sum::<i64>() == i64::from(to - from) {
            out.extend_from_slice(&self.data[from as usize..to as usize]);
        } else {
            present.iter().for_each(|&row| out.extend_from_slice(self.at(row)));
        }
    }

    /// DELTA_BYTE_ARRAY: how many bytes each has in common with the one before it, and the rest.
    fn put_differing(&self, present: &[u32], out: &mut Vec<u8>) {
        let mut before: &[u8] = &[];
        let shared: Vec<u32> = present
            .iter()
            .map(|&row| {
                let value = self.at(row);
                let shared = shared(before, value);
                before = value;
                shared
            })
            .collect();
        let suffix = |(&row, &shared): (&u32, &u32)| &self.at(row)[shared as usize..];
        put_differences(shared.iter().map(|&shared| i64::from(shared)), true, out);
        put_differences(present.iter().zip(&shared).map(|pair| suffix(pair).len() as i64), true, out);
        present.iter().zip(&shared).for_each(|pair| out.extend_from_slice(suffix(pair)));
    }

    fn bounds(&self, present: &[u32]) -> Option<Bounds> {
        let (&first, rest) = present.split_first()?;
        let (mut least, mut greatest) = (self.at(first), self.at(first));
        let (mut low, mut high) = (beginning(least), beginning(greatest));
        for &row in rest {
            let value = self.at(row);
            // Mostly the first bytes tell.
            let begin = beginning(value);
            if begin <= low && value < least {
                (least, low) = (value, begin);
            } else if begin >= high && value > greatest {
                (greatest, high) = (value, begin);
            }
        }
        Some(Bounds { least: least.to_vec(), greatest: greatest.to_vec() })
    }
}

/// The first eight bytes, as a number that compares like them.
#[inline]
fn beginning(value: &[u8]) -> u64 {
    match value.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..value.len()].copy_from_slice(value);
            u64::from_be_bytes(bytes)
        }
    }
}

/// How many bytes two values begin with alike.
fn shared(one: &[u8], other: &[u8]) -> u32 {
    let (ones, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let words = ones.iter().zip(others).take_while(|(a, b)| a == b).count() * 8;
    let bytes = one[words..].iter().zip(&other[words..]).take_while(|(a, b)| a == b).count();
    (words + bytes) as u32
}
