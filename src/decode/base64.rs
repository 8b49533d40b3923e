//! What bytes does a base64 text stand for?

use super::json::{Input, Text};

/// Appends the bytes of a base64 text; `false` if it is not the one standard form of them, with padding and without
/// stray bits, since only that comes back the same.
#[inline]
pub fn append(text: Text<'_, impl Input + ?Sized>, out: &mut Vec<u8>) -> bool {
    if !text.escaped && text.raw.as_bytes().len() <= SHORT {
        return decode_short(text.raw.as_bytes(), out);
    }
    decode_long(text, out)
}

#[inline(never)]
fn decode_long(text: Text<'_, impl Input + ?Sized>, out: &mut Vec<u8>) -> bool {
    let Some(encoded) = text.decode() else { return false };
    let encoded = encoded.as_bytes();
    // What the last character before the padding says beyond the last byte must be nothing.
    let canonical = encoded.len().is_multiple_of(4)
        && match encoded {
            [.., last, b'=', b'='] => matches!(last, b'A' | b'Q' | b'g' | b'w'),
            [.., last, b'='] => b"AEIMQUYcgkosw048".contains(last),
            _ => true,
        };
    canonical && base64_simd::STANDARD.decode_append(encoded, out).is_ok()
}

/// Up to here setting up wide registers takes longer than the work.
const SHORT: usize = 48;

/// What each character of base64 is worth; 64: nothing.
const WORTH: [u8; 256] = {
    let mut worth = [64; 256];
    let mut value = 0;
    while value < 64 {
        worth[b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[value] as usize] = value as u8;
        value += 1;
    }
    worth
};

/// The same for a short text without escapes.
fn decode_short(encoded: &[u8], out: &mut Vec<u8>) -> bool {
    let (groups, []) = encoded.as_chunks::<4>() else { return false };
    let (mut bytes, mut length, mut doubt) = ([0; SHORT / 4 * 3], 0, 0);
    let Some((last, groups)) = groups.split_last() else { return true };
    let mut put = |[a, b, c, d]: [u8; 4]| {
        let worth = [a, b, c, d].map(|letter| u32::from(WORTH[usize::from(letter)]));
        doubt |= worth[0] | worth[1] | worth[2] | worth[3];
        let [_, group @ ..] = (worth[0] << 18 | worth[1] << 12 | worth[2] << 6 | worth[3]).to_be_bytes();
        bytes[length..length + 3].copy_from_slice(&group);
        length += 3;
        group
    };
    for group in groups {
        put(*group);
    }
    let padding = match last {
        [_, _, b'=', b'='] => 2,
        [.., b'='] => 1,
        _ => 0,
    };
    let [a, b, c, d] = *last;
    // What stands for padding is worth nothing, and so must be what the character before it says beyond the last byte.
    let group = put([a, b, if padding == 2 { b'A' } else { c }, if padding > 0 { b'A' } else { d }]);
    let sound = doubt < 64 && group[3 - padding..].iter().all(|&byte| byte == 0);
    if sound {
        out.extend_from_slice(&bytes[..length - padding]);
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_base64_is_read_as_long_is(bytes in proptest::collection::vec(any::<u8>(), 0..36), odd in "[A-Za-z0-9+/=é*]{0,12}") {
            for encoded in [base64_simd::STANDARD.encode_to_string(&bytes), odd] {
                let (mut short, mut long) = (vec![7], vec![7]);
                let text = Text { raw: encoded.as_str(), escaped: false };
                prop_assert_eq!(decode_short(encoded.as_bytes(), &mut short), decode_long(text, &mut long), "{}", encoded);
                prop_assert_eq!(short, long);
            }
        }
    }
}
