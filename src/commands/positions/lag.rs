//! How far is the source ahead of all positions?

use super::view::{Listed, State, StreamView};
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::source::lag::{self, Place};

/// Fills in the lag of all shards that are being read. Whatever fails leaves it unknown.
pub(super) async fn find(streams: &mut [StreamView], listed: &[Listed], clock: &Clock) {
    let (mut places, mut rows) = (Vec::new(), Vec::new());
    // The streams of the source come first, in its order.
    for (view, Listed { api, .. }) in streams.iter_mut().zip(listed) {
        for row in &mut view.rows {
            if let (State::Reading, Some(Checkpoint::At { position, .. })) = (row.state, &row.checkpoint) {
                places.push(Place { api: api.clone(), shard: row.shard.clone(), behind: Some(*position) });
                rows.push(row);
            }
        }
    }
    for (row, lag) in rows.into_iter().zip(lag::of(places, clock).await) {
        row.lag = lag;
    }
}
