//! Which changes go together into a call: fresh ones in batches, those that failed halved or by themselves.

use std::collections::HashSet;
use std::time::Duration;

use super::{ItemId, Lanes, Place, cost};

/// Changes that are delivered, and tried again, together. No two units hold changes of one item.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// In the order of the shard.
    pub(super) entries: Vec<u64>,
    /// Calls that were made with them.
    pub(super) attempts: u32,
    /// When the next one may be made.
    pub(super) due: Duration,
    /// Whether it must not share a call: one of it may be what makes calls fail.
    pub(super) alone: bool,
}

impl Lanes {
    /// A unit whose next attempt is due, or several that may share a call.
    pub(super) fn unparked(&mut self, now: Duration) -> Option<Unit> {
        let (first, _) =
            self.parked.iter().enumerate().filter(|(_, unit)| unit.due <= now).min_by_key(|(_, u)| u.due)?;
        let mut unit = self.parked.swap_remove(first);
        let mut bytes = self.cost_of(&unit);
        while !unit.alone {
            let fits = |other: &Unit| {
                other.due <= now
                    && !other.alone
                    && other.attempts == unit.attempts
                    && unit.entries.len() + other.entries.len() <= self.most()
                    && bytes + self.cost_of(other) <= self.rules.limits.bytes
            };
            let Some(other) = self.parked.iter().position(fits) else { break };
            let other = self.parked.swap_remove(other);
            bytes += self.cost_of(&other);
            unit.entries.extend(other.entries);
        }
        unit.entries.sort_unstable();
        Some(unit)
    }

    /// A batch of changes that were not delivered yet.
    pub(super) fn fresh(&mut self, now: Duration, flush: bool) -> Option<Unit> {
        let &oldest = self.ready.first()?;
        let waits = now < self.entry(oldest).arrived + self.rules.batch_window;
        if waits && !flush && self.ready.len() < self.most() {
            return None;
        }
        let (mut taken, mut blocked, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut items: HashSet<ItemId> = HashSet::new();
        for &at in &self.ready {
            let Some(change) = &self.entry(at).change else { continue };
            if self.busy.contains_key(&change.item)
                || (!self.rules.limits.several_of_one_item && items.contains(&change.item))
            {
                blocked.push((at, change.item));
                continue;
            }
            bytes += cost(change);
            if taken.len() >= self.most() || (bytes > self.rules.limits.bytes && !taken.is_empty()) {
                break;
            }
            items.insert(change.item);
            taken.push((at, change.item));
        }
        for &(at, item) in &taken {
            self.ready.remove(&at);
            self.busy.entry(item).or_default().holds += 1;
        }
        for (at, item) in blocked {
            self.ready.remove(&at);
            self.place(&[at], Place::Waiting);
            self.busy.entry(item).or_default().waiting.insert(at);
        }
        let entries: Vec<u64> = taken.into_iter().map(|(at, _)| at).collect();
        (!entries.is_empty()).then_some(Unit { entries, attempts: 0, due: now, alone: false })
    }

    /// Halves a unit, so that the one that makes it fail is found. The changes of an item stay together; where there are
    /// only those, the later half waits until the earlier is resolved.
    pub(super) fn bisect(&mut self, unit: Unit, now: Duration) {
        let mut items: Vec<(ItemId, Vec<u64>)> = Vec::new();
        for at in unit.entries {
            let Some(item) = self.item(at) else { continue };
            match items.iter_mut().find(|(known, _)| *known == item) {
                Some((_, entries)) => entries.push(at),
                None => items.push((item, vec![at])),
            }
        }
        let part = |entries| Unit { entries, attempts: unit.attempts, due: now, alone: true };
        if let [(item, entries)] = &mut items[..] {
            for at in entries.split_off(entries.len().div_ceil(2)) {
                self.wait_again(at, *item);
            }
        }
        let rest = items.split_off(items.len().div_ceil(2));
        for half in [items, rest] {
            let mut entries: Vec<u64> = half.into_iter().flat_map(|(_, entries)| entries).collect();
            entries.sort_unstable();
            if !entries.is_empty() {
                self.park(part(entries));
            }
        }
    }

    /// The most changes of a call.
    fn most(&self) -> usize {
        self.rules.batch_size.min(self.rules.limits.changes).max(1)
    }

    fn cost_of(&self, unit: &Unit) -> usize {
        unit.entries.iter().filter_map(|&at| self.entry(at).change.as_ref()).map(cost).sum()
    }
}
