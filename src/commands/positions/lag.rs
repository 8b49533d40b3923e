//! How far is the source ahead of a position? One page behind it tells: the age of its first change, or that there is
//! none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::view::{Lag, Listed, State, StreamView};
use crate::change::{Position, ShardId};
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::decode::envelope;
use crate::source::{ReadFrom, StreamApi, StreamError};

/// How many shards are asked at a time: a page may have 10 MiB.
const AT_ONCE: usize = 4;

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fills in the lag of all shards that are being read. Whatever fails leaves it unknown.
pub(super) async fn find(streams: &mut [StreamView], listed: &[Listed], clock: &Clock) {
    let mut asking = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // The streams of the source come first, in its order.
    for (stream, (view, Listed { api, .. })) in streams.iter().zip(listed).enumerate() {
        for (row, shard) in view.rows.iter().enumerate() {
            if let (State::Reading, Some(Checkpoint::At { position, .. })) = (shard.state, &shard.checkpoint) {
                let asked = ask(api.clone(), shard.shard.clone(), *position, clock.clone());
                let (places, clock) = (places.clone(), clock.clone());
                asking.spawn(async move {
                    let _place = places.acquire().await;
                    let lag = tokio::select! {
                        lag = asked => lag.unwrap_or(Lag::Unknown),
                        () = clock.sleep(PATIENCE) => Lag::Unknown,
                    };
                    (stream, row, lag)
                });
            }
        }
    }
    while let Some(answer) = asking.join_next().await {
        if let Ok((stream, row, lag)) = answer {
            streams[stream].rows[row].lag = lag;
        }
    }
}

async fn ask(api: Arc<dyn StreamApi>, shard: ShardId, position: Position, clock: Clock) -> Result<Lag, StreamError> {
    let pace = api.pace();
    let from = match pace.aggregates {
        // The rest of an aggregate may be behind the position.
        true => ReadFrom::At(position.sequence),
        false => ReadFrom::After(position.sequence),
    };
    let iterator = api.shard_iterator(&shard, from).await?;
    let page = api.get_records(&shard, &iterator).await?;
    let waiting = page.records.iter().find(|record| record.position > position);
    Ok(match (waiting, page.millis_behind) {
        // The changes of a recorded file may be of any time.
        (Some(_), _) if pace.finite => Lag::More,
        (Some(record), _) => {
            let change = envelope::read(&record.payload, record.channel).ok();
            let micros = change.and_then(|change| change.changed_at).map(|at| clock.wall_micros().saturating_sub(at));
            micros.map_or(Lag::More, |micros| Lag::Behind(Duration::from_micros(micros.try_into().unwrap_or(0))))
        }
        (None, Some(0)) => Lag::None,
        (None, Some(_)) if pace.finite => Lag::More,
        (None, Some(millis)) => Lag::Behind(Duration::from_millis(millis.try_into().unwrap_or(0))),
        (None, None) => Lag::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stream::SimulatedStream;
    use bytes::Bytes;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_change_that_waits_tells() {
        let clock = Clock::simulated(1, 1_795_165_200_000_000);
        let change = Bytes::from_static(
            br#"{"eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1795165200000,"Keys":{}}}"#,
        );
        for kinesis in [true, false] {
            let stream = SimulatedStream::new("s", 1, clock.clone(), kinesis);
            for _ in 0..3 {
                stream.write(0, vec![change.clone(), change.clone()]);
            }
            clock.sleep(Duration::from_secs(90)).await;
            let shard = stream.shards().remove(0);
            let lag = async |at: usize| {
                let position = shard.records[at].position;
                ask(Arc::new(stream.clone()), shard.id.clone(), position, clock.clone()).await.unwrap()
            };
            if kinesis {
                // Inside an aggregate, too.
                assert!(matches!(lag(2).await, Lag::Behind(age) if age.as_secs() >= 90));
            }
            assert_eq!(lag(5).await, if kinesis { Lag::None } else { Lag::Unknown });
        }
    }
}
