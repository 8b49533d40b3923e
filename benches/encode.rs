//! How fast do columns become a Parquet file?

mod measure;
mod product;
mod workload;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use measure::CpuTime;
use watershed::lake::file::FileWriter;
use workload::Workload;

/// The input of the file, as JSON.
const INPUT: usize = 16 << 20;

fn encode(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("encode");
    group.sampling_mode(SamplingMode::Flat);
    for workload in Workload::ALL {
        let records = product::records(&workload.of_size(1, INPUT));
        let rules = product::rules(workload);
        let schema = product::learned(&records, workload.table(), &rules);
        let mut rows = product::rows(&schema);
        product::decode(&mut rows, &records, &rules);
        let batch = rows.finish().expect("columns");
        group.throughput(measure::throughput(records.len(), product::bytes_of(&records)));
        group.bench_function(BenchmarkId::from_parameter(workload.name()), |bencher| {
            bencher.iter_batched(
                || FileWriter::new(&schema, &rules, &[]).expect("a writer"),
                |mut writer| {
                    writer.write(&batch).expect("written");
                    writer.finish().expect("a file")
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = measure::criterion(); targets = encode }
criterion_main!(benches);
