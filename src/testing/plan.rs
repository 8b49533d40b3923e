//! What happens in a world? A plan, which can be written down, read again, and made smaller.

use std::fmt;
use std::str::FromStr;

/// What happens in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is random follows from it.
    pub seed: u64,
    /// Kinesis' manners instead of DynamoDB Streams': aggregates, merges, two tables in one stream.
    pub kinesis: bool,
    /// A function behind a mapping lands the stream, not daemons.
    pub function: bool,
    /// How many daemons run the pipeline at the same time (more than one is a mistake that must do no harm); of a
    /// function how many batches of a shard are on their way at once.
    pub workers: u32,
    /// How often a daemon is killed, held up, or everybody away.
    pub kills: u32,
    /// How many handlers there are. One item's changes always fail in them.
    pub handlers: u32,
    /// How many backfills are begun while the daemons run; then a last one runs to its end.
    pub backfills: u32,
    /// How many times something is written.
    pub changes: u32,
    /// Nobody reads once, for longer than the stream keeps records.
    pub away: bool,
    /// What goes wrong.
    pub faults: Faults,
}

/// The kinds of things that go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// The stream throttles, hides shards, expires iterators, answers empty pages; scans are throttled.
    pub stream: bool,
    /// The store fails before, after or long after the effect.
    pub store: bool,
    /// The state loses requests and answers.
    pub state: bool,
    /// Handlers fail, hang and do half.
    pub handlers: bool,
    /// Processes are held up for a while and go on as if nothing had been.
    pub pauses: bool,
    /// Each process has another time of day.
    pub clocks: bool,
}

impl Faults {
    /// A world without any.
    pub const NONE: Self =
        Self { stream: false, store: false, state: false, handlers: false, pauses: false, clocks: false };

    /// All of them.
    pub const ALL: Self = Self { stream: true, store: true, state: true, handlers: true, pauses: true, clocks: true };

    fn of(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "stream" => &mut self.stream,
            "store" => &mut self.store,
            "state" => &mut self.state,
            "handlers" => &mut self.handlers,
            "pauses" => &mut self.pauses,
            "clocks" => &mut self.clocks,
            _ => return None,
        })
    }
}

const KINDS: [&str; 6] = ["stream", "store", "state", "handlers", "pauses", "clocks"];

impl Plan {
    /// A calm world with one daemon.
    pub fn calm(seed: u64, kinesis: bool) -> Self {
        Self {
            seed,
            kinesis,
            function: false,
            workers: 1,
            kills: 0,
            handlers: 0,
            backfills: 0,
            changes: 150,
            away: false,
            faults: Faults::NONE,
        }
    }

    /// The world of a seed: either service, two to eight workers, all faults; a quarter of them functions, another one
    /// backfills, and in one of eight everybody is away for too long.
    pub fn of(seed: u64) -> Self {
        let mixed = mix(seed);
        let pick = |shift: u32, below: u64| (mixed >> shift & 0xff) % below;
        let kind = pick(0, 8);
        let function = kind < 2;
        Self {
            seed,
            kinesis: pick(8, 2) == 1,
            function,
            // Few are as likely as many are dear.
            workers: 2 + pick(16, 7).min(pick(20, 7)) as u32,
            kills: if function { 0 } else { 3 + pick(24, 6) as u32 },
            handlers: pick(32, 3) as u32,
            backfills: if (2..4).contains(&kind) { 1 + pick(40, 2) as u32 } else { 0 },
            changes: 15 + pick(48, 80) as u32,
            away: kind == 4 || (kind == 2 && pick(56, 4) == 0),
            faults: Faults::ALL,
        }
    }

    /// Plans in which less happens, those first in which much less does.
    pub fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut less = |plan: Self| {
            if plan != *self {
                plans.push(plan);
            }
        };
        less(Self { faults: Faults::NONE, ..*self });
        less(Self { away: false, ..*self });
        for backfills in [0, self.backfills / 2] {
            less(Self { backfills, ..*self });
        }
        for handlers in [0, self.handlers / 2] {
            less(Self { handlers, ..*self });
        }
        for workers in [1, self.workers / 2, self.workers.saturating_sub(1)] {
            less(Self { workers: workers.max(1), ..*self });
        }
        for kills in [0, self.kills / 2, self.kills.saturating_sub(1)] {
            less(Self { kills, ..*self });
        }
        for kind in KINDS {
            let mut faults = self.faults;
            if let Some(on) = faults.of(kind) {
                *on = false;
            }
            less(Self { faults, ..*self });
        }
        for part in [2, 4, 8, 16] {
            let changes = (self.changes - self.changes / part).min(self.changes.saturating_sub(1)).max(1);
            less(Self { changes, ..*self });
        }
        plans
    }
}

/// Neighbouring seeds become numbers that have nothing in common (SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = self.faults;
        let on: Vec<&str> = KINDS.into_iter().filter(|kind| faults.of(kind).is_some_and(|on| *on)).collect();
        let faults = if on.is_empty() { "none".to_owned() } else { on.join("+") };
        write!(
            f,
            "seed={},kinesis={},function={},workers={},kills={},handlers={},backfills={},changes={},away={},faults={faults}",
            self.seed,
            self.kinesis,
            self.function,
            self.workers,
            self.kills,
            self.handlers,
            self.backfills,
            self.changes,
            self.away,
        )
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::calm(0, false);
        for part in text.split(',') {
            let wrong = || format!("`{part}` is none of what a world's plan says");
            let (name, value) = part.trim().split_once('=').ok_or_else(wrong)?;
            match name {
                "seed" => plan.seed = value.parse().map_err(|_| wrong())?,
                "kinesis" => plan.kinesis = value.parse().map_err(|_| wrong())?,
                "function" => plan.function = value.parse().map_err(|_| wrong())?,
                "workers" => plan.workers = value.parse().ok().filter(|workers| *workers > 0).ok_or_else(wrong)?,
                "kills" => plan.kills = value.parse().map_err(|_| wrong())?,
                "handlers" => plan.handlers = value.parse().map_err(|_| wrong())?,
                "backfills" => plan.backfills = value.parse().map_err(|_| wrong())?,
                "changes" => plan.changes = value.parse().map_err(|_| wrong())?,
                "away" => plan.away = value.parse().map_err(|_| wrong())?,
                "faults" => {
                    for kind in value.split('+').filter(|kind| *kind != "none") {
                        *plan.faults.of(kind).ok_or_else(wrong)? = true;
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_text() {
        for seed in 0..200 {
            for plan in Plan::of(seed).smaller().into_iter().chain([Plan::of(seed)]) {
                assert_eq!(plan.to_string().parse(), Ok(plan));
            }
        }
        assert!("seed=1,colour=red".parse::<Plan>().unwrap_err().contains("colour=red"));
        assert!("workers=0".parse::<Plan>().is_err());
    }

    #[test]
    fn smaller_plans_come_to_an_end_and_seeds_bring_everything() {
        let mut plan = Plan::of(3);
        let mut steps = 0;
        while let Some(smaller) = plan.smaller().pop() {
            plan = smaller;
            steps += 1;
            assert!(steps < 1000);
        }
        let plans: Vec<Plan> = (0..400).map(Plan::of).collect();
        assert!((2..=8).all(|workers| plans.iter().any(|plan| plan.workers == workers)));
        for has in [
            |plan: &Plan| plan.function && plan.kinesis,
            |plan: &Plan| plan.function && !plan.kinesis,
            |plan: &Plan| plan.backfills > 1 && plan.kinesis,
            |plan: &Plan| plan.backfills > 0 && plan.away,
            |plan: &Plan| plan.away && !plan.kinesis,
            |plan: &Plan| plan.handlers == 2 && plan.function,
        ] {
            assert!(plans.iter().any(has));
        }
    }
}
