//! How much of a file is encoded, closed and uploaded at a time.

/// Sizes that a user does not set. Tests set small ones, so that little data goes all the ways that much data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A file's rows are encoded when they take this much memory raw: enough for good pages.
    pub batch: usize,
    /// The rows of all files of a shard that wait to be encoded take at most this much; then those of the largest are.
    pub raw: usize,
    /// A row group ends when it has this many encoded bytes. Encoded columns stay in memory until then.
    pub group: usize,
    /// What is uploaded at a time of a file that is still being encoded. S3 takes 5 MiB to 5 GiB, and 10,000 parts.
    pub part: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch: 16 << 20, raw: 64 << 20, group: 16 << 20, part: 8 << 20 }
    }
}
