//! A table whose changes DynamoDB writes to Kinesis: it is scanned itself, and its tail is the Kinesis stream.

use super::{Live, killed};
use crate::harness::kinesis_destination::Destination;
use crate::harness::servers::Kinesis;
use crate::harness::{show, tools};

const PIPELINE: &str = r#"
name = "by-kinesis"
[source]
type = "kinesis"
stream = "changes"
tables = ["Items"]
poll = "200ms"
discovery = "1s"
[lake]
path = "lake"
partition_by = []
roll = { age = "1s", rows = 100 }
"#;

#[test]
fn a_kinesis_pipeline_backfills_its_tables_twice_while_they_are_written() {
    let kinesis = Kinesis::start();
    let mut live = Live::start(1_000);
    live.work = live.work.set("AWS_ENDPOINT_URL_KINESIS", kinesis.endpoint());
    live.work.write("kinesis.toml", PIPELINE);
    let destination = Destination::start(live.server.port, "Items", kinesis.port, "changes");
    for generation in 1..=2 {
        let churn = live.churn(150, generation);
        let said = live.backfill("kinesis.toml", 2, generation);
        assert!(said.contains(&format!("Table Items: generation {generation} is complete")), "{said}");
        let (written, _) = churn.finish();
        show(&format!("backfill {generation} with a Kinesis tail, {written} writes: {said}"));
    }
    let carried = destination.finish();
    live.work.run(&["run", "kinesis.toml", "--once"]).expect(0);
    live.verifies("kinesis.toml");
    let (endpoint, lake) = (live.server.endpoint(), live.work.text("lake"));
    let judged = ["--lake", &lake, "--table", "Items", "--keys", "Id", "--kinesis", "--endpoint", &endpoint];
    let verdict = tools().run("check_latest.py", &judged);
    assert_eq!(verdict["generation"], 2);
    show(&format!("Kinesis, {carried} records: {verdict}"));
}

#[test]
fn a_kinesis_pipeline_without_tables_says_which_it_wants() {
    let kinesis = Kinesis::start();
    let mut live = Live::start(10);
    live.work = live.work.set("AWS_ENDPOINT_URL_KINESIS", kinesis.endpoint());
    live.work.write("kinesis.toml", PIPELINE.replace("tables = [\"Items\"]\n", ""));
    let ended = live.work.run(&["backfill", "kinesis.toml"]).expect(1);
    assert!(ended.errors()[0].contains("no table is named that could be scanned"), "{}", ended.stderr);
    // A table that the lake's section names will do.
    Destination::start(live.server.port, "Items", kinesis.port, "changes").finish();
    let named =
        format!("{}[lake.tables.Items]\nindexes = [\"Version\"]\n", PIPELINE.replace("tables = [\"Items\"]\n", ""));
    live.work.write("kinesis.toml", named);
    let said = killed(&live.work, &["backfill", "kinesis.toml"], 0, 1, |_| true);
    assert!(said.contains("generation 1 is complete, 10 items"), "{said}");
    live.verifies("kinesis.toml");
}
