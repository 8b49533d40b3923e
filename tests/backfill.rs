//! Tables that exist already get into the lake: from exports, and from DynamoDB Local while it is written.

mod exports;
mod from_s3;
mod gaps;
mod kinesis;
mod live;
mod new_export;
mod turns;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::harness::churn::{Churn, Service, load};
use crate::harness::front::Front;
use crate::harness::servers::DynamoDbLocal;
use crate::harness::{Ended, Running, Work, files_below, now, rest, show, tools, wait_for};

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

/// How long hundreds of thousands of items may take.
const LONG: Duration = Duration::from_secs(3_600);

/// Waits for the end of a run.
fn ended(mut running: Running) -> Ended {
    wait_for("the end", LONG, || (!running.is_running()).then_some(()));
    running.wait()
}

/// Counts the rows of the chains whose names begin in a certain way.
#[derive(Default)]
struct Rows {
    /// Of each range that was seen: a range never changes.
    seen: BTreeMap<String, u64>,
}

impl Rows {
    fn of(&mut self, lake: &Path, chains: &str) -> u64 {
        let ranges = lake.join("_watershed/ranges");
        for (path, _) in files_below(&ranges).into_iter().filter(|(path, _)| path.starts_with(chains)) {
            let read = || -> Option<u64> {
                let range: Value = serde_json::from_slice(&std::fs::read(ranges.join(&path)).ok()?).ok()?;
                range["rows"].as_u64()
            };
            // A temporary file may be gone again.
            if let Some(rows) = self.seen.get(&path).copied().or_else(read) {
                self.seen.insert(path, rows);
            }
        }
        self.seen.values().sum()
    }
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
        let server = if items < 20_000 { DynamoDbLocal::start() } else { DynamoDbLocal::start_for_long() };
        let work = Work::new()
            .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
            .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
        work.write("live.toml", LIVE.replace("ROWS", &(items / 30).to_string()));
        Service::dynamodb(server.port).create_table("Items", "NEW_AND_OLD_IMAGES");
        load(server.port, "Items", items);
        Self { server, work, items }
    }

    /// The same behind a front; what the binary asks of the table goes through that.
    fn start_behind_front(items: u64, s3: u16) -> (Self, Front) {
        let mut live = Self::start(items);
        let front = Front::start(live.server.port, s3);
        live.work = live.work.set("AWS_ENDPOINT_URL_DYNAMODB", front.endpoint());
        (live, front)
    }

    fn churn(&self, rate: u64, seed: u64) -> Churn {
        Churn::start(self.server.port, "Items", self.items, rate, seed)
    }

    /// What a backfill is started with. So slow that kills come before its end, and that a large table is written for
    /// minutes meanwhile: an item takes about a sixteenth of a unit.
    fn arguments<'a>(&self, pipeline: &'a str, units: &'a mut String) -> [&'a str; 6] {
        *units = number("WATERSHED_BACKFILL_UNITS", (self.items / 2_000).max(20)).to_string();
        ["backfill", pipeline, "--segments", "3", "--read-units", units]
    }

    /// Backfills while `kills` kills come, and answers what was said in the end. A third of them come soon after a start, the
    /// others anywhere between the first item and the last.
    fn backfill(&self, pipeline: &str, kills: u64, seed: u64) -> String {
        let units = &mut String::new();
        let arguments = self.arguments(pipeline, units);
        let (lake, mut rows, mut random) = (self.work.path("lake"), Rows::default(), StdRng::seed_from_u64(seed));
        let before = rows.of(&lake, "backfill-");
        // Items are deleted before they are read, so that there are fewer in the end.
        let mut places: Vec<u64> = (0..kills).map(|_| random.random_range(0..self.items * 3 / 4)).collect();
        places.sort_unstable();
        let (mut made, mut said) = (0, None);
        for place in places {
            let mut running = self.work.spawn(&arguments);
            if random.random_bool(0.3) {
                rest(Duration::from_millis(random.random_range(0..400)));
            } else {
                while running.is_running() && rows.of(&lake, "backfill-") - before < place {
                    rest(Duration::from_millis(10));
                }
                rest(Duration::from_millis(random.random_range(0..40)));
            }
            let over = running.kill();
            if over.code.is_some() {
                said = Some(over.expect(0).stdout);
                break;
            }
            made += 1;
        }
        assert!(made * 2 >= kills, "it was over when it had been killed {made} times of {kills}");
        show(&format!("killed {made} times"));
        said.unwrap_or_else(|| ended(self.work.spawn(&arguments)).expect(0).stdout)
    }

    /// Backfills, and kills it when half of the items of this generation are in the lake.
    fn backfill_killed_half_way(&self, pipeline: &str, generation: u64) -> String {
        let units = &mut String::new();
        let arguments = self.arguments(pipeline, units);
        let mut running = self.work.spawn(&arguments);
        let (chains, since, mut rows) = (format!("backfill-{generation}-"), now(), Rows::default());
        let landed = wait_for("half of the items", LONG, || {
            assert!(running.is_running(), "it was over before it could be killed: {}", running.log());
            let landed = rows.of(&self.work.path("lake"), &chains);
            (landed >= self.items / 2).then_some(landed)
        });
        running.kill();
        show(&format!("killed when it had landed {landed} items, after {:?}", since.elapsed()));
        ended(self.work.spawn(&arguments)).expect(0).stdout
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
