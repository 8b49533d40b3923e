//! A store that fails on purpose: every way in which S3 is known to leave a writer in the dark, by dice or by script.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::faulty_upload::FaultyUpload;
use crate::BoxFuture;
use crate::clock::Clock;
use crate::lake::store::{Listed, ObjectStore, StoreError, Upload};
use crate::testing::tally;

/// One way in which a call goes wrong. The faults of `create` that are not [`Fault::Unavailable`] let reads pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: the call does what it should.
    None,
    /// `create` did nothing; 409 ConditionalRequestConflict.
    Conflict,
    /// The call did nothing; 503 SlowDown.
    Unavailable,
    /// `create` did its work, and the answer got lost.
    AnswerLost,
    /// `create` timed out, and does its work only [`LATE_BY`] later.
    Late,
    /// `create` made the object, and says that it existed: the SDK had repeated a request whose answer was lost.
    ExistsAfterSuccess,
    /// `create` did nothing and says that the object exists: a client that takes a 409 for a 412.
    ExistsWithoutEffect,
    /// The store has forgotten the upload that a call is about. Other calls go well.
    Forgotten,
}

/// By how much a [`Fault::Late`] request comes after its time-out.
pub const LATE_BY: Duration = Duration::from_secs(3);

/// How often which fault happens, as probabilities per call (what is left over of 1 goes well), and when.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// [`Fault::Conflict`].
    pub conflict: f64,
    /// [`Fault::Unavailable`].
    pub unavailable: f64,
    /// [`Fault::AnswerLost`].
    pub answer_lost: f64,
    /// [`Fault::Late`].
    pub late: f64,
    /// [`Fault::ExistsAfterSuccess`].
    pub exists_after_success: f64,
    /// [`Fault::ExistsWithoutEffect`].
    pub exists_without_effect: f64,
    /// [`Fault::Forgotten`].
    pub forgotten: f64,
    /// Each call takes up to this long before it takes effect, and up to this long until its answer is there.
    pub delay: Duration,
    /// When nothing works at all, counted from the store's making.
    pub outages: Vec<Range<Duration>>,
}

/// Wraps a store and makes its calls fail. One seed and one order of calls give the same faults.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    pub(super) clock: Clock,
    made: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    random: StdRng,
    faults: Faults,
    script: VecDeque<Fault>,
    injected: u64,
}

impl FaultyStore {
    /// Wraps `inner`; the faults are drawn from `seed`.
    pub fn new(inner: Arc<dyn ObjectStore>, clock: &Clock, seed: u64, faults: Faults) -> Self {
        let state = State { random: StdRng::seed_from_u64(seed), faults, script: VecDeque::new(), injected: 0 };
        Self { inner, clock: clock.clone(), made: clock.now(), state: Arc::new(Mutex::new(state)) }
    }

    /// Sets what happens to the next calls, one fault each, before dice decide again.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults);
    }

    /// Changes how often which fault happens from now on.
    pub fn set(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many calls have gone wrong, so that a test can make sure that it tested something.
    pub fn injected(&self) -> u64 {
        self.lock().injected
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the time a request takes, and says what becomes of it.
    pub(super) async fn travel(&self, is_read: bool) -> Fault {
        self.delay().await;
        let now = self.clock.now() - self.made;
        let mut state = self.lock();
        let fault = if state.faults.outages.iter().any(|outage| outage.contains(&now)) {
            Fault::Unavailable
        } else if let Some(scripted) = state.script.pop_front() {
            scripted
        } else {
            state.roll()
        };
        let fault = if is_read && fault != Fault::Unavailable { Fault::None } else { fault };
        state.injected += u64::from(tally::fault(fault != Fault::None));
        fault
    }

    pub(super) async fn delay(&self) {
        let delay = {
            let mut state = self.lock();
            let longest = state.faults.delay;
            longest.mul_f64(state.random.random_range(0.0..1.0))
        };
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
    }

    async fn read<T>(&self, answer: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        if self.travel(true).await == Fault::Unavailable {
            return Err(unavailable());
        }
        let answer = answer.await;
        self.delay().await;
        answer
    }
}

impl State {
    fn roll(&mut self) -> Fault {
        let mut rolled = self.random.random_range(0.0..1.0);
        for (probability, fault) in [
            (self.faults.conflict, Fault::Conflict),
            (self.faults.unavailable, Fault::Unavailable),
            (self.faults.answer_lost, Fault::AnswerLost),
            (self.faults.late, Fault::Late),
            (self.faults.exists_after_success, Fault::ExistsAfterSuccess),
            (self.faults.exists_without_effect, Fault::ExistsWithoutEffect),
            (self.faults.forgotten, Fault::Forgotten),
        ] {
            rolled -= probability;
            if rolled < 0.0 {
                return fault;
            }
        }
        Fault::None
    }
}

pub(super) const CONFLICT: &str = "409 ConditionalRequestConflict (injected)";

pub(super) fn lost() -> StoreError {
    StoreError::Unsettled("the answer was lost (injected)".to_owned())
}

pub(super) fn unavailable() -> StoreError {
    StoreError::Unsettled("503 SlowDown (injected)".to_owned())
}

impl ObjectStore for FaultyStore {
    fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let answer = match self.travel(false).await {
                Fault::None | Fault::Forgotten => self.inner.create(path, body).await,
                Fault::Conflict => Err(StoreError::Unsettled(CONFLICT.to_owned())),
                Fault::Unavailable => Err(unavailable()),
                Fault::AnswerLost => match self.inner.create(path, body).await {
                    Err(fatal @ StoreError::Fatal(_)) => Err(fatal),
                    _ => Err(lost()),
                },
                Fault::Late => {
                    let (inner, clock, path) = (self.inner.clone(), self.clock.clone(), path.to_owned());
                    tokio::spawn(async move {
                        clock.sleep(LATE_BY).await;
                        // Nobody waits for this answer any more.
                        let _ = inner.create(&path, body).await;
                    });
                    Err(StoreError::Unsettled("timed out (injected)".to_owned()))
                }
                Fault::ExistsAfterSuccess => {
                    self.inner.create(path, body).await.and_then(|()| Err(StoreError::Exists(path.to_owned())))
                }
                Fault::ExistsWithoutEffect => Err(StoreError::Exists(path.to_owned())),
            };
            self.delay().await;
            answer
        })
    }

    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.read(self.inner.get(path)))
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(self.read(self.inner.size(path)))
    }

    fn list<'a>(&'a self, folder: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(self.read(self.inner.list(folder, after)))
    }

    #[cfg(test)]
    fn delete(&self, path: &str) {
        self.inner.delete(path);
    }

    fn takes_parts(&self) -> bool {
        self.inner.takes_parts()
    }

    fn begin<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Upload>, StoreError>> {
        Box::pin(async move {
            let answer = match self.travel(false).await {
                Fault::None | Fault::Forgotten => self.inner.begin(path).await,
                Fault::AnswerLost | Fault::Late => self.inner.begin(path).await.and_then(|_| {
                    tally::leave(path);
                    Err(lost())
                }),
                _ => Err(unavailable()),
            };
            self.delay().await;
            let upload = FaultyUpload { store: self.clone(), path: path.to_owned(), inner: answer? };
            Ok(Arc::new(upload) as Arc<dyn Upload>)
        })
    }

    fn describe(&self) -> String {
        format!("{} (failing on purpose)", self.inner.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::store::{MemoryStore, conformance};

    #[tokio::test(start_paused = true)]
    async fn without_faults_it_conforms_however_slow_it_is() {
        let clock = Clock::simulated(1, 0);
        let faults = Faults { delay: Duration::from_millis(300), ..Faults::default() };
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), &clock, 1, faults);
        conformance(&store).await;
        assert_eq!(store.injected(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says() {
        let clock = Clock::simulated(1, 0);
        let memory = MemoryStore::new();
        let store = FaultyStore::new(Arc::new(memory.clone()), &clock, 1, Faults::default());
        for (fault, exists, effect) in [
            (Fault::Conflict, false, false),
            (Fault::Unavailable, false, false),
            (Fault::AnswerLost, false, true),
            (Fault::ExistsAfterSuccess, true, true),
            (Fault::ExistsWithoutEffect, true, false),
        ] {
            let path = format!("{fault:?}");
            store.script([fault]);
            let answer = store.create(&path, Bytes::from_static(b"1")).await;
            assert_eq!(matches!(answer, Err(StoreError::Exists(_))), exists, "{fault:?}: {answer:?}");
            assert_eq!(matches!(answer, Err(StoreError::Unsettled(_))), !exists, "{fault:?}: {answer:?}");
            assert_eq!(memory.objects().contains_key(&path), effect, "{fault:?}");
        }
        store.script([Fault::Late]);
        assert!(store.create("late", Bytes::from_static(b"1")).await.is_err());
        assert!(!memory.objects().contains_key("late"));
        clock.sleep(LATE_BY * 2).await;
        assert!(memory.objects().contains_key("late"));
        assert_eq!(store.injected(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_gives_one_run() {
        let faults = Faults { conflict: 0.2, unavailable: 0.2, answer_lost: 0.2, ..Faults::default() };
        let mut runs = Vec::new();
        for seed in [7, 7, 8] {
            let clock = Clock::simulated(1, 0);
            let store = FaultyStore::new(Arc::new(MemoryStore::new()), &clock, seed, faults.clone());
            let mut answers = Vec::new();
            for n in 0..50 {
                answers.push(format!("{:?}", store.create(&n.to_string(), Bytes::new()).await));
            }
            runs.push(answers);
        }
        assert_eq!(runs[0], runs[1]);
        assert_ne!(runs[0], runs[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_and_ends() {
        let clock = Clock::simulated(1, 0);
        let outage = Duration::from_secs(10)..Duration::from_secs(20);
        let faults = Faults { outages: vec![outage], ..Faults::default() };
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), &clock, 1, faults);
        assert_eq!(store.get("x").await.unwrap(), None);
        clock.sleep(Duration::from_secs(10)).await;
        assert!(matches!(store.get("x").await, Err(StoreError::Unsettled(_))));
        clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(store.get("x").await.unwrap(), None);
    }
}
