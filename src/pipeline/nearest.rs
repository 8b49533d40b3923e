//! Which of the known words did somebody mean who wrote another one?

/// The word closest to `written`, if one is close enough to be meant: case and `-`/`_` do not count, and a third of
/// the letters may be wrong (swapped neighbours are one mistake).
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nothing we know is longer than a DynamoDB name; the distance takes quadratic time.
    if written.len() > 255 {
        return None;
    }
    let folded = fold(written);
    let allowed = (folded.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&folded, &fold(word)), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn fold(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// `` `a`, `b` or `c` ``.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    enumerate(words, '`', "or")
}

/// `` `a`, `b` and `c` ``.
pub(super) fn all_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    enumerate(words, '`', "and")
}

/// `"a", "b" or "c"`: words as they stand in the file.
pub(super) fn one_word_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    enumerate(words, '"', "or")
}

fn enumerate<'a>(words: impl IntoIterator<Item = &'a str>, mark: char, conjunction: &str) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("{mark}{word}{mark}")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["partition_by", "path", "roll", "tables", "max_columns"];
        for (written, meant) in [
            ("partiton_by", Some("partition_by")),
            ("partition-by", Some("partition_by")),
            ("PATH", Some("path")),
            ("rol", Some("roll")),
            ("orll", Some("roll")),
            ("table", Some("tables")),
            ("compression", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn words_are_listed_for_people() {
        assert_eq!(one_of([]), "nothing");
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(all_of(["a", "b"]), "`a` and `b`");
        assert_eq!(one_word_of(["a", "b"]), "\"a\" or \"b\"");
    }
}
