//! Builds the arrow columns of images straight from their JSON: no map, no tree, no allocation per attribute.
//!
//! Columns are filled lazily: a row that lacks an attribute costs nothing until the column's next value. A row can be
//! taken back as long as the next has not begun, which is how a row that turns out to be broken, or to need another
//! schema, leaves no trace.

mod column;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_buffer::NullBufferBuilder;

use self::column::ColumnBuilder;
use self::values::{Nulls, Variable};
use super::schema::{AttributeType, TableRules, TableSchema};
use crate::decode::item::{self, Kind, Value};
use crate::decode::json::{Malformed, Part, Text};
use crate::pipeline::spec::ColumnType;

/// Why an image could not be added to the columns as it is.
#[derive(Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// The image is broken; the change goes to the dead letters.
    Broken(Malformed),
    /// An attribute has no column yet and should get one: take the row back, grow the schema, add it again.
    NewAttribute,
}

impl From<Malformed> for NotAdded {
    fn from(malformed: Malformed) -> Self {
        Self::Broken(malformed)
    }
}

/// How many values of an image went to `_rest` although their attribute has a column, and how many were of a type
/// that nobody knows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Misfits {
    /// Values of another type than their column's, or that it can't hold exactly.
    pub to_rest: u64,
    /// Values of none of the ten types.
    pub unknown: u64,
}

/// The columns of one image (new or old) of many rows.
#[derive(Debug)]
pub struct ImageColumns {
    columns: Vec<ColumnBuilder>,
    rest: Variable,
    rest_nulls: Nulls,
    /// The columns the current row has touched, to take it back.
    touched: Vec<u32>,
    /// Which column came behind each other in the last row that had both; the first place is an image's beginning.
    /// Images of one table mostly have their attributes in one order.
    follows: Vec<u32>,
}

impl ImageColumns {
    /// No rows yet, for the columns of `schema`.
    pub fn new(schema: &TableSchema) -> Self {
        let mut new = Self {
            columns: Vec::new(),
            rest: Variable::default(),
            rest_nulls: Nulls::default(),
            touched: Vec::new(),
            follows: vec![0],
        };
        new.grow(schema);
        new
    }

    /// Adds the columns that `schema` has more.
    pub fn grow(&mut self, schema: &TableSchema) {
        for column in &schema.columns[self.columns.len()..] {
            self.columns.push(ColumnBuilder::new(column.takes, &column.storage));
            self.follows.push(self.columns.len() as u32);
        }
    }

    /// Adds the attributes of `image` to row `row`, of which none has been added yet.
    pub fn add(
        &mut self,
        row: usize,
        image: Part<'_>,
        schema: &TableSchema,
        rules: &TableRules,
    ) -> Result<Misfits, NotAdded> {
        let mut misfits = Misfits::default();
        let mut rest: Vec<(Text<'_>, &str)> = Vec::new();
        self.touched.clear();
        let mut place = 0;
        item::walk(image, |name, value| {
            let decoded;
            let attribute = if name.escaped {
                decoded = name.decode();
                decoded.as_deref()
            } else {
                Some(name.raw)
            };
            let guess = self.follows[place] as usize;
            let column = attribute.and_then(|attribute| {
                let guessed = schema.columns.get(guess).is_some_and(|column| column.attribute == attribute);
                if guessed { Some(guess) } else { schema.column_of(attribute) }
            });
            match column {
                Some(at) => {
                    self.follows[place] = at as u32;
                    place = at + 1;
                    let builder = &mut self.columns[at];
                    if builder.len() > row {
                        return Err(NotAdded::Broken(Malformed {
                            at: 0,
                            what: "an attribute stands twice in an image",
                        }));
                    }
                    if builder.append(row, &value)? {
                        self.touched.push(at as u32);
                        return Ok(());
                    }
                    misfits.to_rest += 1;
                }
                None => {
                    let typed = AttributeType::of(&value.kind).is_some();
                    if typed && attribute.is_some_and(|attribute| schema.wants(attribute, rules)) {
                        return Err(NotAdded::NewAttribute);
                    }
                }
            }
            misfits.unknown += u64::from(value.kind == Kind::Unknown);
            value.check()?;
            rest.push((name, value.raw));
            Ok(())
        })?;
        if !rest.is_empty() {
            self.add_rest(row, rest)?;
        }
        Ok(misfits)
    }

    /// Writes what has no place of its own as one JSON object, as it came.
    fn add_rest(&mut self, row: usize, rest: Vec<(Text<'_>, &str)>) -> Result<(), NotAdded> {
        let mut names: Vec<_> = rest.iter().map(|(name, _)| name.raw).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(NotAdded::Broken(Malformed { at: 0, what: "an attribute stands twice in an image" }));
        }
        let out = self.rest.open(self.rest_nulls.value_at(row));
        for (at, (name, raw)) in rest.into_iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
            out.extend_from_slice(name.raw.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(raw.as_bytes());
        }
        out.push(b'}');
        self.rest.close();
        Ok(())
    }

    /// Takes back what the last [`Self::add`], also a failed one, added to row `row`.
    pub fn take_back(&mut self, row: usize) {
        for &at in &self.touched {
            self.columns[at as usize].truncate(row);
        }
        if self.rest_nulls.len > row {
            self.rest_nulls.truncate(row);
            self.rest.truncate(row);
        }
        self.touched.clear();
    }

    /// The bytes the rows take, roughly: what the memory budget counts.
    pub fn bytes(&self) -> usize {
        self.rest.bytes() + self.columns.iter().map(ColumnBuilder::bytes).sum::<usize>()
    }

    /// The columns and `_rest` as arrow arrays of `rows` rows; leaves the builders empty.
    pub fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>, arrow_schema::ArrowError> {
        let mut arrays = Vec::with_capacity(self.columns.len() + 1);
        for column in &mut self.columns {
            arrays.push(column.finish(rows)?);
        }
        self.rest.pad(self.rest_nulls.pad(rows));
        arrays.push(self.rest.finish_text(self.rest_nulls.finish())?);
        self.touched.clear();
        Ok(arrays)
    }

    /// The same as one struct array, whose rows are null where `present` says so.
    pub fn finish_struct(
        &mut self,
        schema: &TableSchema,
        rows: usize,
        mut present: NullBufferBuilder,
    ) -> Result<ArrayRef, arrow_schema::ArrowError> {
        let arrays = self.finish(rows)?;
        Ok(Arc::new(StructArray::try_new(schema.image_fields(), arrays, present.finish())?))
    }
}

/// Whether a column of this type holds `value` exactly; otherwise it goes to `_rest`.
pub fn fits(takes: AttributeType, storage: &ColumnType, value: &Value<'_>) -> Result<bool, Malformed> {
    ColumnBuilder::new(takes, storage).append(0, value)
}

/// The type of every attribute of `image` that has no column and should get one, for [`TableSchema::grown`].
pub fn new_attributes(
    image: Part<'_>,
    schema: &TableSchema,
    rules: &TableRules,
    found: &mut Vec<(String, AttributeType)>,
) -> Result<(), Malformed> {
    item::walk(image, |name, value| {
        let (Some(attribute), Some(takes)) = (name.decode(), AttributeType::of(&value.kind)) else { return Ok(()) };
        if schema.column_of(&attribute).is_none()
            && schema.wants(&attribute, rules)
            && !found.iter().any(|(known, _)| *known == attribute)
        {
            found.push((attribute.into_owned(), takes));
        }
        Ok(())
    })
}
