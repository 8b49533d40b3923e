//! Where are the positions of a backfill kept? In the chains alone: this forgets with its process, and what the chains do
//! not say is read again.
//!
//! It can begin with what another state says, so that a second look at a daemon's streams begins where that is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::BoxFuture;
use crate::checkpoint::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};

/// Checkpoints in memory.
#[derive(Debug, Default)]
pub(super) struct Positions {
    saved: Mutex<BTreeMap<CheckpointKey, Checkpoint>>,
}

impl Positions {
    /// Positions that begin with `saved`.
    pub(super) fn of(saved: Vec<Saved>) -> Self {
        let saved = saved.into_iter().map(|saved| (saved.key, saved.checkpoint)).collect();
        Self { saved: Mutex::new(saved) }
    }

    fn all(&self) -> Vec<(CheckpointKey, Checkpoint)> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.iter().map(|(key, at)| (key.clone(), at.clone())).collect()
    }
}

impl StateStore for Positions {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        let mut found = self.all();
        found.retain(|(key, _)| key.stream == stream);
        Box::pin(async { Ok(found) })
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        let found = self.all().into_iter().map(|(key, checkpoint)| Saved { key, checkpoint, at: None });
        let found = found.collect();
        Box::pin(async { Ok(found) })
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), checkpoint.clone());
        Box::pin(async { Ok(()) })
    }

    fn describe(&self) -> String {
        "the memory of this process".to_owned()
    }
}
