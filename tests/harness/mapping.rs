//! A model of Lambda's event source mapping in front of environments of the real binary: it batches, tries again, bisects,
//! takes partial answers, sends side by side, gives up by attempts and by age; its environments are killed, time out, and
//! go on after it has given up with them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Work;
use super::lambda::{Environment, Said};

/// How long an invocation may take that nobody disturbs.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// How much older all records grow with each invocation of their lane. Not the time it took: what grows too old should not
/// depend on the machine.
const INVOCATION: Duration = Duration::from_secs(1);

/// The most bytes of an event.
const LARGEST_EVENT: usize = 6 << 20;

/// A mapping's settings.
#[derive(Clone, Copy)]
pub struct Mapping {
    pub batch_size: usize,
    pub parallelization_factor: u64,
    pub bisect: bool,
    /// `None` is -1: until the record expires.
    pub maximum_retry_attempts: Option<u32>,
    pub maximum_record_age: Option<Duration>,
}

/// A record of a shard.
#[derive(Clone)]
pub struct Waiting {
    /// As events have it.
    pub text: String,
    /// What an answer names it by.
    pub identifier: String,
    /// What has one key comes in order, whatever the parallelization factor.
    pub key: String,
    /// How old it was when the mapping began.
    pub age: Duration,
}

/// The event of some records.
pub fn event(records: &[Waiting]) -> Vec<u8> {
    let texts: Vec<&str> = records.iter().map(|record| &*record.text).collect();
    format!(r#"{{"Records":[{}]}}"#, texts.join(",")).into_bytes()
}

/// What went to the on-failure destination: a bucket, which gets the records themselves.
pub struct GivenUp {
    pub condition: &'static str,
    pub records: Vec<Waiting>,
}

/// What happened.
#[derive(Default)]
pub struct Counts {
    pub invocations: u64,
    pub kills: u64,
    pub zombies: u64,
    pub time_outs: u64,
    pub errors: BTreeMap<String, u64>,
    pub partial: u64,
    pub bisected: u64,
    pub given_up: Vec<GivenUp>,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { invocations, kills, zombies, time_outs, errors, partial, bisected, given_up } = self;
        write!(f, "invocations={invocations} kills={kills} zombies={zombies} time_outs={time_outs} ")?;
        let given_up: usize = given_up.iter().map(|given| given.records.len()).sum();
        write!(f, "partial={partial} bisected={bisected} given_up={given_up} errors={errors:?}")
    }
}

/// Drives all lanes of all shards side by side, and answers what happened.
pub fn storm(work: &Work, pipeline: &str, shards: &[Vec<Waiting>], mapping: Mapping, seed: u64) -> Counts {
    let counts = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for (shard, records) in shards.iter().enumerate() {
            for lane in 0..mapping.parallelization_factor {
                let of_key = |key: &str| key.bytes().map(u64::from).sum::<u64>() % mapping.parallelization_factor;
                let records: Vec<_> = records.iter().filter(|record| of_key(&record.key) == lane).cloned().collect();
                let (counts, random) = (&counts, StdRng::seed_from_u64(seed + shard as u64 * 10 + lane));
                let (environment, zombies, elapsed) = (None, Vec::new(), Duration::ZERO);
                let lane = Lane { work, pipeline, mapping, random, elapsed, environment, zombies, counts };
                scope.spawn(move || lane.drive(&records));
            }
        }
    });
    counts.into_inner().unwrap()
}

/// One lane of the mapping: one shard, or with a parallelization factor some of its keys.
struct Lane<'a> {
    work: &'a Work,
    pipeline: &'a str,
    mapping: Mapping,
    random: StdRng,
    /// Since the mapping began.
    elapsed: Duration,
    environment: Option<Environment>,
    /// Environments that Lambda has given up with, and that go on for a while.
    zombies: Vec<Environment>,
    counts: &'a Mutex<Counts>,
}

impl Lane<'_> {
    /// Sends all records of the lane, in batches.
    fn drive(mut self, records: &[Waiting]) {
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(self.batch(rest));
            rest = behind;
            let mut parts = VecDeque::from([(batch.to_vec(), self.mapping.maximum_retry_attempts)]);
            while let Some((part, attempts)) = parts.pop_front() {
                self.send(part, attempts, &mut parts);
            }
        }
        self.environment.take().map(Environment::kill);
        self.zombies.drain(..).for_each(|zombie| drop(zombie.kill()));
    }

    /// How many records make the next batch.
    fn batch(&self, rest: &[Waiting]) -> usize {
        let mut bytes = 0;
        let fits = rest.iter().take(self.mapping.batch_size).take_while(|record| {
            bytes += record.text.len() + 1;
            bytes < LARGEST_EVENT
        });
        fits.count().max(1)
    }

    /// Sends a part of a batch once; what is left of it stands at the front of `parts` then, or is given up.
    fn send(
        &mut self,
        mut part: Vec<Waiting>,
        attempts: Option<u32>,
        parts: &mut VecDeque<(Vec<Waiting>, Option<u32>)>,
    ) {
        let too_old = |record: &Waiting| {
            self.mapping.maximum_record_age.is_some_and(|maximum| record.age + self.elapsed > maximum)
        };
        let old = part.iter().take_while(|record| too_old(record)).count();
        if old > 0 {
            self.give_up("RecordAgeExceeded", part.drain(..old).collect());
        }
        if part.is_empty() {
            return;
        }
        let done = self.done_of(&part);
        let mut rest = part.split_off(done);
        let bisect = self.mapping.bisect;
        match attempts {
            _ if rest.is_empty() => {}
            // It was cut at the number that the answer named; that costs no attempt.
            _ if bisect && done > 0 => parts.push_front((rest, attempts)),
            _ if bisect && rest.len() > 1 => {
                self.counts.lock().unwrap().bisected += 1;
                let second = rest.split_off(rest.len() / 2);
                parts.push_front((second, attempts));
                parts.push_front((rest, attempts));
            }
            Some(0) => self.give_up("RetryAttemptsExhausted", rest),
            _ => parts.push_front((rest, attempts.map(|attempts| attempts - 1))),
        }
    }

    fn give_up(&self, condition: &'static str, records: Vec<Waiting>) {
        self.counts.lock().unwrap().given_up.push(GivenUp { condition, records });
    }

    /// Invokes the function, and answers how many records are done, from the first on.
    fn done_of(&mut self, part: &[Waiting]) -> usize {
        match self.invoke(part) {
            Some(Said::Answer(answer)) => {
                let failures = answer["batchItemFailures"].as_array().expect("a list").clone();
                if failures.is_empty() {
                    return part.len();
                }
                self.counts.lock().unwrap().partial += 1;
                let at = |failure: &serde_json::Value| {
                    part.iter().position(|record| failure["itemIdentifier"] == *record.identifier)
                };
                // The lowest counts, and one that is not in the batch fails all of it.
                failures.iter().map(|failure| at(failure).unwrap_or(0)).min().unwrap_or(0)
            }
            Some(Said::Error(why)) => {
                let kind = why.split(": ").nth(1).unwrap_or(&why).chars().take(60).collect();
                *self.counts.lock().unwrap().errors.entry(kind).or_default() += 1;
                0
            }
            None => 0,
        }
    }

    /// One invocation; `None` if nobody knows what became of it.
    fn invoke(&mut self, records: &[Waiting]) -> Option<Said> {
        self.elapsed += INVOCATION;
        let environment = self.environment.take().unwrap_or_else(|| Environment::start(self.work, self.pipeline));
        let fate = self.random.random_range(0..100);
        let moment = Duration::from_millis(self.random.random_range(1..1000));
        let (timeout, patience) = match fate {
            0..20 => (TIMEOUT, moment),
            20..30 => (moment, moment),
            _ => (TIMEOUT, TIMEOUT * 2),
        };
        let said = environment.invoke(&event(records), timeout, patience);
        let mut counts = self.counts.lock().unwrap();
        counts.invocations += 1;
        match (&said, fate) {
            // The answer comes too late for Lambda: what was done comes again.
            (Some(_), 30..33) => {
                counts.zombies += 1;
                self.environment = Some(environment);
                return None;
            }
            (Some(_), 33..40) => {
                counts.kills += 1;
                drop(counts);
                environment.kill();
            }
            (Some(_), _) => self.environment = Some(environment),
            // It goes on while the batch is sent again.
            (None, 0..10) => {
                counts.zombies += 1;
                drop(counts);
                self.zombies.push(environment);
                if self.zombies.len() > 2 {
                    self.zombies.remove(0).kill();
                }
            }
            (None, _) => {
                assert!(fate < 30, "no answer within twice the timeout: {}", environment.running.log());
                if fate < 20 {
                    counts.kills += 1
                } else {
                    counts.time_outs += 1
                }
                drop(counts);
                environment.kill();
            }
        }
        said
    }
}
