//! DynamoDB's changes in a Kinesis stream, written by boto3, partly in KPL aggregates, while shards split and merge.

use crate::harness::lake::{Leads, Place, walk};
use crate::harness::servers::Kinesis;
use crate::harness::{LIMIT, Work, count_lines, judge, show, tools, wait_for};

const PIPELINE: &str = r#"
name = "guide"

[source]
type = "kinesis"
stream = "guide"
poll = "200ms"
discovery = "1s"

[lake]
path = "lake"
roll = { age = "1s" }
"#;

#[test]
fn a_daemon_follows_shards_that_split_and_merge_under_load() {
    let server = Kinesis::start();
    let work = Work::new().set("AWS_ENDPOINT_URL_KINESIS", server.endpoint());
    work.write("guide.toml", PIPELINE);
    let (endpoint, history) = (server.endpoint(), work.text("history.ndjson"));
    let writer = ["--endpoint", &endpoint, "--stream", "guide", "--history", &history];
    tools().run("write_kinesis.py", &[&writer[..], &["--writes", "50", "--seed", "1"]].concat());

    let mut daemon = work.spawn(&["run", "guide.toml"]);
    let more = ["--writes", "6000", "--seed", "2", "--reshards", "8"];
    let written = tools().run("write_kinesis.py", &[&writer[..], &more].concat());
    assert!(daemon.is_running(), "{}", daemon.log());
    wait_for("rows", LIMIT, || work.path("lake/Reply").exists().then_some(()));
    daemon.terminate().expect(0);
    // More generations, of which nothing has been read yet.
    let more = ["--writes", "1500", "--seed", "3", "--reshards", "4"];
    tools().run("write_kinesis.py", &[&writer[..], &more].concat());
    work.run(&["run", "guide.toml", "--once"]).expect(0);

    let verdict = judge(&work.path("lake"), &work.path("history.ndjson"), &[]);
    let chains = walk(&work.path("lake"));
    assert_eq!(verdict.count("rows"), count_lines(&work.path("history.ndjson")) as u64);
    assert_eq!(chains.dead_letters, 0);
    assert!(chains.chains > 10, "{chains:?}");
    let leads = Leads::default().find(&Place::Folder(work.path("lake")), &work.path("state"));
    assert!(leads.is_empty(), "{leads:#?}");
    show(&format!("kinesis under load: {written} -> {} {chains:?}", verdict.0));
}
