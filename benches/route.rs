//! How many changes a second does a core put through 0, 1, 10 and 50 filters?

mod measure;
mod product;
mod workload;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use measure::CpuTime;
use watershed::decode::envelope;
use watershed::decode::json::Marks;
use watershed::route::{Extensions, Filter};
use workload::Workload;

/// The input of one iteration, measured as Kinesis records.
const INPUT: usize = 8 << 20;

/// One filter in ten asks for the kind of change alone, and is through with most changes at once; the others look into
/// keys or images, and hardly any change passes.
fn filters(count: usize) -> Vec<Filter> {
    let pattern = |at: usize| match at % 5 {
        0 if at.is_multiple_of(10) => r#"{"eventName":["REMOVE"]}"#.to_owned(),
        0 | 1 => format!(r#"{{"dynamodb":{{"Keys":{{"Id":{{"S":[{{"prefix":"none{at}#"}}]}}}}}}}}"#),
        2 => format!(
            r#"{{"eventName":["MODIFY"],"dynamodb":{{"NewImage":{{"Message":{{"S":[{{"suffix":"-{at}"}}]}}}}}}}}"#
        ),
        3 => format!(r#"{{"dynamodb":{{"OldImage":{{"Missing{at}":{{"S":[{{"exists":true}}]}}}}}}}}"#),
        _ => format!(
            r#"{{"eventName":["INSERT"],"dynamodb":{{"NewImage":{{"PostedBy":{{"S":["User {at}", "nobody"]}}}}}}}}"#
        ),
    };
    (0..count).map(|at| Filter::parse(&[&pattern(at)], Extensions::default()).expect("a pattern")).collect()
}

fn route(criterion: &mut Criterion<CpuTime>) {
    for workload in Workload::ALL {
        let records = product::records(&workload.of_size(1, INPUT));
        let mut group = criterion.benchmark_group("route");
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(measure::throughput(records.len(), product::bytes_of(&records)));
        for count in [0, 1, 10, 50] {
            let filters = filters(count);
            let mut marks = Marks::default();
            group.bench_function(BenchmarkId::new(format!("{count}-filters"), workload.name()), |bencher| {
                bencher.iter(|| {
                    let mut passed = 0;
                    for record in &records {
                        envelope::read_marked(&record.payload, record.channel, &mut marks).expect("a change");
                        let passes = |filter: &&Filter| filter.matches(&record.payload, None).expect("a record");
                        passed += filters.iter().filter(passes).count();
                    }
                    passed
                });
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = measure::criterion(); targets = route }
criterion_main!(benches);
