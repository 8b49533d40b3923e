//! Tables in DynamoDB Local, written by boto3, through streams whose shards roll over.

use crate::harness::lake::{Leads, Place, walk};
use crate::harness::servers::DynamoDbLocal;
use crate::harness::{LIMIT, Work, count_lines, judge, show, tools, wait_for};

/// A pipeline over all four tables into a folder, with short times.
const PIPELINE: &str = r#"
name = "guide"

[source]
type = "dynamodb-streams"
tables = ["ProductCatalog", "Forum", "Thread", "Reply"]
poll = "200ms"
discovery = "1s"

[lake]
path = "lake"
roll = { age = "1s" }
"#;

fn work(server: &DynamoDbLocal) -> Work {
    let work = Work::new()
        .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
    work.write("guide.toml", PIPELINE);
    work
}

#[test]
fn a_daemon_follows_shards_that_roll_over_under_load() {
    let server = DynamoDbLocal::start();
    let work = work(&server);
    let (endpoint, history, rollover) = (server.endpoint(), work.path("history.ndjson"), server.rollover_url());
    let mut writer = DynamoDbLocal::writer(&endpoint, &history);
    // The tables have to be there before the daemon starts.
    tools().run("write_dynamodb.py", &[&writer[..], &["--writes", "20", "--seed", "1"]].concat());
    writer.extend(["--writes", "900", "--seed", "2", "--rollover-url", &rollover, "--rollovers", "5"]);

    let mut daemon = work.spawn(&["run", "guide.toml"]);
    let written = tools().start("write_dynamodb.py", &writer).finish();
    assert!(daemon.is_running(), "{}", daemon.log());
    // Somewhere in the middle of the rest.
    wait_for("rows", LIMIT, || work.path("lake/Reply").exists().then_some(()));
    let drained = daemon.terminate().expect(0);
    let once = work.run(&["run", "guide.toml", "--once"]).expect(0);

    let verdict = judge(&work.path("lake"), &history, &[]);
    let chains = walk(&work.path("lake"));
    assert_eq!(verdict.count("rows"), count_lines(&history) as u64);
    assert_eq!(chains.chains, 4 * 6, "all shards of all generations: {chains:?}");
    let leads = Leads::default().find(&Place::Folder(work.path("lake")), &work.path("state"));
    assert!(leads.is_empty(), "{leads:#?}");
    show(&format!("dynamodb under load: {written} -> {} {chains:?}", verdict.0));
    assert!(drained.stdout.contains("INSERT"), "{}", drained.stdout);
    assert!(!once.stderr.contains("ERROR"), "{}", once.stderr);
}

#[test]
fn closed_parents_with_unread_records_are_read_first() {
    let server = DynamoDbLocal::start();
    let work = work(&server);
    let (endpoint, history) = (server.endpoint(), work.path("history.ndjson"));
    for seed in ["1", "2", "3", "4"] {
        let writer = DynamoDbLocal::writer(&endpoint, &history);
        tools().run("write_dynamodb.py", &[&writer[..], &["--writes", "60", "--seed", seed]].concat());
        server.roll_over();
    }
    let first = work.run(&["run", "guide.toml", "--once"]).expect(0);
    assert!(first.stdout.contains("INSERT"), "{}", first.stdout);
    let verdict = judge(&work.path("lake"), &history, &[]);
    assert_eq!(verdict.count("rows"), count_lines(&history) as u64);

    // The last generation was empty until now, and gets a child at once.
    let writer = DynamoDbLocal::writer(&endpoint, &history);
    tools().run("write_dynamodb.py", &[&writer[..], &["--writes", "40", "--seed", "5"]].concat());
    server.roll_over();
    work.run(&["run", "guide.toml", "--once"]).expect(0);
    let verdict = judge(&work.path("lake"), &history, &[]);
    assert_eq!(verdict.count("rows"), count_lines(&history) as u64);
    let nothing = work.run(&["run", "guide.toml", "--once"]).expect(0);
    assert!(nothing.stdout.contains("Nothing new"), "{}", nothing.stdout);
    show(&format!("dynamodb, four generations at once: {}", verdict.0));
}
