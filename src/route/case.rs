//! Are two texts the same but for upper and lower case? By Unicode's simple mappings: one character for one, so that
//! `STRASSE` is not `straße`.

/// A text to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AnyCase(Box<[[char; 3]]>);

impl AnyCase {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().map(spellings).collect())
    }

    pub(super) fn equals(&self, text: &str) -> bool {
        let mut rest = text.chars();
        same(self.0.iter(), &mut rest) && rest.next().is_none()
    }

    pub(super) fn starts(&self, text: &str) -> bool {
        same(self.0.iter(), &mut text.chars())
    }

    pub(super) fn ends(&self, text: &str) -> bool {
        same(self.0.iter().rev(), &mut text.chars().rev())
    }
}

fn same<'a>(mut wanted: impl Iterator<Item = &'a [char; 3]>, text: &mut impl Iterator<Item = char>) -> bool {
    wanted.all(|spellings| text.next().is_some_and(|character| spellings.contains(&character)))
}

/// A character as it is written, in lower and in upper case. A mapping to several characters is none.
fn spellings(character: char) -> [char; 3] {
    fn single(character: char, mut mapped: impl Iterator<Item = char>) -> char {
        mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(character)
    }
    [character, single(character, character.to_lowercase()), single(character, character.to_uppercase())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_and_nothing_expands() {
        for (one, other, equal) in [
            ("paid", "PAID", true),
            ("Grüße", "GRÜßE", true),
            ("STRASSE", "straße", false),
            ("straße", "STRASSE", false),
            ("ⱥ", "Ⱥ", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("", "", true),
            ("😀", "😀", true),
        ] {
            assert_eq!(AnyCase::new(one).equals(other), equal, "{one} {other}");
        }
        assert!(AnyCase::new("pa").starts("PAID") && !AnyCase::new("pa").starts("P"));
        assert!(AnyCase::new(".png").ends("photo.PNG") && !AnyCase::new(".png").ends("png"));
        assert!(AnyCase::new("").starts("x") && AnyCase::new("").ends(""));
    }
}
