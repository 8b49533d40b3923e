//! How far are streams ahead of positions? One page behind a position tells: the age of its first change, or that there is
//! none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{ReadFrom, ShardId, StreamApi, StreamError};
use crate::change::Position;
use crate::clock::Clock;
use crate::decode::envelope;

/// How many shards are asked at a time: a page may have 10 MiB.
const AT_ONCE: usize = 4;

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far the source is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// The source does not tell.
    Unknown,
    /// There is nothing behind the position.
    None,
    /// The oldest change behind the position has this age.
    Behind(Duration),
    /// There are changes, of unknown age.
    More,
}

/// A position in a shard.
pub struct Place {
    /// The stream.
    pub api: Arc<dyn StreamApi>,
    /// The shard.
    pub shard: ShardId,
    /// The last record that was taken; `None`: none was, since the oldest.
    pub behind: Option<Position>,
}

/// How far the source is ahead of each of these places. Where it can't be asked, that is unknown.
pub async fn of(places: Vec<Place>, clock: &Clock) -> Vec<Lag> {
    let mut lags = vec![Lag::Unknown; places.len()];
    let mut asking = JoinSet::new();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    for (at, place) in places.into_iter().enumerate() {
        let (at_once, clock) = (at_once.clone(), clock.clone());
        asking.spawn(async move {
            let _turn = at_once.acquire().await;
            let lag = tokio::select! {
                biased;
                lag = ask(&place, &clock) => lag.unwrap_or(Lag::Unknown),
                () = clock.sleep(PATIENCE) => Lag::Unknown,
            };
            (at, lag)
        });
    }
    while let Some(answer) = asking.join_next().await {
        if let Ok((at, lag)) = answer {
            lags[at] = lag;
        }
    }
    lags
}

async fn ask(Place { api, shard, behind }: &Place, clock: &Clock) -> Result<Lag, StreamError> {
    let pace = api.pace();
    let from = match behind {
        None => ReadFrom::TrimHorizon,
        // The rest of an aggregate may be behind the position.
        Some(position) if pace.aggregates => ReadFrom::At(position.sequence),
        Some(position) => ReadFrom::After(position.sequence),
    };
    let iterator = api.shard_iterator(shard, from).await?;
    let page = api.get_records(shard, &iterator).await?;
    let waiting = page.records.iter().find(|record| behind.is_none_or(|position| record.position > position));
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
        // DynamoDB writes seconds into its own stream, and milliseconds into Kinesis.
        for (kinesis, time) in [(true, "1795165200000"), (false, "1795165200")] {
            let change =
                format!(r#"{{"eventName":"INSERT","dynamodb":{{"ApproximateCreationDateTime":{time},"Keys":{{}}}}}}"#);
            let change = Bytes::from(change);
            let stream = SimulatedStream::new("s", 1, clock.clone(), kinesis);
            for _ in 0..3 {
                stream.write(0, vec![change.clone(), change.clone()]);
            }
            clock.sleep(Duration::from_secs(90)).await;
            let shard = stream.shards().remove(0);
            let (last, inside) = (shard.records[5].position, shard.records[2].position);
            let place = |behind| Place { api: Arc::new(stream.clone()), shard: shard.id.clone(), behind };
            let lags = of(vec![place(Some(last)), place(Some(inside)), place(None)], &clock).await;
            assert_eq!(lags[0], if kinesis { Lag::None } else { Lag::Unknown });
            for lag in &lags[1..] {
                assert!(matches!(lag, Lag::Behind(age) if age.as_secs() >= 90), "{lags:?}");
            }
            let gone = Place { api: Arc::new(stream.clone()), shard: ShardId::new("gone"), behind: None };
            assert_eq!(of(vec![gone], &clock).await, [Lag::Unknown]);
        }
    }
}
