//! The commands that only look: what comes ([`tail`]), which columns it would get ([`schema`]), how far it has come
//! ([`positions`]), whether the lake agrees with the live table ([`verify`]). None of them writes to the state or the lake.
//! [`replay`] sends dead letters again.

mod change;
mod follow;
mod positions;
mod replay;
mod schema;
mod tail;
mod text;
mod verify;

pub use positions::positions;
pub use replay::replay;
pub use schema::schema;
pub use tail::tail;
pub use verify::{Comparison, verify};

use std::io;

use crate::assembly::AssemblyError;
use crate::checkpoint::StateError;
use follow::FollowError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The pipeline could not be put together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The state refuses.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The source refuses.
    #[error("{0}")]
    Source(String),
    /// There is no such handler, its dead letters can't be read, or some failed again.
    #[error("{0}")]
    Handler(String),
    /// What was found can't be printed.
    #[error("can't write the output: {0}")]
    Output(#[from] io::Error),
}

impl From<FollowError> for CommandError {
    fn from(FollowError(what): FollowError) -> Self {
        Self::Source(what)
    }
}

/// A reader of the output that went away (`| head`) is no failure.
fn unless_closed(done: Result<(), CommandError>) -> Result<(), CommandError> {
    match done {
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
