//! Walks the attributes of an image (DynamoDB JSON) without building a tree.

use super::json::{Cursor, Malformed, Members, Part, Text, Track};
use super::quick;

/// The value of one attribute: its kind, and its text as it came.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// The whole typed value, `{"N":"42"}`, as it stands in the input. Valid JSON, but for what is not `checked`.
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
    /// Whether the inside of a set, map or list was walked. If not, only its extent is known, and whoever walks it finds
    /// what is wrong.
    pub checked: bool,
}

impl Value<'_> {
    /// Fails if it is not valid JSON.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.checked { Ok(()) } else { Cursor::new(self.raw).value().map(drop) }
    }
}

/// The ten kinds of DynamoDB values, and whatever else comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A string.
    S(Text<'a>),
    /// A number, as text.
    N(Text<'a>),
    /// Bytes, in base64.
    B(Text<'a>),
    /// A boolean.
    Bool(bool),
    /// `{"NULL":true}`.
    Null,
    /// A set of strings: a JSON array of strings.
    Ss(Part<'a>),
    /// A set of numbers: a JSON array of strings.
    Ns(Part<'a>),
    /// A set of byte strings: a JSON array of strings.
    Bs(Part<'a>),
    /// A map: a JSON object of values.
    M(Part<'a>),
    /// A list: a JSON array of values.
    L(Part<'a>),
    /// Not one of the ten, or not of its form (a type of the future, `{"NULL":false}`, two type keys).
    Unknown,
}

/// Walks an image, `{"name":{"S":"…"},…}`, from end to end.
pub fn walk<'a, E: From<Malformed>>(
    image: impl Into<Part<'a>>,
    mut each: impl FnMut(Text<'a>, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = image.into().cursor();
    let mut members = Members::open(&mut cursor)?;
    while members.has_next(&mut cursor)? {
        let (name, value) = member(&mut cursor)?;
        each(name, value)?;
    }
    Ok(cursor.end()?)
}

/// The attributes `names` of an image, as an image of their own; `None` if one is missing or the image is broken.
pub fn pick(image: &str, names: &[String]) -> Option<String> {
    let mut found: Vec<Option<String>> = vec![None; names.len()];
    let walked = walk::<Malformed>(image, |name, value| {
        if let Some(at) = names.iter().position(|wanted| name.is(wanted)) {
            found[at] = Some(format!("\"{}\":{}", name.raw, value.raw));
        }
        Ok(())
    });
    let found = found.into_iter().collect::<Option<Vec<_>>>().filter(|_| walked.is_ok())?;
    Some(format!("{{{}}}", found.join(",")))
}

/// Where the usual form of an attribute ends, all of it checked, whose name has been taken up to its closing quote: just
/// behind its value. `None`: the careful walk must decide.
pub fn usual_end(track: Track<'_>, name_end: usize) -> Option<usize> {
    let at = track.is(name_end + 1, b':').then_some(name_end + 2)?;
    let (value, behind) = quick::value_at(track, at)?;
    if !value.checked {
        track.cursor(at).value().ok().filter(|value| value.len() == behind - at)?;
    }
    Some(behind)
}

/// Takes one attribute, name and value.
#[inline]
pub fn member<'a>(cursor: &mut Cursor<'a>) -> Result<(Text<'a>, Value<'a>), Malformed> {
    match quick::member(cursor) {
        Some(found) => Ok(found),
        None => Ok((Members::name(cursor)?, value(cursor)?)),
    }
}

/// Takes one attribute value from the cursor.
#[inline]
pub fn value<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, Malformed> {
    if let Some(value) = quick::value(cursor) {
        return Ok(value);
    }
    cursor.peek();
    let start = cursor.offset();
    let mut ahead = cursor.clone();
    if let Some(kind) = single_member(&mut ahead)? {
        let raw = ahead.between(start, ahead.offset());
        *cursor = ahead;
        return Ok(Value { raw, kind, checked: true });
    }
    // Not of the usual form: take it as any JSON value and keep it as it is.
    Ok(Value { raw: cursor.value()?, kind: Kind::Unknown, checked: true })
}

/// `{"<type>":<payload>}` of one of the ten types, or `None`.
#[inline]
fn single_member<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Kind<'a>>, Malformed> {
    if !cursor.take(b'{') || cursor.peek() != Some(b'"') {
        return Ok(None);
    }
    let tag = cursor.string()?.raw;
    if !cursor.take(b':') {
        return Ok(None);
    }
    let Some(kind) = payload(tag, cursor)? else { return Ok(None) };
    Ok(cursor.take(b'}').then_some(kind))
}

#[inline]
fn payload<'a>(tag: &str, cursor: &mut Cursor<'a>) -> Result<Option<Kind<'a>>, Malformed> {
    let first = cursor.peek();
    Ok(match (tag, first) {
        ("S", Some(b'"')) => Some(Kind::S(cursor.string()?)),
        ("N", Some(b'"')) => Some(Kind::N(cursor.string()?)),
        ("B", Some(b'"')) => Some(Kind::B(cursor.string()?)),
        ("BOOL", _) if cursor.literal("true") => Some(Kind::Bool(true)),
        ("BOOL", _) if cursor.literal("false") => Some(Kind::Bool(false)),
        ("NULL", _) if cursor.literal("true") => Some(Kind::Null),
        ("SS", Some(b'[')) => Some(Kind::Ss(cursor.checked_part()?)),
        ("NS", Some(b'[')) => Some(Kind::Ns(cursor.checked_part()?)),
        ("BS", Some(b'[')) => Some(Kind::Bs(cursor.checked_part()?)),
        ("M", Some(b'{')) => Some(Kind::M(cursor.checked_part()?)),
        ("L", Some(b'[')) => Some(Kind::L(cursor.checked_part()?)),
        _ => None,
    })
}

/// Walks a set's array, whose elements must all be strings; `Ok(false)` if one is not.
pub fn walk_set<'a>(array: Part<'a>, mut each: impl FnMut(Text<'a>) -> bool) -> Result<bool, Malformed> {
    let mut cursor = array.cursor();
    let mut elements = super::json::Elements::open(&mut cursor)?;
    while elements.next(&mut cursor)? {
        if cursor.peek() != Some(b'"') || !each(cursor.string()?) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(image: &str) -> Vec<(String, String, bool)> {
        let mut seen = Vec::new();
        walk::<Malformed>(image, |name, value| {
            seen.push((name.decode().unwrap().into_owned(), value.raw.to_owned(), value.kind == Kind::Unknown));
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn all_ten_types_are_known() {
        let image = include_str!("../../tests/fixtures/attribute_values_all_types.json");
        let seen = kinds(image);
        assert_eq!(seen.len(), 20);
        assert!(seen.iter().all(|(_, _, unknown)| !unknown));
    }

    #[test]
    fn some_attributes_are_an_image() {
        let names = ["k".to_owned(), "s".to_owned()];
        let image = r#"{"x":{"L":[]},"s":{"N":"1"},"k":{"S":"a\"b"}}"#;
        assert_eq!(pick(image, &names).unwrap(), r#"{"k":{"S":"a\"b"},"s":{"N":"1"}}"#);
        assert_eq!(pick(r#"{"k":{"S":"a"}}"#, &names), None);
        assert_eq!(pick(r#"{"k":{"S":"a"},"s":{"N":"1"}"#, &names), None);
    }

    #[test]
    fn what_is_unknown_is_kept_as_it_came() {
        for odd in [
            r#"{"V":[1,2]}"#,
            r#"{"S":5}"#,
            r#"{"NULL":false}"#,
            r#"{"S":"a","N":"1"}"#,
            "{}",
            "7",
            "null",
            r#"["x"]"#,
            r#"{"BOOL":"true"}"#,
            r#"{"SS":{}}"#,
        ] {
            let seen = kinds(&format!(r#"{{"a":{odd},"b":{{"N":"1"}}}}"#));
            assert_eq!(seen[0], ("a".into(), odd.into(), true));
            assert_eq!(seen[1].1, r#"{"N":"1"}"#);
        }
    }

    #[test]
    fn broken_images_are_malformed() {
        for broken in ["", "[]", r#"{"a":{"S":"x"}"#, r#"{"a":{"S":"x"}}x"#, r#"{"a":{"S":"x}}"#, r#"{"a" {"S":"x"}}"#]
        {
            assert!(walk::<Malformed>(broken, |_, _| Ok(())).is_err(), "{broken}");
        }
    }
}
