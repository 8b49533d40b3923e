//! What is a trigger handler? It is called with changes, in the order of each item, at least once; the engine keeps
//! order, retries, and the dead letters.
//!
//! ```text
//!  page ─► envelope ─► filter ─► lanes: by item key, in batches ─► Handler::handle ─► done: the position moves on
//!                                   ▲                                   │
//!                                   └── retry, bisect, circuit ◄────────┴─► given up: dead letter, then as done
//! ```

pub mod change;
pub mod circuit;
pub mod claim_check;
pub mod dead_letter;
pub mod kinds;
pub mod lanes;
pub mod payload;
pub mod repeats;
pub mod replay;

use std::time::Duration;

pub use change::{Change, ItemId};

use crate::BoxFuture;

/// A trigger handler. The engine calls it from several tasks at a time (`parallelization_factor` for each shard), never
/// with changes of one item in two calls at once.
pub trait Handler: Send + Sync + 'static {
    /// Handles the changes of a delivery, those of one item in their order. May be called again with any of them: what
    /// it does has to bear that ([`Change::delivery_id`] stays the same). Dropping the future is a kill: whether it was
    /// handled is not known then.
    ///
    /// # Errors
    /// [`HandlerError`] if none of the changes counts as handled; which one says what a repetition would bring.
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>>;

    /// What one call takes at most. A batch that is larger is cut.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// What one call of a handler takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Changes.
    pub changes: usize,
    /// Bytes of the changes' records together. A single change may be larger: the handler refuses it, or sends a
    /// reference.
    pub bytes: usize,
    /// Whether a call may bring several changes of one item. `false` where the target may take a later one and fail an
    /// earlier one of the same call (SQS batches).
    pub several_of_one_item: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes: usize::MAX, bytes: usize::MAX, several_of_one_item: true }
    }
}

/// One call of a handler.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The changes, at least one, in the order of their shard.
    pub changes: Vec<Change>,
    /// Which attempt this is for the first of them: 1, 2, …
    pub attempt: u32,
}

/// What became of the changes of a call that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All are handled.
    Done,
    /// All but these are; sorted by their place, each once.
    Failed(Vec<Failure>),
}

/// A change that was not handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its place in [`Delivery::changes`].
    pub index: usize,
    /// Why, for people; without values of the item.
    pub why: String,
    /// What a repetition would bring.
    pub verdict: Verdict,
}

/// What is known about a change that was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It failed, and may succeed the next time.
    Retry,
    /// It will never be taken: it goes to the dead letters at once.
    Refused,
    /// It was not looked at, because of an earlier one that failed (what follows the first failure Lambda reports).
    Unhandled,
}

impl Verdict {
    /// What it is for a change that was looked at: whether it may succeed the next time.
    pub fn of(retry: bool) -> Self {
        if retry { Self::Retry } else { Self::Refused }
    }
}

/// Why a call failed as a whole, by what the engine does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The target could not be reached, or says that it can't take anything now: not the changes' fault. They are
    /// tried again until they are too old, without costing them an attempt (Lambda does so with throttles and errors
    /// before the invocation), and more of these open the handler's circuit.
    #[error("{why}")]
    Unavailable {
        /// For people; without values of the item.
        why: String,
        /// How long the target asks to be left alone (`Retry-After`).
        after: Option<Duration>,
    },
    /// The call was answered with an error: perhaps one of the changes can't be handled. It is bisected or tried again.
    #[error("{0}")]
    Failed(String),
    /// The changes will never be taken (too large, refused): no repetition makes sense. A batch is bisected.
    #[error("{0}")]
    Refused(String),
}
