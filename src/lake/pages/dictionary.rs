//! Which values of a column are known already, and under which number?

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

/// From this size on a dictionary takes no more values: readers hold it whole.
const FULL: usize = 1 << 20;

/// The values of a dictionary page.
#[derive(Debug)]
pub(super) struct Dictionary {
    keys: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Where each value ends in `data`, and the page it was last seen in.
    entries: Vec<(u32, u32)>,
    data: Vec<u8>,
    page: u32,
    last: u32,
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self {
            keys: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            entries: Vec::new(),
            data: Vec::new(),
            page: 0,
            last: 0,
        }
    }

    /// From here on values are those of another page.
    pub(super) fn turn_page(&mut self) {
        self.page += 1;
    }

    /// The number of a value, and whether this page has not had it before.
    #[inline]
    pub(super) fn key(&mut self, value: &[u8]) -> (u32, bool) {
        let key =
            if !self.entries.is_empty() && self.value(self.last) == value { self.last } else { self.look_up(value) };
        self.last = key;
        let seen = &mut self.entries[key as usize].1;
        let is_first = *seen != self.page;
        *seen = self.page;
        (key, is_first)
    }

    #[inline]
    fn look_up(&mut self, value: &[u8]) -> u32 {
        let Self { keys, hasher, entries, data, .. } = self;
        let hash = |value: &[u8]| {
            let mut hashing = hasher.build_hasher();
            hashing.write(value);
            hashing.finish()
        };
        let of = |key: u32| &data[start(entries, key)..entries[key as usize].0 as usize];
        let hashed = hash(value);
        if let Some(&key) = keys.find(hashed, |&key| of(key) == value) {
            return key;
        }
        let key = entries.len() as u32;
        keys.insert_unique(hashed, key, |&key| hash(of(key)));
        data.extend_from_slice(value);
        entries.push((data.len() as u32, 0));
        key
    }

    #[inline]
    fn value(&self, key: u32) -> &[u8] {
        &self.data[start(&self.entries, key)..self.entries[key as usize].0 as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.data.len() + 4 * self.entries.len() > FULL
    }

    /// The bytes it takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.data.capacity() + 8 * self.entries.capacity() + 5 * self.keys.capacity()
    }

    /// The bytes of its page.
    pub(super) fn plain_size(&self) -> usize {
        self.data.len() + 4 * self.entries.len()
    }

    /// Its values in their order, each with its length in front if they differ in that.
    pub(super) fn plain(&self, with_lengths: bool) -> Vec<u8> {
        if !with_lengths {
            return self.data.clone();
        }
        let mut plain = Vec::with_capacity(self.plain_size());
        for key in 0..self.entries.len() as u32 {
            let value = self.value(key);
            plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
            plain.extend_from_slice(value);
        }
        plain
    }
}

#[inline]
fn start(entries: &[(u32, u32)], key: u32) -> usize {
    if key == 0 { 0 } else { entries[key as usize - 1].0 as usize }
}
