//! A chain by membership in a simulated world: batches come twice, in halves, late and side by side, writers are killed
//! anywhere, the store fails. Every record is in the lake once, and what was called durable is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::bug::{Bug, make};
use crate::lake::member_shard::{IfLost, Landed, MemberShard};
use crate::lake::members::Members;
use crate::lake::publish::Publisher;
use crate::lake::range::Chain;
use crate::testing::store::{Faults, FaultyStore};

const BEGINNING: i64 = 1_795_132_800_000_000;

/// The change `number` of a shard; all shards count from the same number.
fn change(shard: u64, number: u64) -> Record {
    let image =
        json!({"Id": {"S": format!("{shard}/{number}")}, format!("a{}", number % 9): {"N": number.to_string()}});
    let mut change = modify(&image, &json!({}));
    change["eventID"] = json!(format!("{shard:x}-{number:x}"));
    let text = if number % 97 == 5 { format!("{shard} is no change") } else { change.to_string() };
    let payload = Bytes::from(text);
    Record { payload, ..record(1_000_000 + number, &json!(null)) }
}

/// The batches that the service makes of some shards' records: some come in two ways at once.
fn batches(random: &mut StdRng, shards: u64, records: u64) -> VecDeque<Vec<Record>> {
    let mut batches = Vec::new();
    for shard in 0..shards {
        let mut from = 1;
        while from <= records {
            let to = (from + random.random_range(1..25)).min(records + 1);
            batches.push((from..to).map(|number| change(shard, number)).collect());
            if random.random_bool(0.2) {
                let early = from.saturating_sub(10).max(1);
                batches.push((early..to).map(|number| change(shard, number)).collect());
            }
            from = to;
        }
    }
    // They come side by side, and hardly in order.
    for at in 0..batches.len() {
        let other = random.random_range(0..batches.len());
        batches.swap(at, other);
    }
    batches.into()
}

struct World {
    objects: Arc<MemoryStore>,
    queue: Mutex<VecDeque<Vec<Record>>>,
    killed: Mutex<u32>,
    overtaken: Mutex<u32>,
}

impl World {
    async fn lake(&self, seed: u64, faults: Faults) -> Result<(Arc<Lake>, Clock), LakeError> {
        let clock = Clock::simulated(seed, BEGINNING);
        let store = Arc::new(FaultyStore::new(self.objects.clone(), &clock, seed, faults));
        let roll = RollLimits { rows: 7 + seed as usize % 30, ..NO_HURRY };
        let default_rules = Arc::new(rules(6));
        let settings = LakeSettings {
            pipeline: "test".to_owned(),
            roll,
            tables: HashMap::new(),
            default_rules,
            only: None,
            limits: Limits::default(),
        };
        Ok((Lake::open(store, clock.clone(), settings).await?, clock))
    }

    /// One process after the other takes batches, until there are none.
    async fn work(self: Arc<Self>, mut seed: u64) {
        let mut random = StdRng::seed_from_u64(seed ^ 0xface);
        let faults = || Faults {
            conflict: 0.05,
            unavailable: 0.05,
            answer_lost: 0.05,
            late: 0.02,
            exists_after_success: 0.05,
            exists_without_effect: 0.02,
            delay: Duration::from_millis(100),
            ..Faults::default()
        };
        let mut warm: Option<MemberShard> = None;
        loop {
            let Some(batch) = self.queue.lock().unwrap().pop_front() else { return };
            let life = Duration::from_millis(random.random_range(1..20_000));
            let mut landed = Landed::default();
            let attempt = async {
                let mut chain = match warm.take() {
                    Some(chain) => chain,
                    None => {
                        seed += 1000;
                        let (lake, _) = self.lake(seed, faults()).await?;
                        lake.open_members(&stream(), &ShardId::new("events"), IfLost::default()).await?
                    }
                };
                chain.land(batch.clone(), None, &mut landed).await?;
                Ok::<_, LakeError>(chain)
            };
            match tokio::time::timeout(life, attempt).await {
                Ok(Ok(chain)) => warm = random.random_bool(0.7).then_some(chain),
                Ok(Err(error)) => panic!("a store that fails now and then: {error}"),
                Err(_) => {
                    *self.killed.lock().unwrap() += 1;
                    let mut queue = self.queue.lock().unwrap();
                    match random.random_range(0..3) {
                        0 => queue.push_back(batch),
                        1 => {
                            let half = batch.len() / 2;
                            queue.extend([batch[half..].to_vec(), batch[..half].to_vec()]);
                        }
                        // A partial answer: what it calls durable does not come again.
                        _ => queue.push_back(batch[landed.durable..].to_vec()),
                    }
                }
            }
            *self.overtaken.lock().unwrap() += landed.overtaken;
        }
    }
}

/// Ranges of the chain, checked: each record is a member of one, and the index of each knows all before it.
fn members(objects: &BTreeMap<String, Bytes>) -> usize {
    let mut all = BTreeSet::new();
    let ranges = objects.iter().filter(|(path, _)| path.starts_with("_watershed/ranges/"));
    for (number, (path, body)) in ranges.enumerate() {
        let Members { list, before } = Range::parse(body).unwrap().members.unwrap();
        assert_eq!(before.last().map_or(0, |node| node.end()), number as u64, "{path}");
        for member in list {
            assert!(all.insert(member), "{path} holds {member:?} again");
        }
    }
    all.len()
}

fn run(seed: u64) -> (u32, u32, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let (shards, records) = (random.random_range(1..4), random.random_range(20..200));
    let queue = Mutex::new(batches(&mut random, shards, records));
    let objects = Arc::new(MemoryStore::new());
    let world = Arc::new(World { objects, queue, killed: Mutex::new(0), overtaken: Mutex::new(0) });
    runtime.block_on(async {
        let workers: Vec<_> =
            (0..random.random_range(1..5)).map(|worker| tokio::spawn(world.clone().work(seed * 31 + worker))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        // Requests under way land, and the last range is completed by whoever comes.
        let (lake, clock) = world.lake(seed + 7, Faults::default()).await.unwrap();
        clock.sleep(Duration::from_secs(60)).await;
        lake.open_members(&stream(), &ShardId::new("events"), IfLost::default()).await.unwrap();
    });
    let mut expected = BTreeSet::new();
    for shard in 0..shards {
        expected.extend((1..=records).filter(|number| number % 97 != 5).map(|number| format!("{shard}/{number}")));
    }
    let rows = all_rows(&world.objects);
    let found: BTreeSet<String> = rows.iter().map(|row| row.new["Id"]["S"].as_str().unwrap().to_owned()).collect();
    assert_eq!(rows.len(), expected.len(), "seed {seed}: rows");
    assert_eq!(found, expected, "seed {seed}: lost");
    assert_eq!(members(&world.objects.objects()) as u64, shards * records, "seed {seed}: members");
    (*world.killed.lock().unwrap(), *world.overtaken.lock().unwrap(), rows.len())
}

#[test]
fn every_record_is_in_the_lake_once_whatever_comes_again_and_whoever_is_killed() {
    let seeds = match std::env::var("WATERSHED_SEEDS") {
        Ok(text) => {
            let (from, to) = text.split_once("..").expect("WATERSHED_SEEDS=from..to");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
        Err(_) => 0..24,
    };
    let (mut killed, mut overtaken, mut rows) = (0, 0, 0);
    for seed in seeds {
        let (more_killed, more_overtaken, more_rows) = run(seed);
        killed += more_killed;
        overtaken += more_overtaken;
        rows += more_rows;
    }
    assert!(killed > 10 && overtaken > 10, "{killed} killed, {overtaken} overtaken");
    println!("killed={killed} overtaken={overtaken} rows={rows} lost=0 twice=0");
}

/// A world that has never failed proves little.
#[test]
fn mistakes_are_found() {
    for bug in [Bug::HighWaterMark, Bug::SequenceAlone, Bug::OpenRangeLeft, Bug::ExistsIsSuccess] {
        let found = (0..16).find(|&seed| {
            make(Some(bug));
            let ended = std::panic::catch_unwind(|| run(seed));
            make(None);
            ended.is_err()
        });
        println!("{bug:?}: found in world {:?}", found.unwrap_or_else(|| panic!("{bug:?} was not found")));
    }
}

#[tokio::test]
async fn the_end_of_a_long_chain_is_found() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(5)).await;
    let chain = Chain::new(&stream(), &ShardId::new("events"));
    let place = Publisher { lake, chain: chain.clone() };
    assert!(place.find_last(None).await.unwrap().is_none());
    for n in 0..2300 {
        let range = Range::new(&chain, n, None, None, "w", "now");
        store.create(&chain.range_path(n), range.to_bytes()).await.unwrap();
        if [0, 1, 998, 999, 1000, 1001, 2047, 2299].contains(&n) {
            for there in [None, Some(0), Some(n / 2), Some(n)] {
                assert_eq!(place.find_last(there).await.unwrap().unwrap().range, n, "from {there:?}");
            }
        }
    }
}
