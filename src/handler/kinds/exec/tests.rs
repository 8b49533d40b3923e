//! Real child processes: those that behave, and those that don't.

use std::sync::Arc;

use super::*;
use crate::handler::Change;
use crate::handler::payload::tests::{REPLY, change};
use crate::pipeline::spec::Payload;
use crate::testing::store::MemoryStore;

/// A handler that runs a script.
fn exec(script: &str, timeout: Duration) -> Exec {
    exec_as(Payload::Change, script, timeout)
}

fn exec_as(payload: Payload, script: &str, timeout: Duration) -> Exec {
    let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let handler = spec::Handler {
        timeout,
        payload,
        parallelization_factor: 1,
        ..crate::handler::kinds::payloads::tests::handler("h")
    };
    let format = Format::new(&handler.payload).unwrap();
    let payloads = Payloads::new("h", format, Arc::new(MemoryStore::new()), usize::MAX);
    Exec::new(&handler, &command, payloads, Clock::system())
}

const LONG: Duration = Duration::from_secs(60);

fn delivery(count: u64) -> Delivery {
    let changes = (0..count).map(|number| {
        let mut change = change(REPLY);
        change.record.position.sequence = crate::change::SequenceNumber::from_ordinal(number);
        change
    });
    Delivery { changes: changes.collect(), attempt: 1 }
}

fn id(change: &Change) -> String {
    change.delivery_id("h")
}

/// Takes the id out of each line; `$id` is it.
const EACH: &str = r#"while IFS= read -r line; do id=${line#*\"id\":\"}; id=${id%%\"*}; "#;

#[tokio::test]
async fn one_process_serves_call_after_call() {
    let script = format!(
        "n=0; {EACH} n=$((n+1)); echo \"{{\\\"id\\\":\\\"$id\\\",\\\"ok\\\":false,\\\"error\\\":\\\"$$ $n\\\"}}\"; done"
    );
    let exec = exec(&script, LONG);
    let said = |outcome: Outcome| match outcome {
        Outcome::Failed(failures) => failures.into_iter().map(|failure| failure.why).collect::<Vec<_>>(),
        Outcome::Done => Vec::new(),
    };
    let first = said(exec.handle(&delivery(2)).await.unwrap());
    let second = said(exec.handle(&delivery(1)).await.unwrap());
    let process = first[0].split(' ').next().unwrap();
    assert_eq!([first.clone(), second].concat(), [1, 2, 3].map(|n| format!("{process} {n}")));
}

#[tokio::test]
async fn verdicts_may_come_in_any_order() {
    let delivery = delivery(3);
    let ids: Vec<String> = delivery.changes.iter().map(id).collect();
    let script = format!(
        r#"read a; read b; read c; echo noise >&2; echo; echo '{{"id":"{}","ok":true}}'; echo '{{"id":"{}","ok":false,"retry":false,"error":"no"}}';
        echo '{{"id":"{}","ok":false}}'; cat"#,
        ids[2], ids[0], ids[1]
    );
    let outcome = exec(&script, LONG).handle(&delivery).await.unwrap();
    let failure = |index, why: &str, retry| Failure { index, why: why.to_owned(), verdict: Verdict::of(retry) };
    let expected = [failure(0, "no", false), failure(1, "the program says that it failed", true)];
    assert_eq!(outcome, Outcome::Failed(expected.to_vec()));
}

#[tokio::test]
async fn more_than_a_pipe_holds_goes_both_ways() {
    // About 1 MB each way: neither side may wait for the other.
    let script = format!("{EACH} printf '{{\"id\":\"%s\",\"ok\":true,\"x\":\"%0300d\"}}\\n' \"$id\" 0; done");
    assert_eq!(exec(&script, LONG).handle(&delivery(2_000)).await, Ok(Outcome::Done));
}

#[tokio::test]
async fn a_program_that_dies_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("died");
    let script = format!(
        "if [ ! -e {mark} ]; then touch {mark}; read x; exit 3; fi; {EACH} echo \"{{\\\"id\\\":\\\"$id\\\",\\\"ok\\\":true}}\"; done",
        mark = mark.display()
    );
    let exec = exec(&script, LONG);
    let error = exec.handle(&delivery(1)).await.unwrap_err();
    let HandlerError::Unavailable { why, .. } = error else { panic!("{error:?}") };
    assert!(why.contains("exit status: 3"), "{why}");
    assert_eq!(exec.handle(&delivery(1)).await, Ok(Outcome::Done));
}

#[tokio::test]
async fn a_program_that_can_not_be_started_is_told() {
    let mut exec = exec("", LONG);
    exec.command = vec!["no-such-program-here".to_owned()];
    let error = exec.handle(&delivery(1)).await.unwrap_err();
    assert!(
        matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("no-such-program-here")),
        "{error:?}"
    );
}

#[tokio::test]
async fn words_that_are_no_verdict_end_the_call_and_the_program() {
    for (script, said) in [
        ("read x; echo hello", "no verdict"),
        ("read x; echo '{\"id\":\"none\",\"ok\":true}'; cat", "names none"),
        ("read x; head -c 100000 /dev/zero; cat", "more than 65536 bytes"),
    ] {
        let exec = exec(script, LONG);
        let error = exec.handle(&delivery(1)).await.unwrap_err();
        assert!(matches!(&error, HandlerError::Failed(why) if why.contains(said)), "{script}: {error:?}");
        assert!(exec.lock().is_empty(), "it serves no other call");
    }
    // The same verdict twice.
    let delivery = delivery(2);
    let first = id(&delivery.changes[0]);
    let script = format!("read x; read x; for i in 1 2; do echo '{{\"id\":\"{first}\",\"ok\":true}}'; done; cat");
    let error = exec(&script, LONG).handle(&delivery).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains(&first)), "{error:?}");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let exec = exec(&format!("echo $$ > {}; exec sleep 600", file.display()), Duration::from_millis(500));
    let error = exec.handle(&delivery(1)).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("in time")), "{error:?}");
    let pid = std::fs::read_to_string(&file).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists(), "it still runs");
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_program_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let exec = exec(&format!("echo $$ > {}; exec sleep 600", file.display()), LONG);
    let (delivery, clock) = (delivery(1), Clock::system());
    let pid = tokio::select! {
        outcome = exec.handle(&delivery) => panic!("{outcome:?}"),
        pid = async {
            loop {
                match std::fs::read_to_string(&file) {
                    Ok(pid) if pid.ends_with('\n') => break pid,
                    _ => clock.sleep(Duration::from_millis(10)).await,
                }
            }
        } => pid,
    };
    // It is killed at once; that it has ended is seen a moment later.
    let status = format!("/proc/{}/status", pid.trim());
    while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        clock.sleep(Duration::from_millis(10)).await;
    }
    assert!(exec.lock().is_empty());
}

#[tokio::test]
async fn the_example_of_the_repository_works() {
    let mut exec = exec("", LONG);
    exec.command = ["sh", "pipelines/handlers/count-replies.sh"].map(String::from).to_vec();
    for _ in 0..2 {
        assert_eq!(exec.handle(&delivery(3)).await, Ok(Outcome::Done));
    }
}

#[tokio::test]
async fn other_formats_are_wrapped_so_that_the_program_has_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = format!(
        "{EACH} printf '%s\\n' \"$line\" >> {}; echo \"{{\\\"id\\\":\\\"$id\\\",\\\"ok\\\":true}}\"; done",
        seen.display()
    );
    let delivery = delivery(1);
    let id = id(&delivery.changes[0]);
    for payload in ["{{ op }}\n\nx", "[{{ sub }},\n1]"] {
        let exec = exec_as(Payload::Template(payload.to_owned()), &script, LONG);
        assert_eq!(exec.handle(&delivery).await, Ok(Outcome::Done));
    }
    let seen = std::fs::read_to_string(seen).unwrap();
    let expected = format!("{{\"id\":\"{id}\",\"change\":\"MODIFY\\n\\nx\"}}\n{{\"id\":\"{id}\",\"change\":[0, 1]}}\n");
    assert_eq!(seen, expected);
}
