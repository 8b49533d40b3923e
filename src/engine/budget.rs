//! One budget of bytes for all buffers of a pipeline: pages on their way, collected rows, files in the making.
//!
//! A reader reserves a page's worth before it asks for the page. If there is no room it waits, which stops reading and
//! nothing else; and it says so, upon which shards with much collected make theirs durable and give room back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
    /// The most that ever was in use.
    peak: AtomicUsize,
    /// Shards that collect rows.
    holders: AtomicUsize,
    freed: Notify,
    /// Counts how often a reader found no room.
    pressure: watch::Sender<u64>,
}

/// Bytes that are in use; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
    /// Whether it is a shard's collected rows, which can be made durable to give room back.
    holder: bool,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let shared = Shared {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            freed: Notify::new(),
            pressure: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The bytes in use.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// The most bytes that ever were in use.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// The bytes there are.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Waits until `bytes` are free. A wish larger than the whole budget is granted when nothing else is in use.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        loop {
            let freed = self.shared.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(reservation) = self.try_reserve(bytes) {
                return reservation;
            }
            self.shared.pressure.send_modify(|times| *times += 1);
            freed.await;
        }
    }

    fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let fits = |used: usize| (used == 0 || used + bytes <= self.shared.limit).then_some(used + bytes);
        let before = self.shared.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).ok()?;
        self.shared.peak.fetch_max(before + bytes, Ordering::Relaxed);
        Some(Reservation { budget: self.clone(), bytes, holder: false })
    }

    /// An empty reservation for a holder whose use changes; see [`Reservation::set`].
    pub fn holder(&self) -> Reservation {
        self.shared.holders.fetch_add(1, Ordering::Relaxed);
        Reservation { budget: self.clone(), bytes: 0, holder: true }
    }

    /// An empty reservation that does not wait for room, for what has to go on so that room can be given back.
    pub fn beyond(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0, holder: false }
    }

    /// Tells when a reader finds no room.
    pub fn pressure(&self) -> watch::Receiver<u64> {
        self.shared.pressure.subscribe()
    }

    /// Whether a holder of `bytes` has at least half of an even share of what is in use, so that it should give room back
    /// under pressure. As long as most of the use is pages on their way nobody may have that; they become rows.
    pub fn is_large(&self, bytes: usize) -> bool {
        let holders = self.shared.holders.load(Ordering::Relaxed).max(1);
        bytes > 0 && bytes >= self.used() / holders / 2
    }
}

impl Reservation {
    /// Changes what is in use. More than there is room for is granted, since it is there already.
    pub fn set(&mut self, bytes: usize) {
        let shared = &self.budget.shared;
        if bytes > self.bytes {
            let before = shared.used.fetch_add(bytes - self.bytes, Ordering::AcqRel);
            shared.peak.fetch_max(before + bytes - self.bytes, Ordering::Relaxed);
        } else {
            shared.used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
            shared.freed.notify_waiters();
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.shared.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.shared.holders.fetch_sub(usize::from(self.holder), Ordering::Relaxed);
        self.budget.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_waits_until_something_is_given_back() {
        let budget = Budget::new(100);
        let mut pressure = budget.pressure();
        let first = budget.reserve(60).await;
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(50).await }
        });
        pressure.changed().await.unwrap();
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(budget.used(), 50);
        drop(second);
        assert_eq!((budget.used(), budget.peak()), (0, 60));
    }

    #[tokio::test]
    async fn one_page_larger_than_all_is_let_through_alone() {
        let budget = Budget::new(10);
        let large = budget.reserve(50).await;
        assert_eq!(budget.used(), 50);
        drop(large);
    }

    #[test]
    fn the_largest_holder_is_large() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.holder(), budget.holder());
        a.set(90);
        b.set(10);
        assert!(budget.is_large(90) && !budget.is_large(10) && !budget.is_large(0));
    }
}
