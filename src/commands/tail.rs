//! `watershed tail`: prints the changes of a pipeline's source as they come.

mod json;
mod people;

use std::io::{BufWriter, Write};

use super::change::{self, is_wanted};
use super::follow::{Delivery, Follow};
use super::{CommandError, unless_closed};
use crate::assembly::Assembly;
use crate::change::TableName;
use crate::clock::Clock;
use crate::engine::budget::Budget;
use crate::pipeline::spec::{Origin, Pipeline};
use crate::signal::told_to_stop;
use crate::source::lineage::StartPolicy;

/// Prints changes to `out`, one line each, until a finite source ends, nobody reads `out` any more, or a signal comes.
/// Recorded files are read from the pipeline's `start`; of others what comes from now on.
pub async fn tail(pipeline: &Pipeline, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let tailing = async {
        let clock = Clock::system();
        let assembly = Assembly::new(pipeline, clock.clone());
        let start = match &pipeline.source.origin {
            Origin::File { .. } => assembly.engine_settings(false).start,
            Origin::DynamoDbStreams { .. } | Origin::Kinesis { .. } => StartPolicy::Latest,
        };
        let budget = Budget::new(pipeline.memory as usize);
        let follow = Follow { finder: assembly.finder().await?, clock, start, budget };
        show(follow, &wanted_tables(pipeline), json, out).await
    };
    tokio::select! {
        ended = tailing => unless_closed(ended),
        () = told_to_stop() => Ok(()),
    }
}

/// The tables the pipeline reads, where a stream may carry others.
pub(super) fn wanted_tables(pipeline: &Pipeline) -> Option<Vec<TableName>> {
    Some(pipeline.source.origin.tables()?.into_iter().map(TableName::from).collect())
}

async fn show(
    follow: Follow,
    tables: &Option<Vec<TableName>>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut following = follow.start();
    let mut out = BufWriter::new(out);
    while let Some(delivery) = following.next().await? {
        show_delivery(&delivery, tables.as_deref(), json, &mut out)?;
        out.flush()?;
    }
    Ok(())
}

fn show_delivery(
    delivery: &Delivery,
    tables: Option<&[TableName]>,
    json: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    for record in &delivery.records {
        let read = change::read(record, delivery.stream());
        let table = match &read {
            Ok(change) => Some(&change.table),
            Err(no_change) => no_change.table.as_ref(),
        };
        if is_wanted(tables, table) {
            let line = if json { json::line } else { people::line };
            out.write_all(line(record, &delivery.shard, &read).as_bytes())?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::pipeline;
    use crate::testing::stream::SimulatedStream;

    async fn tailed(json: bool) -> Vec<String> {
        let pipeline = pipeline::load("pipelines/quickstart.toml".as_ref()).unwrap();
        let mut out = Vec::new();
        tail(&pipeline, json, &mut out).await.unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    fn expected() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/fixtures/quickstart-expected.json")).unwrap()
    }

    #[tokio::test]
    async fn the_quickstart_is_told_to_people() {
        let lines = tailed(false).await;
        assert_eq!(lines.len() as u64, expected()["total"]["changes"].as_u64().unwrap());
        assert!(lines.iter().all(|line| !line.chars().any(crate::telemetry::log::is_harmful)));
        let ttl = lines.iter().filter(|line| line.contains(" REMOVE ttl ")).count() as u64;
        assert_eq!(ttl, expected()["total"]["ttl_removals"].as_u64().unwrap());
        assert_eq!(lines[0], "2026-11-18T06:01:00.000Z  Forum           INSERT      Name=\"Amazon DynamoDB\"");
        assert!(lines.iter().any(|line| line.contains(" MODIFY ") && line.contains(" → ")));
    }

    #[tokio::test]
    async fn the_quickstart_is_told_to_programs() {
        let mut changes = std::collections::BTreeMap::new();
        for line in tailed(true).await {
            let change: serde_json::Value = serde_json::from_str(&line).unwrap();
            *changes.entry((change["table"].clone().to_string(), change["op"].to_string())).or_insert(0) += 1;
            assert!(change["keys"].is_object() && change["sequence"].is_string(), "{line}");
        }
        for (table, told) in expected()["tables"].as_object().unwrap() {
            for (op, count) in told["changes"].as_object().unwrap() {
                assert_eq!(changes[&(format!("{table:?}"), format!("{op:?}"))], count.as_u64().unwrap());
            }
        }
    }

    /// Takes some bytes, then nobody reads on.
    struct Closed(usize);

    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_output_that_nobody_reads_ends_it_quietly() {
        let pipeline = pipeline::load("pipelines/quickstart.toml".as_ref()).unwrap();
        tail(&pipeline, true, &mut Closed(1000)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn other_tables_are_left_out_and_what_is_no_change_is_shown() {
        let clock = Clock::simulated(1, 1_790_000_000_000_000);
        let stream = SimulatedStream::new("s", 1, clock.clone(), true);
        let change = |table: &str| {
            Bytes::from(format!(
                r#"{{"eventName":"INSERT","tableName":"{table}","dynamodb":{{"Keys":{{"Id":{{"S":"1"}}}}}}}}"#
            ))
        };
        stream.write(0, vec![change("Reply"), change("Other"), Bytes::from_static(b"oops\n\x1b[2J")]);
        let follow = Follow {
            finder: Arc::new(stream),
            clock: clock.clone(),
            start: StartPolicy::TrimHorizon,
            budget: Budget::new(64 << 20),
        };
        let mut out = Vec::new();
        let tables = Some(vec!["Reply".into()]);
        tokio::select! {
            ended = show(follow, &tables, false, &mut out) => ended.unwrap(),
            () = clock.sleep(std::time::Duration::from_secs(60)) => {}
        }
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("Reply ") && lines[0].ends_with("Id=\"1\""), "{text}");
        let told = r#"it is not a change: expected an object at byte 0: oops\n\u{1b}[2J"#;
        assert!(lines[1].contains(" NO CHANGE ") && lines[1].ends_with(told), "{text}");
    }
}
