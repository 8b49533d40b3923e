//! How many changes a second does the daemon take from a server that answers at full speed?
//!
//! The server (this process) replays canned pages of DynamoDB Streams or Kinesis on loopback; `watershed run --once`
//! reads all its shards into a folder. What counts is changes per CPU second of the daemon: the server has its own.

mod daemon;
mod measure;
mod replay;
mod workload;

use std::fs;

use replay::{Replay, Service};

fn main() {
    println!("service   shards  changes    MB  user s   sys s  wall s  changes/s core  changes/s wall  MB/s core");
    // The source asks a shard for five pages a second at most: enough shards that this is not what is measured.
    for (service, shards, pages, records) in
        [(Service::Streams, 64, 8, 880), (Service::Streams, 1, 8, 880), (Service::Kinesis, 8, 8, 7000)]
    {
        one(service, shards, pages, records);
    }
}

fn one(service: Service, shards: usize, pages: usize, records: usize) {
    let server = Replay::start(service, shards, pages, records);
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path().display();
    let pipeline = work.path().join("pipeline.toml");
    let described = format!(
        "name = \"bench\"\nstate = \"folder:{folder}/state\"\n[source]\n{}\n[lake]\npath = \"{folder}/lake\"\n\
         [lake.tables.Reply]\nkeys = [\"Id\", \"ReplyDateTime\"]\n",
        service.described()
    );
    fs::write(&pipeline, described).expect("written");
    let environment = [
        ("AWS_ENDPOINT_URL", server.url()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let took = daemon::run(&pipeline, &environment);
    assert_eq!(
        daemon::landed(&work.path().join("lake")),
        (shards * pages * records) as u64,
        "all is in the lake, once"
    );
    let (changes, megabytes) = ((shards * pages * records) as f64, server.bytes_sent() as f64 / 1e6);
    let (user, wall) = (took.user.as_secs_f64(), took.wall.as_secs_f64());
    println!(
        "{:<8}  {shards:>6}  {changes:>7}  {megabytes:>4.0}  {user:>6.2}  {:>6.2}  {wall:>6.2}  {:>14.0}  {:>14.0}  {:>9.0}",
        service.name(),
        took.system.as_secs_f64(),
        changes / user,
        changes / wall,
        megabytes / user,
    );
}
