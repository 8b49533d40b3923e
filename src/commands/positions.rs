//! `watershed positions`: how far each shard has come, from the checkpoints and the source's list of shards.
//!
//! Only looks: also while a daemon runs, and also when the source can't be reached.

mod lag;
mod print;
mod view;

use std::io::Write;
use std::sync::Arc;

use super::{CommandError, unless_closed};
use crate::assembly::Assembly;
use crate::clock::Clock;
use crate::engine::Patience;
use crate::pipeline::Pipeline;
use crate::source::{StreamApi, StreamError, list_all};
use view::Listed;

/// How often a call to the source is made before the state has to do.
const ATTEMPTS: usize = 4;

/// Prints a table of all shards to `out`; what can't be found out is told in `notes`.
pub async fn positions(pipeline: &Pipeline, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), CommandError> {
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock.clone());
    let saved = assembly.state_to_look_at().await?.survey().await?;
    let mut listed = Vec::new();
    match streams(&assembly, &clock).await {
        Ok(streams) => {
            for api in streams {
                let list = patiently(&clock, || list_all(&*api)).await;
                if let Err(why) = &list {
                    writeln!(notes, "watershed: the shards of {} can't be listed: {why}", api.identity().id)?;
                }
                listed.push(Listed { api, list: list.ok() });
            }
        }
        Err(why) => {
            writeln!(notes, "watershed: the source can't be asked, this is what the state has: {why}")?;
        }
    }
    let mut streams = view::streams(saved, &listed);
    lag::find(&mut streams, &listed, &clock).await;
    let text = print::table(pipeline, &streams, clock.wall_micros());
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::from))
}

/// The streams of the source, or why there are none.
async fn streams(assembly: &Assembly<'_>, clock: &Clock) -> Result<Vec<Arc<dyn StreamApi>>, String> {
    let finder = assembly.finder().await.map_err(|error| error.to_string())?;
    patiently(clock, || finder.streams()).await.map_err(|error| error.to_string())
}

/// Somebody waits for the answer: a few attempts must do.
async fn patiently<T, F>(clock: &Clock, call: impl Fn() -> F) -> Result<T, StreamError>
where
    F: Future<Output = Result<T, StreamError>>,
{
    let mut patience = Patience::new(clock);
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
            answer => return answer,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Position, SequenceNumber, ShardId};
    use crate::checkpoint::folder::FolderState;
    use crate::checkpoint::{Checkpoint, CheckpointKey, StateStore as _};
    use crate::pipeline;
    use crate::pipeline::spec::{Origin, StatePlace};

    async fn printed(pipeline: &Pipeline) -> (String, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        positions(pipeline, &mut out, &mut notes).await.unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    fn row(text: &str, shard: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(shard)).unwrap_or_else(|| panic!("{text}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn the_quickstart_before_during_and_without_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let mut pipeline = pipeline::load("pipelines/quickstart.toml".as_ref()).unwrap();
        pipeline.state = StatePlace::Folder(folder.path().join("state"));
        let (text, notes) = printed(&pipeline).await;
        assert_eq!(row(&text, "reply.ndjson"), ["reply.ndjson", "lake", "not begun", "-", "-", "-", "-"]);
        assert_eq!((text.matches("not begun").count(), notes.as_str()), (4, ""));

        // A daemon holds the state and writes it.
        let state = FolderState::open(&folder.path().join("state"), "a daemon").unwrap();
        let clock = Clock::system();
        let found = Assembly::new(&pipeline, clock).finder().await.unwrap().streams().await.unwrap();
        let save = async |shard: &str, checkpoint| {
            let stream = found.iter().find(|api| api.identity().id.contains(shard)).unwrap().identity().id.clone();
            let key = CheckpointKey { stream, shard: ShardId::new(shard), sink: "lake".into() };
            state.save(&key, &checkpoint).await.unwrap();
        };
        let at = |ordinal, range| Checkpoint::At {
            position: Position::new(SequenceNumber::from_ordinal(ordinal)),
            range: Some(range),
        };
        save("forum.ndjson", at(618, 3)).await;
        save("reply.ndjson", at(5, 0)).await;
        let (text, notes) = printed(&pipeline).await;
        let mut forum = row(&text, "forum.ndjson");
        assert!(forum.remove(5).ends_with("s ago"), "{text}");
        assert_eq!(forum, ["forum.ndjson", "lake", "reading", "618", "3", "none"]);
        assert_eq!(row(&text, "reply.ndjson")[6], "more to read");
        assert_eq!((row(&text, "thread.json")[2].as_str(), notes.as_str()), ("not begun", ""));

        pipeline.source.origin = Origin::File { paths: vec![folder.path().join("gone")] };
        let (text, notes) = printed(&pipeline).await;
        assert_eq!(row(&text, "forum.ndjson")[2..5], ["reading", "618", "3"]);
        assert!(!text.contains("thread.json"), "{text}");
        assert!(notes.starts_with("watershed: the source can't be asked, this is what the state has: "), "{notes}");
    }

    #[tokio::test]
    async fn nothing_at_all_is_said_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut pipeline = pipeline::load("pipelines/quickstart.toml".as_ref()).unwrap();
        pipeline.state = StatePlace::Folder(folder.path().join("state"));
        pipeline.source.origin = Origin::File { paths: vec![folder.path().join("gone")] };
        assert_eq!(printed(&pipeline).await.0, "Nothing is known of the pipeline quickstart yet.\n");
    }
}
