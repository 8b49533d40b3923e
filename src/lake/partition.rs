//! How a value becomes one segment of a path: Hive's `column=value` folders, and the names of tables and shards.
//!
//! Escaped once, as Hive and Spark do it, so that every reader finds the value again. On top of that, distinct values
//! always give distinct segments, and no segment leaves its folder or outgrows a file system's 255 bytes.

use sha2::{Digest as _, Sha256};

/// The folder of rows without a value, in Hive, Spark, Athena and DuckDB.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The longest escaped value or name, in bytes; longer ones are cut and end in a hash. File systems allow 255 per
/// segment, and a column's name, or a file's number and ending, stands beside the value.
pub const MAX_ESCAPED: usize = 200;

/// `~` and 16 hexadecimal digits: the end of a value that was cut.
const CUT_MARK: usize = 17;

/// Whether an attribute's name leaves room for any value in a folder's name: 255 bytes, less `=` and the longest value.
pub fn names_a_folder(column: &str) -> bool {
    escaped(column).len() <= 255 - 1 - MAX_ESCAPED
}

/// The folder of the rows whose `column` has this `value`: `column=value`, escaped. `None` and the empty string share
/// [`DEFAULT_PARTITION`], as Hive wants it; otherwise distinct values give distinct folders.
///
/// The column's name is escaped, never cut: readers take it for the column's name.
pub fn segment(column: &str, value: Option<&str>) -> String {
    let value = value.unwrap_or_default();
    let escaped = match value {
        "" => DEFAULT_PARTITION.to_owned(),
        // As whole segments these two walk the file system. Here `column=` stands in front, but readers and tools
        // also take values out of the path.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        // A value that only looks like a missing one. (The last character, since one Spark version forgets to unescape
        // a value that starts with an escape.)
        DEFAULT_PARTITION => "__HIVE_DEFAULT_PARTITION_%5F".to_owned(),
        _ => limited(escaped(value), value),
    };
    format!("{}={escaped}", self::escaped(column))
}

/// The folder of a table, or the part of a file's name that names a shard. Escaped like a partition's value; a leading
/// `_` or `.` too, because Hive, Spark and Athena skip such folders, and so that none collides with `_watershed`.
pub fn name_segment(name: &str) -> String {
    let escaped = escaped(name);
    let escaped = match escaped.as_bytes().first() {
        None => return DEFAULT_PARTITION.to_owned(),
        Some(b'_') => format!("%5F{}", &escaped[1..]),
        Some(b'.') => format!("%2E{}", &escaped[1..]),
        Some(_) => escaped,
    };
    limited(escaped, name)
}

/// What was escaped: every `%` with two hexadecimal digits behind it becomes that character, any other stays. A value
/// that was cut does not come back; the rows themselves hold it.
pub fn unescape(segment: &str) -> String {
    let mut value = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, behind)) = rest.split_once('%') {
        value.push_str(before);
        let digits = behind.as_bytes().first_chunk::<2>().filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        match digits.and_then(|two| str::from_utf8(two).ok()).and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(code) => {
                value.push(char::from(code));
                rest = &behind[2..];
            }
            None => {
                value.push('%');
                rest = behind;
            }
        }
    }
    value.push_str(rest);
    value
}

/// Hive's escapes. `%` is one of them, so this can be undone.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if c <= '\u{1f}' || c == '\u{7f}' || "\"#%'*/:=?\\{[]^".contains(c) {
            escaped.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Cuts an escaped value that is too long and marks it with a hash of the whole. A value that ends like such a mark by
/// itself gets its `~` escaped, so that it is never taken for a cut one.
fn limited(mut escaped: String, value: &str) -> String {
    if ends_like_a_cut(&escaped) {
        let tilde = escaped.len() - CUT_MARK;
        escaped.replace_range(tilde..=tilde, "%7E");
    }
    if escaped.len() <= MAX_ESCAPED {
        return escaped;
    }
    let mut end = escaped.floor_char_boundary(MAX_ESCAPED - CUT_MARK);
    // Each `%` starts an escape of three bytes: do not leave one or two of them.
    if let Some(percent) = escaped.as_bytes()[..end].iter().rposition(|&b| b == b'%').filter(|at| at + 3 > end) {
        end = percent;
    }
    escaped.truncate(end);
    escaped.push('~');
    for byte in &Sha256::digest(value.as_bytes())[..8] {
        escaped.push_str(&format!("{byte:02x}"));
    }
    escaped
}

fn ends_like_a_cut(escaped: &str) -> bool {
    let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    escaped.as_bytes().last_chunk::<CUT_MARK>().is_some_and(|end| end[0] == b'~' && end[1..].iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_escaped_as_hive_does_it() {
        for (value, expected) in [
            ("2026-11-20", "k=2026-11-20"),
            ("a/b=c", "k=a%2Fb%3Dc"),
            ("10:30", "k=10%3A30"),
            ("100%", "k=100%25"),
            ("", "k=__HIVE_DEFAULT_PARTITION__"),
            ("a b+c&d<e>|}~", "k=a b+c&d<e>|}~"),
            ("Zoë/日本", "k=Zoë%2F日本"),
            ("\0\n\u{7f}", "k=%00%0A%7F"),
            ("\"#'*?\\{[]^", "k=%22%23%27%2A%3F%5C%7B%5B%5D%5E"),
            (".", "k=%2E"),
            ("..", "k=%2E%2E"),
            ("...", "k=..."),
            ("__HIVE_DEFAULT_PARTITION__", "k=__HIVE_DEFAULT_PARTITION_%5F"),
            ("a~0123456789abcdef", "k=a%7E0123456789abcdef"),
        ] {
            assert_eq!(segment("k", Some(value)), expected);
        }
        assert_eq!(segment("a=b", None), "a%3Db=__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_escapes() {
        for value in ["x".repeat(201), "é".repeat(300), "/".repeat(300), format!("x{}", "/".repeat(300))] {
            let segment = segment("k", Some(&value));
            let escaped = &segment[2..];
            assert!(escaped.len() <= MAX_ESCAPED && escaped.len() > MAX_ESCAPED - 4, "{segment}");
            let kept = &escaped[..escaped.len() - CUT_MARK];
            assert!(value.starts_with(&unescape(kept)), "{segment}");
        }
        let hash = &segment("k", Some(&"x".repeat(201)))[2 + 184..];
        assert_eq!(hash, "84a0678c90937f5d");
        assert_eq!(segment("k", Some(&"x".repeat(200))), format!("k={}", "x".repeat(200)));
    }

    #[test]
    fn names_are_never_hidden_folders() {
        for (name, expected) in [
            ("Reply", "Reply"),
            ("shardId-000000000000", "shardId-000000000000"),
            ("_watershed", "%5Fwatershed"),
            (".", "%2E"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("a/../b", "a%2F..%2Fb"),
            ("", DEFAULT_PARTITION),
            (DEFAULT_PARTITION, "%5F_HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(name_segment(name), expected);
        }
    }

    #[test]
    fn a_lone_percent_stays() {
        for (escaped, value) in
            [("%", "%"), ("50%", "50%"), ("%2", "%2"), ("%zz", "%zz"), ("%é", "%é"), ("%2f%2F", "//")]
        {
            assert_eq!(unescape(escaped), value);
        }
        assert_eq!(unescape("%+1"), "%+1", "a sign is no hexadecimal digit");
    }

    /// Values that try: any text, the special characters, long ones that share a beginning, and what the functions
    /// themselves produce.
    fn value() -> impl Strategy<Value = String> {
        let plain = prop_oneof![
            any::<String>(),
            "[./%=~_ A-F0-9\\x00-\\x1f]{0,12}",
            "[%/é~]{150,260}",
            "x{195,205}[/~]?",
            "[a-f~]{0,3}~[0-9a-f]{15,17}",
            Just(DEFAULT_PARTITION.to_owned()),
        ];
        (plain, 0..3u8).prop_map(|(value, times)| {
            (0..times).fold(value, |value, _| segment("k", Some(&value))["k=".len()..].to_owned())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn distinct_values_give_distinct_segments(a in value(), b in value()) {
            prop_assert_eq!(a == b, segment("k", Some(&a)) == segment("k", Some(&b)));
            prop_assert_eq!(a == b, name_segment(&a) == name_segment(&b));
        }

        #[test]
        fn a_value_and_what_it_is_escaped_to_are_told_apart(a in value()) {
            let escaped = segment("k", Some(&a))["k=".len()..].to_owned();
            if escaped != a && !a.is_empty() {
                prop_assert_ne!(segment("k", Some(&escaped)), segment("k", Some(&a)));
            }
        }

        #[test]
        fn a_segment_is_one_harmless_name(a in value(), column in value()) {
            for segment in [segment(&column, Some(&a)), name_segment(&a), segment("", Some(&a))[1..].to_owned()] {
                prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                prop_assert!(!segment.contains(['/', '\0', '\\']));
            }
            prop_assert!(segment("k", Some(&a)).len() <= MAX_ESCAPED + 2);
            prop_assert!(name_segment(&a).len() <= MAX_ESCAPED && !name_segment(&a).starts_with("_w"));
        }

        #[test]
        fn what_was_not_cut_comes_back(a in value(), column in value()) {
            let whole = segment(&column, Some(&a));
            let (name, escaped) = whole.split_once('=').expect("the first = is the separator");
            prop_assert_eq!(unescape(name), column);
            if !a.is_empty() && !ends_like_a_cut(escaped) {
                prop_assert_eq!(unescape(escaped), a.clone());
            }
            if !a.is_empty() && !ends_like_a_cut(&name_segment(&a)) {
                prop_assert_eq!(unescape(&name_segment(&a)), a);
            }
        }
    }
}
