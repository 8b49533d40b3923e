//! Which types can a column of the lake be declared with, and how are they written?

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

/// The most digits a decimal column holds: DynamoDB numbers have up to 38.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// How many lists and structs may lie in one another: as many as DynamoDB takes.
pub const MAX_TYPE_DEPTH: usize = 32;

/// The longest name of a struct's field, in bytes: what Glue and Athena take.
const MAX_FIELD_NAME: usize = 255;

/// The types that hold no others, for messages and documentation.
pub const SCALAR_TYPES: [&str; 7] = ["string", "int64", "double", "decimal(p,s)", "bool", "binary", "json"];

/// The declared type of a lake column. `Display` and `FromStr` are each other's inverse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// A set, or an `L`, whose elements all fit this type.
    List(Box<ColumnType>),
    /// An `M` whose members are all among these fields and fit them; at least one, no two of one name to SQL engines.
    Struct(Vec<StructField>),
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// The member's name in the map.
    pub name: String,
    /// Its type.
    pub storage: ColumnType,
}

impl ColumnType {
    /// A list of these.
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }
}

impl StructField {
    /// The field's name in the files: that of the member, as far as it can be one.
    pub fn column(&self) -> String {
        self.name.chars().map(|c| if c.is_control() { '_' } else { c }).collect()
    }
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
    /// Which bytes of the text are wrong.
    pub part: Range<usize>,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decimal({},{})", self.precision, self.scale)
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
            Self::Struct(fields) => {
                for (at, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if at == 0 { "struct<" } else { ", " })?;
                }
                f.write_str(">")
            }
        }
    }
}

impl fmt::Display for StructField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() && self.name.chars().all(is_bare) {
            write!(f, "{}: {}", self.name, self.storage)
        } else {
            write!(f, "`{}`: {}", self.name.replace('`', "``"), self.storage)
        }
    }
}

/// Whether a field's name may have this character without standing in backquotes: the rule of TOML's keys.
fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}
