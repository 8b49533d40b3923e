//! Which DynamoDB values does a column take?

use serde::{Deserialize, Serialize};

use crate::decode::item::Kind;
use crate::pipeline::spec::{ColumnType, Decimal};

/// Which DynamoDB values a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttributeType {
    /// Strings.
    S,
    /// Numbers.
    N,
    /// Booleans.
    Bool,
    /// Bytes.
    B,
    /// Sets of strings.
    Ss,
    /// Sets of numbers.
    Ns,
    /// Sets of byte strings.
    Bs,
    /// Maps and lists, as JSON text.
    Json,
    /// Lists whose elements all are of one declared type.
    L,
    /// Maps with declared members.
    M,
}

impl AttributeType {
    /// The type of a value; `None` where it tells nothing (`NULL`) or is unknown.
    pub fn of(kind: &Kind<'_>) -> Option<Self> {
        Some(match kind {
            Kind::S(_) => Self::S,
            Kind::N(_) => Self::N,
            Kind::B(_) => Self::B,
            Kind::Bool(_) => Self::Bool,
            Kind::Ss(_) => Self::Ss,
            Kind::Ns(_) => Self::Ns,
            Kind::Bs(_) => Self::Bs,
            Kind::M(_) => Self::M,
            Kind::L(_) => Self::L,
            Kind::Null | Kind::Unknown => return None,
        })
    }

    /// What a column takes of which nothing is declared, when `seen` is the first value of its attribute, and how it is
    /// stored: maps and lists as JSON.
    pub(super) fn inferred(seen: Self) -> (Self, ColumnType) {
        let storage = match seen {
            Self::S => ColumnType::String,
            Self::N => ColumnType::Decimal(default_number()),
            Self::Bool => ColumnType::Bool,
            Self::B => ColumnType::Binary,
            Self::Ss => ColumnType::list(ColumnType::String),
            Self::Ns => ColumnType::list(ColumnType::Decimal(default_number())),
            Self::Bs => ColumnType::list(ColumnType::Binary),
            Self::Json | Self::L | Self::M => return (Self::Json, ColumnType::Json),
        };
        (seen, storage)
    }

    /// What a declared column takes, when `seen` is the first value of its attribute. Two types leave a choice: `string`
    /// keeps numbers as text if a number came first, and a list takes an `L` if that came first, otherwise a set.
    pub(super) fn declared(storage: &ColumnType, seen: Self) -> Self {
        match storage {
            ColumnType::String if seen == Self::N => Self::N,
            ColumnType::List(element) if seen != Self::L => match Self::inside(element) {
                Self::S => Self::Ss,
                Self::N => Self::Ns,
                Self::B => Self::Bs,
                // There are no sets of anything else.
                _ => Self::L,
            },
            storage => Self::inside(storage),
        }
    }

    /// What a field or element of this type takes. A schema knows no first value of these, so there is no choice.
    pub fn inside(storage: &ColumnType) -> Self {
        match storage {
            ColumnType::String => Self::S,
            ColumnType::Int64 | ColumnType::Double | ColumnType::Decimal(_) => Self::N,
            ColumnType::Bool => Self::Bool,
            ColumnType::Binary => Self::B,
            ColumnType::Json => Self::Json,
            ColumnType::List(_) => Self::L,
            ColumnType::Struct(_) => Self::M,
        }
    }
}

/// 29 digits before the point and 9 behind: money, counters and epoch times alike, in what every reader knows.
fn default_number() -> Decimal {
    Decimal::new(38, 9).expect("9 of 38 digits is a decimal")
}
