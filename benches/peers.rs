//! What does watershed's own side of `benches/peers/run.sh` do: write the common file, and take it into columns and
//! into Parquet?
//!
//! ```text
//! peers generate FILE RECORDS    Reply changes, one Kinesis record a line
//! peers columns FILE             bytes to columns, one thread
//! peers parquet FILE OUT         bytes to Parquet files, one thread
//! ```

mod measure;
mod product;
mod workload;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use watershed::change::{Channel, Position, Record, SequenceNumber};
use workload::Workload;

/// Rows that become one batch of columns.
const BATCH: usize = 16_384;

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["generate", file, records] => generate(Path::new(file), records.parse().expect("a number")),
        ["columns", file] => columns(&read(Path::new(file))),
        ["parquet", file, out] => parquet(&read(Path::new(file)), Path::new(out)),
        _ => println!("benches/peers/run.sh compares watershed with its peers"),
    }
}

fn generate(file: &Path, records: usize) {
    let mut out = std::io::BufWriter::new(fs::File::create(file).expect("a file"));
    let mut line = Vec::new();
    for change in Workload::Reply.changes(1).take(records) {
        line.clear();
        workload::kinesis_record(&change, &mut line);
        line.push(b'\n');
        out.write_all(&line).expect("written");
    }
    out.flush().expect("written");
}

fn read(file: &Path) -> Vec<Record> {
    let bytes = Bytes::from(fs::read(file).expect("a file"));
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', &bytes);
    let line = |(at, end)| {
        let payload = bytes.slice(start..end);
        start = end + 1;
        let position = Position::new(SequenceNumber::from_ordinal(at as u64 + 1));
        Record { position, channel: Channel::Kinesis, table: None, payload }
    };
    ends.enumerate().map(line).collect()
}

fn columns(records: &[Record]) {
    let rules = product::rules(Workload::Reply);
    let schema = product::learned(&records[..records.len().min(1000)], "Reply", &rules);
    let mut rows = product::rows(&schema);
    for batch in records.chunks(BATCH) {
        product::decode(&mut rows, batch, &rules);
        drop(std::hint::black_box(rows.hand_over().finish().expect("columns")));
    }
}

fn parquet(records: &[Record], out: &Path) {
    let rules = product::rules(Workload::Reply);
    let files = product::runtime().block_on(async {
        let mut lake = product::InMemory::open(rules).await;
        lake.land(records).await;
        lake.files()
    });
    for (at, file) in files.iter().enumerate() {
        fs::write(out.join(format!("{at}.parquet")), file).expect("written");
    }
}
