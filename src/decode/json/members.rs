//! What stands in an object or array, one after the other.

use super::{Cursor, Input, Malformed, Text};

type NextName<'a, T> = Result<Option<Text<'a, T>>, Malformed>;

/// The members of an object, one after the other: take each value from the cursor before the next name.
#[derive(Debug)]
pub struct Members {
    first: bool,
}

impl Members {
    /// Takes the opening brace.
    #[inline]
    pub fn open<T: Input + ?Sized>(cursor: &mut Cursor<'_, T>) -> Result<Self, Malformed> {
        cursor.expect(b'{', "expected an object")?;
        Ok(Self { first: true })
    }

    /// Takes the next name and its colon, or the closing brace (`None`).
    #[inline]
    pub fn next<'a, T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'a, T>) -> NextName<'a, T> {
        self.name(cursor, Cursor::string)
    }

    /// The same, but the name is **not** checked: for objects one of whose names may be broken.
    #[inline]
    pub fn next_unchecked<'a, T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'a, T>) -> NextName<'a, T> {
        self.name(cursor, Cursor::string_unchecked)
    }

    #[inline]
    fn name<'a, T: Input + ?Sized>(
        &mut self,
        cursor: &mut Cursor<'a, T>,
        string: impl FnOnce(&mut Cursor<'a, T>) -> Result<Text<'a, T>, Malformed>,
    ) -> NextName<'a, T> {
        if cursor.take(b'}') {
            // `{"a":1,}`: the comma has been taken, so a brace may only come where a comma could.
            return Ok(None);
        }
        if !self.first {
            cursor.expect(b',', "expected `,` or `}`")?;
        }
        self.first = false;
        let name = string(cursor)?;
        cursor.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }
}

/// The elements of an array, one after the other.
#[derive(Debug)]
pub struct Elements {
    first: bool,
}

impl Elements {
    /// Takes the opening bracket.
    #[inline]
    pub fn open<T: Input + ?Sized>(cursor: &mut Cursor<'_, T>) -> Result<Self, Malformed> {
        cursor.expect(b'[', "expected an array")?;
        Ok(Self { first: true })
    }

    /// Whether an element follows, which the caller takes; otherwise the closing bracket has been taken.
    #[inline]
    pub fn next<T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'_, T>) -> Result<bool, Malformed> {
        if cursor.take(b']') {
            return Ok(false);
        }
        if !self.first {
            cursor.expect(b',', "expected `,` or `]`")?;
        }
        self.first = false;
        Ok(true)
    }
}
