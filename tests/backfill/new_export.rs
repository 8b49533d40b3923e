//! `--export new:…`: DynamoDB makes the export of a table that is written meanwhile, and the tail goes on beside it.

use super::{Live, ended};
use crate::harness::lake::walk;
use crate::harness::servers::MiniStack;
use crate::harness::{LIMIT, show, wait_for};

const BUCKET: &str = "exports-bucket";

const BACKFILL: [&str; 4] = ["backfill", "live.toml", "--export", "new:s3://exports-bucket/of/items"];

#[test]
fn an_export_is_made_while_the_table_is_written_and_the_lake_ends_equal_to_the_table() {
    let s3 = MiniStack::start().with_bucket(BUCKET);
    let (mut live, front) = Live::start_behind_front(1_500, s3.port);
    live.work = live.work.set("AWS_ENDPOINT_URL_S3", s3.endpoint());
    let work = &live.work;
    let churn = live.churn(150, 1);
    let running = work.spawn(&BACKFILL);
    wait_for("the export", LIMIT, || (front.exports() == 1).then_some(()));
    // What comes while the export is made is in the lake before it.
    wait_for("a range of the tail", LIMIT, || work.path("lake/_watershed/ranges").exists().then_some(()));
    running.kill();
    let said = ended(work.spawn(&BACKFILL)).expect(0).stdout;
    assert!(said.contains("Table Items: generation 1 is complete"), "{said}");
    let (written, _) = churn.finish();
    live.catch_up("live.toml");
    let verdict = live.agrees();
    assert_eq!((&verdict["generation"], front.exports(), front.calls("Scan")), (&1.into(), 1, 0));
    walk(&work.path("lake"));
    show(&format!("a new export beside {written} writes: {verdict}"));

    // Beside a daemon that has read before. An export that is asked for too early could miss a change.
    let (daemon, churn) = (work.spawn(&["run", "live.toml"]), live.churn(50, 2));
    let over = ended(work.spawn(&BACKFILL)).expect(0);
    assert!(over.stdout.contains("Table Items: generation 2 is complete"), "{}", over.stdout);
    assert!(over.stderr.contains("the export is asked for when it can't miss a change"), "{}", over.stderr);
    let (written, _) = churn.finish();
    daemon.terminate().expect(0);
    live.catch_up("live.toml");
    let verdict = live.agrees();
    assert_eq!((&verdict["generation"], front.exports(), front.calls("Scan")), (&2.into(), 2, 0));
    live.verifies("live.toml");
    show(&format!("another one beside a daemon and {written} writes: {verdict}"));
}
