//! Whatever stands in the file, reading answers, and every problem points into the file.

use proptest::prelude::*;

use crate::pipeline::{Problem, read};

/// Texts that are nearly pipeline files: their lines in any order, cut and mixed with noise.
fn nearly() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[source]"),
        Just("[lake]"),
        Just("[lake.tables.Reply]"),
        Just("[lake.tables.\"a.b\".columns]"),
        Just("[lake.roll]"),
        Just("[[handlers]]"),
        Just("[handlers]"),
        Just("handlers = [{}, 1]"),
        Just("type = 'webhook'"),
        Just("type = 'dynamodb'"),
        Just("url = 'https://[::ffff:10.0.0.1]:ü'"),
        Just("secret = ['env:A', 'whsec_ü']"),
        Just("filter = [{ a = inf }, '{', 'file:\0']"),
        Just("filter.a.b = ['🌙', 2026-11-20]"),
        Just("[[handlers.filter]]"),
        Just("template = '{% if'"),
        Just("command = ['a', 1]"),
        Just("[[source]]"),
        Just("name = \"forum\""),
        Just("name.x = 1"),
        Just("type = \"kinesis\""),
        Just("type = 'file'"),
        Just("path = ['a', 'lake/ü', 3]"),
        Just("tables = [\"Reply\", 1, 'Reply']"),
        Just("stream = \"arn:aws:kinesis:::\""),
        Just("start = 2026-11-20T08:15:30"),
        Just("memory = -1"),
        Just("memory = \"18446744073709551616 EiB\""),
        Just("poll = \"18446744073709551615s 1000000000ns\""),
        Just("poll = \"1s 🌙\""),
        Just("roll = { age = \"1h\", idle = '2h', \"ключ\" = 1 }"),
        Just("columns = { Id = 'double', Rating = \"decimal(3,1)\" }"),
        Just("columns.Id = 'list<'"),
        Just("columns.Id = \"struct<é: list<strin>, `\\u0041: json>\""),
        Just("keys = ['Id', '']"),
        Just("partition_by = ['day', 'Day']"),
        Just("max_columns = 9223372036854775807"),
        Just("x = \"\"\"\r\nmany\r\nlines\"\"\""),
        Just("\u{feff}"),
        Just("# ä 🌙"),
        Just("listen = \"[::1]:0\""),
    ];
    let ending = prop_oneof![4 => Just("\n"), 2 => Just("\r\n"), 1 => Just(" "), 1 => Just("\r")];
    prop::collection::vec((line, "[ \t]{0,2}|\\PC{0,2}", ending), 0..14).prop_map(|lines| {
        lines.into_iter().flat_map(|(line, noise, ending)| [noise, line.to_owned(), ending.to_owned()]).collect()
    })
}

fn points_into(text: &str, problem: &Problem) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(place) = problem.place else { return false };
    let line = text.split('\n').nth(place.line.wrapping_sub(1));
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&place.column) && place.length > 0)
}

fn answers(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = read("x.toml", text) {
        prop_assert!(!problems.is_empty(), "refused without a reason");
        for problem in &problems {
            prop_assert!(points_into(text, problem), "{problem:?}");
            let rendered = problem.render(text);
            prop_assert!(!rendered.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{rendered:?}");
        }
        let places: Vec<_> =
            problems.iter().filter_map(|problem| problem.place).map(|at| (at.line, at.column)).collect();
        prop_assert!(places.is_sorted(), "not in the order of the file: {places:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answers(&text)?;
    }

    #[test]
    fn any_toml_like_text_is_answered(text in "[\\[\\]{}=.,'\"#a-z0-9_ \r\n\t\u{feff}ü-]{0,60}") {
        answers(&text)?;
    }

    #[test]
    fn any_file_that_is_nearly_right_is_answered(text in nearly()) {
        answers(&text)?;
    }

    #[test]
    fn any_cut_of_a_right_file_is_answered(at in 0usize..10_000) {
        let text = include_str!("../../../pipelines/quickstart.toml");
        answers(&text[..text.floor_char_boundary(at)])?;
    }
}

#[test]
fn deep_nesting_is_answered() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "a.".repeat(50_000), "{a=".repeat(50_000)]
    {
        assert!(answers(&text).is_ok());
    }
    let nested = format!("a = {}1{}", "{ b = ".repeat(5_000), "}".repeat(5_000));
    assert!(answers(&nested).is_ok());
}
