//! Which types can a column of the lake be declared with, and how are they written?

use std::fmt;
use std::str::FromStr;

use super::nearest::nearest;

/// The most digits a decimal column holds: DynamoDB numbers have up to 38.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// All spellings a column type has, for messages and documentation.
pub const COLUMN_TYPES: [&str; 11] = [
    "string",
    "int64",
    "double",
    "decimal(p,s)",
    "bool",
    "binary",
    "json",
    "list<string>",
    "list<int64>",
    "list<decimal(p,s)>",
    "list<binary>",
];

/// The declared type of a lake column. `Display` and `FromStr` are each other's inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Text (`S`), or a number's digits as they came (`N`).
    String,
    /// A 64-bit integer (`N`); other numbers go to `_rest`.
    Int64,
    /// A 64-bit float (`N`): the one declared loss of the lake.
    Double,
    /// A number with exactly `scale` decimals (`N`); others go to `_rest`.
    Decimal(Decimal),
    /// `BOOL`.
    Bool,
    /// `B`.
    Binary,
    /// `M` and `L` as JSON text whose numbers keep all digits.
    Json,
    /// A set whose elements all fit this type.
    List(ElementType),
}

/// The type of a list column's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// `SS`.
    String,
    /// `NS` of 64-bit integers.
    Int64,
    /// `NS` of numbers with a fixed number of decimals.
    Decimal(Decimal),
    /// `BS`.
    Binary,
}

/// How many digits a decimal column has: `1 <= precision <= 38` in all, `0 <= scale <= precision` of them decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    precision: u8,
    scale: u8,
}

impl Decimal {
    /// `None` unless `1 <= precision <= 38` and `scale <= precision`.
    pub fn new(precision: u8, scale: u8) -> Option<Self> {
        let fits = (1..=MAX_DECIMAL_PRECISION).contains(&precision) && scale <= precision;
        fits.then_some(Self { precision, scale })
    }

    /// All digits.
    pub fn precision(self) -> u8 {
        self.precision
    }

    /// The digits behind the point.
    pub fn scale(self) -> u8 {
        self.scale
    }
}

/// The text names no column type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a column type: {why}")]
pub struct NotAColumnType {
    /// What is wrong with it.
    pub why: String,
    /// What to write instead, where that can be guessed.
    pub cure: Option<String>,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decimal({},{})", self.precision, self.scale)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Int64 => f.write_str("int64"),
            Self::Decimal(digits) => digits.fmt(f),
            Self::Binary => f.write_str("binary"),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Int64 => f.write_str("int64"),
            Self::Double => f.write_str("double"),
            Self::Decimal(digits) => digits.fmt(f),
            Self::Bool => f.write_str("bool"),
            Self::Binary => f.write_str("binary"),
            Self::Json => f.write_str("json"),
            Self::List(element) => write!(f, "list<{element}>"),
        }
    }
}

impl FromStr for ColumnType {
    type Err = NotAColumnType;

    fn from_str(text: &str) -> Result<Self, NotAColumnType> {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
            return match inner.parse()? {
                Self::String => Ok(Self::List(ElementType::String)),
                Self::Int64 => Ok(Self::List(ElementType::Int64)),
                Self::Decimal(digits) => Ok(Self::List(ElementType::Decimal(digits))),
                Self::Binary => Ok(Self::List(ElementType::Binary)),
                _ => Err(NotAColumnType {
                    why: "a list holds `string`, `int64`, `decimal(p,s)` or `binary`".to_owned(),
                    cure: Some("declare other lists as `json`".to_owned()),
                }),
            };
        }
        if let Some(inner) = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
            return decimal(inner).map(Self::Decimal);
        }
        match text {
            "string" => Ok(Self::String),
            "int64" => Ok(Self::Int64),
            "double" => Ok(Self::Double),
            "bool" => Ok(Self::Bool),
            "binary" => Ok(Self::Binary),
            "json" => Ok(Self::Json),
            _ => Err(NotAColumnType { why: "there is no such type".to_owned(), cure: guess(text) }),
        }
    }
}

fn decimal(inner: &str) -> Result<Decimal, NotAColumnType> {
    let refuse =
        |why: &str| NotAColumnType { why: why.to_owned(), cure: Some("for example `decimal(10,2)`".to_owned()) };
    let (precision, scale) = inner.split_once(',').ok_or_else(|| refuse("a decimal has a precision and a scale"))?;
    let number = |text: &str| text.trim().parse::<u8>().ok();
    let (Some(precision), Some(scale)) = (number(precision), number(scale)) else {
        return Err(refuse("precision and scale are whole numbers from 0 to 38"));
    };
    Decimal::new(precision, scale)
        .ok_or_else(|| refuse("the precision is from 1 to 38, the scale from 0 to the precision"))
}

/// What people call these types elsewhere.
const ALIASES: [(&str, &str); 22] = [
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
    ("struct", "json"),
    ("list", "list<string>"),
];

fn guess(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, name)| *name);
    let name = alias.or_else(|| nearest(text, COLUMN_TYPES))?;
    Some(format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digits() -> impl Strategy<Value = Decimal> {
        (1..=MAX_DECIMAL_PRECISION)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_map(|(precision, scale)| Decimal { precision, scale })
    }

    fn any_type() -> impl Strategy<Value = ColumnType> {
        let element = prop_oneof![
            Just(ElementType::String),
            Just(ElementType::Int64),
            digits().prop_map(ElementType::Decimal),
            Just(ElementType::Binary),
        ];
        prop_oneof![
            Just(ColumnType::String),
            Just(ColumnType::Int64),
            Just(ColumnType::Double),
            digits().prop_map(ColumnType::Decimal),
            Just(ColumnType::Bool),
            Just(ColumnType::Binary),
            Just(ColumnType::Json),
            element.prop_map(ColumnType::List),
        ]
    }

    proptest! {
        #[test]
        fn a_type_reads_back_as_it_was_written(column in any_type()) {
            prop_assert_eq!(column.to_string().parse::<ColumnType>(), Ok(column));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}|(list<)?decimal\\([0-9, -]{0,8}\\)>?") {
            if let Ok(column) = text.parse::<ColumnType>() {
                prop_assert_eq!(column.to_string().parse::<ColumnType>(), Ok(column));
            }
        }
    }

    #[test]
    fn the_spellings_for_people_are_the_types_there_are() {
        for spelling in COLUMN_TYPES {
            let text = spelling.replace("(p,s)", "(3,1)");
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_types_are_told_what_to_write() {
        let cases = [
            ("boolean", "did you mean `bool`?"),
            ("Strnig", "did you mean `string`?"),
            ("NUMBER", "did you mean `decimal(38,9)`?"),
            ("list<json>", "declare other lists as `json`"),
            ("list<list<string>>", "declare other lists as `json`"),
            ("decimal(10)", "for example `decimal(10,2)`"),
            ("decimal(39,0)", "for example `decimal(10,2)`"),
            ("decimal(0,0)", "for example `decimal(10,2)`"),
            ("decimal(2,3)", "for example `decimal(10,2)`"),
            ("decimal(300,-1)", "for example `decimal(10,2)`"),
        ];
        for (text, cure) in cases {
            let wrong = text.parse::<ColumnType>().unwrap_err();
            assert_eq!(wrong.cure.as_deref(), Some(cure), "{text}");
        }
        assert_eq!("zzzzzzzzzzzz".parse::<ColumnType>().unwrap_err().cure, None);
    }
}
