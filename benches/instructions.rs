//! How many instructions does each step take? `benches/instructions.sh` counts them with callgrind.
//!
//! What is counted is what `counted` calls, once; making its input is not.

mod product;
mod workload;

use std::hint::black_box;

use bytes::Bytes;
use watershed::change::ShardId;
use watershed::lake::file::FileWriter;
use watershed::source::{ShardIterator, StreamApi};
use workload::Workload;

/// The input of one count, as Kinesis records.
const INPUT: usize = 2 << 20;

/// callgrind starts and stops at this name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let [step, workload] = arguments[..] else {
        println!("benches/instructions.sh counts with callgrind");
        return;
    };
    let workload = Workload::ALL.into_iter().find(|known| known.name() == workload).expect("a workload");
    let changes = workload.of_size(1, INPUT);
    let records = product::records(&changes);
    let rules = product::rules(workload);
    let schema = product::learned(&records, workload.table(), &rules);
    let mut rows = product::rows(&schema);
    let mut bytes = product::bytes_of(&records);
    let runtime = product::runtime();
    match step {
        "decode" => drop(counted(|| {
            product::decode(&mut rows, &records, &rules);
            rows.finish().expect("columns")
        })),
        "encode" => {
            product::decode(&mut rows, &records, &rules);
            let batch = rows.finish().expect("columns");
            counted(|| {
                let mut writer = FileWriter::new(&schema, &rules, &[]).expect("a writer");
                writer.write(&batch).expect("written");
                writer.finish().expect("a file")
            });
        }
        "bytes-to-parquet" => {
            let land = async { product::InMemory::open(rules).await.land(&records).await };
            counted(|| runtime.block_on(land));
        }
        "streams-page" => {
            let page = Bytes::from(workload::streams_page(&changes, Some("next")));
            bytes = page.len();
            let stream = product::streams_stream(&[page]);
            let (shard, iterator) = (ShardId::new("shardId-000000000000"), ShardIterator("next".to_owned()));
            // The first call sets up what later ones share.
            runtime.block_on(stream.get_records(&shard, &iterator)).expect("a page");
            counted(|| {
                let page = runtime.block_on(stream.get_records(&shard, &iterator)).expect("a page");
                product::decode(&mut rows, &page.records, &rules);
                rows.finish().expect("columns")
            });
        }
        other => panic!("{other}: no such step"),
    }
    println!("{} {bytes}", records.len());
}
