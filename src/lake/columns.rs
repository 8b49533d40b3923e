//! Builds the arrow columns of images straight from their JSON: no map, no tree, no allocation per attribute.
//!
//! Columns are filled lazily: a row that lacks an attribute costs nothing until the column's next value. A row can be
//! taken back as long as the next has not begun, which is how a row that turns out to be broken, or to need another
//! schema, leaves no trace.

mod column;
mod nulls;
mod rest;
#[cfg(test)]
mod tests;
mod usual;
mod values;

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_buffer::NullBufferBuilder;

use self::column::ColumnBuilder;
use self::rest::Rest;
use self::usual::{Needle, Usual};
pub(super) use self::values::Variable;
use super::schema::{AttributeType, NewAttributes, TableRules, TableSchema};
use crate::decode::item::{self, Kind, Value};
use crate::decode::json::{Cursor, Malformed, Members, Part, Text, Track};
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
    lanes: Vec<Lane>,
    rest: Rest,
    /// Which column comes first.
    first: Next,
}

/// One column, and what is known of how its attribute is written.
#[derive(Debug)]
struct Lane {
    builder: ColumnBuilder,
    /// What its values begin with, if that is known.
    needle: Option<Needle>,
    next: Next,
}

/// Which column comes behind another one. Images of one table mostly have their attributes in one order.
#[derive(Debug)]
struct Next {
    expected: u32,
    /// What came the last time when it was another one: one image in an order of its own changes no expectation.
    other: u32,
}

impl Next {
    fn new(expected: u32) -> Self {
        Self { expected, other: expected }
    }

    /// Another column than the expected one has come.
    fn came(&mut self, column: usize) {
        let column = column as u32;
        if std::mem::replace(&mut self.other, column) == column {
            self.expected = column;
        }
    }
}

/// A row in the making.
struct Making<'a> {
    row: usize,
    schema: &'a TableSchema,
    rules: &'a TableRules,
    /// Behind which column the walk is; `None` at the image's beginning.
    place: Option<usize>,
    misfits: Misfits,
}

impl ImageColumns {
    /// No rows yet, for the columns of `schema`.
    pub fn new(schema: &TableSchema) -> Self {
        let mut new = Self { lanes: Vec::new(), rest: Rest::default(), first: Next::new(0) };
        new.grow(schema);
        new
    }

    /// Hands over all rows, and goes on with room for as many, knowing what their attributes look like.
    pub fn hand_over(&mut self) -> Self {
        let lane = |lane: &mut Lane| Lane { builder: lane.builder.hand_over(), needle: None, next: Next::new(0) };
        Self { lanes: self.lanes.iter_mut().map(lane).collect(), rest: self.rest.hand_over(), first: Next::new(0) }
    }

    /// Adds the columns that `schema` has more.
    pub fn grow(&mut self, schema: &TableSchema) {
        for column in &schema.columns[self.lanes.len()..] {
            let builder = ColumnBuilder::new(column.takes, &column.storage);
            let (needle, next) = (Needle::new(column, &builder), Next::new(self.lanes.len() as u32 + 1));
            self.lanes.push(Lane { builder, needle, next });
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
        let mut making = Making { row, schema, rules, place: None, misfits: Misfits::default() };
        let mut cursor = image.cursor();
        let mut members = Members::open(&mut cursor)?;
        loop {
            if self.take_usual(&mut making, &mut cursor, members.is_first()) {
                members.were_taken();
            }
            if !members.has_next(&mut cursor)? {
                break;
            }
            let (name, value) = item::member(&mut cursor)?;
            self.add_member(&mut making, name, value)?;
        }
        cursor.end()?;
        if !self.rest.close(row) {
            return Err(twice());
        }
        Ok(making.misfits)
    }

    /// Adds attributes as long as they are of the usual form; whether there was one. The cursor is at an image's first
    /// member or behind another one, and afterwards behind the last that was taken.
    fn take_usual(&mut self, making: &mut Making<'_>, cursor: &mut Cursor<'_>, first: bool) -> bool {
        let Some(track) = cursor.track() else { return false };
        let before = cursor.offset();
        if !first && !track.is(before, b',') {
            return false;
        }
        let (mut end, mut at) = (before, before + usize::from(!first));
        let mut column = self.expected(making.place);
        loop {
            let behind = match self.take_as(making, column, track, at) {
                Some(behind) => {
                    making.place = Some(column);
                    behind
                }
                None => match self.take_other(making, column, track, at) {
                    Some(behind) => behind,
                    None => break,
                },
            };
            end = behind;
            if !track.is(behind, b',') {
                break;
            }
            (at, column) = (behind + 1, self.expected(making.place));
        }
        cursor.go_to(end);
        end > before
    }

    /// Which column is expected behind another one, or at the beginning.
    fn expected(&self, place: Option<usize>) -> usize {
        place.map_or(&self.first, |column| &self.lanes[column].next).expected as usize
    }

    /// Remembers which column has come behind another one, or at the beginning.
    fn expect(&mut self, place: Option<usize>, column: usize) {
        let next = match place {
            Some(before) => &mut self.lanes[before].next,
            None => &mut self.first,
        };
        if next.expected as usize != column {
            next.came(column);
        }
    }

    /// Adds the attribute at an offset if it is that of column `column` and of the usual form; answers the offset behind it.
    #[inline(always)]
    fn take_as(&mut self, making: &mut Making<'_>, column: usize, track: Track<'_>, at: usize) -> Option<usize> {
        let lane = self.lanes.get_mut(column)?;
        let needle = lane.needle.as_ref()?;
        match usual::add(needle, &mut lane.builder, &mut self.rest, making.row, track, at) {
            Usual::Added(end) => Some(end),
            Usual::Null(end) => {
                making.misfits.to_rest += 1;
                Some(end)
            }
            Usual::Other => None,
        }
    }

    /// The same where the attribute is not that of the column that was expected: it has another one, or none and gets none.
    #[cold]
    #[inline(never)]
    fn take_other(&mut self, making: &mut Making<'_>, expected: usize, track: Track<'_>, at: usize) -> Option<usize> {
        let end = track.is(at, b'"').then(|| track.plain_end(at + 1))??;
        let name = track.between(at + 1, end);
        let Some(other) = making.schema.column_of(name) else {
            return if making.schema.wants(name, making.rules) { None } else { self.take_rest(track, at, end) };
        };
        if other == expected {
            return None;
        }
        let behind = self.take_as(making, other, track, at)?;
        self.expect(making.place, other);
        making.place = Some(other);
        Some(behind)
    }

    /// Gives an attribute whose name ends at an offset to the rest, as it stands there.
    fn take_rest(&mut self, track: Track<'_>, at: usize, name_end: usize) -> Option<usize> {
        let behind = item::usual_end(track, name_end)?;
        self.rest.add_member(&track.bytes()[at..behind], name_end - at - 1);
        Some(behind)
    }

    /// Adds an attribute of any form.
    fn add_member(&mut self, making: &mut Making<'_>, name: Text<'_>, value: Value<'_>) -> Result<(), NotAdded> {
        let attribute = name.decode();
        match attribute.as_deref().and_then(|attribute| making.schema.column_of(attribute)) {
            Some(at) => {
                self.expect(making.place, at);
                making.place = Some(at);
                let builder = &mut self.lanes[at].builder;
                if builder.len() > making.row {
                    return Err(twice());
                }
                if builder.append(making.row, &value)? {
                    return Ok(());
                }
                making.misfits.to_rest += 1;
            }
            None => {
                let typed = AttributeType::of(&value.kind).is_some();
                if typed && attribute.is_some_and(|attribute| making.schema.wants(&attribute, making.rules)) {
                    return Err(NotAdded::NewAttribute);
                }
            }
        }
        making.misfits.unknown += u64::from(value.kind == Kind::Unknown);
        value.check()?;
        self.rest.add(name.raw.as_bytes(), value.raw.as_bytes());
        Ok(())
    }

    /// Takes back what the last [`Self::add`], also a failed one, added to row `row`.
    pub fn take_back(&mut self, row: usize) {
        self.lanes.iter_mut().for_each(|lane| lane.builder.truncate(row));
        self.rest.take_back(row);
    }

    /// The bytes the rows take, roughly: what the memory budget counts.
    pub fn bytes(&self) -> usize {
        self.rest.bytes() + self.lanes.iter().map(|lane| lane.builder.bytes()).sum::<usize>()
    }

    /// The columns and `_rest` as arrow arrays of `rows` rows; leaves the builders empty.
    pub fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>, arrow_schema::ArrowError> {
        let (mut arrays, mut empty) = (Vec::with_capacity(self.lanes.len() + 1), Vec::new());
        for lane in &mut self.lanes {
            arrays.push(lane.builder.finish(rows, &mut empty)?);
        }
        arrays.push(self.rest.finish(rows)?);
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

fn twice() -> NotAdded {
    NotAdded::Broken(Malformed { at: 0, what: "an attribute stands twice in an image" })
}

/// Whether a column of this type holds `value` exactly; otherwise it goes to `_rest`.
pub fn fits(takes: AttributeType, storage: &ColumnType, value: &Value<'_>) -> Result<bool, Malformed> {
    ColumnBuilder::new(takes, storage).append(0, value)
}

/// Adds every attribute of `image` that has no column and should get one, until there is room for no more.
pub fn new_attributes(
    image: Part<'_>,
    schema: &TableSchema,
    rules: &TableRules,
    found: &mut NewAttributes,
) -> Result<(), Malformed> {
    if found.fill(schema, rules) {
        return Ok(());
    }
    item::walk(image, |name, value| {
        let (Some(attribute), Some(takes)) = (name.decode(), AttributeType::of(&value.kind)) else { return Ok(()) };
        if schema.column_of(&attribute).is_none() && schema.wants(&attribute, rules) {
            found.add(&attribute, takes);
        }
        Ok(())
    })
}
