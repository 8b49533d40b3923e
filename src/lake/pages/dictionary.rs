//! Which values of a column are known already, and under which number?

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

/// From this size on a dictionary takes no more values: readers hold it whole.
const FULL: usize = 1 << 20;

/// How many short values are met again without a search.
const RECENT: usize = 128;

/// The values of a dictionary page.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// Short values, with their keys: they are compared where they are found.
    short: HashTable<(Short, u32)>,
    /// The keys of all others.
    long: HashTable<u32>,
    hasher: DefaultHashBuilder,
    seeds: [u64; 2],
    /// Where each value ends in `data`, and the page it was last seen in.
    entries: Vec<(u32, u32)>,
    data: Vec<u8>,
    page: u32,
    /// Short values met before, each at the place that its hash gives: most values of a column are among a few.
    recent: Box<[(Short, u32); RECENT]>,
}

/// A value of at most 16 bytes, zeros behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    low: u64,
    high: u64,
    length: u32,
}

impl Short {
    /// Of `length` bytes, the first of which is the lowest.
    #[inline]
    pub(super) fn new(bytes: u128, length: usize) -> Self {
        Self { low: bytes as u64, high: (bytes >> 64) as u64, length: length as u32 }
    }

    /// A product whose factors nobody outside knows.
    #[inline]
    fn hash(self, seeds: [u64; 2]) -> u64 {
        let (one, other) = (self.low ^ seeds[0], self.high ^ seeds[1] ^ u64::from(self.length));
        let product = u128::from(one) * u128::from(other);
        product as u64 ^ (product >> 64) as u64
    }
}

impl Dictionary {
    pub(super) fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            short: HashTable::new(),
            long: HashTable::new(),
            seeds: [hasher.hash_one(1), hasher.hash_one(2)],
            hasher,
            entries: Vec::new(),
            data: Vec::new(),
            page: 0,
            recent: Box::new([(Short { low: 0, high: 0, length: u32::MAX }, 0); RECENT]),
        }
    }

    /// From here on values are those of another page.
    pub(super) fn turn_page(&mut self) {
        self.page += 1;
    }

    /// The number of a value, and whether this page has not had it before.
    #[inline]
    pub(super) fn key(&mut self, value: &[u8]) -> (u32, bool) {
        let key = self.look_up(value);
        (key, self.is_first(key))
    }

    /// The same of a short value; `value` is all of it.
    #[inline]
    pub(super) fn short_key<V: AsRef<[u8]>>(&mut self, short: Short, value: impl FnOnce() -> V) -> (u32, bool) {
        let hash = short.hash(self.seeds);
        let place = (hash >> 32) as usize % RECENT;
        let key = match self.recent[place] {
            (known, key) if known == short => key,
            _ => {
                let key = self.look_up_short(short, hash, value);
                self.recent[place] = (short, key);
                key
            }
        };
        (key, self.is_first(key))
    }

    #[inline]
    fn is_first(&mut self, key: u32) -> bool {
        std::mem::replace(&mut self.entries[key as usize].1, self.page) != self.page
    }

    #[inline(never)]
    fn look_up_short<V: AsRef<[u8]>>(&mut self, short: Short, hash: u64, value: impl FnOnce() -> V) -> u32 {
        if let Some(&(_, key)) = self.short.find(hash, |(known, _)| *known == short) {
            return key;
        }
        let (key, seeds) = (self.entries.len() as u32, self.seeds);
        self.short.insert_unique(hash, (short, key), |(known, _)| known.hash(seeds));
        self.add(value().as_ref());
        key
    }

    fn look_up(&mut self, value: &[u8]) -> u32 {
        let Self { long, hasher, entries, data, .. } = self;
        let hash = |value: &[u8]| {
            let mut hashing = hasher.build_hasher();
            hashing.write(value);
            hashing.finish()
        };
        let of = |key: u32| &data[start(entries, key)..entries[key as usize].0 as usize];
        let hashed = hash(value);
        if let Some(&key) = long.find(hashed, |&key| of(key) == value) {
            return key;
        }
        let key = entries.len() as u32;
        long.insert_unique(hashed, key, |&key| hash(of(key)));
        self.add(value);
        key
    }

    fn add(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.entries.push((self.data.len() as u32, 0));
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
        let tables = (size_of::<(Short, u32)>() + 1) * self.short.capacity() + 5 * self.long.capacity();
        size_of_val(&*self.recent) + self.data.capacity() + 8 * self.entries.capacity() + tables
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
