//! The values of columns in the making: of fixed and variable length, and what fits exactly.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use crate::decode::bytes::put;
use crate::decode::item::{Kind, Value};
use crate::decode::json::{Malformed, Text};
use crate::decode::{base64, nested, number};
use crate::lake::schema::AttributeType;
use crate::pipeline::spec::ColumnType;

/// Values of variable length: offsets and bytes.
#[derive(Debug)]
pub(in crate::lake) struct Variable {
    offsets: Vec<i32>,
    pub(super) data: Vec<u8>,
}

impl Default for Variable {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }
}

impl Variable {
    /// No values, and room for as many as are here.
    fn like(&self) -> Self {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        Self { offsets, data: Vec::with_capacity(self.data.len()) }
    }

    /// Hands over all values, and keeps room for as many.
    pub(in crate::lake) fn hand_over(&mut self) -> Self {
        let empty = self.like();
        std::mem::replace(self, empty)
    }

    /// `skipped` empty values, then the one that stands between two offsets of `bytes`.
    #[inline(always)]
    pub(in crate::lake) fn push(&mut self, skipped: usize, bytes: &[u8], from: usize, to: usize) {
        if skipped > 0 {
            self.pad(skipped);
        }
        put(&mut self.data, bytes, from, to);
        self.close();
    }

    /// One value.
    #[inline]
    pub(in crate::lake) fn add(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close();
    }

    /// `skipped` empty values before the one whose bytes have been appended already, which begins at `start`.
    #[inline]
    pub(super) fn close_behind(&mut self, skipped: usize, start: usize) {
        if skipped > 0 {
            self.pad_with(start, skipped);
        }
        self.close();
    }

    /// `skipped` empty values, then one that the caller appends to the answer and closes.
    #[inline]
    pub(in crate::lake) fn open(&mut self, skipped: usize) -> &mut Vec<u8> {
        self.pad(skipped);
        &mut self.data
    }

    #[inline]
    pub(in crate::lake) fn close(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    /// Forgets bytes that were appended and not closed.
    pub(super) fn forget_open(&mut self) {
        self.data.truncate(self.offsets.last().map_or(0, |&end| end as usize));
    }

    #[inline]
    pub(super) fn pad(&mut self, skipped: usize) {
        self.pad_with(self.data.len(), skipped);
    }

    /// `skipped` empty values that stand at an offset of the bytes.
    #[inline(never)]
    fn pad_with(&mut self, end: usize, skipped: usize) {
        self.offsets.extend(std::iter::repeat_n(end as i32, skipped));
    }

    pub(super) fn truncate(&mut self, values: usize) {
        self.offsets.truncate(values + 1);
        self.data.truncate(self.offsets[values] as usize);
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.len() + 4 * self.offsets.len()
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let data = std::mem::take(&mut self.data);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(data))
    }

    pub(in crate::lake) fn finish_text(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let (offsets, data) = self.take();
        Ok(Arc::new(StringArray::try_new(offsets, data, nulls)?))
    }

    fn finish_binary(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let (offsets, data) = self.take();
        Ok(Arc::new(BinaryArray::try_new(offsets, data, nulls)?))
    }
}

/// The scalar values of a column, or of the lists and structs in it.
#[derive(Debug)]
pub(super) enum Values {
    Text(Variable),
    Json(Variable),
    NumberText(Variable),
    Binary(Variable),
    Decimal(Vec<i128>, u8, i8),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Bool(BooleanBufferBuilder),
}

impl Values {
    /// Of a column, field or element that is neither list nor struct: those have builders of their own.
    pub(super) fn new(takes: AttributeType, storage: &ColumnType) -> Self {
        match storage {
            ColumnType::String if takes == AttributeType::N => Self::NumberText(Variable::default()),
            ColumnType::String => Self::Text(Variable::default()),
            ColumnType::Json | ColumnType::List(_) | ColumnType::Struct(_) => Self::Json(Variable::default()),
            ColumnType::Binary => Self::Binary(Variable::default()),
            ColumnType::Decimal(digits) => Self::Decimal(Vec::new(), digits.precision(), digits.scale() as i8),
            ColumnType::Int64 => Self::Int64(Vec::new()),
            ColumnType::Double => Self::Double(Vec::new()),
            ColumnType::Bool => Self::Bool(BooleanBufferBuilder::new(0)),
        }
    }

    /// No values, and room for as many as are here.
    pub(super) fn like(&self) -> Self {
        match self {
            Self::Text(v) => Self::Text(v.like()),
            Self::Json(v) => Self::Json(v.like()),
            Self::NumberText(v) => Self::NumberText(v.like()),
            Self::Binary(v) => Self::Binary(v.like()),
            Self::Decimal(v, precision, scale) => Self::Decimal(Vec::with_capacity(v.len()), *precision, *scale),
            Self::Int64(v) => Self::Int64(Vec::with_capacity(v.len())),
            Self::Double(v) => Self::Double(Vec::with_capacity(v.len())),
            Self::Bool(v) => Self::Bool(BooleanBufferBuilder::new(v.len())),
        }
    }

    /// Adds `skipped` values that stand where there is none, then `value`; `false` if it does not fit exactly, and
    /// then nothing has changed.
    #[inline]
    pub(super) fn push(&mut self, skipped: usize, value: &Value<'_>) -> Result<bool, Malformed> {
        match (self, value.kind) {
            (Self::Json(json), Kind::M(_) | Kind::L(_)) => {
                // The value goes in first: padding of a value that does not fit would have to be taken back.
                let start = json.data.len();
                if !nested::plain_json(value, &mut json.data)? {
                    return Ok(false);
                }
                json.close_behind(skipped, start);
                Ok(true)
            }
            (values, Kind::S(text) | Kind::N(text) | Kind::B(text)) => {
                Ok(values.push_scalar(skipped, &value.kind, text))
            }
            (Self::Bool(bits), Kind::Bool(value)) => {
                bits.append_n(skipped, false);
                bits.append(value);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    #[inline]
    pub(super) fn push_scalar(&mut self, skipped: usize, kind: &Kind<'_>, text: Text<'_>) -> bool {
        match (self, kind) {
            (Self::Text(values), Kind::S(_)) => {
                let start = values.data.len();
                if !text.decode_into(&mut values.data) {
                    return false;
                }
                values.close_behind(skipped, start);
                true
            }
            (Self::NumberText(values), Kind::N(_)) => {
                if text.escaped {
                    return false;
                }
                values.open(skipped).extend_from_slice(text.raw.as_bytes());
                values.close();
                true
            }
            (Self::Binary(values), Kind::B(_)) => {
                let start = values.data.len();
                if !base64::append(text, &mut values.data) {
                    return false;
                }
                values.close_behind(skipped, start);
                true
            }
            (Self::Decimal(values, precision, scale), Kind::N(_)) => {
                push_fixed(values, skipped, number::decimal(text.raw, *precision, *scale))
            }
            (Self::Int64(values), Kind::N(_)) => push_fixed(values, skipped, number::int64(text.raw)),
            (Self::Double(values), Kind::N(_)) => push_fixed(values, skipped, number::double(text.raw)),
            _ => false,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(v) | Self::Json(v) | Self::NumberText(v) | Self::Binary(v) => v.offsets.len() - 1,
            Self::Decimal(v, ..) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Double(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    pub(super) fn truncate(&mut self, values: usize) {
        match self {
            Self::Text(v) | Self::Json(v) | Self::NumberText(v) | Self::Binary(v) => v.truncate(values),
            Self::Decimal(v, ..) => v.truncate(values),
            Self::Int64(v) => v.truncate(values),
            Self::Double(v) => v.truncate(values),
            Self::Bool(v) => v.truncate(values),
        }
    }

    pub(super) fn pad(&mut self, skipped: usize) {
        match self {
            Self::Text(v) | Self::Json(v) | Self::NumberText(v) | Self::Binary(v) => v.pad(skipped),
            Self::Decimal(v, ..) => v.extend(std::iter::repeat_n(0, skipped)),
            Self::Int64(v) => v.extend(std::iter::repeat_n(0, skipped)),
            Self::Double(v) => v.extend(std::iter::repeat_n(0.0, skipped)),
            Self::Bool(v) => v.append_n(skipped, false),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(v) | Self::Json(v) | Self::NumberText(v) | Self::Binary(v) => v.bytes(),
            Self::Decimal(v, ..) => 16 * v.len(),
            Self::Int64(v) => 8 * v.len(),
            Self::Double(v) => 8 * v.len(),
            Self::Bool(v) => v.len() / 8,
        }
    }

    /// The bytes that a value takes which is not there.
    pub(super) fn padding(&self) -> usize {
        match self {
            Self::Text(_) | Self::Json(_) | Self::NumberText(_) | Self::Binary(_) => 4,
            Self::Decimal(..) => 16,
            Self::Int64(_) | Self::Double(_) => 8,
            // A bit, counted as a byte.
            Self::Bool(_) => 1,
        }
    }

    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(v) | Self::Json(v) | Self::NumberText(v) => v.finish_text(nulls)?,
            Self::Binary(v) => v.finish_binary(nulls)?,
            Self::Decimal(v, precision, scale) => Arc::new(
                Decimal128Array::try_new(std::mem::take(v).into(), nulls)?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Self::Int64(v) => Arc::new(Int64Array::try_new(std::mem::take(v).into(), nulls)?),
            Self::Double(v) => Arc::new(Float64Array::try_new(std::mem::take(v).into(), nulls)?),
            Self::Bool(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
        })
    }
}

#[inline]
pub(super) fn push_fixed<T: Copy + Default>(values: &mut Vec<T>, skipped: usize, value: Option<T>) -> bool {
    if let Some(value) = value {
        if skipped > 0 {
            values.extend(std::iter::repeat_n(T::default(), skipped));
        }
        values.push(value);
    }
    value.is_some()
}
