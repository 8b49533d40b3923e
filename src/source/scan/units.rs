//! How long must a scan wait so that it takes no more read units than it may? Pure: a bucket that fills with time.

use std::time::Duration;

/// How much a page of a scan may take at most: 1 MB, consistent.
const DEAREST_PAGE: f64 = 256.0;

/// How many items a unit reads, before anything is known of their size: so few that the first page can't take a burst.
const FIRST_ITEMS: f64 = 1.0;

/// Read units of one table, shared by all segments of its scan.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Units a second; `None`: as many as the service gives.
    rate: Option<f64>,
    available: f64,
    /// When `available` was right, since the beginning.
    at: Duration,
    /// What a page took the last time, and how many items it had for each unit.
    page: f64,
    items_a_unit: f64,
    spent: f64,
}

impl Bucket {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self { rate, available: 0.0, at: Duration::ZERO, page: 1.0, items_a_unit: FIRST_ITEMS, spent: 0.0 }
    }

    /// Takes what a page will cost, as far as one can say, or tells how long to wait before asking again.
    pub(super) fn take(&mut self, now: Duration) -> Result<f64, Duration> {
        let Some(rate) = self.rate else { return Ok(0.0) };
        let filled = now.saturating_sub(self.at).as_secs_f64() * rate;
        // What was not taken for a second is lost: a pause must not be followed by a burst.
        (self.available, self.at) = ((self.available + filled).min(rate), now);
        if self.available < 0.0 {
            return Err(Duration::from_secs_f64((-self.available / rate).max(0.001)));
        }
        self.available -= self.page;
        Ok(self.page)
    }

    /// A page for which `taken` was taken cost `units`, as the service said.
    pub(super) fn paid(&mut self, taken: f64, units: f64, items: usize) {
        self.spent += units;
        if self.rate.is_some() {
            self.available -= units - taken;
        }
        if units > 0.0 && items > 0 {
            (self.page, self.items_a_unit) = (units, items as f64 / units);
        }
    }

    /// A page for which `taken` was taken did not come.
    pub(super) fn give_back(&mut self, taken: f64) {
        self.available += taken;
    }

    /// The items to ask for at once, so that `segments` that read side by side keep the rate even: small pages, not long
    /// pauses behind large ones. `None`: whole pages.
    pub(super) fn limit(&self, segments: u32) -> Option<i32> {
        let wanted = (self.rate? / f64::from(segments)).clamp(1.0, DEAREST_PAGE);
        Some((wanted * self.items_a_unit).clamp(1.0, 1e6) as i32)
    }

    /// All units so far.
    pub(super) fn spent(&self) -> f64 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_budget_is_kept_whatever_pages_cost(
            rate in 1_u32..500, segments in 1_u32..9, costs in proptest::collection::vec(0.5_f64..200.0, 1..200),
        ) {
            let rate = f64::from(rate);
            let mut bucket = Bucket::new(Some(rate));
            let (mut now, mut spent, mut on_their_way) = (Duration::ZERO, 0.0, Vec::new());
            for cost in costs {
                if on_their_way.len() == segments as usize {
                    let (taken, cost) = on_their_way.remove(0);
                    bucket.paid(taken, cost, 10);
                    spent += cost;
                }
                let taken = loop {
                    match bucket.take(now) {
                        Ok(taken) => break taken,
                        Err(wait) => now += wait,
                    }
                };
                on_their_way.push((taken, cost));
                // A second's worth, and what pages on their way cost more than was thought.
                prop_assert!(spent <= rate * (now.as_secs_f64() + 1.0) + 200.0 * f64::from(segments + 1));
            }
        }
    }

    #[test]
    fn without_a_budget_nobody_waits() {
        let mut bucket = Bucket::new(None);
        for _ in 0..100 {
            assert_eq!(bucket.take(Duration::ZERO), Ok(0.0));
            bucket.paid(0.0, 128.0, 1000);
        }
        assert_eq!((bucket.spent(), bucket.limit(4)), (12_800.0, None));
    }

    #[test]
    fn pages_are_as_large_as_a_segment_may_read_in_a_second() {
        let mut bucket = Bucket::new(Some(40.0));
        assert_eq!((bucket.take(Duration::ZERO), bucket.limit(4)), (Ok(1.0), Some(10)));
        bucket.paid(1.0, 50.0, 400);
        assert_eq!(bucket.limit(4), Some(80));
        // 50 units at 40 a second.
        let wait = bucket.take(Duration::ZERO).unwrap_err();
        assert!((1.2..1.3).contains(&wait.as_secs_f64()), "{wait:?}");
    }
}
