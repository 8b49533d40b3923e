//! How are a few bytes copied without a call?

/// Appends what stands between two offsets. Most is short: copying a little too much and forgetting it again is several
/// times faster than copying exactly.
#[inline(always)]
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8], from: usize, to: usize) {
    let length = to - from;
    if length <= 32
        && let Some(chunk) = bytes.get(from..).unwrap_or_default().first_chunk::<32>()
    {
        let end = out.len() + length;
        out.extend_from_slice(chunk);
        out.truncate(end);
    } else {
        out.extend_from_slice(&bytes[from..to]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_what_was_meant() {
        let bytes: Vec<u8> = (0..80).collect();
        for from in 0..80 {
            for to in from..80 {
                let mut out = vec![200];
                put(&mut out, &bytes, from, to);
                assert_eq!((out[0], &out[1..]), (200, &bytes[from..to]));
            }
        }
    }
}
