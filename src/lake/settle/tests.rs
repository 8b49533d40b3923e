//! Whatever the store answers, the right content is there in the end, and its writer knows.

use std::sync::Arc;

use super::*;
use crate::testing::store::{Fault, Faults, FaultyStore, MemoryStore};

const PATH: &str = "_watershed/range";

fn mine() -> Bytes {
    Bytes::from_static(b"mine")
}

fn is_mine(found: &Bytes) -> bool {
    *found == mine()
}

fn theirs() -> Bytes {
    Bytes::from_static(b"theirs")
}

fn faulty(memory: &MemoryStore, clock: &Clock, seed: u64, faults: Faults) -> FaultyStore {
    FaultyStore::new(Arc::new(memory.clone()), clock, seed, faults)
}

fn outage() -> Faults {
    Faults { unavailable: 1.0, ..Faults::default() }
}

/// All scripts of up to `len` faults.
fn scripts(len: usize) -> Vec<Vec<Fault>> {
    let faults = [
        Fault::None,
        Fault::Conflict,
        Fault::Unavailable,
        Fault::AnswerLost,
        Fault::Late,
        Fault::ExistsAfterSuccess,
        Fault::ExistsWithoutEffect,
    ];
    let mut scripts = vec![vec![]];
    for _ in 0..len {
        let longer = scripts.iter().flat_map(|script| faults.map(|fault| [&script[..], &[fault]].concat()));
        scripts = longer.collect();
    }
    scripts
}

#[tokio::test(start_paused = true)]
async fn alone_it_is_always_mine_whatever_goes_wrong() {
    let clock = Clock::simulated(1, 0);
    for script in scripts(4) {
        let memory = MemoryStore::new();
        let store = faulty(&memory, &clock, 1, Faults::default());
        store.script(script.clone());
        let settled = settle(&store, &clock, PATH, mine(), is_mine).await;
        assert_eq!(settled.unwrap(), Settled::Mine, "{script:?}");
        assert_eq!(memory.objects()[PATH], mine(), "{script:?}");
        // Requests that were given up long ago still arrive, and change nothing.
        clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(memory.objects()[PATH], mine(), "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_writer_created_is_theirs_whatever_goes_wrong() {
    let clock = Clock::simulated(1, 0);
    for script in scripts(4) {
        let memory = MemoryStore::new();
        memory.create(PATH, theirs()).await.unwrap();
        let store = faulty(&memory, &clock, 1, Faults::default());
        store.script(script.clone());
        let settled = settle(&store, &clock, PATH, mine(), is_mine).await;
        assert_eq!(settled.unwrap(), Settled::Theirs(theirs()), "{script:?}");
        clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(memory.objects()[PATH], theirs(), "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_racing_writers_exactly_one_wins_and_all_agree() {
    let mut injected = 0;
    for seed in 0..500 {
        let clock = Clock::simulated(seed, 0);
        let memory = MemoryStore::new();
        let store = faulty(
            &memory,
            &clock,
            seed,
            Faults {
                conflict: 0.15,
                unavailable: 0.15,
                answer_lost: 0.15,
                late: 0.1,
                exists_after_success: 0.1,
                forgotten: 0.05,
                exists_without_effect: 0.1,
                delay: Duration::from_millis(200),
                outages: vec![Duration::from_millis(100)..Duration::from_millis(400)],
            },
        );
        let writer = async |name: &'static str| {
            let body = Bytes::from_static(name.as_bytes());
            settle(&store, &clock, PATH, body.clone(), |found| *found == body).await.unwrap()
        };
        let settled = tokio::join!(writer("a"), writer("b"), writer("c"));
        let found = memory.objects()[PATH].clone();
        for (name, settled) in [("a", settled.0), ("b", settled.1), ("c", settled.2)] {
            let expected = if found == name { Settled::Mine } else { Settled::Theirs(found.clone()) };
            assert_eq!(settled, expected, "seed {seed}, writer {name}");
        }
        clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(memory.objects()[PATH], found, "seed {seed}");
        injected += store.injected();
    }
    assert!(injected > 1_000, "{injected}");
}

#[tokio::test(start_paused = true)]
async fn it_outlives_an_outage() {
    let clock = Clock::simulated(1, 0);
    let memory = MemoryStore::new();
    let outage = Duration::ZERO..Duration::from_secs(14 * 60);
    let store = faulty(&memory, &clock, 1, Faults { outages: vec![outage], ..Faults::default() });
    let settled = settle(&store, &clock, PATH, mine(), is_mine).await;
    assert_eq!(settled.unwrap(), Settled::Mine);
    assert!(store.injected() < 100, "{} calls: the waits get longer", store.injected());
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_and_says_why() {
    let clock = Clock::simulated(1, 0);
    let memory = MemoryStore::new();
    let store = faulty(&memory, &clock, 1, outage());
    let begun = clock.now();
    let error = settle(&store, &clock, PATH, mine(), is_mine).await.unwrap_err();
    assert_eq!((clock.now() - begun).as_secs(), 15 * 60);
    let StoreError::Fatal(text) = error else { panic!("{error:?}") };
    assert!(text.contains("for 15m,") && text.contains("503 SlowDown") && text.contains(PATH), "{text}");

    let short = Patience { give_up: Duration::from_secs(5) };
    let begun = clock.now();
    for error in [
        short.settle(&store, &clock, PATH, mine(), |_| true).await.unwrap_err(),
        short.read(&store, &clock, PATH).await.unwrap_err(),
        short.size(&store, &clock, PATH).await.unwrap_err(),
        short.list(&store, &clock, "_watershed", None).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Fatal(text) if text.contains("for 5s,")), "{error:?}");
    }
    assert_eq!((clock.now() - begun).as_secs(), 4 * 5);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_says_exists_is_given_up_too() {
    let clock = Clock::simulated(1, 0);
    let memory = MemoryStore::new();
    let store = faulty(&memory, &clock, 1, Faults { exists_without_effect: 1.0, ..Faults::default() });
    let error = settle(&store, &clock, PATH, mine(), |_| true).await.unwrap_err();
    assert!(matches!(&error, StoreError::Fatal(text) if text.contains("exists already")), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn reads_wait_too() {
    let clock = Clock::simulated(1, 0);
    let memory = MemoryStore::new();
    memory.create(PATH, theirs()).await.unwrap();
    let store = faulty(&memory, &clock, 1, Faults::default());
    let three = [Fault::Unavailable; 3];
    store.script(three);
    assert_eq!(read(&store, &clock, PATH).await.unwrap(), Some(theirs()));
    store.script(three);
    assert_eq!(read(&store, &clock, "nothing").await.unwrap(), None);
    store.script(three);
    assert_eq!(size(&store, &clock, PATH).await.unwrap(), Some(6));
    store.script(three);
    let listed = list(&store, &clock, "_watershed", None).await.unwrap();
    assert_eq!(listed, [Listed { path: PATH.to_owned(), size: 6 }]);
    assert_eq!(store.injected(), 12);
}

#[tokio::test(start_paused = true)]
async fn what_is_fatal_is_not_tried_again() {
    let clock = Clock::simulated(1, 0);
    let memory = MemoryStore::new();
    let begun = clock.now();
    assert!(matches!(settle(&memory, &clock, "..", mine(), |_| true).await, Err(StoreError::Fatal(_))));
    assert!(matches!(read(&memory, &clock, "..").await, Err(StoreError::Fatal(_))));
    assert_eq!(clock.now(), begun);
}
