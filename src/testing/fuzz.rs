//! What must hold for any bytes from outside? One function for each parser, which panics if it does not.
//!
//! `cargo test` runs each over its corpus and over changed forms of that, from fixed seeds; `tests/fuzz` is a crate for
//! `cargo fuzz`, which looks for inputs that take new ways through the code.

use bytes::Bytes;

use crate::change::{Channel, SequenceNumber};
use crate::decode::json::Marks;
use crate::decode::{envelope, number};
use crate::handler::dead_letter::DeadLetter;
use crate::lake::kept;
use crate::lake::range::{KeptRecords, Range};
use crate::lambda::answer::{Progress, answer};
use crate::pipeline::spec::ColumnType;
use crate::route::{Extensions, Filter};
use crate::source::export::{lines, manifest};
use crate::source::scan::page;
use crate::source::{kinesis_page, kpl, streams_page, unwrap};

/// A parser's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 15] = [
    ("record", record),
    ("streams_page", streams_page),
    ("kinesis_page", kinesis_page),
    ("kpl", kpl),
    ("recorded", recorded),
    ("event", event),
    ("filter", filter),
    ("range", range),
    ("dead_letter", dead_letter),
    ("pipeline", pipeline),
    ("number", number),
    ("export", export),
    ("export_line", export_line),
    ("scan_page", scan_page),
    ("kept", kept),
];

/// Two lines, each the JSON of a change: the quick walk and the careful one give the same rows.
pub fn record(data: &[u8]) {
    let (first, second) = halves(data, b'\n');
    let nested = data.len() % 2 == 1;
    crate::lake::agree::check(&[first.to_vec(), second.to_vec(), first.to_vec()], nested);
}

/// An answer of DynamoDB Streams: its records are parts of it, none of them twice.
pub fn streams_page(data: &[u8]) {
    let page = Bytes::copy_from_slice(data);
    if let Ok(cut) = streams_page::cut(&page) {
        let bytes: usize = cut.records.iter().map(|(_, record)| record.len()).sum();
        assert!(bytes <= page.len());
    }
}

/// An answer of Kinesis: what it decodes to is no longer than it is.
pub fn kinesis_page(data: &[u8]) {
    if let Ok(page) = kinesis_page::read(data) {
        let bytes: usize = page.records.iter().map(|(_, record)| record.len()).sum();
        assert!(bytes <= data.len());
    }
}

/// The data of a Kinesis record: an aggregate is taken apart into parts of it, or it is none.
pub fn kpl(data: &[u8]) {
    let blob = Bytes::copy_from_slice(data);
    for record in kpl::deaggregate(&blob).unwrap_or_default() {
        assert!(record.data.len() <= blob.len());
    }
}

/// A document of a recorded file: every change of it is a part of it, or was base64 in it.
pub fn recorded(data: &[u8]) {
    let document = Bytes::copy_from_slice(data);
    for found in unwrap::changes(&document, &mut Marks::default()).unwrap_or_default() {
        assert!(found.payload.len() <= document.len());
    }
}

/// An event of a mapping: every change of it is a part of it, or was base64 in it, and its answer names a record of it.
pub fn event(data: &[u8]) {
    let event = Bytes::copy_from_slice(data);
    let Ok(batch) = crate::lambda::event::read(&event) else { return };
    for record in batch.items.iter().flat_map(|item| &item.records) {
        assert!(record.payload.len() <= event.len());
    }
    for done in 0..=batch.items.len() {
        let answered = answer(&batch, &Progress { done, why: None });
        assert!(answered.is_ok() || done == 0);
    }
}

/// A pattern on the first line and a record on the others: two of the same pattern say what one says.
pub fn filter(data: &[u8]) {
    let (pattern, event) = halves(data, b'\n');
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    for typed_numbers in [false, true] {
        let extensions = Extensions { typed_numbers };
        let Ok(one) = Filter::parse(&[pattern], extensions) else { continue };
        let two = Filter::parse(&[pattern, pattern], extensions).expect("it was a pattern just now");
        assert_eq!(one.matches(event, None), two.matches(event, None));
    }
}

/// A range object: what was read is written and read as the same.
pub fn range(data: &[u8]) {
    if let Ok(range) = Range::parse(data) {
        assert_eq!(Range::parse(&range.to_bytes()), Ok(range));
    }
}

/// A dead letter: the change in it is one, whoever wrote the letter.
pub fn dead_letter(data: &[u8]) {
    if let Ok(letter) = DeadLetter::parse(data)
        && let Ok(change) = letter.change()
    {
        assert!(change.envelope().is_ok());
    }
}

/// A pipeline file: it is right, or every mistake has a place in it.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(problems) = crate::pipeline::read("fuzz.toml", text) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
}

/// A number of DynamoDB, a column type, a sequence number.
pub fn number(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(value) = number::decimal(text, 38, 9) {
        let written = number::decimal_text(value, 9);
        assert_eq!(number::decimal(&written, 38, 9), Some(value));
        assert_eq!(number::canonical(&written), number::canonical(text), "{text}");
    }
    if let Some(value) = number::int64(text) {
        assert_eq!(number::canonical(&value.to_string()), number::canonical(text));
    }
    if let Ok(kind) = text.parse::<ColumnType>() {
        assert_eq!(kind.to_string().parse::<ColumnType>().ok(), Some(kind));
    }
    if let Ok(sequence) = SequenceNumber::parse(text) {
        assert_eq!(SequenceNumber::from_sortable(&sequence.to_sortable()), Ok(sequence));
        assert_eq!(SequenceNumber::parse(&sequence.to_string()), Ok(sequence));
    }
}

/// The manifests of an export, the summary on the first line: what is read says what it said.
pub fn export(data: &[u8]) {
    let (summary, files) = halves(data, b'\n');
    let Ok(read) = manifest::read("fuzz", summary, files) else { return };
    assert_eq!(read.files.iter().map(|file| file.items).sum::<u64>(), read.items);
    assert!(read.files.iter().all(|file| !file.key.split('/').any(|part| part == "..")));
    assert!(!read.table.contains('/'));
}

/// A line of an export's data file: its item is a part of it, and a change, a net change or neither.
pub fn export_line(data: &[u8]) {
    let line = Bytes::copy_from_slice(data);
    let item = lines::item(line.clone());
    assert!(item.len() <= line.len());
    for (bytes, channel) in
        [(&item, Channel::Snapshot(0)), (&line, Channel::NetChange(false)), (&line, Channel::NetChange(true))]
    {
        if let Ok(change) = envelope::read(bytes, channel) {
            assert!(!change.event_name.is_empty());
        }
    }
}

/// An answer to a scan: its items are parts of it, none of them twice, and so is the key behind which it goes on.
pub fn scan_page(data: &[u8]) {
    let page = Bytes::copy_from_slice(data);
    if let Ok(cut) = page::cut(&page) {
        let items: usize = cut.items.iter().map(Bytes::len).sum();
        assert!(items <= page.len());
        assert!(cut.last_key.is_none_or(|key| key.len() <= 3 * page.len()));
    }
}

/// An object of kept records, its number of records and of bytes in front: no more comes out than it says.
pub fn kept(data: &[u8]) {
    let [records, high, low, body @ ..] = data else { return };
    let bytes = u64::from(*high) << 8 | u64::from(*low);
    let entry = KeptRecords { path: String::new(), records: u64::from(*records), bytes };
    if let Ok(read) = kept::read(&entry, body) {
        assert_eq!(read.len() as u64, entry.records);
        assert!(read.iter().map(|record| record.payload.len() as u64).sum::<u64>() <= bytes);
    }
}

fn halves(data: &[u8], between: u8) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == between).unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// Changed forms of each file of a corpus.
    const FORMS: u64 = 300;

    /// What parsers look for.
    const PIECES: [&[u8]; 24] = [
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\n",
        b"\0",
        b"\xff",
        b"\\u",
        b"\\ud83d",
        b"{\"S\":",
        b"{\"N\":\"",
        b"-",
        b"1e999",
        b"0",
        b"null",
        b"\xf3\x89\x9a\xc2",
        b"\x80\x80\x80\x80\x08",
        b"[[",
        b"=",
    ];

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn changed(data: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
        let mut data = data.to_vec();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..=data.len());
            let end = data.len().min(at + random.random_range(0..9));
            match random.random_range(0..5) {
                0 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
                1 => drop(data.drain(at..end)),
                2 => drop(data.splice(at..at, other[other.len().min(at)..other.len().min(at + 40)].to_vec())),
                3 => drop(data.splice(at..end, data[at..].to_vec())),
                _ => drop(data.splice(at..end, PIECES[random.random_range(0..PIECES.len())].to_vec())),
            }
            data.truncate(1 << 16);
        }
        data
    }

    /// Hands a changed form of a file of the corpus to a target, which must bear it.
    fn bears(name: &str, target: fn(&[u8]), corpus: &[Vec<u8>], number: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let other = &corpus[random.random_range(0..corpus.len())];
        let data = changed(&corpus[number], other, &mut random);
        if std::panic::catch_unwind(|| target(&data)).is_err() {
            panic!("{name}: {}", String::from_utf8_lossy(&data));
        }
    }

    #[test]
    fn whatever_comes_from_outside_is_borne() {
        for (name, target) in TARGETS {
            let corpus = corpus(name);
            assert!(!corpus.is_empty(), "{name} has no corpus");
            for (number, data) in corpus.iter().enumerate() {
                target(data);
                (0..FORMS).for_each(|form| bears(name, target, &corpus, number, form << 8 | number as u64));
            }
        }
    }

    /// `WATERSHED_FUZZ_SECONDS=60 cargo test --release --lib fuzz -- --ignored --nocapture`: so long for each parser, with forms
    /// that nobody has seen yet. `cargo fuzz` looks for ways through the code, too; this needs nothing but a stable compiler.
    #[test]
    #[ignore = "as long as one likes"]
    fn whatever_comes_from_outside_is_borne_for_a_while() {
        let seconds = std::env::var("WATERSHED_FUZZ_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
        let clock = crate::clock::Clock::system();
        for (name, target) in TARGETS {
            let corpus = corpus(name);
            let until = clock.now() + std::time::Duration::from_secs(seconds);
            let mut seed = u64::from_str_radix(&clock.token(), 16).unwrap();
            let first = seed;
            while clock.now() < until {
                bears(name, target, &corpus, seed as usize % corpus.len(), seed);
                seed = seed.wrapping_add(1);
            }
            println!("{name}: {} forms from seed {first}", seed.wrapping_sub(first));
        }
    }
}
