//! Where a file's finished bytes are until somebody takes them.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};

/// Takes bytes, and gives them back in parts of one size, or at the end.
pub(super) struct Sink {
    /// The size of a part.
    part: usize,
    full: Vec<Bytes>,
    last: Vec<u8>,
    /// The bytes that were taken.
    taken: usize,
}

impl Sink {
    pub(super) fn new(part: usize) -> Self {
        Self { part, full: Vec::new(), last: Vec::new(), taken: 0 }
    }

    /// The bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.last.capacity()
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The full parts behind those taken before.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let full = std::mem::take(&mut self.full);
        self.taken += full.iter().map(Bytes::len).sum::<usize>();
        full
    }

    /// How many bytes were taken, and those behind them.
    pub(super) fn finish(self) -> (usize, Bytes) {
        if self.full.is_empty() {
            return (self.taken, self.last.into());
        }
        let len = self.full.iter().map(Bytes::len).sum::<usize>() + self.last.len();
        let mut rest = BytesMut::with_capacity(len);
        self.full.iter().for_each(|part| rest.extend_from_slice(part));
        rest.extend_from_slice(&self.last);
        (self.taken, rest.freeze())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.part - self.last.len();
        let fitting = &bytes[..bytes.len().min(room)];
        let len = self.last.len() + fitting.len();
        if len > self.last.capacity() {
            // A part takes no more than its bytes.
            let capacity = len.max(2 * self.last.capacity()).min(self.part);
            self.last.reserve_exact(capacity - self.last.len());
        }
        self.last.extend_from_slice(fitting);
        if self.last.len() == self.part {
            self.full.push(std::mem::take(&mut self.last).into());
        }
        Ok(fitting.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_parts_of_one_size_in_their_order_whenever_they_are_taken() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for (part, take_every, step) in [(100, 1, 7), (100, 3, 250), (1, 2, 10), (4096, 1, 1000), (usize::MAX, 1, 999)]
        {
            let mut sink = Sink::new(part);
            let mut taken = Vec::new();
            for (at, chunk) in bytes.chunks(step).enumerate() {
                sink.write_all(chunk).unwrap();
                if at % take_every == 0 {
                    taken.extend(sink.take());
                }
                assert!(sink.memory() >= sink.last.len());
            }
            assert!(taken.iter().all(|taken| taken.len() == part));
            let (count, rest) = sink.finish();
            let mut all = taken.concat();
            assert_eq!(count, all.len());
            all.extend_from_slice(&rest);
            assert!(all == bytes, "parts of {part}");
        }
    }
}
