//! How fast do a change's bytes become columns, for each shape they come in and each workload?

mod measure;
mod product;
mod workload;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use measure::CpuTime;
use watershed::change::{Channel, Position, Record, SequenceNumber, ShardId};
use watershed::decode::json::Marks;
use watershed::source::{ShardIterator, StreamApi, unwrap};
use workload::{Change, Workload};

/// The input of one iteration, measured as Kinesis records.
const INPUT: usize = 8 << 20;

/// A page has about 1 MB.
const PAGE: usize = 1 << 20;

fn decode(criterion: &mut Criterion<CpuTime>) {
    for workload in Workload::ALL {
        let changes = workload.of_size(1, INPUT);
        let kinesis = product::records(&changes);
        let rules = product::rules(workload);
        let schema = product::learned(&kinesis, workload.table(), &rules);
        let runtime = product::runtime();
        let mut group = criterion.benchmark_group("decode");
        group.sampling_mode(SamplingMode::Flat);
        let mut bench = |shape: &str, bytes: usize, mut pass: Box<dyn FnMut(&mut watershed::lake::rows::Rows) + '_>| {
            group.throughput(measure::throughput(changes.len(), bytes));
            group.bench_function(BenchmarkId::new(shape, workload.name()), |bencher| {
                bencher.iter(|| {
                    let mut rows = product::rows(&schema);
                    pass(&mut rows);
                    assert_eq!(rows.len(), changes.len());
                    rows.finish().expect("columns")
                });
            });
        };

        // A record of Kinesis for DynamoDB, after base64.
        let bytes = product::bytes_of(&kinesis);
        bench("kinesis-record", bytes, Box::new(|rows| product::decode(rows, &kinesis, &rules)));

        // A line of a recorded file: the document is looked through first.
        bench(
            "recorded-line",
            bytes,
            Box::new(|rows| {
                for record in &kinesis {
                    recorded(rows, &record.payload, record.position, &rules);
                }
            }),
        );

        // A Lambda event in a recorded file.
        let events = paged(&changes, workload::lambda_event);
        bench(
            "lambda-event",
            events.iter().map(Bytes::len).sum(),
            Box::new(|rows| {
                for event in &events {
                    recorded(rows, event, Position::new(SequenceNumber::from_ordinal(1)), &rules);
                }
            }),
        );

        // `GetRecords` of DynamoDB Streams, as the source reads it: with the SDK around it, without the network.
        let pages = paged(&changes, |changes| workload::streams_page(changes, Some("next")));
        let stream = product::streams_stream(&pages);
        bench(
            "streams-page",
            pages.iter().map(Bytes::len).sum(),
            Box::new(|rows| runtime.block_on(read(&stream, pages.len(), rows, &rules))),
        );

        // `GetRecords` of Kinesis, likewise.
        let pages = paged(&changes, |changes| workload::kinesis_page(changes, Some("next")));
        let stream = runtime.block_on(product::kinesis_stream(&pages));
        bench(
            "kinesis-page",
            pages.iter().map(Bytes::len).sum(),
            Box::new(|rows| runtime.block_on(read(&stream, pages.len(), rows, &rules))),
        );
        group.finish();
    }
}

type Rules = watershed::lake::schema::TableRules;
type Rows = watershed::lake::rows::Rows;

fn recorded(rows: &mut Rows, document: &Bytes, position: Position, rules: &Rules) {
    for found in unwrap::changes(document, &mut Marks::default()).expect("JSON") {
        let record = Record { position, channel: Channel::Recorded, table: found.table, payload: found.payload };
        product::decode(rows, [&record], rules);
    }
}

async fn read(stream: &impl StreamApi, pages: usize, rows: &mut Rows, rules: &Rules) {
    let (shard, iterator) = (ShardId::new("shardId-000000000000"), ShardIterator("next".to_owned()));
    for _ in 0..pages {
        let page = stream.get_records(&shard, &iterator).await.expect("a page");
        product::decode(rows, &page.records, rules);
    }
}

/// The changes in documents of about [`PAGE`] bytes.
fn paged(changes: &[Change], write: impl Fn(&[Change]) -> Vec<u8>) -> Vec<Bytes> {
    let (mut pages, mut start, mut size, mut record) = (Vec::new(), 0, 0, Vec::new());
    for (at, change) in changes.iter().enumerate() {
        record.clear();
        workload::streams_record(change, &mut record);
        size += record.len();
        if size >= PAGE || at + 1 - start == 1000 || at + 1 == changes.len() {
            pages.push(Bytes::from(write(&changes[start..=at])));
            (start, size) = (at + 1, 0);
        }
    }
    pages
}

criterion_group! { name = benches; config = measure::criterion(); targets = decode }
criterion_main!(benches);
