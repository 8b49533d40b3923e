//! The lines of one data file, gunzipped as they are read.

use std::fs::File;
use std::io::{BufReader, Read as _};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

/// How much text is read at once.
pub(super) const CHUNK: usize = 1 << 20;

/// The longest line: an item has at most 400 KB, a net change two of them, and escapes make text of it longer.
const MAX_LINE: usize = 64 << 20;

/// What the compressed file is read by.
const READ_AHEAD: usize = 256 << 10;

/// What a line of a full export begins with.
const ITEM: &[u8] = b"{\"Item\":";

/// A data file that is being read.
pub(super) struct Lines {
    text: MultiGzDecoder<BufReader<File>>,
    /// For errors.
    name: String,
    /// The lines that the manifest promises.
    promised: u64,
    read: u64,
    /// The beginning of a line whose end has not been read.
    left: Vec<u8>,
    ended: bool,
}

/// Some lines, without their ends, and what they take.
pub(super) struct LinePage {
    pub(super) lines: Vec<Bytes>,
    pub(super) bytes: usize,
}

impl Lines {
    pub(super) fn new(file: File, name: String, promised: u64) -> Self {
        let text = MultiGzDecoder::new(BufReader::with_capacity(READ_AHEAD, file));
        Self { text, name, promised, read: 0, left: Vec::new(), ended: false }
    }

    /// How many lines were read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Reads until `lines` lines were; what is left of the last page is put back.
    pub(super) fn skip_to(&mut self, lines: u64) -> Result<(), String> {
        while self.read < lines {
            let before = self.read;
            let page = self.page()?;
            if self.read > lines {
                let kept = (lines - before) as usize;
                let mut back = Vec::new();
                for line in &page.lines[kept..] {
                    back.extend_from_slice(line);
                    back.push(b'\n');
                }
                back.append(&mut self.left);
                self.left = back;
                self.read = lines;
            }
        }
        Ok(())
    }

    /// The next lines, at least one. Fails where there are fewer lines than the manifest says, or more.
    pub(super) fn page(&mut self) -> Result<LinePage, String> {
        let text = self.chunk()?;
        let bytes = text.len();
        let mut lines = Vec::new();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &text).chain((!text.ends_with(b"\n")).then_some(text.len())) {
            if !text[start..end].trim_ascii().is_empty() {
                lines.push(text.slice(start..end));
            }
            start = end + 1;
        }
        self.read += lines.len() as u64;
        if self.read == self.promised {
            // A manifest that forgets lines is no better than one that promises too many.
            let more = self.chunk()?;
            self.read += u64::from(!more.trim_ascii().is_empty());
        }
        let (read, promised, name) = (self.read, self.promised, &self.name);
        if lines.is_empty() || read > promised || (self.ended && self.left.is_empty() && read < promised) {
            return Err(format!("{name} is damaged: it has {read} lines or more, and the manifest says {promised}"));
        }
        Ok(LinePage { lines, bytes })
    }

    /// About [`CHUNK`] bytes of whole lines; a longer line comes whole.
    fn chunk(&mut self) -> Result<Bytes, String> {
        let mut text = std::mem::take(&mut self.left);
        let mut searched = 0;
        loop {
            if let Some(end) = (text.len() >= CHUNK).then(|| memchr::memrchr(b'\n', &text[searched..])).flatten() {
                self.left = text.split_off(searched + end + 1);
                return Ok(text.into());
            }
            if self.ended {
                return Ok(text.into());
            }
            if text.len() >= MAX_LINE {
                return Err(format!("{} is damaged: it has a line of more than 64 MiB", self.name));
            }
            searched = if text.len() >= CHUNK { text.len() } else { 0 };
            let (before, wanted) = (text.len(), CHUNK + CHUNK / 4);
            text.reserve(wanted);
            let read = (&mut self.text).take(wanted as u64).read_to_end(&mut text);
            let why = |error: std::io::Error| format!("{} is damaged: it does not gunzip ({error})", self.name);
            read.map_err(why)?;
            self.ended = text.len() - before < wanted;
        }
    }
}

/// The item of a line of a full export. What is of another form is left as it is, and found to be no item by the decoder.
pub(crate) fn item(line: Bytes) -> Bytes {
    let end = line.trim_ascii_end().len();
    if line.starts_with(ITEM) && line[..end].ends_with(b"}}") { line.slice(ITEM.len()..end - 1) } else { line }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn file(text: &[u8]) -> File {
        let mut encoder = GzEncoder::new(tempfile::tempfile().unwrap(), Compression::fast());
        encoder.write_all(text).unwrap();
        let mut file = encoder.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    fn all(lines: &mut Lines, count: u64) -> Vec<Bytes> {
        let mut found = Vec::new();
        while lines.read() < count {
            found.extend(lines.page().unwrap().lines);
        }
        found
    }

    #[test]
    fn lines_of_any_length_come_whole_from_anywhere() {
        let lengths = [1, 0, CHUNK - 1, CHUNK, 3 * CHUNK, 10, 70_000, 2];
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for round in 0..2u8 {
            for length in lengths.iter().filter(|length| **length > 0) {
                expected.push(vec![b'a' + round; *length]);
                text.extend_from_slice(&expected[expected.len() - 1]);
                text.push(b'\n');
            }
        }
        text.pop();
        let count = expected.len() as u64;
        for from in [0, 1, 3, 4, 5, 9, count - 1] {
            let mut lines = Lines::new(file(&text), "x".into(), count);
            lines.skip_to(from).unwrap();
            assert_eq!(all(&mut lines, count), expected[from as usize..], "{from}");
        }
    }

    #[test]
    fn what_is_not_as_promised_is_damaged() {
        let mut short = Lines::new(file(b"a\nb\n"), "x".into(), 3);
        assert!(short.page().err().unwrap().contains("the manifest says 3"));
        let mut long = Lines::new(file(b"a\nb\n"), "x".into(), 1);
        assert!(long.page().err().unwrap().contains("the manifest says 1"));
        let mut plain = tempfile::tempfile().unwrap();
        plain.write_all(b"no gzip at all").unwrap();
        plain.rewind().unwrap();
        assert!(Lines::new(plain, "x".into(), 1).page().err().unwrap().contains("does not gunzip"));
        let mut cut = file(&[b'a'; 100_000]);
        cut.set_len(50).unwrap();
        cut.rewind().unwrap();
        assert!(Lines::new(cut, "x".into(), 1).page().err().unwrap().contains("does not gunzip"));
    }

    #[test]
    fn the_item_is_taken_out_of_its_line() {
        let of = |line: &'static [u8]| item(Bytes::from_static(line));
        assert_eq!(of(br#"{"Item":{"a":{"S":"x"}}}"#), Bytes::from_static(br#"{"a":{"S":"x"}}"#));
        assert_eq!(of(b"{\"Item\":{}}\r"), Bytes::from_static(b"{}"));
        assert_eq!(of(br#"{"Items":{}}"#), Bytes::from_static(br#"{"Items":{}}"#));
    }
}
