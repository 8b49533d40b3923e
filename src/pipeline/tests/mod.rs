//! What the pipeline file promises as a whole: right files, wrong files, any file, and the files of the repository.

mod any_text;
mod handlers;
mod repository;
mod right;
mod wrong;
mod wrong_together;
mod wrong_values;

use super::Pipeline;

/// Reads a file that is right.
fn right(text: &str) -> Pipeline {
    super::read("x.toml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A file that is wrong has these problems, one per line as `LINE:COLUMN: KEY: …`. A line break at the start of
/// either text does not count.
fn says(text: &str, expected: &str) {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let problems = super::read("x.toml", text).expect_err(text);
    let lines = problems.iter().map(|problem| problem.to_string().replacen("x.toml:", "", 1) + "\n");
    assert_eq!(lines.collect::<String>(), expected.trim_start_matches('\n'), "{text}");
}
