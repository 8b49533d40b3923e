//! How are whole numbers written into a page? In as few bits as they need: runs and bit-packed groups, or differences.
//!
//! The forms are those of the Parquet format's `Encodings.md`: "RLE / bit-packing hybrid" and "delta encoding".

/// How many numbers of the hybrid are looked at together: a run is of so many at least.
const TOGETHER: usize = 64;

/// Numbers of a block of differences, and of each of its four parts, which have a width of their own.
const BLOCK: usize = 128;
const MINI: usize = 32;

/// The bits that `largest` takes.
pub(super) fn width_of(largest: u64) -> u32 {
    64 - largest.leading_zeros()
}

/// Appends a number in groups of seven bits.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Appends numbers of `width` bits each, lowest first, up to a whole byte.
fn put_packed(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0, 0);
    for value in values {
        word |= value << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = if filled == 0 { 0 } else { value >> (width - filled) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// Appends keys of a dictionary, of `width` bits (1 to 32) each: the hybrid, without a length in front.
pub(super) fn put_keys(keys: &[u32], width: u32, out: &mut Vec<u8>) {
    let same = |chunk: &[u32]| chunk.iter().all(|key| *key == chunk[0]);
    let mut rest = keys;
    while let Some(&first) = rest.first() {
        let mut length = 0;
        while length < rest.len() && rest[length] == first && same(&rest[length..rest.len().min(length + TOGETHER)]) {
            length = rest.len().min(length + TOGETHER);
        }
        if length > 0 {
            put_varint((length as u64) << 1, out);
            out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
        } else {
            length = TOGETHER.min(rest.len());
            while length < rest.len() && !same(&rest[length..rest.len().min(length + TOGETHER)]) {
                length = rest.len().min(length + TOGETHER);
            }
            let groups = length.div_ceil(8);
            put_varint((groups as u64) << 1 | 1, out);
            let padding = std::iter::repeat_n(0, groups * 8 - length);
            put_packed(rest[..length].iter().map(|&key| u64::from(key)).chain(padding), width, out);
        }
        rest = &rest[length..];
    }
}

/// Appends the differences of numbers: DELTA_BINARY_PACKED. Those of an INT32 column wrap as such.
pub(super) fn put_differences(values: impl ExactSizeIterator<Item = i64>, narrow: bool, out: &mut Vec<u8>) {
    let wrapped = |value: i64| if narrow { i64::from(value as i32) } else { value };
    let mut values = values;
    put_varint(BLOCK as u64, out);
    put_varint((BLOCK / MINI) as u64, out);
    put_varint(values.len() as u64, out);
    let mut before = values.next().unwrap_or_default();
    put_zigzag(before, out);
    let mut block = [0_i64; BLOCK];
    while values.len() > 0 {
        let length = values.len().min(BLOCK);
        for (place, value) in block.iter_mut().zip(&mut values.by_ref().take(length)) {
            *place = wrapped(value.wrapping_sub(before));
            before = value;
        }
        put_block(&block[..length], narrow, out);
    }
}

fn put_block(differences: &[i64], narrow: bool, out: &mut Vec<u8>) {
    let least = differences.iter().copied().min().unwrap_or_default();
    let above = |difference: &i64| {
        let above = difference.wrapping_sub(least) as u64;
        if narrow { u64::from(above as u32) } else { above }
    };
    put_zigzag(least, out);
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / MINI]);
    for (at, mini) in differences.chunks(MINI).enumerate() {
        let width = width_of(mini.iter().map(above).fold(0, |all, one| all | one));
        out[widths + at] = width as u8;
        let padding = std::iter::repeat_n(0, MINI - mini.len());
        put_packed(mini.iter().map(above).chain(padding), width, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The hybrid read back, plainly.
    fn keys_of(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut keys = Vec::new();
        while keys.len() < count {
            let header = take_varint(&mut bytes);
            if header & 1 == 1 {
                let (packed, behind) = bytes.split_at((header >> 1) as usize * width as usize);
                keys.extend((0..(header as usize >> 1) * 8).map(|at| unpacked(packed, width, at) as u32));
                bytes = behind;
            } else {
                let (value, behind) = bytes.split_at(width.div_ceil(8) as usize);
                let key = value.iter().rev().fold(0, |key, &byte| key << 8 | u32::from(byte));
                keys.extend(std::iter::repeat_n(key, (header >> 1) as usize));
                bytes = behind;
            }
        }
        assert!(bytes.is_empty() && keys[count..].iter().all(|&key| key == 0));
        keys.truncate(count);
        keys
    }

    fn take_varint(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let value = bytes[..=end].iter().rev().fold(0, |value, &byte| value << 7 | u64::from(byte & 0x7f));
        *bytes = &bytes[end + 1..];
        value
    }

    fn unpacked(packed: &[u8], width: u32, at: usize) -> u64 {
        (0..width as usize).fold(0, |value, bit| {
            let place = at * width as usize + bit;
            value | u64::from(packed[place / 8] >> (place % 8) & 1) << bit
        })
    }

    /// The differences read back, plainly.
    fn numbers_of(mut bytes: &[u8], narrow: bool) -> Vec<i64> {
        let unzigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
        assert_eq!((take_varint(&mut bytes), take_varint(&mut bytes)), (128, 4));
        let count = take_varint(&mut bytes) as usize;
        let mut numbers = vec![unzigzag(take_varint(&mut bytes))];
        while numbers.len() < count {
            let least = unzigzag(take_varint(&mut bytes));
            let (widths, behind) = bytes.split_at(4);
            bytes = behind;
            for &width in widths {
                assert!(width <= if narrow { 32 } else { 64 });
                let (packed, behind) =
                    bytes.split_at(4 * usize::from(width).min(if numbers.len() < count { 64 } else { 0 }));
                bytes = behind;
                for at in 0..MINI.min(count - numbers.len()) {
                    let next =
                        numbers[numbers.len() - 1]
                            .wrapping_add(least)
                            .wrapping_add(unpacked(packed, width.into(), at) as i64);
                    numbers.push(if narrow { i64::from(next as i32) } else { next });
                }
            }
        }
        numbers.truncate(count);
        assert!(bytes.is_empty());
        numbers
    }

    proptest! {
        #[test]
        fn keys_come_back(parts in proptest::collection::vec((0..5000_u32, 1..200_usize, any::<bool>()), 1..8)) {
            let keys: Vec<u32> = parts
                .iter()
                .flat_map(|&(key, count, run)| (0..count).map(move |at| if run { key } else { key + at as u32 % 7 }))
                .collect();
            let width = width_of(u64::from(*keys.iter().max().unwrap())).max(1);
            let mut out = Vec::new();
            put_keys(&keys, width, &mut out);
            prop_assert_eq!(keys_of(&out, width, keys.len()), keys);
        }

        #[test]
        fn differences_come_back(wide: Vec<i64>, near in proptest::collection::vec(-50..50_i64, 0..400), narrow: Vec<i32>) {
            for values in [wide, near] {
                let mut out = Vec::new();
                put_differences(values.iter().copied(), false, &mut out);
                prop_assert_eq!(numbers_of(&out, false)[..values.len()].to_vec(), values);
            }
            let values: Vec<i64> = narrow.into_iter().map(i64::from).collect();
            let mut out = Vec::new();
            put_differences(values.iter().copied(), true, &mut out);
            prop_assert_eq!(numbers_of(&out, true)[..values.len()].to_vec(), values);
        }
    }
}
