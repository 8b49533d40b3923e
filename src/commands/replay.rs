//! `watershed replay`: sends the dead letters of a handler again and says what became of them.

use std::io::Write;

use super::CommandError;
use crate::assembly::Assembly;
use crate::clock::Clock;
use crate::handler::replay::replay as send_again;
use crate::pipeline::Pipeline;
use crate::pipeline::nearest::nearest;

/// Sends letters again: those of a handler (`NAME`), or those whose path begins so (`NAME/PATH`). What failed again is
/// told on `notes`.
pub async fn replay(
    pipeline: &Pipeline,
    letters: &str,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<(), CommandError> {
    let (name, below) = letters.split_once('/').unwrap_or((letters, ""));
    let names = || pipeline.handlers.iter().map(|handler| handler.name.as_str());
    let Some(spec) = pipeline.handlers.iter().find(|handler| handler.name == name) else {
        let guess = nearest(name, names()).map(|meant| format!("; did you mean `{meant}`?"));
        let found = format!("the pipeline has no handler `{}`", name.escape_debug());
        let known = format!("; it has {}", names().collect::<Vec<_>>().join(", "));
        return Err(CommandError::Handler(found + &guess.unwrap_or(known)));
    };
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock.clone());
    let (place, handler) = (assembly.stored_letters(spec).await?, assembly.target(spec).await?);
    let mut told = Ok(());
    let tell = |line: &str| told = writeln!(notes, "watershed: {line}");
    let replayed = send_again(&place, &*handler, below, &clock, tell).await.map_err(CommandError::Handler)?;
    told?;
    writeln!(out, "{} sent, {} failed again, {} held back", replayed.sent, replayed.failed, replayed.held_back)?;
    out.flush()?;
    match replayed.failed + replayed.held_back {
        0 => Ok(()),
        left => Err(CommandError::Handler(format!("{left} dead letters of {name} are still to be sent"))),
    }
}
