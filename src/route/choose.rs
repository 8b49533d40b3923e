//! Can the conditions of a rule be met together? No two of them by different elements of one array.

use std::collections::HashSet;

use super::compile::{Compiled, Rule};
use crate::decode::json::Malformed;

/// How many values are tried for one record. What a record of DynamoDB's 400 KB can make necessary is far less.
const MAX_TRIES: usize = 4_000_000;

/// How many dead ends are remembered, so that memory is bounded as well.
const MAX_DEAD_ENDS: usize = 100_000;

/// Where values were found, as far as arrays count.
#[derive(Debug)]
pub(super) struct Places {
    /// In the order of the record, so that what lies in an element, or in an array, is a range of these. The first is
    /// the place in no array.
    places: Vec<Place>,
    /// Behind the last place of each array.
    array_ends: Vec<usize>,
}

/// An element of an array in which there is more than a plain value.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The element around it.
    parent: usize,
    array: usize,
    /// Behind the last place in it.
    end: usize,
}

/// The place in no array.
pub(super) const NOWHERE: usize = 0;

impl Default for Places {
    fn default() -> Self {
        Self { places: vec![Place { parent: 0, array: 0, end: usize::MAX }], array_ends: Vec::new() }
    }
}

impl Places {
    pub(super) fn open_array(&mut self) -> usize {
        self.array_ends.push(usize::MAX);
        self.array_ends.len() - 1
    }

    pub(super) fn close_array(&mut self, array: usize) {
        self.array_ends[array] = self.places.len();
    }

    pub(super) fn open_element(&mut self, parent: usize, array: usize) -> usize {
        self.places.push(Place { parent, array, end: usize::MAX });
        self.places.len() - 1
    }

    pub(super) fn close_element(&mut self, element: usize) {
        self.places[element].end = self.places.len();
    }

    /// The elements around a place, itself first.
    fn around(&self, place: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(place), |&place| Some(self.places[place].parent))
            .take_while(|&place| place != NOWHERE)
    }
}

/// What a record has shown.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) places: Places,
    /// Per condition.
    pub(super) seen: Vec<Seen>,
}

/// What a record has shown to a condition.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Where values are that please it.
    pub(super) pleased: Vec<usize>,
    /// Where any values are, if absence may please it.
    pub(super) present: Vec<usize>,
    /// Whether a value outside of arrays has pleased it.
    pub(super) outside: bool,
    /// Whether a member of the record itself has not.
    pub(super) failed: bool,
}

impl Found {
    /// Whether one of the rules can be met.
    pub(super) fn any(&mut self, compiled: &Compiled) -> Result<bool, Malformed> {
        for Seen { pleased, present, .. } in &mut self.seen {
            for places in [pleased, present] {
                places.sort_unstable();
                places.dedup();
            }
        }
        let mut tries = MAX_TRIES;
        for rule in &compiled.rules {
            let hopeless =
                |&condition: &usize| self.seen[condition].pleased.is_empty() && !compiled.conditions[condition].absence;
            if !rule.conditions.iter().any(hopeless) && Search::new(self, compiled, rule, &mut tries).meets(0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A search for values that meet a rule, condition by condition.
struct Search<'a> {
    found: &'a Found,
    compiled: &'a Compiled,
    rule: &'a Rule,
    /// The elements chosen so far, one of each array at most.
    chosen: Vec<usize>,
    /// Per array, the last condition with values in it. From then on what was chosen of it does not count.
    last_use: Vec<usize>,
    /// Conditions from which there is no way on, each with what was chosen then.
    dead_ends: HashSet<(usize, Vec<usize>)>,
    tries: &'a mut usize,
}

impl<'a> Search<'a> {
    fn new(found: &'a Found, compiled: &'a Compiled, rule: &'a Rule, tries: &'a mut usize) -> Self {
        let mut last_use = vec![0; found.places.array_ends.len()];
        if !last_use.is_empty() {
            for (at, &condition) in rule.conditions.iter().enumerate() {
                let seen = &found.seen[condition];
                for &place in seen.pleased.iter().chain(&seen.present) {
                    found.places.around(place).for_each(|place| last_use[found.places.places[place].array] = at);
                }
            }
        }
        Self { found, compiled, rule, chosen: Vec::new(), last_use, dead_ends: HashSet::new(), tries }
    }

    /// Whether the conditions from `at` on can be met.
    fn meets(&mut self, at: usize) -> Result<bool, Malformed> {
        let Some(&condition) = self.rule.conditions.get(at) else { return Ok(true) };
        let mut state = Vec::new();
        if !self.chosen.is_empty() {
            let counts = |place: &&usize| self.last_use[self.found.places.places[**place].array] >= at;
            state = self.chosen.iter().filter(counts).copied().collect();
            state.sort_unstable();
            if self.dead_ends.contains(&(at, state.clone())) {
                return Ok(false);
            }
        }
        let Seen { pleased, present, .. } = &self.found.seen[condition];
        let mut next = self.consistent(pleased, 0)?;
        while let Some(candidate) = next {
            let before = self.chosen.len();
            for place in self.found.places.around(pleased[candidate]) {
                if !self.chosen.contains(&place) {
                    self.chosen.push(place);
                }
            }
            if self.meets(at + 1)? {
                return Ok(true);
            }
            self.chosen.truncate(before);
            next = self.consistent(pleased, candidate + 1)?;
        }
        if self.compiled.conditions[condition].absence
            && self.consistent(present, 0)?.is_none()
            && self.meets(at + 1)?
        {
            return Ok(true);
        }
        if self.dead_ends.len() < MAX_DEAD_ENDS {
            self.dead_ends.insert((at, state));
        }
        Ok(false)
    }

    /// The first of `values`, from `from` on, that agrees with what is chosen.
    fn consistent(&mut self, values: &[usize], from: usize) -> Result<Option<usize>, Malformed> {
        let places = &self.found.places;
        let mut at = from;
        while let Some(&value) = values.get(at) {
            *self.tries = self
                .tries
                .checked_sub(1)
                .ok_or(Malformed { at: 0, what: "array elements combine in too many ways for the filter" })?;
            // Where to go on if it lies in another element of an array of which one is chosen.
            let mut onward = None;
            for place in places.around(value) {
                let array = places.places[place].array;
                let other = self.chosen.iter().find(|&&chosen| places.places[chosen].array == array && chosen != place);
                onward = other.map(|&chosen| if place < chosen { chosen } else { places.array_ends[array] }).or(onward);
            }
            match onward {
                None => return Ok(Some(at)),
                Some(onward) => at += 1 + values[at + 1..].partition_point(|&value| value < onward),
            }
        }
        Ok(None)
    }
}
