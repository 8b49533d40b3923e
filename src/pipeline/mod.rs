//! The pipeline file.

mod column_type;
mod nearest;

pub use column_type::{ColumnType, Decimal, ElementType};
