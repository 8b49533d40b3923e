//! The one door through which time, randomness and other threads enter.
//!
//! Everything else asks a [`Clock`]; `clippy.toml` bans the ambient functions. In a simulated world the clock starts
//! at a fixed wall time, follows tokio's paused time, draws from a seed and runs offloaded work in place, so that one
//! seed gives one run.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
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
}

#[derive(Debug)]
struct Simulated {
    wall_at_start: i64,
    started: Instant,
}

impl Clock {
    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        Self { shared: Arc::new(Shared { random: Mutex::new(rand::make_rng()), simulated: None }) }
    }

    /// A clock of a simulated world: wall time starts at `wall_at_start` (µs since the epoch) and moves with tokio's
    /// (paused) time; randomness comes from `seed`. Call inside the simulation's runtime.
    pub fn simulated(seed: u64, wall_at_start: i64) -> Self {
        let simulated = Simulated { wall_at_start, started: Instant::now() };
        Self {
            shared: Arc::new(Shared { random: Mutex::new(StdRng::seed_from_u64(seed)), simulated: Some(simulated) }),
        }
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

    /// Runs CPU-heavy `work` where it does not hold up the readers: on a worker thread, or in place in a simulated
    /// world. A panic of `work` is passed on.
    pub async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        if self.shared.simulated.is_some() {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down: nobody will look at an answer any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn with_random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.shared.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
