//! Does the verdict follow the positions, through simulated hours?

use super::*;
use crate::clock::Clock;

/// A health whose time is counted in seconds from its start.
struct World {
    start: Instant,
    health: Health,
}

impl World {
    fn new(roll_age: u64) -> Self {
        let start = Clock::system().now();
        Self { start, health: Health::new(start, Duration::from_secs(roll_age)) }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn reasons(&self, second: u64) -> Vec<String> {
        let verdict = self.health.verdict(self.at(second));
        assert_eq!(verdict.healthy, verdict.reasons.is_empty());
        verdict.reasons
    }

    fn watch(&self, name: &str) -> Watched {
        self.health.watch(name, self.start)
    }
}

#[test]
fn a_busy_shard_is_healthy_as_long_as_its_position_moves() {
    let world = World::new(60);
    let shard = world.watch("shard a");
    for second in (0..3600).step_by(10) {
        shard.source_moved(world.at(second));
        if second % 240 == 0 {
            shard.progress(world.at(second), true);
        }
        assert_eq!(world.reasons(second), [""; 0], "{second}");
    }
}

#[test]
fn a_position_that_stands_still_while_records_come_is_not_healthy() {
    let world = World::new(60);
    let shard = world.watch("shard a");
    for second in 0..=301 {
        shard.source_moved(world.at(second));
    }
    assert_eq!(world.reasons(300), [""; 0]);
    assert_eq!(world.reasons(301), ["shard a: records are there, but none became durable for 301 s"]);
    shard.progress(world.at(302), false);
    assert_eq!(world.reasons(302), [""; 0]);
}

#[test]
fn the_last_records_before_a_silence_are_not_forgotten() {
    let world = World::new(60);
    let shard = world.watch("shard a");
    shard.source_moved(world.at(50));
    shard.source_moved(world.at(59));
    // Only the first of the two became durable; then the source has nothing new.
    shard.progress(world.at(60), true);
    for second in 60..=361 {
        shard.answered(world.at(second));
    }
    assert_eq!(world.reasons(360), [""; 0]);
    assert_eq!(world.reasons(361).len(), 1);
}

#[test]
fn an_idle_source_is_healthy_and_a_dead_one_is_not() {
    let world = World::new(60);
    let shard = world.watch("shard a");
    for second in (0..7200).step_by(30) {
        shard.answered(world.at(second));
        assert_eq!(world.reasons(second), [""; 0]);
    }
    assert_eq!(world.reasons(7170 + 300), [""; 0]);
    assert_eq!(world.reasons(7170 + 301), ["shard a: the source has not answered for 301 s"]);
    shard.answered(world.at(7500));
    assert_eq!(world.reasons(7500), [""; 0]);
}

#[test]
fn a_source_that_never_answered_is_found_out() {
    let world = World::new(60);
    assert_eq!(world.reasons(300), [""; 0]);
    assert_eq!(world.reasons(301), ["nothing is being read yet"]);
    let _discovery = world.watch("shards of table Reply");
    assert_eq!(world.reasons(301), ["shards of table Reply: the source has not answered for 301 s"]);
}

#[test]
fn a_child_may_wait_for_its_parents_as_long_as_they_take() {
    let world = World::new(60);
    let (parent, child) = (world.watch("parent"), world.watch("child"));
    child.waiting("its parents");
    for second in (0..=4000).step_by(100) {
        parent.source_moved(world.at(second));
        parent.progress(world.at(second), false);
        assert_eq!(world.reasons(second), [""; 0]);
    }
    assert_eq!((world.health.verdict(world.at(4000)).active, world.health.verdict(world.at(4000)).waiting), (1, 1));
    parent.finished();
    child.answered(world.at(4001));
    assert_eq!(world.reasons(4301), [""; 0]);
    assert_eq!(world.reasons(4302), ["child: the source has not answered for 301 s"]);
}

#[test]
fn waiting_is_no_excuse_for_records_that_are_there() {
    let world = World::new(60);
    let shard = world.watch("a");
    shard.source_moved(world.at(0));
    shard.waiting("memory");
    assert_eq!(world.reasons(301), ["a: records are there, but none became durable for 301 s (waiting: memory)"]);
}

#[test]
fn beginning_anew_again_and_again_is_no_progress() {
    let world = World::new(60);
    for second in (0..=400).step_by(10) {
        world.health.watch("a", world.at(second)).source_moved(world.at(second));
    }
    assert_eq!(world.reasons(400).len(), 1);
}

#[test]
fn long_rolls_get_a_longer_limit_and_finished_pipelines_are_healthy() {
    let world = World::new(3600);
    let shard = world.watch("a");
    shard.source_moved(world.at(0));
    assert_eq!(world.reasons(3 * 3600), [""; 0]);
    assert_eq!(world.reasons(3 * 3600 + 1).len(), 1);
    shard.finished();
    assert_eq!(world.reasons(1_000_000), [""; 0]);
}

#[test]
fn many_reasons_are_cut_short_and_the_json_is_plain() {
    let world = World::new(60);
    for shard in 0..100 {
        let _ = world.watch(&format!("shard {shard:03}"));
    }
    let verdict = world.health.verdict(world.at(301));
    assert_eq!(verdict.reasons.len(), 20);
    assert_eq!(verdict.reasons[19], "and 81 more");
    assert_eq!(
        World::new(0).health.verdict(world.at(0)).to_json(),
        r#"{"healthy":true,"active":0,"waiting":0,"limit_seconds":300,"reasons":[]}"#
    );
}
