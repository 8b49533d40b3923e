//! Tables that exist already get into the lake: from exports, and from DynamoDB Local while it is written.

mod exports;
mod from_s3;
mod gaps;
mod kinesis;
mod live;

use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::harness::churn::{Churn, Service, load};
use crate::harness::servers::DynamoDbLocal;
use crate::harness::{Ended, Running, Work, files_below, rest, show, tools, wait_for};

/// What the lake's latest state is, held against items or a live table.
#[track_caller]
fn check(lake: &Path, table: &str, of: &[&str]) -> Value {
    let lake = lake.to_str().unwrap();
    tools().run("check_latest.py", &[&["--lake", lake, "--table", table, "--keys", "Id"][..], of].concat())
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Kills a run of the binary whenever a few more ranges of a chain that `counts` are there, so many times, and answers
/// what was said in the end.
fn killed(work: &Work, arguments: &[&str], kills: u64, seed: u64, counts: impl Fn(&str) -> bool) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut left = kills;
    let ranges = work.path("lake/_watershed/ranges");
    let there = || {
        let found = if ranges.exists() { files_below(&ranges) } else { Vec::new() };
        found.iter().filter(|(path, _)| counts(path)).count()
    };
    loop {
        let mut running = work.spawn(arguments);
        let until = there() + random.random_range(0..3);
        while running.is_running() && left > 0 && there() < until {
            rest(Duration::from_millis(5));
        }
        if left > 0 && running.is_running() {
            left -= 1;
            // Not for long: on a fast machine all may be over then.
            rest(Duration::from_millis(random.random_range(0..40)));
            running.kill();
            continue;
        }
        let made = kills - left;
        assert!(made * 2 >= kills, "it was over when it had been killed {made} times of {kills}");
        show(&format!("killed {made} times"));
        return ended(running).expect(0).stdout;
    }
}

/// Waits for the end of a run, for as long as hundreds of thousands of items may take.
fn ended(mut running: Running) -> Ended {
    wait_for("the end", Duration::from_secs(3_600), || (!running.is_running()).then_some(()));
    running.wait()
}

/// A table in DynamoDB Local, as the churn writes it.
const LIVE: &str = r#"
name = "live"
[source]
type = "dynamodb-streams"
tables = ["Items"]
poll = "200ms"
discovery = "1s"
[lake]
path = "lake"
partition_by = []
roll = { age = "1s", rows = ROWS }
"#;

struct Live {
    server: DynamoDbLocal,
    work: Work,
    items: u64,
}

impl Live {
    fn start(items: u64) -> Self {
        let server = DynamoDbLocal::start();
        let work = Work::new()
            .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
            .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
        work.write("live.toml", LIVE.replace("ROWS", &(items / 30).to_string()));
        Service::dynamodb(server.port).create_table("Items", "NEW_AND_OLD_IMAGES");
        load(server.port, "Items", items);
        Self { server, work, items }
    }

    fn churn(&self, rate: u64, seed: u64) -> Churn {
        Churn::start(self.server.port, "Items", self.items, rate, seed)
    }

    /// Backfills while `kills` kills come, and answers what was said in the end.
    fn backfill(&self, pipeline: &str, kills: u64, seed: u64) -> String {
        // So slow that kills come before the end.
        let units = (self.items / 80).max(20).to_string();
        let arguments = ["backfill", pipeline, "--segments", "3", "--read-units", &units];
        killed(&self.work, &arguments, kills, seed, |path| path.starts_with("backfill-"))
    }

    fn items(&self) -> Vec<Value> {
        Service::dynamodb(self.server.port).items("Items")
    }

    /// Tails to the tips.
    fn catch_up(&self, pipeline: &str) {
        ended(self.work.spawn(&["run", pipeline, "--once"])).expect(0);
    }

    #[track_caller]
    fn agrees(&self) -> Value {
        check(&self.work.path("lake"), "Items", &["--endpoint", &self.server.endpoint()])
    }

    /// Whether `verify` finds no difference.
    #[track_caller]
    fn verifies(&self, pipeline: &str) {
        let verified = ended(self.work.spawn(&["verify", pipeline])).expect(0).stdout;
        assert!(verified.contains("no differences"), "{verified}");
    }
}
