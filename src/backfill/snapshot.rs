//! Lands what a backfill reads: the engine that tails streams, over streams that end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::positions::Positions;
use super::progress::{self, Expected};
use super::turns::{Gate, Turns, Watch};
use super::{BackfillError, Part};
use crate::BoxFuture;
use crate::change::ShardId;
use crate::clock::Clock;
use crate::engine::{Engine, EngineSettings, OnGap, Parts};
use crate::lake::{Lake, Landed};
use crate::source::lineage::StartPolicy;
use crate::source::scan::LastKeys;
use crate::source::{Ready, StreamError, StreamIdentity, list_all};
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;

/// What lands snapshots.
pub(super) struct Snapshot {
    /// The backfill's way into the lake.
    pub(super) lake: Arc<Lake>,
    pub(super) clock: Clock,
    pub(super) memory: usize,
    pub(super) metrics: Metrics,
    /// The tail that it must not starve, if there is one.
    pub(super) tail: Option<Watch>,
}

/// Where a scan goes on: the lake knows.
pub(super) struct InLake {
    pub(super) lake: Arc<Lake>,
    pub(super) identity: StreamIdentity,
}

impl LastKeys for InLake {
    fn last_key<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Option<String>, StreamError>> {
        Box::pin(async move {
            let last = self.lake.last_range(&self.identity, shard).await;
            let last = last.map_err(|error| StreamError::Fatal(error.to_string()))?;
            Ok(last.and_then(|range| range.last_key))
        })
    }
}

impl Snapshot {
    /// Reads all parts to their end, and answers what of each is in the lake.
    pub(super) async fn land(&self, parts: &[Part]) -> Result<Vec<Landed>, BackfillError> {
        let before = self.landed(parts).await?;
        let gate = if self.tail.is_some() { Gate::new() } else { Gate::open() };
        let engine = Engine::new(Parts {
            finder: Arc::new(Ready(parts.iter().map(|part| gate.before(part.stream.clone())).collect())),
            lake: self.lake.clone(),
            handlers: Vec::new(),
            state: Arc::new(Positions::default()),
            clock: self.clock.clone(),
            settings: EngineSettings {
                start: StartPolicy::TrimHorizon,
                on_gap: OnGap::Fail,
                once: true,
                memory: self.memory,
            },
            metrics: self.metrics.clone(),
            health: Health::new(self.clock.now(), self.lake.roll_age()),
        });
        let expected = Expected {
            items: parts.iter().map(|part| part.items).sum(),
            before: before.iter().map(|landed| landed.rows).sum(),
        };
        let scans: Vec<_> = parts.iter().filter_map(|part| part.scan.clone()).collect();
        let units = || scans.iter().map(|scan| scan.spent()).sum::<f64>();
        let take_turns = async {
            match &self.tail {
                Some(tail) => tail.take_turns(Turns::new(self.lake.roll_age()), &gate).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = engine.run(CancellationToken::new()) => ended.map_err(BackfillError::Snapshot)?,
            () = progress::show(&gate, expected, units, &self.clock) => {}
            () = take_turns => {}
        }
        self.landed(parts).await
    }

    async fn landed(&self, parts: &[Part]) -> Result<Vec<Landed>, BackfillError> {
        let mut all = Vec::new();
        for part in parts {
            let mut sum = Landed::default();
            for shard in list_all(&*part.stream).await?.shards {
                let landed = self.lake.landed(part.stream.identity(), &shard.id).await?;
                sum.rows += landed.rows;
                sum.undecodable += landed.undecodable;
                sum.ranges += landed.ranges;
            }
            all.push(sum);
        }
        Ok(all)
    }
}
