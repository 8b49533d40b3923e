//! `kill -9` at random moments, 200 times, under load, with S3 behind a wire.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::lake::{Leads, Place, walk};
use crate::harness::proxy::Proxy;
use crate::harness::servers::{DynamoDbLocal, MiniStack};
use crate::harness::{Work, count_lines, judge, now, rest, show, tools};

const KILLS: u32 = 200;

const PIPELINE: &str = r#"
name = "guide"

[source]
type = "dynamodb-streams"
tables = ["ProductCatalog", "Forum", "Thread", "Reply"]
poll = "200ms"
discovery = "1s"

[lake]
path = "s3://lake-bucket/some/prefix"
roll = { age = "100ms" }
"#;

#[test]
fn killed_two_hundred_times_under_load_nothing_is_lost_or_twice() {
    let (s3, server) = (MiniStack::start().with_bucket("lake-bucket"), DynamoDbLocal::start());
    let proxy = Proxy::start(s3.port, 1);
    let work = Work::new()
        .set("AWS_ENDPOINT_URL_S3", proxy.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
    work.write("guide.toml", PIPELINE);
    let (endpoint, history, rollover) = (server.endpoint(), work.path("history.ndjson"), server.rollover_url());
    let writer = DynamoDbLocal::writer(&endpoint, &history);
    tools().run("write_dynamodb.py", &[&writer[..], &["--writes", "20", "--seed", "1"]].concat());

    let lake = Place::s3(s3.port, "lake-bucket", "some/prefix");
    let (mut random, mut leads, mut ahead) = (StdRng::seed_from_u64(2), Leads::default(), Vec::new());
    let (mut kills, mut seed, mut completed, mut last_words) = (0, 1, 0, String::new());
    let mut writing = None;
    let since = now();
    while kills < KILLS {
        // The load never ends before the kills do.
        if !writing.as_mut().is_some_and(crate::harness::Tool::is_running) {
            writing.take().map(crate::harness::Tool::finish);
            seed += 1;
            let seed = seed.to_string();
            let load = ["--seconds", "20", "--seed", &seed, "--rollover-url", &rollover, "--rollovers", "2"];
            writing = Some(tools().start("write_dynamodb.py", &[&writer[..], &load].concat()));
        }
        let before = proxy.chains_opened();
        let mut daemon = work.spawn(&["run", "guide.toml"]);
        while proxy.chains_opened() == before {
            assert!(daemon.is_running(), "it ended by itself: {}\nbefore: {last_words}", daemon.log());
            rest(Duration::from_millis(2));
        }
        rest(Duration::from_millis(random.random_range(50..700)));
        let killed = daemon.kill();
        assert_eq!(killed.code, None, "it ended by itself: {}", killed.stderr);
        completed += killed.stderr.matches("completing a range").count();
        last_words = killed.stderr;
        kills += 1;
        ahead.extend(leads.find(&lake, &work.path("state")));
    }
    let lives = since.elapsed();
    writing.map(crate::harness::Tool::finish);
    let once = work.run(&["run", "guide.toml", "--once"]).expect(0);
    completed += once.stderr.matches("completing a range").count();
    ahead.extend(leads.find(&lake, &work.path("state")));

    let folder = lake.fetch(&work.path("fetched"));
    let (said, status, log) = tools()
        .start("check_lake.py", &["--lake", folder.to_str().unwrap(), "--history", history.to_str().unwrap()])
        .end();
    let count = |name: &str| said[name].as_u64().unwrap_or(u64::MAX);
    show(&format!(
        "kills={kills} rows={} lost={} twice={} reordered={} checkpoint_ahead={}",
        count("rows"),
        count("lost"),
        count("twice"),
        count("reordered"),
        ahead.len()
    ));
    assert!(ahead.is_empty(), "{ahead:#?}");
    assert!(status.success(), "{said}\n{log}");
    assert_eq!(count("rows"), count_lines(&history) as u64);
    let chains = walk(&folder);
    show(&format!(
        "ranges completed after a kill: {completed}; checkpoints looked at: {}; {chains:?}; {:.0} s of lives and deaths",
        leads.checkpoints,
        lives.as_secs_f64()
    ));
    // Otherwise the kills hit nothing.
    assert!(completed >= 10 && chains.ranges >= 50, "{completed} completed, {chains:?}");
    judge(&folder, &history, &[]);
}
