//! Holds types to their text: what is written reads back, what is wrong is told with its place and its cure.

use proptest::prelude::*;

use super::*;
use crate::testing::column_types::any_type;

proptest! {
    #[test]
    fn a_type_reads_back_as_it_was_written(column in any_type()) {
        prop_assert_eq!(column.to_string().parse::<ColumnType>(), Ok(column));
    }

    #[test]
    fn any_text_is_answered(
        text in "\\PC{0,20}|(list<)?decimal\\([0-9, -]{0,8}\\)>?|(list<|struct<|[ab`]|: |, |>|string|json|é){0,12}"
    ) {
        match text.parse::<ColumnType>() {
            Ok(column) => prop_assert_eq!(column.to_string().parse::<ColumnType>(), Ok(column)),
            Err(wrong) => prop_assert!(text.get(wrong.part.clone()).is_some(), "{:?}", wrong),
        }
    }
}

#[test]
fn the_spellings_for_people_are_the_types_there_are() {
    for spelling in SCALAR_TYPES.into_iter().chain([
        "list<string>",
        "list<list<decimal(p,s)>>",
        "struct<Lang: string, Score: decimal(p,s), `First name`: json, `a``b`: list<bool>>",
        "list<struct<Sku: string, Qty: int64>>",
        "struct<list: string, string: int64, 1: bool, a-b: bool>",
    ]) {
        let text = spelling.replace("(p,s)", "(3,1)");
        assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
    }
}

#[test]
fn white_space_counts_inside_names_only() {
    let spaced = " struct < a:string ,` b `\t: list <\n decimal ( 3 , 1 ) > > ".parse::<ColumnType>().unwrap();
    assert_eq!(spaced.to_string(), "struct<a: string, ` b `: list<decimal(3,1)>>");
}

/// The part that is wrong, and the cure.
fn wrong(text: &str) -> (String, String) {
    let wrong = text.parse::<ColumnType>().unwrap_err();
    (text[wrong.part].to_owned(), wrong.cure.unwrap_or_default())
}

#[test]
fn wrong_types_are_told_what_to_write() {
    for (text, cure) in [
        ("boolean", "did you mean `bool`?"),
        ("Strnig", "did you mean `string`?"),
        ("NUMBER", "did you mean `decimal(38,9)`?"),
        ("decimal(10)", "for example `decimal(10,2)`"),
        ("decimal(10,2", "for example `decimal(10,2)`"),
        ("decimal(39,0)", "for example `decimal(10,2)`"),
        ("decimal(0,0)", "for example `decimal(10,2)`"),
        ("decimal(2,3)", "for example `decimal(10,2)`"),
        ("decimal(300,-1)", "for example `decimal(10,2)`"),
        ("list", "for example `list<string>`"),
        ("lsit", "did you mean a list, for example `list<string>`?"),
        ("list<>", "for example `list<string>`"),
        ("struct", "name its fields, for example `struct<Name: string, Tags: list<string>>`"),
        ("struct<>", "name its fields, for example `struct<Name: string, Tags: list<string>>`"),
        ("zzzzzzzzzzzz", ""),
    ] {
        assert_eq!(wrong(text), (text.to_owned(), cure.to_owned()));
    }
}

#[test]
fn a_mistake_inside_is_told_by_its_place() {
    for (text, part, cure) in [
        ("list<strin>", "strin", "did you mean `string`?"),
        ("list<map>", "map", "did you mean `json`?"),
        ("array<string>", "array", "did you mean `list<type>`?"),
        ("list<ROW<a: string>>", "ROW", "did you mean `struct<name: type>`?"),
        ("option<string>", "option", "only `list<type>` and `struct<name: type>` hold other types"),
        ("list<list<string>", "list<", "close it with `>`"),
        ("struct<a: string, b: list<int64>", "struct<", "close it with `>`"),
        ("struct<a: string,", "struct<", "close it with `>`"),
        ("list<string>>", ">", "remove `>`"),
        ("string  null ", "string  null", ""),
        ("list<string, int64>", ",", "close the list with `>` behind it"),
        ("struct<a: string, >", ">", "write `name: type`"),
        ("struct<: string>", ":", "write `name: type`"),
        ("struct<a string>", "a", "write `a: string`, for example"),
        ("struct<a, b: string>", "a", "write `a: string`, for example"),
        ("struct<a: >", ">", "for example `string`"),
        ("struct<a: decimal(9)>", "decimal(9)", "for example `decimal(10,2)`"),
        ("struct<First name: string>", "First name", "write `` `First name`: type ``"),
        ("struct<é: string>", "é", "write `` `é`: type ``"),
        ("struct<`a: string>", "`a: string>", "close it with `` ` ``"),
        ("struct<a: string `b`: json>", "`", ""),
        ("struct<``: string>", "``", ""),
        ("struct<a: string, b: json, a: bool>", "a", "name it once"),
        ("struct<Sku: string, `sku`: bool>", "`sku`", "keep one of them, or declare the map as `json`"),
    ] {
        assert_eq!(wrong(text), (part.to_owned(), cure.to_owned()), "{text}");
    }
    assert_eq!("struct<a: string, a: bool>".parse::<ColumnType>().unwrap_err().part, 18..19);
}

#[test]
fn depth_and_names_are_bounded() {
    let deep = |depth: usize| format!("{}string{}", "list<".repeat(depth), ">".repeat(depth)).parse::<ColumnType>();
    assert!(deep(MAX_TYPE_DEPTH).is_ok());
    for depth in [MAX_TYPE_DEPTH + 1, 100_000] {
        let wrong = deep(depth).unwrap_err();
        assert_eq!(wrong.cure.as_deref(), Some("declare the inner ones as `json`"));
        assert_eq!(wrong.part.start, 5 * MAX_TYPE_DEPTH);
    }
    let named = |length: usize| format!("struct<{}: string>", "x".repeat(length)).parse::<ColumnType>();
    assert!(named(MAX_FIELD_NAME).is_ok() && named(MAX_FIELD_NAME + 1).is_err());
}
