//! One attribute's column in the making, whatever it holds: scalars, lists or structs.
//!
//! A list's elements and a struct's fields are builders themselves. All of a value goes in or nothing of it: what went
//! into the builders inside before a part did not fit is taken back.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, StructArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Fields};
use hashbrown::HashMap;

use super::nulls::Nulls;
use super::values::Values;
use crate::decode::item::{self, Kind, Value};
use crate::decode::json::{Elements, Malformed, Members, Part};
use crate::lake::schema::{self, AttributeType};
use crate::pipeline::spec::{ColumnType, StructField};

/// A column, or a field of a struct: for each row a value or none.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    pub(super) nulls: Nulls,
    pub(super) slots: Slots,
}

impl ColumnBuilder {
    pub(super) fn new(takes: AttributeType, storage: &ColumnType) -> Self {
        Self { nulls: Nulls::default(), slots: Slots::new(takes, storage) }
    }

    /// Hands over all values, and keeps room for as many.
    pub(super) fn hand_over(&mut self) -> Self {
        let empty = self.slots.like();
        Self { nulls: std::mem::take(&mut self.nulls), slots: std::mem::replace(&mut self.slots, empty) }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.nulls.len
    }

    /// Adds the value of row `row`; `false`, and nothing changed, if it is not for this column.
    #[inline]
    pub(super) fn append(&mut self, row: usize, value: &Value<'_>) -> Result<bool, Malformed> {
        let added = self.slots.push(row - self.nulls.len, value)?;
        if added {
            self.nulls.value_at(row);
        }
        Ok(added)
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        if self.nulls.len > rows {
            self.nulls.truncate(rows);
            self.slots.truncate(rows);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes() + self.nulls.len / 8
    }

    /// `empty` are arrays of `rows` rows without a value, one for each type that was needed.
    pub(super) fn finish(&mut self, rows: usize, empty: &mut Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        if self.nulls.len == 0 {
            // Tables may have hundreds of such columns: they share one array.
            let none = self.slots.finish(None)?;
            if let Some(known) = empty.iter().find(|known| known.data_type() == none.data_type()) {
                return Ok(known.clone());
            }
            empty.push(new_null_array(none.data_type(), rows));
            return Ok(empty[empty.len() - 1].clone());
        }
        self.slots.pad(self.nulls.pad(rows));
        self.slots.finish(self.nulls.finish())
    }
}

/// The values of a column, one after the other, those that are not there included.
#[derive(Debug)]
pub(super) enum Slots {
    Scalars(Values),
    Lists(Box<Lists>),
    Structs(Box<Structs>),
}

impl Slots {
    fn new(takes: AttributeType, storage: &ColumnType) -> Self {
        match storage {
            ColumnType::List(element) => Self::Lists(Box::new(Lists::new(takes, element))),
            ColumnType::Struct(fields) => Self::Structs(Box::new(Structs::new(fields))),
            scalar => Self::Scalars(Values::new(takes, scalar)),
        }
    }

    /// No values, and room for as many as are here.
    fn like(&self) -> Self {
        match self {
            Self::Scalars(values) => Self::Scalars(values.like()),
            Self::Lists(lists) => Self::Lists(Box::new(lists.like())),
            Self::Structs(structs) => Self::Structs(Box::new(structs.like())),
        }
    }

    /// Adds `skipped` values that stand where there is none, then `value`; `false` if it does not fit exactly, and
    /// then no value has been added.
    #[inline]
    fn push(&mut self, skipped: usize, value: &Value<'_>) -> Result<bool, Malformed> {
        match self {
            Self::Scalars(values) => values.push(skipped, value),
            Self::Lists(lists) => lists.push(skipped, value),
            Self::Structs(structs) => structs.push(skipped, value),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Scalars(values) => values.len(),
            Self::Lists(lists) => lists.offsets.len() - 1,
            Self::Structs(structs) => structs.len,
        }
    }

    pub(super) fn truncate(&mut self, values: usize) {
        match self {
            Self::Scalars(scalars) => scalars.truncate(values),
            Self::Lists(lists) => lists.truncate(values),
            Self::Structs(structs) => structs.truncate(values),
        }
    }

    fn pad(&mut self, skipped: usize) {
        match self {
            Self::Scalars(values) => values.pad(skipped),
            Self::Lists(lists) => lists.pad(skipped),
            Self::Structs(structs) => structs.len += skipped,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Scalars(values) => values.bytes(),
            Self::Lists(lists) => lists.elements.bytes() + 4 * lists.offsets.len(),
            Self::Structs(structs) => structs.bytes(),
        }
    }

    /// The bytes that a value takes which is not there.
    fn padding(&self) -> usize {
        match self {
            Self::Scalars(values) => values.padding(),
            Self::Lists(_) => 4,
            Self::Structs(structs) => structs.columns.iter().map(|column| column.slots.padding()).sum(),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Scalars(values) => values.finish(nulls),
            Self::Lists(lists) => lists.finish(nulls),
            Self::Structs(structs) => structs.finish(nulls),
        }
    }
}

/// Sets or lists: where each ends among the elements.
#[derive(Debug)]
pub(super) struct Lists {
    takes: AttributeType,
    element: ColumnType,
    pub(super) offsets: Vec<i32>,
    pub(super) elements: Slots,
}

impl Lists {
    fn new(takes: AttributeType, element: &ColumnType) -> Self {
        let elements = Slots::new(AttributeType::inside(element), element);
        Self { takes, element: element.clone(), offsets: vec![0], elements }
    }

    fn like(&self) -> Self {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        Self { takes: self.takes, element: self.element.clone(), offsets, elements: self.elements.like() }
    }

    fn push(&mut self, skipped: usize, value: &Value<'_>) -> Result<bool, Malformed> {
        let before = self.elements.len();
        let fits = self.push_elements(value);
        if matches!(fits, Ok(true)) {
            self.pad(skipped);
            self.offsets.push(self.elements.len() as i32);
        } else {
            self.elements.truncate(before);
        }
        fits
    }

    fn push_elements(&mut self, value: &Value<'_>) -> Result<bool, Malformed> {
        let elements = &mut self.elements;
        match (self.takes, value.kind, elements) {
            (AttributeType::L, Kind::L(array), elements) => push_list(array, elements),
            (AttributeType::Ss, Kind::Ss(array), Slots::Scalars(values)) => {
                item::walk_set(array, |text| values.push_scalar(0, &Kind::S(text), text))
            }
            (AttributeType::Ns, Kind::Ns(array), Slots::Scalars(values)) => {
                item::walk_set(array, |text| values.push_scalar(0, &Kind::N(text), text))
            }
            (AttributeType::Bs, Kind::Bs(array), Slots::Scalars(values)) => {
                item::walk_set(array, |text| values.push_scalar(0, &Kind::B(text), text))
            }
            _ => Ok(false),
        }
    }

    pub(super) fn pad(&mut self, skipped: usize) {
        let end = *self.offsets.last().unwrap_or(&0);
        self.offsets.extend(std::iter::repeat_n(end, skipped));
    }

    fn truncate(&mut self, lists: usize) {
        self.offsets.truncate(lists + 1);
        self.elements.truncate(*self.offsets.last().unwrap_or(&0) as usize);
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        let elements = self.elements.finish(None)?;
        Ok(Arc::new(ListArray::try_new(schema::list_field(&self.element), offsets, elements, nulls)?))
    }
}

fn push_list(array: Part<'_>, into: &mut Slots) -> Result<bool, Malformed> {
    let mut cursor = array.cursor();
    let mut elements = Elements::open(&mut cursor)?;
    while elements.next(&mut cursor)? {
        if !into.push(0, &item::value(&mut cursor)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Maps: a column for each declared member, which like those of a table is padded no sooner than it must be.
#[derive(Debug)]
pub(super) struct Structs {
    len: usize,
    columns: Vec<ColumnBuilder>,
    by_member: HashMap<Box<str>, usize>,
    fields: Fields,
}

impl Structs {
    fn new(fields: &[StructField]) -> Self {
        let column = |field: &StructField| ColumnBuilder::new(AttributeType::inside(&field.storage), &field.storage);
        Self {
            len: 0,
            columns: fields.iter().map(column).collect(),
            by_member: fields.iter().enumerate().map(|(at, field)| (field.name.as_str().into(), at)).collect(),
            fields: schema::struct_fields(fields),
        }
    }

    fn like(&self) -> Self {
        let column = |column: &ColumnBuilder| ColumnBuilder { nulls: Nulls::default(), slots: column.slots.like() };
        Self {
            len: 0,
            columns: self.columns.iter().map(column).collect(),
            by_member: self.by_member.clone(),
            fields: self.fields.clone(),
        }
    }

    fn push(&mut self, skipped: usize, value: &Value<'_>) -> Result<bool, Malformed> {
        let Kind::M(object) = value.kind else { return Ok(false) };
        let fits = self.push_members(self.len + skipped, object);
        if matches!(fits, Ok(true)) {
            self.len += skipped + 1;
        } else {
            self.truncate(self.len);
        }
        fits
    }

    /// `Ok(false)`: a member is not declared, does not fit, or stands there twice.
    fn push_members(&mut self, row: usize, object: Part<'_>) -> Result<bool, Malformed> {
        let mut cursor = object.cursor();
        let mut members = Members::open(&mut cursor)?;
        while let Some(name) = members.next(&mut cursor)? {
            let at = name.decode().and_then(|name| self.by_member.get(&*name).copied());
            let value = item::value(&mut cursor)?;
            let Some(column) = at.map(|at| &mut self.columns[at]).filter(|column| column.len() <= row) else {
                return Ok(false);
            };
            if !column.append(row, &value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn truncate(&mut self, maps: usize) {
        self.len = maps;
        for column in &mut self.columns {
            column.truncate(maps);
        }
    }

    /// Counts what will be padded too: elements of lists may lack most members, and are many.
    fn bytes(&self) -> usize {
        let column =
            |column: &ColumnBuilder| column.bytes() + self.len.saturating_sub(column.len()) * column.slots.padding();
        self.columns.iter().map(column).sum()
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let len = std::mem::take(&mut self.len);
        let mut empty = Vec::new();
        let columns = self.columns.iter_mut().map(|column| column.finish(len, &mut empty)).collect::<Result<_, _>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), columns, nulls, len)?))
    }
}
