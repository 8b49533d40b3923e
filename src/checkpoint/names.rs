//! How does a stream, shard or sink become part of a file name or table key, so that no two of them meet?

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Writes `name` so that only `[A-Za-z0-9_-]` and `%` are left: every other byte becomes `%XX`. What would be longer
/// than `limit` bytes is cut, and `%-` and the SHA-256 of the whole name take the rest's place.
///
/// Different names stay different: the escaping can be undone, `%-` and a lone `%` (the empty name) never come out of
/// it, and names that were cut differ in the hash. `limit` must leave room for the hash (66 bytes).
pub(crate) fn escape(name: &str, limit: usize) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(char::from(byte)),
            // Writing to a String cannot fail.
            other => _ = write!(escaped, "%{other:02X}"),
        }
    }
    if escaped.len() > limit {
        escaped.truncate(limit.saturating_sub(66));
        escaped.push_str("%-");
        for byte in Sha256::digest(name.as_bytes()) {
            _ = write!(escaped, "{byte:02x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;
    use proptest::prelude::*;

    #[test]
    fn names_are_readable_and_safe() {
        assert_eq!(escape("shardId-00000001541626099285-f35f62ef", 100), "shardId-00000001541626099285-f35f62ef");
        assert_eq!(escape("arn:aws:dynamodb/x", 100), "arn%3Aaws%3Adynamodb%2Fx");
        assert_eq!(escape("..", 100), "%2E%2E");
        assert_eq!(escape("é", 100), "%C3%A9");
        assert_eq!(escape("", 100), "%");
        assert_eq!(escape("%", 100), "%25");
    }

    #[test]
    fn a_long_name_is_cut_to_the_limit_and_keeps_its_start() {
        let (a, b) = (escape(&"a".repeat(101), 100), escape(&"a".repeat(102), 100));
        assert_eq!((a.len(), b.len()), (100, 100));
        assert!(a.starts_with("aaaa"));
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn different_names_stay_different(a in "[aA%/.\u{e9}-]{0,60}", b in "[aA%/.\u{e9}-]{0,60}") {
            prop_assert_eq!(a == b, escape(&a, 80) == escape(&b, 80));
        }

        #[test]
        fn only_harmless_bytes_come_out(name in ".{0,200}") {
            let escaped = escape(&name, 90);
            prop_assert!(escaped.len() <= 90);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-%".contains(&b)));
        }
    }
}
