//! Is no checkpoint ahead of the lake?

use super::Objects;
use crate::checkpoint::{Checkpoint, CheckpointKey};
use crate::lake::range::{Chain, Range};
use crate::source::StreamIdentity;

/// No checkpoint of the lake's speaks of a range that is not in the lake, or of another position than its range's end.
pub fn positions(state: &[(CheckpointKey, Checkpoint)], objects: &Objects) -> Result<(), String> {
    for (key, checkpoint) in state {
        let Checkpoint::At { position, range: Some(n) } = checkpoint else { continue };
        let stream = StreamIdentity { id: key.stream.clone(), table: None, origin: None };
        let path = Chain::new(&stream, &key.shard).range_path(*n);
        let found = objects.get(&path).ok_or_else(|| format!("checkpoint of {} is ahead: no {path}", key.shard))?;
        let range = Range::parse(found)?;
        if range.end() != Some(*position) {
            return Err(format!("checkpoint {position} of {} is not the end of range {n}", key.shard));
        }
        for file in &range.files {
            objects.get(&file.path).ok_or_else(|| format!("checkpoint of {} is ahead of {}", key.shard, file.path))?;
        }
    }
    Ok(())
}
