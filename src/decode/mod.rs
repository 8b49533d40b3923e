//! From a change's bytes to its parts, in one walk and without building a tree.
//!
//! [`envelope`] finds what kind of change it is and where its images lie; [`item`] walks the attributes of an image;
//! [`number`], [`nested`] and [`base64`] turn values into what a column can hold exactly, or say that it can't.

pub mod base64;
pub(crate) mod bytes;
pub mod envelope;
pub mod item;
pub mod json;
pub mod nested;
pub mod number;
mod quick;
