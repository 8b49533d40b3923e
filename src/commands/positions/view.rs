//! What do checkpoints and lists of shards say together? Pure data.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, Saved};
use crate::engine::{DISCOVERED, LAKE, STREAMS};
pub(super) use crate::source::lag::Lag;
use crate::source::{ShardList, StreamApi};

/// A stream that the source names, with its shards unless they can't be listed.
pub(super) struct Listed {
    pub(super) api: Arc<dyn StreamApi>,
    pub(super) list: Option<ShardList>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct StreamView {
    pub(super) id: String,
    /// Why it gets no more records, if so.
    pub(super) note: Option<&'static str>,
    pub(super) rows: Vec<Row>,
}

/// One shard and sink.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) shard: ShardId,
    pub(super) sink: String,
    pub(super) state: State,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) saved_at: Option<i64>,
    pub(super) lag: Lag,
}

/// What a sink does with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A parent is not finished.
    Waiting,
    /// Nothing of it is durable yet.
    NotBegun,
    /// Some of it is durable.
    Reading,
    /// All of it is.
    Finished,
    /// It was not read to its end, and the source does not list it any more.
    Gone,
}

/// All streams: those of the source in its order, then those that only the state knows.
pub(super) fn streams(saved: Vec<Saved>, listed: &[Listed]) -> Vec<StreamView> {
    let mut by_stream: BTreeMap<String, Vec<Saved>> = BTreeMap::new();
    // Under this sink the engine remembers which streams an origin has had, not how far anything has come.
    for saved in saved.into_iter().filter(|saved| !is_of(&saved.key.sink, STREAMS)) {
        let known = by_stream.entry(saved.key.stream.clone()).or_default();
        if saved.key.shard.as_str() != DISCOVERED.0 || !is_of(&saved.key.sink, DISCOVERED.1) {
            known.push(saved);
        }
    }
    let mut views = Vec::new();
    for Listed { api, list } in listed {
        let id = api.identity().id.clone();
        let saved = by_stream.remove(&id).unwrap_or_default();
        let off = list.as_ref().is_some_and(|list| !list.enabled);
        let note = off.then_some("switched off: it gets no more records");
        views.push(StreamView { id, note, rows: rows(saved, list.as_ref()) });
    }
    // An empty list says nothing of what the state knows: the source could not be asked.
    let note = (!listed.is_empty()).then_some("no longer a stream of the source");
    views.extend(by_stream.into_iter().map(|(id, saved)| StreamView { id, note, rows: rows(saved, None) }));
    views
}

/// Whether a sink's name is this one, the lake's, or that with a handler's name behind it.
fn is_of(sink: &str, name: &str) -> bool {
    sink.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The shards in the order of the list, then those that are only in the state.
fn rows(saved: Vec<Saved>, list: Option<&ShardList>) -> Vec<Row> {
    let mut by_shard: BTreeMap<ShardId, Vec<Saved>> = BTreeMap::new();
    for saved in saved {
        by_shard.entry(saved.key.shard.clone()).or_default().push(saved);
    }
    let finished = |shard: &ShardId, sink: &str| {
        let saved = by_shard.get(shard).into_iter().flatten();
        saved.filter(|saved| saved.key.sink == sink).any(|saved| saved.checkpoint == Checkpoint::ShardEnd)
    };
    let shards = list.map_or(&[][..], |list| &list.shards);
    let mut rows = Vec::new();
    for shard in shards {
        let waits = |sink: &str| {
            let mut parents = shard.parents.iter().filter(|parent| shards.iter().any(|listed| listed.id == **parent));
            parents.any(|parent| !finished(parent, sink))
        };
        let state = |checkpoint: Option<&Checkpoint>, sink: &str| match checkpoint {
            Some(Checkpoint::ShardEnd) => State::Finished,
            Some(Checkpoint::At { .. }) => State::Reading,
            _ if waits(sink) => State::Waiting,
            _ => State::NotBegun,
        };
        match by_shard.get(&shard.id) {
            Some(sinks) => rows.extend(sinks.iter().map(|saved| {
                let state = state(Some(&saved.checkpoint), &saved.key.sink);
                row(saved, state)
            })),
            None => rows.push(Row {
                shard: shard.id.clone(),
                sink: LAKE.to_owned(),
                state: state(None, LAKE),
                checkpoint: None,
                saved_at: None,
                lag: Lag::Unknown,
            }),
        }
    }
    let is_listed = |shard: &ShardId| shards.iter().any(|listed| listed.id == *shard);
    for saved in by_shard.iter().filter(|(shard, _)| !is_listed(shard)).flat_map(|(_, sinks)| sinks) {
        let state = match saved.checkpoint {
            Checkpoint::ShardEnd => State::Finished,
            _ if list.is_some() => State::Gone,
            Checkpoint::At { .. } => State::Reading,
            Checkpoint::Start(_) => State::NotBegun,
        };
        rows.push(row(saved, state));
    }
    rows
}

fn row(saved: &Saved, state: State) -> Row {
    Row {
        shard: saved.key.shard.clone(),
        sink: saved.key.sink.clone(),
        state,
        checkpoint: Some(saved.checkpoint.clone()),
        saved_at: saved.at,
        lag: Lag::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Position, SequenceNumber};
    use crate::checkpoint::{CheckpointKey, StartAt};
    use crate::source::ShardInfo;

    fn saved(shard: &str, sink: &str, checkpoint: Checkpoint) -> Saved {
        let key = CheckpointKey { stream: "s".into(), shard: ShardId::new(shard), sink: sink.into() };
        Saved { key, checkpoint, at: None }
    }

    fn at(ordinal: u64) -> Checkpoint {
        Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(ordinal)), range: Some(1) }
    }

    fn states(saved: Vec<Saved>, list: Option<&ShardList>) -> Vec<(String, String, State)> {
        let told = |row: Row| (row.shard.to_string(), row.sink, row.state);
        rows(saved, list).into_iter().map(told).collect()
    }

    #[test]
    fn every_state_is_told() {
        let shard = |id: &str, parents: &[&str]| ShardInfo {
            id: ShardId::new(id),
            parents: parents.iter().map(|id| ShardId::new(*id)).collect(),
            closed: false,
        };
        let list = ShardList {
            shards: vec![shard("b", &["trimmed"]), shard("a", &[]), shard("c", &["a", "b"]), shard("d", &["b"])],
            enabled: true,
        };
        let state = || {
            vec![
                saved("a", "lake", at(5)),
                saved("b", "hook", at(1)),
                saved("b", "lake", Checkpoint::ShardEnd),
                saved("y", "lake", Checkpoint::ShardEnd),
                saved("z", "lake", at(5)),
            ]
        };
        let row = |shard: &str, sink: &str, state| (shard.to_owned(), sink.to_owned(), state);
        let expected = [
            row("b", "hook", State::Reading),
            row("b", "lake", State::Finished),
            row("a", "lake", State::Reading),
            row("c", "lake", State::Waiting),
            row("d", "lake", State::NotBegun),
            row("y", "lake", State::Finished),
            row("z", "lake", State::Gone),
        ];
        assert_eq!(states(state(), Some(&list)), expected);
        let start = saved("c", "lake", Checkpoint::Start(StartAt::Latest(7)));
        assert_eq!(states(vec![start.clone()], Some(&list))[2].2, State::Waiting);
        assert_eq!(states(vec![start, saved("z", "lake", at(5))], None)[1].2, State::Reading);
    }

    #[test]
    fn what_the_engine_notes_for_itself_is_no_shard() {
        let (shard, sink) = DISCOVERED;
        let mark = saved(shard, sink, Checkpoint::Start(StartAt::Latest(1)));
        let mut other = saved("stream-1", STREAMS, Checkpoint::Start(StartAt::TrimHorizon));
        other.key.stream = "origin".into();
        let mut of_handler = [other.clone(), mark.clone()];
        of_handler.iter_mut().for_each(|saved| saved.key.sink.push_str(":hook"));
        let views = streams([vec![other, mark], of_handler.to_vec()].concat(), &[]);
        assert_eq!((views.len(), views[0].rows.len(), views[0].note), (1, 0, None));
    }
}
