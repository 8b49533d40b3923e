//! What must every state store do?

use std::collections::BTreeMap;

use crate::change::{Position, SequenceNumber, ShardId};
use crate::checkpoint::{Checkpoint, CheckpointKey, StartAt, StateError, StateStore};

type Checkpoints = BTreeMap<CheckpointKey, Checkpoint>;

/// Panics unless `store`, which must be empty, keeps the promises of [`StateStore`]. Transient errors are retried, as
/// the trait allows, so that it holds for a [`FaultyState`] too.
pub async fn conformance(store: &dyn StateStore) {
    assert!(!store.describe().is_empty(), "describe() says nothing");
    assert_eq!(load(store, "arn:aws:dynamodb:…/nothing-here").await, [], "an unknown stream has no checkpoints");
    every_checkpoint_comes_back(store).await;
    none_goes_backward(store).await;
    keys_do_not_meet(store).await;
    many_shards_are_loaded_to_the_last(store).await;
    a_survey_sees_all_streams(store).await;
}

/// One of each kind, in ascending order: for equals in rank, those of a kind stand in one inner list.
fn ladder() -> Vec<Vec<Checkpoint>> {
    let at = |digits: &str, sub: u32, range: Option<u64>| Checkpoint::At {
        position: Position { sequence: SequenceNumber::parse(digits).expect("digits"), sub },
        range,
    };
    vec![
        vec![
            Checkpoint::Start(StartAt::TrimHorizon),
            Checkpoint::Start(StartAt::Latest(1_790_000_000_000_001)),
            Checkpoint::Start(StartAt::Timestamp(-1)),
        ],
        vec![at("0", 0, None), at("0", 0, Some(0))],
        vec![at("99", 0, Some(1))],
        // Text order would put this one first.
        vec![at("100", 0, Some(1))],
        vec![at("100", 1, Some(2))],
        vec![at("100", 2, None)],
        // And here it would put 10 before 2.
        vec![at("100", 10, Some(u64::MAX))],
        vec![at("100", u32::MAX, None)],
        vec![at("49653934577403172270036403236523229901717376203382325750", 0, Some(7))],
        vec![at(&"9".repeat(129), u32::MAX, Some(8))],
        vec![Checkpoint::ShardEnd],
    ]
}

async fn every_checkpoint_comes_back(store: &dyn StateStore) {
    let mut expected = Vec::new();
    for (n, checkpoint) in ladder().into_iter().flatten().enumerate() {
        let key = key("round-trip", &format!("shard-{n:03}"), "lake");
        save(store, &key, &checkpoint).await.expect("a first checkpoint");
        expected.push((key, checkpoint));
    }
    assert_eq!(load(store, "round-trip").await, expected);
}

async fn none_goes_backward(store: &dyn StateStore) {
    for (old_rank, old) in flat_ladder() {
        for (new_rank, new) in flat_ladder() {
            let stream = format!("order-{old:?}-{new:?}");
            let key = key(&stream, "shard", "lake");
            save(store, &key, &old).await.expect("a first checkpoint");
            let (saved, expected) = (save(store, &key, &new).await, if new_rank < old_rank { &old } else { &new });
            match saved {
                Ok(()) => assert!(new_rank >= old_rank, "{new:?} was saved over {old:?}"),
                Err(StateError::Overtaken(_)) => {
                    assert!(new_rank < old_rank, "{new:?} was refused over {old:?}")
                }
                Err(other) => panic!("{new:?} over {old:?}: {other}"),
            }
            assert_eq!(load(store, &stream).await, [(key, expected.clone())], "{new:?} over {old:?}");
        }
    }
}

async fn keys_do_not_meet(store: &dyn StateStore) {
    // Names that a careless escaping, joining or file system would take for each other.
    let long = "l".repeat(300);
    let longer = format!("{long}-");
    let names = [
        "a", "b", "a/b", "a.b", "a%2Fb", "a%2fb", "%", "..", ".", "a b", "é", "e\u{301}", "a:b", "'", "-", &long,
        &longer,
    ];
    let mut number = 0;
    let mut expected: BTreeMap<String, Checkpoints> = BTreeMap::new();
    for stream in names {
        for (shard, sink) in [("a", "b"), ("a.b", ""), ("a", "b.b"), ("a.b", "b"), ("a/b", "a"), (&long, &longer)] {
            number += 1;
            let (key, checkpoint) = (key(stream, shard, sink), ordinal(number));
            save(store, &key, &checkpoint).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
            expected.entry(stream.to_owned()).or_default().insert(key, checkpoint);
        }
    }
    for stream in names {
        number += 1;
        let (key, checkpoint) = (key("names", stream, "lake"), ordinal(number));
        save(store, &key, &checkpoint).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        expected.entry("names".to_owned()).or_default().insert(key, checkpoint);
    }
    for (stream, checkpoints) in expected {
        assert_eq!(load(store, &stream).await, Vec::from_iter(checkpoints), "stream {stream}");
    }
}

async fn many_shards_are_loaded_to_the_last(store: &dyn StateStore) {
    let mut expected = Vec::new();
    for number in 0..150 {
        let key = key("many", &format!("shardId-{number:020}"), "lake");
        save(store, &key, &ordinal(number)).await.expect("a first checkpoint");
        expected.push((key, ordinal(number)));
    }
    assert_eq!(load(store, "many").await, expected);
}

async fn a_survey_sees_all_streams(store: &dyn StateStore) {
    let surveyed = survey(store).await;
    assert!(surveyed.is_sorted_by_key(|(key, _)| key.clone()), "a survey is ordered");
    for stream in ["round-trip", "names", "many", "a/b"] {
        let of_stream: Vec<_> = surveyed.iter().filter(|(key, _)| key.stream == stream).cloned().collect();
        assert_eq!(of_stream, load(store, stream).await, "stream {stream}");
    }
}

fn flat_ladder() -> impl Iterator<Item = (usize, Checkpoint)> {
    ladder().into_iter().enumerate().flat_map(|(rank, equals)| equals.into_iter().map(move |one| (rank, one)))
}

fn ordinal(number: u64) -> Checkpoint {
    Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(number)), range: Some(number) }
}

fn key(stream: &str, shard: &str, sink: &str) -> CheckpointKey {
    CheckpointKey { stream: stream.to_owned(), shard: ShardId::new(shard), sink: sink.to_owned() }
}

async fn save(store: &dyn StateStore, key: &CheckpointKey, checkpoint: &Checkpoint) -> Result<(), StateError> {
    for _ in 0..100 {
        match store.save(key, checkpoint).await {
            Err(StateError::Transient(_)) => {}
            answer => return answer,
        }
    }
    panic!("{key:?} could not be saved in 100 attempts");
}

async fn survey(store: &dyn StateStore) -> Vec<(CheckpointKey, Checkpoint)> {
    for _ in 0..100 {
        match store.survey().await {
            Ok(found) => return found.into_iter().map(|saved| (saved.key, saved.checkpoint)).collect(),
            Err(StateError::Transient(_)) => {}
            Err(error) => panic!("surveying: {error}"),
        }
    }
    panic!("there was no survey in 100 attempts");
}

async fn load(store: &dyn StateStore, stream: &str) -> Vec<(CheckpointKey, Checkpoint)> {
    for _ in 0..100 {
        match store.load(stream).await {
            Ok(mut found) => {
                found.sort_by(|(a, _), (b, _)| a.cmp(b));
                return found;
            }
            Err(StateError::Transient(_)) => {}
            Err(error) => panic!("loading {stream}: {error}"),
        }
    }
    panic!("{stream} could not be loaded in 100 attempts");
}
