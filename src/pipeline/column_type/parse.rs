//! How is a column type read, so that a mistake in it is told with its place and its cure?

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use super::{ColumnType, Decimal, MAX_FIELD_NAME, MAX_TYPE_DEPTH, NotAColumnType, SCALAR_TYPES, StructField, is_bare};
use crate::pipeline::nearest::nearest;

const DECIMAL_EXAMPLE: &str = "for example `decimal(10,2)`";
const LIST_EXAMPLE: &str = "for example `list<string>`";
const STRUCT_EXAMPLE: &str = "name its fields, for example `struct<Name: string, Tags: list<string>>`";

/// What people call the scalar types elsewhere.
const ALIASES: [(&str, &str); 20] = [
    ("s", "string"),
    ("text", "string"),
    ("varchar", "string"),
    ("utf8", "string"),
    ("int", "int64"),
    ("integer", "int64"),
    ("long", "int64"),
    ("bigint", "int64"),
    ("i64", "int64"),
    ("float", "double"),
    ("float64", "double"),
    ("real", "double"),
    ("n", "decimal(38,9)"),
    ("number", "decimal(38,9)"),
    ("numeric", "decimal(38,9)"),
    ("decimal", "decimal(38,9)"),
    ("boolean", "bool"),
    ("b", "binary"),
    ("bytes", "binary"),
    ("map", "json"),
];

/// What people call the types that hold others elsewhere.
const NESTED_ALIASES: [(&str, &str); 8] = [
    ("array", "list"),
    ("set", "list"),
    ("vector", "list"),
    ("l", "list"),
    ("m", "struct"),
    ("map", "struct"),
    ("row", "struct"),
    ("record", "struct"),
];

impl FromStr for ColumnType {
    type Err = NotAColumnType;

    fn from_str(text: &str) -> Result<Self, NotAColumnType> {
        let mut reader = Reader { text, at: 0 };
        let read = reader.column_type(0)?;
        let rest = reader.at..text.trim_end().len();
        if !rest.is_empty() {
            let cure = text.get(rest.clone()).map(|rest| format!("remove `{rest}`"));
            return refuse("something follows the type", cure, rest);
        }
        Ok(read)
    }
}

type Read<T> = Result<T, NotAColumnType>;

fn refuse<T>(why: impl Into<String>, cure: impl Into<Option<String>>, part: Range<usize>) -> Read<T> {
    Err(NotAColumnType { why: why.into(), cure: cure.into(), part })
}

/// Walks the text from its beginning; white space counts nowhere but inside names.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    /// The next character, as a part to show.
    fn here(&mut self) -> Range<usize> {
        let length = self.peek().map_or(0, char::len_utf8);
        self.at..self.at + length
    }

    /// Takes everything up to a bracket, comma, colon or backquote, without the white space around.
    fn word(&mut self) -> (&'a str, Range<usize>) {
        self.peek();
        let start = self.at;
        let length = self.rest().find(['<', '>', '(', ')', ',', ':', '`']).unwrap_or(self.rest().len());
        let word = self.rest()[..length].trim_end();
        self.at += length;
        (word, start..start + word.len())
    }

    /// A type that lies in `depth` others.
    fn column_type(&mut self, depth: usize) -> Read<ColumnType> {
        let (word, part) = self.word();
        let next = self.peek();
        let nested = matches!((word, next), ("list" | "struct", Some('<')));
        if nested && depth == MAX_TYPE_DEPTH {
            let why = format!("more than {MAX_TYPE_DEPTH} lists and structs lie in one another");
            return refuse(why, "declare the inner ones as `json`".to_owned(), part);
        }
        match (word, next) {
            ("list", Some('<')) => self.list(depth, part),
            ("struct", Some('<')) => self.fields(depth, part),
            ("decimal", Some('(')) => self.decimal(part).map(ColumnType::Decimal),
            (_, Some('<')) => {
                let cure = guess_nested(word);
                refuse(format!("there is no type `{word}<…>`"), cure, part)
            }
            ("string", _) => Ok(ColumnType::String),
            ("int64", _) => Ok(ColumnType::Int64),
            ("double", _) => Ok(ColumnType::Double),
            ("bool", _) => Ok(ColumnType::Bool),
            ("binary", _) => Ok(ColumnType::Binary),
            ("json", _) => Ok(ColumnType::Json),
            ("list", _) => refuse("a list says what it holds", LIST_EXAMPLE.to_owned(), part),
            ("struct", _) => refuse("a struct has fields", STRUCT_EXAMPLE.to_owned(), part),
            ("", _) => {
                let why = if self.text.trim().is_empty() { "there is no such type" } else { "a type is missing" };
                refuse(why, "for example `string`".to_owned(), self.here())
            }
            _ => {
                let whole = word == self.text.trim();
                let why = if whole { "there is no such type".to_owned() } else { format!("there is no type `{word}`") };
                refuse(why, guess(word), part)
            }
        }
    }

    fn list(&mut self, depth: usize, opened: Range<usize>) -> Read<ColumnType> {
        self.take('<');
        if self.take('>') {
            return refuse("a list says what it holds", LIST_EXAMPLE.to_owned(), opened.start..self.at);
        }
        let element = self.column_type(depth + 1)?;
        if self.take('>') {
            return Ok(ColumnType::list(element));
        }
        if self.peek().is_none() {
            return unclosed("list<", opened);
        }
        refuse("a list holds one type", "close the list with `>` behind it".to_owned(), self.here())
    }

    fn fields(&mut self, depth: usize, opened: Range<usize>) -> Read<ColumnType> {
        self.take('<');
        if self.take('>') {
            return refuse("a struct has at least one field", STRUCT_EXAMPLE.to_owned(), opened.start..self.at);
        }
        let mut fields: Vec<StructField> = Vec::new();
        let mut taken = HashMap::new();
        loop {
            if self.peek().is_none() {
                return unclosed("struct<", opened);
            }
            let (name, part) = self.name()?;
            if !self.take(':') {
                let cure = format!("write `{name}: string`, for example");
                return refuse(format!("`:` and a type are missing behind `{name}`"), cure, part);
            }
            let field = StructField { storage: self.column_type(depth + 1)?, name };
            if let Some(at) = taken.insert(field.column().to_lowercase(), fields.len()) {
                return refuse_twin(&fields[at].name, &field.name, part);
            }
            fields.push(field);
            match self.peek() {
                Some(',') => self.take(','),
                Some('>') => break,
                None => return unclosed("struct<", opened),
                Some(_) => {
                    return refuse("expected `,` or `>` behind a field's type", None, self.here());
                }
            };
        }
        self.take('>');
        Ok(ColumnType::Struct(fields))
    }

    fn name(&mut self) -> Read<(String, Range<usize>)> {
        let (name, part) = if self.peek() == Some('`') { self.quoted_name()? } else { self.bare_name()? };
        if name.is_empty() {
            return refuse("no attribute has an empty name", None, part);
        }
        if name.len() > MAX_FIELD_NAME {
            let why = format!("a field's name has at most {MAX_FIELD_NAME} bytes");
            return refuse(why, "declare the map as `json`".to_owned(), part);
        }
        Ok((name, part))
    }

    fn bare_name(&mut self) -> Read<(String, Range<usize>)> {
        let (name, part) = self.word();
        if name.is_empty() {
            return refuse("a field's name is missing", "write `name: type`".to_owned(), self.here());
        }
        // Of "Name string" the colon is missing, not the quotes.
        let first = name.split_whitespace().next().unwrap_or(name);
        let ends_early = first.len() < name.len() && first.chars().all(is_bare) && self.peek() != Some(':');
        if ends_early {
            self.at = part.start + first.len();
            return Ok((first.to_owned(), part.start..self.at));
        }
        if !name.chars().all(is_bare) {
            return refuse(
                "a name of other characters than letters, digits, `_` and `-` stands in backquotes",
                format!("write `` `{name}`: type ``"),
                part,
            );
        }
        Ok((name.to_owned(), part))
    }

    /// A name in backquotes; a doubled one means itself.
    fn quoted_name(&mut self) -> Read<(String, Range<usize>)> {
        let start = self.at;
        let mut name = String::new();
        self.at += 1;
        while let Some(length) = self.rest().find('`') {
            name.push_str(&self.rest()[..length]);
            self.at += length + 1;
            if !self.rest().starts_with('`') {
                return Ok((name, start..self.at));
            }
            name.push('`');
            self.at += 1;
        }
        refuse("the name has no closing backquote", "close it with `` ` ``".to_owned(), start..self.text.len())
    }

    fn decimal(&mut self, opened: Range<usize>) -> Read<Decimal> {
        self.take('(');
        let example = || DECIMAL_EXAMPLE.to_owned();
        let Some(length) = self.rest().find(')') else {
            return refuse("`decimal(` is not closed", example(), opened.start..self.text.trim_end().len());
        };
        let inner = &self.rest()[..length];
        self.at += length + 1;
        let part = opened.start..self.at;
        let Some((precision, scale)) = inner.split_once(',') else {
            return refuse("a decimal has a precision and a scale", example(), part);
        };
        let number = |text: &str| text.trim().parse::<u8>().ok();
        let (Some(precision), Some(scale)) = (number(precision), number(scale)) else {
            return refuse("precision and scale are whole numbers from 0 to 38", example(), part);
        };
        match Decimal::new(precision, scale) {
            Some(digits) => Ok(digits),
            None => refuse("the precision is from 1 to 38, the scale from 0 to the precision", example(), part),
        }
    }
}

fn unclosed<T>(bracket: &str, opened: Range<usize>) -> Read<T> {
    refuse(format!("`{bracket}` is not closed"), "close it with `>`".to_owned(), opened.start..opened.end + 1)
}

fn refuse_twin<T>(first: &str, second: &str, part: Range<usize>) -> Read<T> {
    if first == second {
        return refuse(format!("`{first}` is there twice"), "name it once".to_owned(), part);
    }
    let why = format!("`{first}` and `{second}` are one name to SQL engines, which fold case");
    refuse(why, "keep one of them, or declare the map as `json`".to_owned(), part)
}

fn guess(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, name)| *name);
    if let Some(name) = alias.or_else(|| nearest(word, SCALAR_TYPES)) {
        return Some(format!("did you mean `{name}`?"));
    }
    match nearest(word, ["list", "struct"])? {
        "list" => Some(format!("did you mean a list, {LIST_EXAMPLE}?")),
        _ => Some("did you mean a struct, for example `struct<Name: string>`?".to_owned()),
    }
}

/// What somebody meant who wrote `word<`.
fn guess_nested(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let alias = NESTED_ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, name)| *name);
    match alias.or_else(|| nearest(word, ["list", "struct"])) {
        Some("struct") => Some("did you mean `struct<name: type>`?".to_owned()),
        Some(_) => Some("did you mean `list<type>`?".to_owned()),
        None => Some("only `list<type>` and `struct<name: type>` hold other types".to_owned()),
    }
}
