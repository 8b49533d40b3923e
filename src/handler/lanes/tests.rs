//! Do lanes deliver every change, those of an item in their order, whatever the handler answers?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::change::{Channel, Record, SequenceNumber, ShardId};
use crate::handler::Failure;

const NEVER: Duration = Duration::MAX;

fn change(number: u64, item: u8) -> Change {
    let payload = format!(r#"{{"eventName":"MODIFY","dynamodb":{{"Keys":{{"pk":{{"N":"{item}"}}}}}}}}"#);
    let envelope = crate::decode::envelope::read(payload.as_bytes(), Channel::Streams).unwrap();
    let item = ItemId::of("T", &envelope);
    Change {
        record: Record {
            position: Position::new(SequenceNumber::from_ordinal(number)),
            channel: Channel::Streams,
            table: None,
            payload: payload.clone().into(),
        },
        table: Arc::from("T"),
        stream: Arc::from("s"),
        shard: ShardId::new("shard"),
        item,
        changed_at: None,
    }
}

fn number(change: &Change) -> u64 {
    change.record.position.sequence.to_ordinal().unwrap()
}

fn rules() -> LaneRules {
    LaneRules {
        lanes: 1,
        batch_size: 10,
        batch_window: Duration::ZERO,
        attempts: 3,
        bisect: true,
        limits: Limits::default(),
    }
}

fn lanes(rules: LaneRules, items: &[u8]) -> Lanes {
    let mut lanes = Lanes::new(rules);
    for (number, &item) in items.iter().enumerate() {
        lanes.push(change(number as u64, item), Duration::ZERO, NEVER);
    }
    lanes
}

fn numbers(delivery: &Delivery) -> Vec<u64> {
    delivery.changes.iter().map(number).collect()
}

fn second(_: u32) -> Duration {
    Duration::from_secs(1)
}

/// Runs until nothing is left, with a handler that answers `answer`; what was delivered and what was given up.
fn run(lanes: &mut Lanes, mut answer: impl FnMut(&Delivery) -> Result<Outcome, HandlerError>) -> (Vec<u64>, Vec<u64>) {
    let (mut now, mut handled, mut given_up) = (Duration::ZERO, Vec::new(), Vec::new());
    while !lanes.is_empty() {
        let Some((call, delivery)) = lanes.next(now, true) else {
            now = lanes.due().unwrap();
            continue;
        };
        let answer = answer(&delivery);
        let failed: HashSet<usize> = match &answer {
            Ok(Outcome::Done) => HashSet::new(),
            Ok(Outcome::Failed(failures)) => failures.iter().map(|failure| failure.index).collect(),
            Err(_) => (0..delivery.changes.len()).collect(),
        };
        handled.extend((0..delivery.changes.len()).filter(|at| !failed.contains(at)).map(|at| numbers(&delivery)[at]));
        for dead in lanes.settle(call, answer, now, second) {
            given_up.push(number(&dead.change));
            lanes.buried(dead.entry);
        }
    }
    (handled, given_up)
}

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full() {
    let window = Duration::from_secs(5);
    let mut lanes = lanes(LaneRules { batch_window: window, ..rules() }, &[1, 2, 3]);
    assert!(lanes.next(Duration::from_secs(4), false).is_none());
    assert_eq!(lanes.due(), Some(window));
    (3..12).for_each(|at| lanes.push(change(at, at as u8), Duration::from_secs(4), NEVER));
    assert_eq!(numbers(&lanes.next(Duration::from_secs(4), false).unwrap().1), (0..10).collect::<Vec<_>>());
    assert!(lanes.next(Duration::from_secs(4), true).is_none(), "its one lane is in use");
}

#[test]
fn one_change_that_always_fails_costs_only_itself() {
    let mut lanes = lanes(rules(), &[1, 2, 3, 2, 4, 5, 2, 6, 7, 8]);
    let mut calls_with_3 = 0;
    let (handled, given_up) = run(&mut lanes, |delivery| {
        if numbers(delivery).contains(&3) {
            calls_with_3 += 1;
            return Err(HandlerError::Failed("no".into()));
        }
        Ok(Outcome::Done)
    });
    assert_eq!(given_up, [3]);
    let mut sorted = handled.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    let place = |number| handled.iter().position(|&n| n == number).unwrap();
    assert!(place(1) < place(6));
    assert_eq!(lanes.frontier().unwrap().sequence.to_ordinal(), Some(9));
    assert!(calls_with_3 <= 6 + 3, "{calls_with_3}: found by halving, then three attempts");
}

#[test]
fn a_failing_item_does_not_hold_up_the_others() {
    let mut lanes = lanes(rules(), &[1, 2, 1, 3]);
    let (call, _) = lanes.next(Duration::ZERO, true).unwrap();
    let failure = Failure { index: 0, why: "no".into(), verdict: Verdict::Retry };
    assert!(lanes.settle(call, Ok(Outcome::Failed(vec![failure])), Duration::ZERO, second).is_empty());
    lanes.push(change(4, 1), Duration::ZERO, NEVER);
    lanes.push(change(5, 9), Duration::ZERO, NEVER);
    let (call, delivery) = lanes.next(Duration::ZERO, true).unwrap();
    assert_eq!(numbers(&delivery), [5]);
    lanes.settle(call, Ok(Outcome::Done), Duration::ZERO, second);
    assert_eq!(lanes.frontier(), None, "the first change pins the position");
    let (call, delivery) = lanes.next(Duration::from_secs(1), true).unwrap();
    assert_eq!((numbers(&delivery), delivery.attempt), (vec![0], 2));
    lanes.settle(call, Ok(Outcome::Done), Duration::ZERO, second);
    assert_eq!(numbers(&lanes.next(Duration::from_secs(1), true).unwrap().1), [2, 4]);
}

#[test]
fn a_target_that_is_away_costs_no_attempt_and_is_left_alone() {
    let mut lanes = lanes(LaneRules { attempts: 1, ..rules() }, &[1, 2]);
    for _ in 0..20 {
        let now = lanes.due().unwrap();
        let (call, delivery) = lanes.next(now, false).unwrap();
        assert_eq!((numbers(&delivery), delivery.attempt), (vec![0, 1], 1));
        let away = HandlerError::Unavailable { why: "away".into(), after: Some(Duration::from_secs(7)) };
        assert!(lanes.settle(call, Err(away), now, second).is_empty());
        assert_eq!(lanes.due(), Some(now + Duration::from_secs(7)));
    }
    let (call, _) = lanes.next(NEVER, false).unwrap();
    lanes.settle(call, Ok(Outcome::Done), NEVER, second);
    assert!(lanes.is_empty() && lanes.bytes() == 0);
}

#[test]
fn what_grows_too_old_is_given_up_wherever_it_waits() {
    let mut lanes = Lanes::new(rules());
    for (at, item) in [1, 1, 2].into_iter().enumerate() {
        lanes.push(change(at as u64, item), Duration::ZERO, Duration::from_secs(10));
    }
    let (call, _) = lanes.next(Duration::ZERO, true).unwrap();
    lanes.push(change(3, 1), Duration::ZERO, Duration::from_secs(10));
    let away = HandlerError::Unavailable { why: "away".into(), after: None };
    lanes.settle(call, Err(away), Duration::ZERO, |_| Duration::from_secs(60));
    lanes.next(Duration::ZERO, true);
    assert!(lanes.expire(Duration::from_secs(9)).is_empty());
    let old = lanes.expire(Duration::from_secs(10));
    assert_eq!(old.iter().map(|dead| number(&dead.change)).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(lanes.expire(Duration::from_secs(11)).is_empty(), "once");
    old.iter().for_each(|dead| lanes.buried(dead.entry));
    assert!(lanes.is_empty());
    assert_eq!(lanes.due(), None);
}

#[test]
fn a_target_that_may_mix_up_one_item_gets_it_once_a_call() {
    let limits = Limits { several_of_one_item: false, changes: 3, ..Limits::default() };
    let mut lanes = lanes(LaneRules { limits, ..rules() }, &[1, 1, 2, 2, 3, 4]);
    let (call, delivery) = lanes.next(Duration::ZERO, true).unwrap();
    assert_eq!(numbers(&delivery), [0, 2, 4]);
    lanes.settle(call, Ok(Outcome::Done), Duration::ZERO, second);
    assert_eq!(numbers(&lanes.next(Duration::ZERO, true).unwrap().1), [1, 3, 5]);
}

#[test]
fn positions_without_a_change_move_the_frontier_in_their_turn() {
    let mut lanes = Lanes::new(rules());
    let at = |number| Position::new(SequenceNumber::from_ordinal(number));
    lanes.skip(at(1));
    assert_eq!(lanes.frontier(), Some(at(1)));
    lanes.push(change(2, 1), Duration::ZERO, NEVER);
    lanes.skip(at(3));
    lanes.skip(at(4));
    assert_eq!(lanes.frontier(), Some(at(1)));
    let (call, _) = lanes.next(Duration::ZERO, true).unwrap();
    lanes.settle(call, Ok(Outcome::Done), Duration::ZERO, second);
    assert_eq!(lanes.frontier(), Some(at(4)));
    assert!(lanes.is_empty());
}

#[test]
fn an_answer_that_blames_nobody_still_ends() {
    let mut lanes = lanes(rules(), &[1, 2, 3]);
    let (_, given_up) = run(&mut lanes, |delivery| {
        let all = 0..delivery.changes.len();
        Ok(Outcome::Failed(all.map(|index| Failure { index, why: "?".into(), verdict: Verdict::Unhandled }).collect()))
    });
    assert_eq!(given_up.len(), 3);
}

/// What a handler may answer, drawn anew for each call.
#[derive(Debug, Clone)]
enum Draw {
    Done,
    Unavailable,
    Failed,
    Refused,
    Partly(Vec<(usize, u8)>),
}

fn draw() -> impl Strategy<Value = Draw> {
    prop_oneof![
        4 => Just(Draw::Done),
        1 => Just(Draw::Unavailable),
        2 => Just(Draw::Failed),
        1 => Just(Draw::Refused),
        2 => proptest::collection::vec((0..12usize, 0..3u8), 1..6).prop_map(Draw::Partly),
    ]
}

fn answer(draw: &Draw) -> Result<Outcome, HandlerError> {
    match draw {
        Draw::Done => Ok(Outcome::Done),
        Draw::Unavailable => Err(HandlerError::Unavailable { why: "away".into(), after: None }),
        Draw::Failed => Err(HandlerError::Failed("no".into())),
        Draw::Refused => Err(HandlerError::Refused("never".into())),
        Draw::Partly(failures) => {
            let verdict = |word| [Verdict::Retry, Verdict::Refused, Verdict::Unhandled][usize::from(word)];
            let failures: BTreeMap<usize, u8> = failures.iter().copied().collect();
            let failure = |(index, word)| Failure { index, why: "some".into(), verdict: verdict(word) };
            Ok(Outcome::Failed(failures.into_iter().map(failure).collect()))
        }
    }
}

proptest! {
    /// Every change is handled or given up; an item's first successes come in its order; no item is in two calls at
    /// once; the frontier is behind everything that is resolved, and never moves back.
    #[test]
    fn every_change_ends_and_items_keep_their_order(
        items in proptest::collection::vec(0..5u8, 1..60),
        draws in proptest::collection::vec(draw(), 1..80),
        lane_count in 1..4usize,
        batch_size in 1..12usize,
        bisect: bool,
        several: bool,
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let limits = Limits { several_of_one_item: several, ..Limits::default() };
        let rules = LaneRules { lanes: lane_count, batch_size, bisect, limits, ..rules() };
        let mut lanes = lanes(rules, &items);
        let mut resolved: HashMap<u64, bool> = HashMap::new();
        let (mut under_way, mut now, mut turn): (Vec<(u64, Delivery)>, _, usize) = (Vec::new(), Duration::ZERO, 0);
        while !lanes.is_empty() {
            prop_assert!(turn < 20_000, "it goes on for ever");
            turn += 1;
            if let Some((call, delivery)) = lanes.next(now, true) {
                let mut of_call = HashSet::new();
                for change in &delivery.changes {
                    let number = number(change);
                    prop_assert!(!resolved.contains_key(&number), "{number} was resolved already");
                    prop_assert!(of_call.insert(change.item) || several, "an item twice in a call");
                    let earlier = (0..number).filter(|&n| items[n as usize] == items[number as usize]);
                    for earlier in earlier {
                        let here = delivery.changes.iter().any(|change| self::number(change) == earlier);
                        prop_assert!(resolved.contains_key(&earlier) || here, "{number} before {earlier}");
                    }
                    for (_, other) in &under_way {
                        prop_assert!(other.changes.iter().all(|other| other.item != change.item), "an item in two calls");
                    }
                }
                prop_assert!(numbers(&delivery).is_sorted());
                under_way.push((call, delivery));
                prop_assert!(under_way.len() <= lane_count);
                continue;
            }
            if under_way.is_empty() {
                now = lanes.due().expect("something is due as long as something is left");
                continue;
            }
            let (call, delivery) = under_way.swap_remove(picks[turn % picks.len()].index(under_way.len()));
            let draw = &draws[turn % draws.len()];
            // The draws may never say "done": after a while all is well.
            let answer = if turn > 2_000 { Ok(Outcome::Done) } else { answer(draw) };
            let failed: BTreeSet<usize> = match &answer {
                Ok(Outcome::Done) => BTreeSet::new(),
                Ok(Outcome::Failed(failures)) => failures.iter().map(|failure| failure.index).collect(),
                Err(_) => (0..delivery.changes.len()).collect(),
            };
            let mut failed_items = HashSet::new();
            for (index, change) in delivery.changes.iter().enumerate() {
                if failed.contains(&index) {
                    failed_items.insert(change.item);
                } else if !failed_items.contains(&change.item) {
                    resolved.insert(number(change), true);
                }
            }
            for dead in lanes.settle(call, answer, now, second) {
                prop_assert!(resolved.insert(number(&dead.change), false).is_none());
                lanes.buried(dead.entry);
            }
            let frontier = lanes.frontier().map_or(0, |at| at.sequence.to_ordinal().unwrap() + 1);
            let open = (0..items.len() as u64).find(|number| !resolved.contains_key(number));
            prop_assert_eq!(frontier, open.unwrap_or(items.len() as u64));
        }
        prop_assert_eq!(resolved.len(), items.len());
        prop_assert_eq!(lanes.bytes(), 0);
    }
}
