//! How much faster is a DynamoDB Streams page by the raw body than by the SDK's own parser?
//!
//! Both sides make the same call with the same SDK, credentials and signing; only the network is canned.

mod measure;
mod product;
mod workload;

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use measure::CpuTime;
use watershed::change::ShardId;
use watershed::source::{ShardIterator, StreamApi};
use workload::Workload;

/// One full page: about 1 MB.
const RECORDS: usize = 880;

fn streams_page(criterion: &mut Criterion<CpuTime>) {
    let runtime = product::runtime();
    let changes: Vec<_> = Workload::Reply.changes(1).take(RECORDS).collect();
    let page = Bytes::from(workload::streams_page(&changes, Some("next")));
    let pages = [page.clone()];
    let rules = product::rules(Workload::Reply);
    let schema = product::learned(&product::records(&changes), "Reply", &rules);
    let (shard, iterator) = (ShardId::new("shardId-000000000000"), ShardIterator("next".to_owned()));
    let stream = product::streams_stream(&pages);
    let client = product::sdk_streams_client(&pages);

    let mut group = criterion.benchmark_group("streams-page");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(measure::throughput(RECORDS, page.len()));
    group.bench_function("SDK parse alone", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(client.get_records().shard_iterator("next").limit(1000).send());
            let records = answer.expect("a page").records.unwrap_or_default();
            assert_eq!(records.len(), RECORDS);
            records
        });
    });
    group.bench_function("raw page to records", |bencher| {
        bencher.iter(|| {
            let page = runtime.block_on(stream.get_records(&shard, &iterator)).expect("a page");
            assert_eq!(page.records.len(), RECORDS);
            page
        });
    });
    group.bench_function("raw page to columns", |bencher| {
        // As a shard does, but for handing over after each page instead of some thousand records later.
        let mut rows = product::rows(&schema);
        bencher.iter(|| {
            let page = runtime.block_on(stream.get_records(&shard, &iterator)).expect("a page");
            product::decode(&mut rows, &page.records, &rules);
            assert_eq!(rows.len(), RECORDS);
            rows.hand_over().finish().expect("columns")
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = measure::criterion(); targets = streams_page }
criterion_main!(benches);
