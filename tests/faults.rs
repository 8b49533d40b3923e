//! S3 on its bad days, seen through a proxy: 409 without effect, 412 after its own success, 503 for a minute, answers that
//! get lost after the object landed, uploads that break off or arrive damaged.

use std::time::Duration;

use crate::harness::lake::{Leads, Place, walk};
use crate::harness::proxy::{FAULTS, Proxy};
use crate::harness::servers::{Kinesis, MiniStack};
use crate::harness::{LIMIT, Work, count_lines, judge, rest, show, tools, wait_for};

const PIPELINE: &str = r#"
name = "guide"

[source]
type = "kinesis"
stream = "guide"
poll = "200ms"
discovery = "1s"

[lake]
path = "s3://lake-bucket/some/prefix"
roll = { age = "300ms" }
"#;

#[test]
fn whatever_s3_answers_the_lake_comes_out_exact() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 7);
    let kinesis = Kinesis::start();
    let work =
        Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint()).set("AWS_ENDPOINT_URL_KINESIS", kinesis.endpoint());
    work.write("guide.toml", PIPELINE);
    let lake = Place::s3(s3.port, "lake-bucket", "some/prefix");
    let mut leads = Leads::default();
    let (endpoint, history) = (kinesis.endpoint(), work.text("history.ndjson"));
    let writer = ["--endpoint", &endpoint, "--stream", "guide", "--history", &history];
    tools().run("write_kinesis.py", &[&writer[..], &["--writes", "50", "--seed", "1"]].concat());

    // Faults of all kinds under load.
    proxy.fail(250);
    let mut daemon = work.spawn(&["run", "guide.toml"]);
    let load = ["--seconds", "25", "--seed", "2", "--reshards", "4"];
    let mut writing = tools().start("write_kinesis.py", &[&writer[..], &load].concat());
    while writing.is_running() {
        assert!(daemon.is_running(), "{}", daemon.log());
        assert_eq!(leads.find(&lake, &work.path("state")), [""; 0]);
        rest(Duration::from_millis(500));
    }
    let written = writing.finish();
    wait_for("each kind of fault", LIMIT, || (proxy.injected().len() == FAULTS.len()).then_some(()));

    // A minute of 503, also under load; then quiet.
    proxy.fail(0);
    proxy.outage(true);
    let load = ["--seconds", "30", "--seed", "3", "--reshards", "2"];
    let writing = tools().start("write_kinesis.py", &[&writer[..], &load].concat());
    rest(Duration::from_secs(60));
    assert!(daemon.is_running(), "{}", daemon.log());
    proxy.outage(false);
    let during_outage = writing.finish();
    daemon.terminate().expect(0);
    let refused = proxy.refused();
    assert!(refused > 0);
    assert_eq!(leads.find(&lake, &work.path("state")), [""; 0]);
    work.run(&["run", "guide.toml", "--once"]).expect(0);
    assert_eq!(leads.find(&lake, &work.path("state")), [""; 0]);

    let folder = lake.fetch(&work.path("fetched"));
    let verdict = judge(&folder, &work.path("history.ndjson"), &[]);
    let chains = walk(&folder);
    assert_eq!(verdict.count("rows"), count_lines(&work.path("history.ndjson")) as u64);
    show(&format!(
        "faults: {:?}, {refused} refused by the outage; {written}, during the outage {during_outage}; checkpoints looked \
         at {}, ahead 0; {} {chains:?}",
        proxy.injected(),
        leads.checkpoints,
        verdict.0
    ));
}
