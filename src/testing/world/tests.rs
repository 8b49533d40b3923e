//! Worlds that every test run lives through: some of each kind, and every seed that ever failed.

use super::*;
use crate::testing::plan::Faults;

fn check(plan: Plan) -> Report {
    run(plan).unwrap_or_else(|violation| panic!("{plan}: {violation}"))
}

/// Seeds to run; `WATERSHED_SEEDS=from..to` runs others.
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("WATERSHED_SEEDS") else { return default };
    let (from, to) = text.split_once("..").expect("WATERSHED_SEEDS=from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn a_calm_world_lands_everything() {
    for kinesis in [false, true] {
        let report = check(Plan::calm(1, kinesis));
        assert!(report.rows > 20, "{report:?}");
    }
}

#[test]
fn nothing_is_lost_or_doubled_by_kills_and_faults() {
    let (mut rows, mut kills) = (0, 0);
    for seed in seeds(0..16) {
        let plan = Plan { kills: 12, faults: Faults::ALL, ..Plan::calm(seed, seed % 2 == 1) };
        rows += check(plan).rows;
        kills += plan.kills;
    }
    println!("kills={kills} rows={rows} lost=0 twice=0");
}

#[test]
fn workers_that_run_at_the_same_time_do_no_harm() {
    for seed in seeds(100..110) {
        check(Plan { workers: 2, kills: 8, faults: Faults::ALL, ..Plan::calm(seed, seed % 2 == 1) });
    }
}

#[test]
fn handlers_get_every_change_of_an_item_in_order() {
    let (mut all, mut kills) = (Deliveries::default(), 0);
    for seed in seeds(200..216) {
        let workers = 1 + u32::from(seed % 4 == 0);
        let plan = Plan { workers, kills: 8, faults: Faults::ALL, handlers: 2, ..Plan::calm(seed, seed % 2 == 1) };
        for got in check(plan).deliveries {
            all.handled += got.handled;
            all.repeats += got.repeats;
            all.given_up += got.given_up;
        }
        kills += plan.kills;
    }
    assert!(all.handled > 1000 && all.given_up > 0 && all.repeats > 0, "{all:?}");
    println!("kills={kills} {all:?} never=0 reordered=0");
}

#[test]
fn what_was_trimmed_while_everybody_was_away_is_a_gap_and_nothing_else_is_missing() {
    let (mut trimmed, mut gaps) = (0, 0);
    for seed in seeds(300..312) {
        let plan = Plan { workers: 2, kills: 4, faults: Faults::ALL, away: true, handlers: 1, ..Plan::calm(seed, seed % 4 == 3) };
        let report = check(plan);
        trimmed += report.trimmed;
        gaps += report.gaps;
    }
    assert!(trimmed > 50 && gaps > 5, "{trimmed} trimmed, {gaps} gaps");
    println!("trimmed={trimmed} gaps={gaps} silent=0");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for plan in (0..8).map(Plan::of) {
        assert_eq!(check(plan), check(plan));
    }
}
