//! What does `watershed check` print?

use std::io::{self, Write};
use std::path::Path;

use super::load::text_of;
use super::problem::Problem;
use super::text::printable;
use crate::cli::{EXIT_DONE, EXIT_WRONG};

/// Reads every file and prints to `out` a line for each that is right, every mistake of the others, and the sum. The
/// answer is the exit code: [`EXIT_DONE`] if all files are right, else [`EXIT_WRONG`]. Nothing but the files is
/// touched, no network.
pub fn check<P: AsRef<Path>>(paths: &[P], out: &mut dyn Write) -> io::Result<u8> {
    let (mut problems, mut wrong_files) = (0, 0);
    for path in paths {
        let wrong = check_file(path.as_ref(), out)?;
        problems += wrong;
        wrong_files += usize::from(wrong > 0);
    }
    if problems == 0 {
        return Ok(EXIT_DONE);
    }
    writeln!(out, "{} in {}", count(problems, "problem"), count(wrong_files, "file"))?;
    Ok(EXIT_WRONG)
}

/// Checks one file and answers how many problems it has.
fn check_file(path: &Path, out: &mut dyn Write) -> io::Result<usize> {
    let name = path.display().to_string();
    let (problems, text): (Vec<Problem>, String) = match text_of(path) {
        Err(unreadable) => (vec![unreadable.problem], unreadable.text),
        Ok(text) => match super::read(&name, &text) {
            Err(problems) => (problems, text),
            Ok(pipeline) => {
                let handlers: Vec<&str> = pipeline.handlers.iter().map(|handler| handler.name.as_str()).collect();
                let handlers =
                    if handlers.is_empty() { String::new() } else { format!(", handlers {}", handlers.join(", ")) };
                let said =
                    format!("{name}: ok (source {}, lake {}{handlers})", pipeline.source.origin, pipeline.lake.path);
                writeln!(out, "{}", printable(&said))?;
                return Ok(0);
            }
        },
    };
    for problem in &problems {
        writeln!(out, "{}", problem.render(&text))?;
    }
    Ok(problems.len())
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[(&str, &str)]) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            std::fs::write(path, text).unwrap();
        }
        let mut out = Vec::new();
        let code = check(&paths, &mut out).unwrap();
        let folder = format!("{}/", folder.path().display());
        (code, String::from_utf8(out).unwrap().replace(&folder, ""))
    }

    const RIGHT: &str = "name = 'a'\nsource = { type = 'file', path = 'in' }\nlake = { path = 's3://bucket/x/' }\n";

    #[test]
    fn right_files_are_one_line_each() {
        let (code, out) = checked(&[("a.toml", RIGHT), ("b.toml", RIGHT)]);
        let line = "ok (source file in, lake s3://bucket/x)";
        assert_eq!((code, out), (0, format!("a.toml: {line}\nb.toml: {line}\n")));
    }

    #[test]
    fn every_problem_of_every_file_is_shown() {
        let wrong = "[lake]\r\n\tpath = 's3://'\r\n\tpartiton_by = []\r\n";
        let (code, out) = checked(&[("a.toml", RIGHT), ("b.toml", wrong), ("c.toml", "name =")]);
        let expected = "\
a.toml: ok (source file in, lake s3://bucket/x)
error: name: missing
 --> b.toml:1:1
  |
1 | [lake]
  | ^ expected a name such as \"forum\": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit

error: source: missing
 --> b.toml:1:1
  |
1 | [lake]
  | ^ expected a table `[source]`

error: lake.path: found \"s3://\"
 --> b.toml:2:9
  |
2 | \tpath = 's3://'
  | \t       ^^^^^^^ expected a folder, or \"s3://BUCKET/PREFIX\"
  = help: the bucket's name is missing

error: lake.partiton_by: unknown key
 --> b.toml:3:2
  |
3 | \tpartiton_by = []
  | \t^^^^^^^^^^^
  = help: did you mean `partition_by`?

error: not TOML: string values must be quoted, expected literal string
 --> c.toml:1:7
  |
1 | name =
  |       ^

5 problems in 2 files
";
        assert_eq!(out, expected);
        assert_eq!(code, 2);
    }
}
