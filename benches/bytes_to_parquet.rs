//! How fast do bytes become Parquet in the lake, on one thread and on as many as there are cores?
//!
//! Through the product's own `LakeShard`, schema growth and partitions included, into a lake in memory.

mod measure;
mod product;
mod workload;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use measure::CpuTime;
use watershed::change::Record;
use watershed::lake::schema::TableRules;
use workload::Workload;

/// The input of one iteration.
const INPUT: usize = 32 << 20;

/// How often the threads are measured; the best counts, since what else the machine does only ever slows it down.
const ATTEMPTS: usize = 5;

fn land(records: &[Record], rules: &TableRules) -> u64 {
    product::runtime().block_on(async { product::InMemory::open(rules.clone()).await.land(records).await })
}

fn one_thread(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("bytes-to-parquet");
    group.sampling_mode(SamplingMode::Flat);
    for workload in Workload::ALL {
        let records = product::records(&workload.of_size(1, INPUT));
        let rules = product::rules(workload);
        group.throughput(measure::throughput(records.len(), product::bytes_of(&records)));
        group.bench_function(BenchmarkId::from_parameter(workload.name()), |bencher| {
            bencher.iter(|| land(&records, &rules));
        });
    }
    group.finish();
}

/// Each thread has a shard and all of the input, as the shards of a stream have.
fn all_cores(_: &mut Criterion<CpuTime>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let records = product::records(&Workload::Reply.of_size(1, INPUT));
    let rules = product::rules(Workload::Reply);
    let megabytes = product::bytes_of(&records) as f64 / 1e6;
    let speed = |threads: usize| {
        let best = (0..ATTEMPTS).map(|_| {
            let start = measure::wall_time();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| black_box(land(&records, &rules)));
                }
            });
            measure::wall_time() - start
        });
        let best = best.min().unwrap_or(Duration::MAX);
        megabytes * threads as f64 / best.as_secs_f64()
    };
    let alone = speed(1);
    println!("\nthreads  MB/s (wall)  of one");
    for threads in 1..=cores {
        let speed = if threads == 1 { alone } else { speed(threads) };
        println!("{threads:>7}  {speed:>11.0}  {:>6.2}", speed / alone);
    }
}

criterion_group! { name = benches; config = measure::criterion(); targets = one_thread, all_cores }
criterion_main!(benches);
