//! `watershed schema`: infers the columns of a pipeline's tables from a sample, by the lake's own rules, and prints
//! them as TOML that can be pasted into the pipeline file.

mod numbers;
mod print;
mod sample;

use std::io::Write;
use std::time::Duration;

use super::change::{self, is_wanted};
use super::follow::Follow;
use super::tail::wanted_tables;
use super::{CommandError, unless_closed};
use crate::assembly::Assembly;
use crate::change::TableName;
use crate::clock::Clock;
use crate::engine::budget::Budget;
use crate::lake::LakeSettings;
use crate::pipeline::spec::{Origin, Pipeline};
use crate::source::lineage::StartPolicy;
use sample::Sample;

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    records: u64,
    /// How long nothing may come.
    quiet: Duration,
    whole: Duration,
}

/// Recorded files: all there is, if it is not huge.
const OF_FILES: Bounds =
    Bounds { records: 1_000_000, quiet: Duration::from_secs(600), whole: Duration::from_secs(600) };

/// Streams never end. The time allows for a slow first answer and for empty pages in between.
const OF_STREAMS: Bounds = Bounds { records: 20_000, quiet: Duration::from_secs(8), whole: Duration::from_secs(60) };

/// Infers the columns from the oldest changes there are and prints them to `out`.
pub async fn schema(pipeline: &Pipeline, out: &mut dyn Write) -> Result<(), CommandError> {
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock.clone());
    let bounds = match &pipeline.source.origin {
        Origin::File { .. } => OF_FILES,
        Origin::DynamoDbStreams { .. } | Origin::Kinesis { .. } => OF_STREAMS,
    };
    let follow = Follow {
        finder: assembly.finder().await?,
        clock: clock.clone(),
        start: StartPolicy::TrimHorizon,
        budget: Budget::new(pipeline.memory as usize),
    };
    let settings = assembly.lake_settings().await?;
    let sample = take(follow, &clock, settings, wanted_tables(pipeline).as_deref(), bounds).await?;
    let text = print::toml(pipeline, &sample);
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::from))
}

async fn take(
    follow: Follow,
    clock: &Clock,
    settings: LakeSettings,
    tables: Option<&[TableName]>,
    bounds: Bounds,
) -> Result<Sample, CommandError> {
    let mut sample = Sample::new(settings);
    let mut following = follow.start();
    let end = clock.now() + bounds.whole;
    loop {
        let left = bounds.quiet.min(end.saturating_duration_since(clock.now()));
        let delivery = tokio::select! {
            biased;
            next = following.next() => next?,
            () = clock.sleep(left) => None,
        };
        let Some(delivery) = delivery else { return Ok(sample) };
        for record in &delivery.records {
            if sample.records() >= bounds.records {
                sample.was_cut = true;
                return Ok(sample);
            }
            match change::read(record, delivery.stream()) {
                Ok(change) if is_wanted(tables, Some(&change.table)) => sample.add(&change),
                Ok(_) => {}
                Err(_) => sample.no_changes += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline;

    /// A pipeline file that says nothing of its tables.
    const HEAD: &str = "name = 'a'\nsource = { type = 'file', path = 'pipelines/quickstart' }\nlake.path = 'lake/a'\n";

    async fn printed(file: &str) -> String {
        let pipeline = pipeline::read("a.toml", file).unwrap();
        let mut out = Vec::new();
        schema(&pipeline, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn the_quickstart_has_columns_that_the_pipeline_reader_takes() {
        let first = printed(HEAD).await;
        assert_eq!(first, printed(HEAD).await, "the order is not deterministic");
        let pasted = format!("{HEAD}{first}");
        let read = pipeline::read("b.toml", &pasted).unwrap();
        let product = &read.lake.tables["ProductCatalog"];
        assert_eq!(product.keys, ["Id"]);
        let types: Vec<_> = product.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        assert_eq!(types[0], "Id decimal(38,9)");
        assert!(types.contains(&"Ratings list<decimal(38,9)>".to_owned()), "{types:?}");
        assert_eq!(read.lake.tables["Reply"].keys.len(), 2);
        assert!(first.contains("numbers fit \"int64\""), "{first}");
        // Pasted, it says the same of itself again.
        let again = printed(&pasted).await;
        let columns = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split('#').next().unwrap_or_default().trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(columns(&first), columns(&again));
    }

    #[tokio::test]
    async fn what_the_file_declares_stays_and_misfits_are_counted() {
        let file = std::fs::read_to_string("pipelines/quickstart.toml").unwrap();
        let text = printed(&file).await;
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("Price").contains("\"decimal(10,2)\"") && line("Price").contains(" to _rest"), "{text}");
        assert!(text.contains("indexes = [\"PostedBy\"]"), "{text}");
        let undeclared = file.split("# A file cannot be asked").next().unwrap();
        pipeline::read("b.toml", &format!("{undeclared}{text}")).unwrap();
    }
}
