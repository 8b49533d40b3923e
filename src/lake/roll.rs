//! When a shard's collected rows become a range: a pure decision.

use std::time::Duration;

/// The limits of a range: whichever is reached first closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollLimits {
    /// Encoded bytes of all its files together.
    pub bytes: usize,
    /// Rows of all its files together.
    pub rows: usize,
    /// The age of its first row since it was read.
    pub age: Duration,
    /// How long no row may have come.
    pub idle: Duration,
}

/// What a shard has collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// Estimated encoded bytes.
    pub bytes: usize,
    /// Rows, dead letters included.
    pub rows: usize,
    /// Since the first row.
    pub age: Duration,
    /// Since the last row.
    pub idle: Duration,
}

impl RollLimits {
    /// Whether it is time.
    pub fn reached(&self, collected: &Collected) -> bool {
        collected.rows > 0
            && (collected.bytes >= self.bytes
                || collected.rows >= self.rows
                || collected.age >= self.age
                || collected.idle >= self.idle)
    }

    /// How long until age or idleness alone will make it time.
    pub fn wait(&self, collected: &Collected) -> Duration {
        self.age.saturating_sub(collected.age).min(self.idle.saturating_sub(collected.idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const LIMITS: RollLimits =
        RollLimits { bytes: 1000, rows: 10, age: Duration::from_secs(60), idle: Duration::from_secs(5) };
    const SMALL: Collected = Collected { bytes: 1, rows: 1, age: Duration::ZERO, idle: Duration::ZERO };

    #[test]
    fn each_limit_closes_a_range_and_nothing_else_does() {
        assert!(!LIMITS.reached(&SMALL));
        assert!(LIMITS.reached(&Collected { bytes: 1000, ..SMALL }));
        assert!(LIMITS.reached(&Collected { rows: 10, ..SMALL }));
        assert!(LIMITS.reached(&Collected { age: 60 * S, ..SMALL }));
        assert!(LIMITS.reached(&Collected { idle: 5 * S, ..SMALL }));
        assert!(!LIMITS.reached(&Collected { bytes: 0, rows: 0, age: 90 * S, idle: 90 * S }));
    }

    #[test]
    fn the_wait_is_for_whichever_comes_first() {
        assert_eq!(LIMITS.wait(&Collected { age: 58 * S, idle: S, ..SMALL }), 2 * S);
        assert_eq!(LIMITS.wait(&Collected { age: 10 * S, idle: 2 * S, ..SMALL }), 3 * S);
        assert_eq!(LIMITS.wait(&Collected { age: 70 * S, ..SMALL }), Duration::ZERO);
    }
}
