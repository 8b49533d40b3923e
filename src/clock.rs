//! The one door through which time, randomness and other threads enter.
//!
//! Everything else asks a [`Clock`]; `clippy.toml` bans the ambient functions. In a simulated world the clock starts
//! at a fixed wall time, follows tokio's paused time, draws from a seed and runs offloaded work in place, so that one
//! seed gives one run.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

/// Time, randomness and worker threads. Cheap to clone; clones share the same randomness.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    random: Mutex<StdRng>,
    simulated: Option<Simulated>,
    /// The machine's cores, and how many of them are claimed.
    cores: usize,
    claimed: AtomicUsize,
    /// A permit for each piece of heavy work that is done at the same time.
    heavy: Arc<Semaphore>,
}

#[derive(Debug)]
struct Simulated {
    wall_at_start: i64,
    started: Instant,
}

impl Clock {
    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(rand::make_rng(), None, cores)
    }

    /// A clock of a simulated world: wall time starts at `wall_at_start` (µs since the epoch) and moves with tokio's
    /// (paused) time; randomness comes from `seed`. Call inside the simulation's runtime.
    pub fn simulated(seed: u64, wall_at_start: i64) -> Self {
        let simulated = Simulated { wall_at_start, started: Instant::now() };
        Self::new(StdRng::seed_from_u64(seed), Some(simulated), 1)
    }

    fn new(random: StdRng, simulated: Option<Simulated>, cores: usize) -> Self {
        let random = Mutex::new(random);
        let (claimed, heavy) = (AtomicUsize::new(0), Arc::new(Semaphore::new(cores)));
        Self { shared: Arc::new(Shared { random, simulated, cores, claimed, heavy }) }
    }

    /// Wall time in microseconds since the epoch. For display, file times and record ages; never for order.
    pub fn wall_micros(&self) -> i64 {
        match &self.shared.simulated {
            Some(world) => world.wall_at_start + world.started.elapsed().as_micros() as i64,
            None => jiff::Timestamp::now().as_microsecond(),
        }
    }

    /// Monotonic time, for durations and deadlines.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// A duration drawn evenly from half of `full` to `full`: back-off with jitter, so that many shards do not
    /// knock in step.
    pub fn jittered(&self, full: Duration) -> Duration {
        full.mul_f64(self.with_random(|random| random.random_range(0.5..1.0)))
    }

    /// A random token of 16 hexadecimal digits, which tells one writer's objects from another's.
    pub fn token(&self) -> String {
        format!("{:016x}", self.with_random(|random| random.random::<u64>()))
    }

    /// Runs `work` where it does not hold up others: on a worker thread, or in place in a simulated world. A panic of
    /// `work` is passed on.
    pub async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.shared.simulated {
            Some(_) => work(),
            None => answer(tokio::task::spawn_blocking(work).await).await,
        }
    }

    /// Starts `work` that is heavy on processor and memory on a worker thread, while the caller goes on: as many pieces at
    /// a time as there are cores, the others wait. (Encoding takes much memory besides the rows, so that a hundred shards
    /// at once would take a hundred times that.) In a simulated world it is done at once.
    pub fn start<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Started<T> {
        if self.shared.simulated.is_some() {
            return Started::Done(Some(work()));
        }
        let heavy = self.shared.heavy.clone();
        Started::Running(tokio::spawn(async move {
            // Nobody closes it.
            let permit = heavy.acquire_owned().await.ok();
            let permitted = move || (work(), drop(permit)).0;
            answer(tokio::task::spawn_blocking(permitted).await).await
        }))
    }

    /// Claims cores for work that can use several: all that nobody else has claimed, at least one, and in a simulated
    /// world one. Whoever comes while they are claimed gets fewer, so that threads don't outnumber the cores much.
    pub fn claim_cores(&self) -> Cores {
        let free = |claimed: usize| self.shared.cores.saturating_sub(claimed).max(1);
        let claim = |claimed| Some(claimed + free(claimed));
        let before = self.shared.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        let count = before.map_or(1, free);
        Cores { shared: self.shared.clone(), count }
    }

    fn with_random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.shared.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a worker thread answered; its panic is passed on.
async fn answer<T>(ended: Result<T, JoinError>) -> T {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(answer) => answer,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shutting down: nobody will look at an answer any more.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Work on its way. Dropped before it has begun it never does; once begun it ends, and nobody looks at its answer.
#[derive(Debug)]
pub enum Started<T> {
    /// Done in place; `None` once its answer was taken.
    Done(Option<T>),
    /// On a worker thread.
    Running(JoinHandle<T>),
}

impl<T> Started<T> {
    /// Whether [`Self::join`] answers at once.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Running(handle) => handle.is_finished(),
        }
    }

    /// Waits for its answer, which comes once. Its panic is passed on. Nothing is lost if the waiting is cut short.
    pub async fn join(&mut self) -> T {
        match self {
            Self::Done(answer) => match answer.take() {
                Some(answer) => answer,
                None => std::future::pending().await,
            },
            Self::Running(handle) => answer(handle.await).await,
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Self::Running(handle) = self {
            handle.abort();
        }
    }
}

/// Cores that are claimed until this is dropped.
#[derive(Debug)]
pub struct Cores {
    shared: Arc<Shared>,
    count: usize,
}

impl Cores {
    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.shared.claimed.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cores_are_claimed_and_come_back() {
        let clock = Clock::new(StdRng::seed_from_u64(0), None, 4);
        let all = clock.claim_cores();
        let (second, third) = (clock.claim_cores(), clock.claim_cores());
        assert_eq!((all.count(), second.count(), third.count()), (4, 1, 1));
        drop(all);
        let rest = clock.claim_cores();
        assert_eq!(rest.count(), 2);
        drop((second, third, rest));
        assert_eq!(clock.claim_cores().count(), 4);
        assert_eq!(Clock::simulated(1, 0).claim_cores().count(), 1);
    }

    #[tokio::test]
    #[should_panic(expected = "of the work")]
    async fn a_panic_of_started_work_is_passed_on() {
        Clock::system().start(|| panic!("of the work")).join().await
    }

    #[tokio::test]
    async fn heavy_work_waits_for_a_core() {
        let clock = Clock::new(StdRng::seed_from_u64(0), None, 2);
        let (has_begun, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let running = Arc::new(AtomicUsize::new(0));
        let work = || {
            let (has_begun, gate, running) = (has_begun.clone(), gate.clone(), running.clone());
            clock.start(move || {
                let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
                has_begun.send(()).unwrap();
                // Whichever of those that wait here takes the next `go`: the test depends on none of them.
                gate.lock().unwrap().recv().unwrap();
                running.fetch_sub(1, Ordering::SeqCst);
                at_once
            })
        };
        let mut started: Vec<_> = (0..5).map(|_| work()).collect();
        begun.recv().await;
        for _ in 1..5 {
            begun.recv().await;
            go.send(()).unwrap();
        }
        go.send(()).unwrap();
        for work in &mut started {
            assert!(work.join().await <= 2);
        }
    }

    #[tokio::test]
    async fn started_work_answers_once_it_is_done() {
        for clock in [Clock::system(), Clock::simulated(1, 0)] {
            let mut started = clock.start(|| 7);
            assert_eq!(started.join().await, 7);
            assert!(started.is_finished());
        }
    }
}
