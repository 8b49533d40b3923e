//! Trigger handlers of the real binary: every change is delivered, those of an item in order, whatever the endpoint does
//! and however often the process is killed; and one item that always fails costs only itself.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::harness::queues::{body, call, messages, new_queue};
use crate::harness::servers::MiniStack;
use crate::harness::{Work, files_below, now, rest, show, wait_for};

const KILLS: u32 = 20;
const ITEMS: u32 = 1000;
const CHANGES: u32 = 100_000;
const FILES: u32 = 4;

const PIPELINE: &str = r#"
name = "hooks"

[source]
type = "file"
path = "changes"

[lake]
path = "lake"
roll = { age = "1s" }

[[handlers]]
name = "hook"
type = "webhook"
url = "http://127.0.0.1:PORT/hook"
secret = "env:HOOK_SECRET"
allow_private = true
parallelization_factor = 10
"#;

/// What the endpoint does with a call.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Of a thousand calls, so many are answered with 500.
    pub fails: u32,
    /// Of a thousand calls, so many are never answered.
    pub hangs: u32,
}

/// A webhook endpoint that writes down what it has taken.
pub(crate) struct Endpoint {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    manners: Manners,
    random: StdRng,
    /// Until when connections are closed at once.
    dead_until: Option<Instant>,
    /// Changes whose item has this id are always refused.
    poison: Option<String>,
    /// Item and version of each call that was answered with 200, in their order.
    pub taken: Vec<(String, u32)>,
    calls: u64,
}

impl Endpoint {
    pub fn start(manners: Manners, poison: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(Mutex::new(State {
            manners,
            random: StdRng::seed_from_u64(4),
            dead_until: None,
            poison: poison.map(str::to_owned),
            taken: Vec::new(),
            calls: 0,
        }));
        let (port, shared) = (listener.local_addr().unwrap().port(), state.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(connection, &shared));
            }
        });
        Self { port, state }
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Answers the calls of a connection until that ends.
fn serve(connection: TcpStream, state: &Mutex<State>) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let change: Value = serde_json::from_slice(&body).ok()?;
        let item = change["keys"]["Id"]["S"].as_str()?.to_owned();
        let version = change["new"]["Version"]["N"].as_str()?.parse().ok()?;
        let status = {
            let mut state = state.lock().unwrap();
            state.calls += 1;
            let draw = state.random.random_range(0..1000);
            let Manners { fails, hangs } = state.manners;
            if state.dead_until.is_some_and(|until| now() < until) {
                return None;
            }
            match () {
                () if state.poison.as_ref() == Some(&item) => "500 Internal Server Error",
                () if draw < fails => "500 Internal Server Error",
                () if draw < fails + hangs => {
                    drop(state);
                    // Longer than the pipeline's timeout; it hangs up.
                    rest(Duration::from_secs(3));
                    return None;
                }
                () => {
                    state.taken.push((item, version));
                    "200 OK"
                }
            }
        };
        write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn work(endpoint: &Endpoint, changes: u32, more: &str) -> Work {
    let work = Work::new().set("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    work.write("hooks.toml", PIPELINE.replace("PORT", &endpoint.port.to_string()) + more);
    let mut files = vec![String::new(); FILES as usize];
    for number in 0..changes {
        let (item, version) = (number % ITEMS, number / ITEMS);
        let keys = json!({"Id": {"S": format!("item-{item}")}});
        let new = json!({"Id": {"S": format!("item-{item}")}, "Version": {"N": version.to_string()}});
        let dynamodb = json!({"ApproximateCreationDateTime": at(), "Keys": keys, "NewImage": new});
        let change =
            json!({"eventID": number.to_string(), "eventName": "MODIFY", "tableName": "T", "dynamodb": dynamodb});
        files[(item % FILES) as usize] += &format!("{change}\n");
    }
    for (number, text) in files.iter().enumerate() {
        work.write(&format!("changes/{number}.ndjson"), text);
    }
    work
}

/// Seconds since the epoch: changes are young, or they would be given up for their age.
pub(crate) fn at() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Each item's versions in the order in which each was first taken, checked to be all of them in order; answers how
/// often a version was taken again.
pub(crate) fn judge(taken: &[(String, u32)], changes: u32) -> usize {
    let mut next: HashMap<&str, u32> = HashMap::new();
    let mut repeats = 0;
    for (item, version) in taken {
        let expected = next.entry(item).or_default();
        match version.cmp(expected) {
            std::cmp::Ordering::Less => repeats += 1,
            std::cmp::Ordering::Equal => *expected += 1,
            std::cmp::Ordering::Greater => panic!("{item}: version {version} before {expected}"),
        }
    }
    let first: u64 = next.values().map(|count| u64::from(*count)).sum();
    assert_eq!(first, u64::from(changes), "changes that were never delivered");
    repeats
}

#[test]
fn a_bad_endpoint_and_twenty_kills_lose_and_reorder_nothing() {
    let endpoint = Endpoint::start(Manners { fails: 100, hangs: 10 }, None);
    let work = work(&endpoint, CHANGES, "timeout = '1s'\n");
    let (mut random, since) = (StdRng::seed_from_u64(9), now());
    let mut daemon = work.spawn(&["run", "hooks.toml"]);
    for kill in 1..=KILLS {
        // Lives end after some progress, not after some time: how fast a machine is must not matter.
        let goal = u64::from(CHANGES) * u64::from(kill) / u64::from(KILLS + 2) - random.random_range(0..2000);
        let limit = Duration::from_secs(300);
        wait_for("some deliveries", limit, || {
            assert!(daemon.is_running(), "it ended by itself: {}", daemon.log());
            (endpoint.state().taken.len() as u64 >= goal).then_some(())
        });
        if kill == KILLS / 2 {
            endpoint.state().dead_until = Some(now() + Duration::from_secs(30));
            wait_for("the circuit to open", limit, || daemon.log().contains("the circuit is open").then_some(()));
        }
        daemon.kill();
        daemon = work.spawn(&["run", "hooks.toml"]);
    }
    wait_for("the end", Duration::from_secs(600), || (!daemon.is_running()).then_some(()));
    daemon.wait().expect(0);
    let (taken, calls) = {
        let state = endpoint.state();
        (state.taken.clone(), state.calls)
    };
    let repeats = judge(&taken, CHANGES);
    let given_up = files_below(&work.path("lake/_watershed/handlers"));
    assert!(given_up.is_empty(), "{given_up:?}");
    show(&format!(
        "webhook: changes={CHANGES} kills={KILLS} calls={calls} lost=0 reordered=0 repeats={repeats} in {:.0} s",
        since.elapsed().as_secs_f64()
    ));
}

#[test]
fn an_item_that_always_fails_ends_in_the_dead_letters_and_is_replayed() {
    let endpoint = Endpoint::start(Manners { fails: 0, hangs: 0 }, Some("item-7"));
    let work = work(&endpoint, 5 * ITEMS, "maximum_retry_attempts = 2\n");
    fails_and_is_replayed(&work, &endpoint);
    assert_eq!(letters_in(&work, "lake/_watershed/handlers/hook/dead-letters").len(), 5);
}

#[test]
fn dead_letters_lie_in_a_folder() {
    let endpoint = Endpoint::start(Manners { fails: 0, hangs: 0 }, Some("item-7"));
    let work = work(&endpoint, 5 * ITEMS, "maximum_retry_attempts = 2\non_failure = 'given/up'\n");
    fails_and_is_replayed(&work, &endpoint);
    assert_eq!(letters_in(&work, "given/up/hook").len(), 5);
    assert!(!work.path("lake/_watershed/handlers").exists());
}

#[test]
fn dead_letters_lie_in_a_bucket_and_are_sent_to_a_queue() {
    let server = MiniStack::start().with_bucket("given-up");
    let prepared = |on_failure: &str| {
        let endpoint = Endpoint::start(Manners { fails: 0, hangs: 0 }, Some("item-7"));
        let keys = format!("maximum_retry_attempts = 2\non_failure = '{on_failure}'\n");
        (work(&endpoint, 5 * ITEMS, &keys).set("AWS_ENDPOINT_URL", server.endpoint()), endpoint)
    };
    let (work, endpoint) = prepared("s3://given-up/below");
    fails_and_is_replayed(&work, &endpoint);
    let listing = json!({ "Bucket": "given-up", "Prefix": "below/hook/" });
    let listed = call(&server.endpoint(), "s3", "list_objects_v2", &listing);
    let keys = listed["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap());
    assert_eq!(keys.filter(|key| key.ends_with(".json")).count(), 5, "{listed}");

    let queue = new_queue(&server.endpoint(), "given-up");
    let (work, endpoint) = prepared(&queue);
    fails_and_is_replayed(&work, &endpoint);
    let kept = letters_in(&work, "lake/_watershed/handlers/hook/dead-letters");
    let sent: Vec<Value> = messages(&server.endpoint(), &queue, 5).iter().map(body).collect();
    let places: HashSet<&str> = sent.iter().map(|letter| letter["dead_letter"].as_str().unwrap()).collect();
    assert!(places.len() == 5 && kept.len() == 5, "{sent:#?}");
    for letter in &sent {
        let place = work.path(letter["dead_letter"].as_str().unwrap());
        let mut file: Value = serde_json::from_slice(&std::fs::read(place).unwrap()).unwrap();
        file["dead_letter"] = letter["dead_letter"].clone();
        assert_eq!(*letter, file);
    }
}

/// The dead letters below a folder that stand for a change, done or not.
fn letters_in(work: &Work, folder: &str) -> Vec<String> {
    let files = files_below(&work.path(folder)).into_iter().map(|(path, _)| path);
    files.filter(|path| path.ends_with(".json")).collect()
}

/// Runs a pipeline whose endpoint refuses "item-7": all others get theirs; mended, `replay` sends its changes in their
/// order, and none twice.
fn fails_and_is_replayed(work: &Work, endpoint: &Endpoint) {
    work.run(&["run", "hooks.toml"]).expect(0);
    let taken = endpoint.state().taken.clone();
    assert_eq!(taken.len(), 5 * ITEMS as usize - 5, "all other items' changes, each once");
    assert!(taken.iter().all(|(item, _)| item != "item-7"));

    let failed = work.run(&["replay", "hooks.toml", "hook"]).expect(1);
    assert!(failed.stderr.contains("failed again"), "{}", failed.stderr);
    endpoint.state().poison = None;
    let said = work.run(&["replay", "hooks.toml", "hook"]).expect(0);
    assert!(said.stdout.contains("5 sent"), "{}", said.stdout);
    let versions: Vec<u32> = endpoint.state().taken[taken.len()..].iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, [0, 1, 2, 3, 4]);
    let again = work.run(&["replay", "hooks.toml", "hook"]).expect(0);
    assert!(again.stdout.contains("0 sent"), "{}", again.stdout);
    let unique: HashSet<&(String, u32)> = taken.iter().collect();
    assert_eq!(unique.len(), taken.len());
}

#[test]
fn the_example_counts_replies_and_tells_what_changed() {
    let work = Work::new();
    for (path, _) in files_below(&crate::harness::tools().repository("pipelines")) {
        let from = crate::harness::tools().repository("pipelines").join(&path);
        work.write(&format!("pipelines/{path}"), std::fs::read(from).unwrap());
    }
    let done = work.run(&["run", "pipelines/handlers.toml"]).expect(0);
    let told: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(done.stderr.contains("Try it in DuckDB"), "the summary is for people: {}", done.stderr);
    let removed = told.iter().filter(|change| change["op"] == "REMOVE").count();
    assert_eq!(removed, 2 + 11 + 131 + 8, "all deletions, recorded long ago");
    assert_eq!(files_below(&work.path("lake/handlers/_watershed/handlers")), []);
    let positions = work.run(&["positions", "pipelines/handlers.toml"]).expect(0).stdout;
    assert_eq!(positions.matches("handler:new-replies").count(), 4, "{positions}");
    let again = work.run(&["run", "pipelines/handlers.toml"]).expect(0);
    assert_eq!(again.stdout, "", "nothing is told twice");
}
