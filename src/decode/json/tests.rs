//! Does the walker accept what a JSON parser accepts, and find where values end?

use super::*;
use proptest::prelude::*;

fn whole(text: &str) -> Result<&str, Malformed> {
    let mut cursor = Cursor::new(text);
    let value = cursor.value()?;
    cursor.end()?;
    Ok(value)
}

#[test]
fn accepts_what_serde_json_accepts() {
    for text in [
        "{}",
        "[]",
        "[1,2]",
        r#"{"a":{"b":[true,false,null]}}"#,
        " [ 1 , \"x\" ] ",
        r#""\u00e9\"\\""#,
        "-0.5e+3",
        "[1,]",
        "{,}",
        r#"{"a":1,}"#,
        "01",
        "1.",
        ".5",
        "+1",
        "\"\t\"",
        r#""\x""#,
        "[",
        "{\"a\"}",
        "tru",
        "nul",
        "\"",
        "1 2",
        "",
        "[}",
        "{]",
        r#"{"a":1"b":2}"#,
        "[1 2]",
        "-",
        "1e",
        r#""\u12g4""#,
    ] {
        let expected = serde_json::from_str::<&serde_json::value::RawValue>(text);
        assert_eq!(whole(text).is_ok(), expected.is_ok(), "{text}: {:?}", whole(text));
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(whole(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(whole(&nested(MAX_DEPTH + 1)).unwrap_err().what, "nested too deeply");
    assert!(whole(&nested(1_000_000)).is_err());
}

fn extent(text: &str) -> Result<&str, Malformed> {
    let range = Cursor::new(text).value_unchecked();
    assert_eq!(Cursor::of_bytes(text.as_bytes()).value_unchecked().ok(), range.ok().map(str::as_bytes));
    range
}

#[test]
fn a_skipped_value_ends_where_it_ends() {
    for (text, value) in [
        (r#" {"a":"}]"} ,"#, r#"{"a":"}]"}"#),
        (r#"["\"",{}]]"#, r#"["\"",{}]"#),
        (r#""\\" "x""#, r#""\\""#),
        ("-1.5E+9]", "-1.5E+9"),
        ("null}", "null"),
    ] {
        assert_eq!(extent(text), Ok(value));
    }
    let long = format!(r#""{}\"{}"!"#, "x".repeat(40), "y".repeat(70));
    assert_eq!(extent(&long), Ok(&long[..long.len() - 1]));
}

#[test]
fn what_does_not_close_is_refused() {
    for text in ["", "{", r#""abc"#, r#"""#, r#""a\"#, r#"{"a":[}"#, "?", r#""\"#] {
        assert!(extent(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_of_what_is_not_checked_is_bounded() {
    let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
    assert!(extent(&nested(256)).is_ok());
    assert!(extent(&nested(257)).is_err());
}

#[test]
fn names_with_escapes_are_compared_by_what_they_spell() {
    let mut cursor = Cursor::of_bytes(br#"{"Re\u0063ords":1,"x":2}"#);
    let mut members = Members::open(&mut cursor).unwrap();
    assert!(members.next_unchecked(&mut cursor).unwrap().unwrap().is("Records"));
    cursor.value_unchecked().unwrap();
    assert!(!members.next_unchecked(&mut cursor).unwrap().unwrap().is("Records"));
    cursor.value_unchecked().unwrap();
    assert!(members.next_unchecked(&mut cursor).unwrap().is_none());
    cursor.end().unwrap();
}

proptest! {
    #[test]
    fn strings_come_back(text in any::<String>(), before in "[a-z]{0,9}") {
        let json = format!("{}{}", serde_json::to_string(&before).unwrap(), serde_json::to_string(&text).unwrap());
        let mut cursor = Cursor::new(&json);
        prop_assert!(cursor.string().unwrap().is(&before));
        prop_assert_eq!(cursor.string().unwrap().decode().unwrap(), text);
    }

    #[test]
    fn never_panics_and_agrees_with_serde_json(text in r#"[\[\]{}",:\\ 0-9a-funtrls.eE+-]{0,24}"#) {
        let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        prop_assert_eq!(whole(&text).is_ok(), expected.is_ok());
        let _ = Cursor::new(&text).object_unchecked();
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = Cursor::of_bytes(&bytes).value_unchecked();
        let _ = Cursor::of_bytes(&bytes).string_unchecked();
    }

    #[test]
    fn any_json_text_is_skipped_whole(text in r#"("([a-z\\]|\\u00e9|\\"){0,80}"|\[("[^"\\]{0,50}"|\{\}|,)*\])"#) {
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert_eq!(extent(&text), Ok(text.as_str()));
        }
    }
}
