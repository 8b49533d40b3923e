//! What the index must never do is to leave out a range that holds a record; how much it finds in vain is measured.

use super::*;
use proptest::prelude::*;

fn number(n: u64) -> SequenceNumber {
    SequenceNumber::parse(&format!("49653934577403172270036403236523229901{n:018}")).unwrap()
}

fn member(n: u64) -> Member {
    Member { sequence: number(n), tag: None, subs: (0, 0) }
}

/// A chain in memory.
#[derive(Default)]
struct Chain(Vec<Members>);

impl Chain {
    fn push(&mut self, mut list: Vec<Member>) {
        list.sort_unstable();
        let before = self.0.last().map_or_else(Vec::new, |last| last.next(self.0.len() as u64 - 1));
        let members = Members { list, before };
        let stored = serde_json::to_string(&members).unwrap();
        assert_eq!(serde_json::from_str::<Members>(&stored).unwrap(), members);
        self.0.push(members);
    }

    /// What is left of `wanted`, and how many ranges were looked at.
    fn look_up(&self, wanted: &mut Wanted) -> usize {
        let Some(last) = self.0.last() else { return 0 };
        let mut looked = 0;
        let mut nodes = last.next(self.0.len() as u64 - 1);
        while let Some(node) = nodes.pop() {
            if wanted.may_be_in(&node) {
                let range = &self.0[node.end() as usize - 1];
                looked += 1;
                wanted.take_away(&range.list);
                nodes.extend(range.before.iter().filter(|inner| inner.first >= node.first).cloned());
            }
        }
        looked
    }
}

proptest! {
    #[test]
    fn members_come_back(
        list in proptest::collection::vec(("[1-9][0-9]{0,128}", proptest::option::of(any::<u32>()), 0..3u32, 0..9u32), 0..20),
    ) {
        let list: Vec<_> = list.into_iter().map(|(sequence, tag, from, more)| {
            Member { sequence: SequenceNumber::parse(&sequence).unwrap(), tag, subs: (from, from + more) }
        }).collect();
        let members = Members { list, before: Vec::new() };
        let stored = serde_json::to_vec(&members).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Members>(&stored).unwrap(), members);
    }

    #[test]
    fn no_range_that_holds_a_record_is_left_out(
        chain in proptest::collection::vec(proptest::collection::btree_set(0..400_u64, 1..4), 0..200),
        asked in proptest::collection::btree_set(0..400_u64, 1..20),
    ) {
        let mut built = Chain::default();
        let mut held = std::collections::BTreeSet::new();
        for list in chain {
            held.extend(list.iter().copied());
            built.push(list.into_iter().map(member).collect());
        }
        let mut wanted = Wanted::new(asked.iter().map(|&n| member(n)).collect());
        built.look_up(&mut wanted);
        for n in asked {
            prop_assert_eq!(wanted.contains(&member(n)), !held.contains(&n));
        }
    }
}

#[test]
fn a_long_chain_of_several_shards_is_searched_with_few_looks() {
    // Five shards take turns; each has numbers of its own, which grow.
    let mut chain = Chain::default();
    let batch = |shard: u64, turn: u64| (0..10).map(|n| member(shard * 1_000_000_000 + turn * 10 + n)).collect();
    for turn in 0..4000 {
        chain.push(batch(turn % 5, turn / 5));
    }
    // What is new is known to be new by the last range alone.
    assert_eq!(chain.look_up(&mut Wanted::new(batch(3, 800))), 0);
    // What came at any time is found by a look at each level.
    for turn in [0, 17, 1999, 3999] {
        let mut wanted = Wanted::new(batch(turn % 5, turn / 5));
        let looked = chain.look_up(&mut wanted);
        assert!(wanted.is_empty() && looked <= 12, "{looked} looks for turn {turn}");
    }
    let size = serde_json::to_vec(chain.0.last().unwrap()).unwrap().len();
    assert!(size < 64 << 10, "a range of {size} bytes");
}

#[test]
fn tags_tell_equal_numbers_of_two_shards_apart_and_parts_of_an_aggregate_are_parts() {
    let of = |tag, subs| Member { sequence: number(7), tag, subs };
    let mut wanted = Wanted::new(vec![of(Some(1), (0, 0)), of(Some(2), (0, 0))]);
    wanted.take_away(&[of(Some(1), (0, 0))]);
    assert!(wanted.contains(&of(Some(2), (0, 0))) && !wanted.contains(&of(Some(1), (0, 0))));

    let mut list = Vec::new();
    (0..=4).for_each(|sub| add(&mut list, of(None, (sub, sub))));
    assert_eq!(list, [of(None, (0, 4))]);
    let mut wanted = Wanted::new((0..9).map(|sub| of(None, (sub, sub))).collect());
    wanted.take_away(&list);
    assert!(!wanted.contains(&of(None, (4, 4))) && wanted.contains(&of(None, (5, 5))));
}

#[test]
fn a_damaged_index_is_refused() {
    for broken in [
        r#"{"prefix":"","rest":"x","before":[]}"#,
        r#"{"prefix":"1","rest":"2/3","before":[]}"#,
        r#"{"prefix":"1","rest":"2.zz","before":[]}"#,
        r#"{"prefix":"","rest":"","before":["1+1 1-2"]}"#,
        r#"{"prefix":"","rest":"","before":["0+0"]}"#,
        r#"{"prefix":"","rest":"","before":["0+1 1"]}"#,
    ] {
        assert!(serde_json::from_str::<Members>(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_batch_has_all_members_or_not() {
    let record = |n: u64, sub: u32| Record {
        position: Position { sequence: number(n), sub },
        channel: Channel::Kinesis,
        table: None,
        payload: bytes::Bytes::from_static(b"{}"),
    };
    let mut list = Vec::new();
    for held in [record(3, 0), record(7, 0), record(7, 1), record(7, 2)] {
        add(&mut list, Member::of(&held));
    }
    let members = Members { list, before: Vec::new() };
    let batch = [record(9, 0), record(7, 2), record(7, 0), record(3, 0), record(7, 1), record(7, 1), record(7, 3)];
    let picked = members.pick(&batch).unwrap();
    let positions: Vec<_> = picked.iter().map(|record| record.position).collect();
    assert_eq!(positions, [record(3, 0), record(7, 0), record(7, 1), record(7, 2)].map(|record| record.position));
    assert!(members.pick(&batch[..4]).is_none());
}
