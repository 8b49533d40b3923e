//! Does the folder keep checkpoints across restarts, refuse what is not its own, and let one process in?

use super::*;
use crate::change::{Position, SequenceNumber, ShardId};
use crate::clock::Clock;
use crate::testing::state::conformance;

fn at(number: u64, range: u64) -> Checkpoint {
    Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(number)), range: Some(range) }
}

fn key(shard: &str) -> CheckpointKey {
    CheckpointKey { stream: "arn:x/y".into(), shard: ShardId::new(shard), sink: "lake".into() }
}

fn open(folder: &tempfile::TempDir) -> FolderState {
    FolderState::open(folder.path(), "process 1234 on somewhere since today").unwrap()
}

fn fatal<T: std::fmt::Debug>(result: Result<T, StateError>) -> String {
    match result {
        Err(StateError::Fatal(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance(&open(&folder)).await;
}

#[tokio::test]
async fn a_restart_finds_what_was_saved_and_still_does_not_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder);
    state.save(&key("a"), &at(20, 2)).await.unwrap();
    state.save(&key("b"), &Checkpoint::ShardEnd).await.unwrap();
    drop(state);

    let state = open(&folder);
    // Without a load before: the file tells.
    let back = state.save(&key("a"), &at(19, 1)).await;
    assert!(matches!(&back, Err(StateError::Overtaken(text)) if text.contains("at 20, not 19")), "{back:?}");
    let all = state.load("arn:x/y").await.unwrap();
    assert_eq!(all, [(key("a"), at(20, 2)), (key("b"), Checkpoint::ShardEnd)]);
}

#[tokio::test]
async fn one_process_at_a_time_and_the_second_is_told_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder);
    state.save(&key("a"), &at(1, 1)).await.unwrap();
    let Err(StateError::Held(text)) = FolderState::open(folder.path(), "second") else { panic!("a second process") };
    assert!(text.contains("is held by process 1234 on somewhere since today; stop it or use another"), "{text}");

    let reader = FolderState::open_read_only(folder.path());
    assert_eq!(reader.load("arn:x/y").await.unwrap(), [(key("a"), at(1, 1))]);
    state.save(&key("a"), &at(2, 1)).await.unwrap();
    assert_eq!(reader.load("arn:x/y").await.unwrap(), [(key("a"), at(2, 1))]);
    fatal(reader.save(&key("a"), &at(3, 1)).await);
    let [saved] = &reader.survey().await.unwrap()[..] else { panic!("one checkpoint") };
    assert_eq!((&saved.key, &saved.checkpoint), (&key("a"), &at(2, 1)));
    assert!(saved.at.is_some_and(|micros| (0..60_000_000).contains(&(Clock::system().wall_micros() - micros))));

    drop(state);
    open(&folder);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_named_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder);
    state.save(&key("a"), &at(1, 1)).await.unwrap();
    let file = folder.path().join("arn%3Ax%2Fy/a.lake.json");
    let good = fs::read_to_string(&file).unwrap();
    assert_eq!(
        good,
        "{\"stream\":\"arn:x/y\",\"shard\":\"a\",\"sink\":\"lake\",\"checkpoint\":\"1\",\
         \"checkpointSubSequenceNumber\":0,\"position\":\"0011:0000000000\",\"range\":1}\n"
    );
    drop(state);

    let longer = good.replace("\"range\":1", "\"range\":1,\"more\":2");
    let other = good.replace("\"shard\":\"a\"", "\"shard\":\"b\"");
    let half = &good[..40];
    for damaged in ["", half, "[]", &longer, &other, &good.replace("\"0011:", "\"0012:"), &good.replace('1', "x")] {
        fs::write(&file, damaged).unwrap();
        let state = open(&folder);
        for text in [fatal(state.load("arn:x/y").await), fatal(state.save(&key("a"), &at(2, 1)).await)] {
            assert!(text.contains("a.lake.json") && text.contains("delete it"), "{damaged}: {text}");
        }
    }
    fs::remove_file(&file).unwrap();
    open(&folder).save(&key("a"), &at(2, 1)).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder);
    state.save(&key("a"), &at(1, 1)).await.unwrap();
    drop(state);
    let half = folder.path().join("arn%3Ax%2Fy/a.lake.json.new");
    fs::write(&half, "{\"stream\":").unwrap();
    let state = open(&folder);
    assert_eq!(state.load("arn:x/y").await.unwrap(), [(key("a"), at(1, 1))]);
    state.save(&key("a"), &at(2, 1)).await.unwrap();
    assert!(!half.exists());
}

#[tokio::test]
async fn a_failed_write_is_not_taken_for_done() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder);
    state.save(&key("a"), &at(1, 1)).await.unwrap();
    // A folder where the fresh file should go makes the write fail, whoever runs the test.
    let blocker = folder.path().join("arn%3Ax%2Fy/a.lake.json.new");
    fs::create_dir(&blocker).unwrap();
    fatal(state.save(&key("a"), &at(5, 2)).await);
    assert_eq!(state.load("arn:x/y").await.unwrap(), [(key("a"), at(1, 1))]);
    fs::remove_dir(&blocker).unwrap();
    state.save(&key("a"), &at(3, 2)).await.unwrap();
}

#[tokio::test]
async fn a_read_only_look_needs_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let reader = FolderState::open_read_only(&folder.path().join("none"));
    assert_eq!(reader.load("arn:x/y").await.unwrap(), []);
    assert_eq!(reader.survey().await.unwrap(), []);
    assert!(!folder.path().join("none").exists());
}

#[tokio::test]
async fn the_holder_note_names_process_host_and_time() {
    let clock = Clock::simulated(1, 1_790_000_000_000_000);
    let note = holder_note(&clock);
    assert!(note.starts_with(&format!("process {} on ", std::process::id())), "{note}");
    assert!(note.ends_with(" since 2026-09-21T14:13:20Z"), "{note}");
}
