//! The range protocol as a small model, all of whose histories are looked at: two workers, a shard of two records and its
//! child of one, answers that get lost, requests that land late, lists that are stale, crashes.
//!
//! Each action is what the code named in its comment does between two awaits. Where the model is told to make a mistake,
//! the checker has to find it: otherwise it would prove nothing.

use stateright::{Checker as _, HasDiscoveries, Model, Property};

const WORKERS: usize = 2;
/// Records of the parent and of its child.
const RECORDS: [u8; 2] = [2, 1];

/// A mistake the protocol must not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// "It exists" is taken for "mine" (`settle.rs` reads back instead).
    ExistsIsMine,
    /// Files are written before the range is there (`LakeShard::commit` creates the range first).
    FilesFirst,
    /// A checkpoint is saved before the files are there (`Shard::commit` saves last).
    CheckpointFirst,
    /// A child is begun before its parent is durably finished (`lineage.rs` waits for `ShardEnd`).
    ChildFirst,
    /// A writer begins without completing what a killed one left (`LakeShard::open` completes the last range).
    NoCompletion,
}

/// A range object: its records, and who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Range {
    start: u8,
    end: u8,
    writer: (u8, u8),
}

/// How far the lake's sink has come in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Check {
    None,
    At(u8),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// `engine/shard.rs`: collects behind `start`; its next range is `next`.
    Collecting {
        shard: u8,
        next: u8,
        start: u8,
        end: u8,
    },
    /// `settle.rs`: whether its range is there is not known.
    Creating {
        shard: u8,
        n: u8,
        range: Range,
    },
    /// `publish.rs`: the range is there and its own, or is completed; its file is to be created.
    Filing {
        shard: u8,
        n: u8,
        range: Range,
    },
    /// `Shard::save_durable`.
    Saving {
        shard: u8,
        n: u8,
        end: u8,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    chains: [Vec<Range>; 2],
    /// The file of each range: the records in it.
    files: [Vec<Option<(u8, u8)>>; 2],
    checks: [Check; 2],
    /// A request that was given up and has not landed yet.
    late: Option<(u8, u8, Range)>,
    workers: [(u8, Phase); WORKERS],
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// Opens a shard; its list shows the chain up to here.
    Open(usize, u8, u8),
    Collect(usize),
    /// Closes the range and sends it.
    Commit(usize),
    /// A create that takes effect, and whose answer comes.
    Create(usize),
    /// A create whose answer is lost: it takes effect now, later, or never.
    CreateLost(usize, Effect),
    ReadBack(usize),
    /// The file's create, with or without an answer.
    File(usize, bool),
    Save(usize),
    Crash(usize),
    Lands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Effect {
    Now,
    Later,
    Never,
}

struct Protocol {
    mistake: Mistake,
}

impl Protocol {
    fn create(world: &mut World, shard: u8, n: u8, range: Range) -> bool {
        let chain = &mut world.chains[shard as usize];
        let free = chain.len() == n as usize;
        if free {
            chain.push(range);
            world.files[shard as usize].resize(chain.len().max(world.files[shard as usize].len()), None);
        }
        free
    }

    fn file(world: &mut World, shard: u8, n: u8, rows: (u8, u8)) {
        let files = &mut world.files[shard as usize];
        files.resize(files.len().max(n as usize + 1), None);
        files[n as usize].get_or_insert(rows);
    }

    /// `LakeShard::open`: goes on behind the last range that was seen, after completing it.
    fn open(&self, world: &World, shard: u8, seen: u8) -> Phase {
        let Some(&last) = seen.checked_sub(1).and_then(|n| world.chains[shard as usize].get(n as usize)) else {
            return Phase::Collecting { shard, next: 0, start: 0, end: 0 };
        };
        let is_there = world.files[shard as usize].get(seen as usize - 1).is_some_and(Option::is_some);
        if is_there || self.mistake == Mistake::NoCompletion {
            return Phase::Saving { shard, n: seen - 1, end: last.end };
        }
        Phase::Filing { shard, n: seen - 1, range: last }
    }

    fn after_range(&self, shard: u8, n: u8, range: Range) -> Phase {
        match self.mistake {
            Mistake::CheckpointFirst => Phase::Saving { shard, n, end: range.end },
            _ => Phase::Filing { shard, n, range },
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            chains: [Vec::new(), Vec::new()],
            files: [Vec::new(), Vec::new()],
            checks: [Check::None; 2],
            late: None,
            workers: [(0, Phase::Idle); WORKERS],
            crashes: 1,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (w, (_, phase)) in world.workers.iter().enumerate() {
            match *phase {
                Phase::Idle => {
                    for shard in 0..2u8 {
                        let due = shard == 0 || world.checks[0] == Check::End || self.mistake == Mistake::ChildFirst;
                        let hint = match world.checks[shard as usize] {
                            Check::None => 0,
                            Check::At(n) => n + 1,
                            Check::End => continue,
                        };
                        let length = world.chains[shard as usize].len() as u8;
                        if due {
                            actions.extend((hint.min(length)..=length).map(|seen| Action::Open(w, shard, seen)));
                        }
                    }
                }
                Phase::Collecting { shard, end, start, .. } => {
                    if end < RECORDS[shard as usize] {
                        actions.push(Action::Collect(w));
                    }
                    actions.push(if end > start { Action::Commit(w) } else { Action::Save(w) });
                }
                Phase::Creating { .. } => {
                    actions.push(Action::Create(w));
                    actions.extend([Effect::Now, Effect::Never].map(|effect| Action::CreateLost(w, effect)));
                    if world.late.is_none() {
                        actions.push(Action::CreateLost(w, Effect::Later));
                    }
                    actions.push(Action::ReadBack(w));
                }
                Phase::Filing { .. } => actions.extend([true, false].map(|told| Action::File(w, told))),
                Phase::Saving { .. } => actions.push(Action::Save(w)),
            }
            if world.crashes > 0 && *phase != Phase::Idle {
                actions.push(Action::Crash(w));
            }
        }
        if world.late.is_some() {
            actions.push(Action::Lands);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Open(w, shard, seen) => world.workers[w].1 = self.open(before, shard, seen),
            Action::Collect(w) => {
                if let Phase::Collecting { end, .. } = &mut world.workers[w].1 {
                    *end += 1;
                }
            }
            Action::Commit(w) => {
                let (life, Phase::Collecting { shard, next, start, end }) = world.workers[w] else { return None };
                let range = Range { start, end, writer: (w as u8, life) };
                if self.mistake == Mistake::FilesFirst {
                    Self::file(&mut world, shard, next, (start, end));
                }
                world.workers[w].1 = Phase::Creating { shard, n: next, range };
            }
            Action::Create(w) => {
                let Phase::Creating { shard, n, range } = world.workers[w].1 else { return None };
                let mine = Self::create(&mut world, shard, n, range) || self.mistake == Mistake::ExistsIsMine;
                // "It exists" says nothing: it is read back.
                if !mine {
                    return None;
                }
                world.workers[w].1 = self.after_range(shard, n, range);
            }
            Action::CreateLost(w, effect) => {
                let Phase::Creating { shard, n, range } = world.workers[w].1 else { return None };
                match effect {
                    Effect::Now => _ = Self::create(&mut world, shard, n, range),
                    Effect::Later => world.late = Some((shard, n, range)),
                    Effect::Never => {}
                }
            }
            Action::ReadBack(w) => {
                let Phase::Creating { shard, n, range } = world.workers[w].1 else { return None };
                world.workers[w].1 = match world.chains[shard as usize].get(n as usize) {
                    None => return None,
                    Some(found) if *found == range => self.after_range(shard, n, range),
                    // Another writer was faster: what was collected is thrown away.
                    Some(_) => Phase::Idle,
                };
            }
            Action::File(w, told) => {
                let Phase::Filing { shard, n, range } = world.workers[w].1 else { return None };
                Self::file(&mut world, shard, n, (range.start, range.end));
                if told {
                    world.workers[w].1 = Phase::Saving { shard, n, end: range.end };
                }
            }
            Action::Save(w) => match world.workers[w].1 {
                Phase::Saving { shard, n, end } => {
                    let check = &mut world.checks[shard as usize];
                    if Check::At(n) < *check {
                        world.workers[w].1 = Phase::Idle;
                    } else {
                        *check = Check::At(n);
                        world.workers[w].1 = Phase::Collecting { shard, next: n + 1, start: end, end };
                    }
                }
                // The service has proven the shard's end.
                Phase::Collecting { shard, end, .. } if end == RECORDS[shard as usize] => {
                    world.checks[shard as usize] = Check::End;
                    world.workers[w].1 = Phase::Idle;
                }
                _ => return None,
            },
            Action::Crash(w) => {
                world.crashes -= 1;
                world.workers[w] = (world.workers[w].0 + 1, Phase::Idle);
            }
            Action::Lands => {
                let (shard, n, range) = world.late.take()?;
                Self::create(&mut world, shard, n, range);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the chain has neither gap nor overlap", |_, world: &World| {
                world.chains.iter().enumerate().all(|(shard, chain)| {
                    let ends = [0].into_iter().chain(chain.iter().map(|range| range.end));
                    let linked = chain.iter().zip(ends).all(|(range, end)| range.start == end && range.end > end);
                    linked && chain.last().is_none_or(|last| last.end <= RECORDS[shard])
                })
            }),
            Property::always(
                "a file has the rows its range says, and no file is without a range",
                |_, world: &World| {
                    world.files.iter().zip(&world.chains).all(|(files, chain)| {
                        files.iter().enumerate().all(|(n, file)| match (file, chain.get(n)) {
                            (None, _) => true,
                            (Some(rows), Some(range)) => *rows == (range.start, range.end),
                            (Some(_), None) => false,
                        })
                    })
                },
            ),
            Property::always("only the last range can be incomplete", |_, world: &World| {
                world.files.iter().zip(&world.chains).all(|(files, chain)| {
                    (0..chain.len().saturating_sub(1)).all(|n| files.get(n).is_some_and(Option::is_some))
                })
            }),
            Property::always("no checkpoint is ahead of the lake", |_, world: &World| {
                (0..2).all(|shard| {
                    let whole =
                        |ranges: usize| (0..ranges).all(|n| world.files[shard].get(n).is_some_and(Option::is_some));
                    match world.checks[shard] {
                        Check::None => true,
                        Check::At(n) => world.chains[shard].len() > n as usize && whole(n as usize + 1),
                        Check::End => {
                            let end = world.chains[shard].last().map_or(0, |last| last.end);
                            end == RECORDS[shard] && whole(world.chains[shard].len())
                        }
                    }
                })
            }),
            Property::always("a child has rows only after its parent has all", |_, world: &World| {
                world.chains[1].is_empty() || world.checks[0] == Check::End
            }),
            Property::sometimes("everything is in the lake", |_, world: &World| world.checks == [Check::End; 2]),
        ]
    }
}

#[test]
fn no_history_of_two_workers_breaks_the_range_protocol() {
    let checker = Protocol { mistake: Mistake::None }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!("range protocol: {} states, all properties hold", checker.unique_state_count());
    assert!(checker.unique_state_count() > 10_000);
}

#[test]
fn each_mistake_is_found() {
    for (mistake, broken) in [
        (Mistake::ExistsIsMine, "a file has the rows its range says, and no file is without a range"),
        (Mistake::FilesFirst, "a file has the rows its range says, and no file is without a range"),
        (Mistake::CheckpointFirst, "no checkpoint is ahead of the lake"),
        (Mistake::ChildFirst, "a child has rows only after its parent has all"),
        (Mistake::NoCompletion, "only the last range can be incomplete"),
    ] {
        let checker = Protocol { mistake }.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        assert!(checker.discovery(broken).is_some(), "{mistake:?} was not found");
    }
}
