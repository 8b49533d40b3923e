//! What can be walked: text, or bytes of which nothing is known.

/// What a cursor walks: text, or bytes of which nothing is known.
pub trait Input: std::fmt::Debug {
    /// All of it as bytes.
    fn as_bytes(&self) -> &[u8];
    /// The part between two offsets, each at the end of the input or beside an ASCII character.
    fn part(&self, from: usize, to: usize) -> &Self;
    /// All of it as text, if it is.
    fn as_text(&self) -> Option<&str>;
}

impl Input for str {
    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
    #[inline]
    fn part(&self, from: usize, to: usize) -> &Self {
        &self[from..to]
    }
    #[inline]
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Input for [u8] {
    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self
    }
    #[inline]
    fn part(&self, from: usize, to: usize) -> &Self {
        &self[from..to]
    }
    #[inline]
    fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }
}
