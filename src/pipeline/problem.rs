//! What does a mistake in a pipeline file look like to the one who has to mend it?

use std::fmt;

use super::text::printable;

/// One mistake in a pipeline file: where it is, what is there, what should be, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Where in the file; `None` if the file could not be read at all.
    pub place: Option<Place>,
    /// The path of the key (`lake.roll.age`); empty for a syntax error.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What was expected instead, where that is not obvious.
    pub expected: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
}

/// A piece of one line. Lines and columns count from 1, columns in characters, as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column of the first character; one past the last character for the end of the line.
    pub column: usize,
    /// How many characters it covers, at least 1.
    pub length: usize,
}

/// How many characters of a source line [`Problem::render`] shows at most.
const SHOWN_WIDTH: usize = 160;

impl Problem {
    /// The problem in several lines, with the line of `source` (the file's text) it is in and a mark under it:
    ///
    /// ```text
    /// error: lake.roll.agee: unknown key
    ///   --> pipelines/x.toml:12:3
    ///    |
    /// 12 |   agee = "60s"
    ///    |   ^^^^
    ///    = help: did you mean `age`?
    /// ```
    pub fn render(&self, source: &str) -> String {
        let mut lines = vec![format!("error: {}{}", self.prefix(), self.found)];
        let gutter = " ".repeat(self.place.map_or(1, |place| place.line.to_string().len()));
        lines.push(format!("{gutter}--> {}", self.position()));
        let mut expected = self.expected.as_deref().map(|expected| format!("expected {expected}"));
        if let Some(place) = self.place {
            let (line, mark) = excerpt(source, place);
            if !self.may_show_a_secret(&line) {
                lines.push(format!("{gutter} |"));
                lines.push(format!("{} | {line}", place.line).trim_end().to_owned());
                let expected = expected.take().unwrap_or_default();
                lines.push(format!("{gutter} | {mark} {expected}").trim_end().to_owned());
            }
        }
        lines.extend(expected.map(|expected| format!("{gutter} = note: {expected}")));
        lines.extend(self.cure.as_ref().map(|cure| format!("{gutter} = help: {cure}")));
        lines.join("\n") + "\n"
    }

    /// What stands on terminals and in the logs of builds is no place for a secret that somebody wrote into the file.
    fn may_show_a_secret(&self, line: &str) -> bool {
        let key = self.key.rsplit('.').next().unwrap_or_default();
        key == "secret" || key.starts_with("secret[") || line.contains("whsec_") || line.contains("whsk_")
    }

    fn prefix(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) }
    }

    fn position(&self) -> String {
        let file = printable(&self.file);
        match self.place {
            Some(place) => format!("{file}:{}:{}", place.line, place.column),
            None => file,
        }
    }
}

/// `pipelines/x.toml:12:3: lake.roll.agee: unknown key; did you mean `age`?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.position(), self.prefix(), self.found)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        match &self.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// The source line of a place, cut to what fits a screen, and the marks to print below it.
fn excerpt(source: &str, place: Place) -> (String, String) {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let line = source.split('\n').nth(place.line.saturating_sub(1)).unwrap_or_default();
    let line: Vec<char> = printable(line.strip_suffix('\r').unwrap_or(line)).chars().collect();
    let start = place.column.saturating_sub(1).min(line.len());
    let skipped = if line.len() <= SHOWN_WIDTH { 0 } else { start.saturating_sub(SHOWN_WIDTH / 4) };
    let shown: String = line.iter().skip(skipped).take(SHOWN_WIDTH).collect();
    // Tabs stay tabs, so that the mark stands where the terminal puts the character.
    let pad = line[skipped..start].iter().map(|c| if *c == '\t' { '\t' } else { ' ' });
    let length = place.length.clamp(1, (line.len() - start).clamp(1, SHOWN_WIDTH / 2));
    (shown, pad.chain(std::iter::repeat_n('^', length)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize, length: usize) -> Problem {
        Problem {
            file: "pipelines/x.toml".to_owned(),
            place: Some(Place { line, column, length }),
            key: "lake.roll.agee".to_owned(),
            found: "unknown key".to_owned(),
            expected: None,
            cure: Some("did you mean `age`?".to_owned()),
        }
    }

    #[test]
    fn one_line_for_logs_and_several_for_people() {
        let problem = problem(2, 3, 4);
        assert_eq!(problem.to_string(), "pipelines/x.toml:2:3: lake.roll.agee: unknown key; did you mean `age`?");
        let expected = [
            "error: lake.roll.agee: unknown key",
            " --> pipelines/x.toml:2:3",
            "  |",
            "2 |   agee = 1",
            "  |   ^^^^",
            "  = help: did you mean `age`?",
            "",
        ];
        assert_eq!(problem.render("[lake.roll]\r\n  agee = 1\r\n"), expected.join("\n"));
    }

    #[test]
    fn without_a_place_there_is_no_excerpt() {
        let problem =
            Problem { place: None, key: String::new(), expected: Some("a file".to_owned()), ..problem(1, 1, 1) };
        let expected = [
            "error: unknown key",
            " --> pipelines/x.toml",
            "  = note: expected a file",
            "  = help: did you mean `age`?",
            "",
        ];
        assert_eq!(problem.render(""), expected.join("\n"));
        assert_eq!(problem.to_string(), "pipelines/x.toml: unknown key; expected a file; did you mean `age`?");
    }

    #[test]
    fn tabs_controls_and_long_lines_do_not_move_the_mark() {
        assert_eq!(excerpt("\t\tage = 1", Place { line: 1, column: 3, length: 3 }).1, "\t\t^^^");
        let (line, mark) = excerpt("a\u{1b}[31m\u{202e}b", Place { line: 1, column: 8, length: 1 });
        assert_eq!((line.as_str(), mark.as_str()), ("a\u{fffd}[31m\u{fffd}b", "       ^"));
        let (line, mark) = excerpt(&"x".repeat(10_000), Place { line: 1, column: 5_001, length: 5_000 });
        assert_eq!((line.len(), mark.len()), (SHOWN_WIDTH, SHOWN_WIDTH / 4 + SHOWN_WIDTH / 2));
    }

    #[test]
    fn a_place_outside_of_the_text_does_no_harm() {
        for source in ["", "a", "\n\n", "\u{feff}"] {
            for (line, column, length) in [(0, 0, 0), (1, 1, 1), (9, 9, 9), (1, 2, 50)] {
                problem(line, column, length).render(source);
            }
        }
    }
}
