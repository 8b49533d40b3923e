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

    /// Whether no member has been taken.
    #[inline]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Somebody else has taken members from the cursor, the last one up to its value's end.
    #[inline]
    pub fn were_taken(&mut self) {
        self.first = false;
    }

    /// Takes the next name and its colon, or the closing brace (`None`).
    #[inline]
    pub fn next<'a, T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'a, T>) -> NextName<'a, T> {
        if self.has_next(cursor)? { Self::name(cursor).map(Some) } else { Ok(None) }
    }

    /// The same, but the name is **not** checked: for objects one of whose names may be broken.
    #[inline]
    pub fn next_unchecked<'a, T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'a, T>) -> NextName<'a, T> {
        if !self.has_next(cursor)? {
            return Ok(None);
        }
        let name = cursor.string_unchecked()?;
        cursor.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }

    /// Whether a member follows, which the caller takes; otherwise the closing brace has been taken.
    #[inline]
    pub fn has_next<T: Input + ?Sized>(&mut self, cursor: &mut Cursor<'_, T>) -> Result<bool, Malformed> {
        if cursor.take(b'}') {
            // `{"a":1,}`: the comma has been taken, so a brace may only come where a comma could.
            return Ok(false);
        }
        if !self.first {
            cursor.expect(b',', "expected `,` or `}`")?;
        }
        self.first = false;
        Ok(true)
    }

    /// Takes a name and its colon.
    #[inline]
    pub fn name<'a, T: Input + ?Sized>(cursor: &mut Cursor<'a, T>) -> Result<Text<'a, T>, Malformed> {
        let name = cursor.string()?;
        cursor.expect(b':', "expected `:`")?;
        Ok(name)
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
