//! Chains by membership: how does a range say which records it holds where these come in no order, and how are earlier
//! ranges found that hold one of them?
//!
//! Each range lists its *members*, and carries an index of all ranges before it: a tree of 32 branches, of which a range has
//! the nodes to its left. A node says between which sequence numbers the members of its ranges lie.
//!
//! ```text
//!  before(37) = [ 0..32 ] [32] [33] [34] [35] [36]        before(31) = [0] [1] … [30]
//!                   └─ what is in it: before(31), and range 31 itself
//! ```
//!
//! So one object, the last range, tells which others can hold a record; mostly that is none.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bug::{self, Bug};
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::decode::envelope;

/// Branches of the index.
const FAN: usize = 32;

/// The most spans of a node. One table has many shards, each with numbers of its own; the closest spans become one.
const SPANS: usize = 8;

/// A record of the service, or some user records of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(super) sequence: SequenceNumber,
    /// A digest of DynamoDB's `eventID`: its sequence numbers are unique within a shard, and a chain may have all shards of
    /// a stream.
    tag: Option<u32>,
    /// The first and the last place inside an aggregate.
    subs: (u32, u32),
}

impl Member {
    pub(super) fn of(record: &Record) -> Self {
        let Position { sequence, sub } = record.position;
        let several = record.channel == Channel::Streams && !bug::is_made(Bug::SequenceAlone);
        let tag = several.then(|| {
            let change = envelope::read(&record.payload, record.channel).ok();
            let id = change.and_then(|change| change.event_id);
            let digest = Sha256::digest(id.as_ref().map_or(&record.payload[..], |id| id.as_bytes()));
            u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
        });
        Self { sequence, tag, subs: (sub, sub) }
    }

    fn holds(&self, other: &Self) -> bool {
        let (of, within) = (|member: &Self| (member.sequence, member.tag), self.subs.0..=self.subs.1);
        of(self) == of(other) && within.contains(&other.subs.0) && within.contains(&other.subs.1)
    }

    /// Its digits behind `skip`, then `.` and its tag, then `/` and its places, where it has such.
    fn write(&self, skip: usize) -> String {
        let mut text = self.sequence.as_str()[skip..].to_owned();
        if let Some(tag) = self.tag {
            text += &format!(".{tag:08x}");
        }
        if self.subs != (0, 0) {
            text += &format!("/{}-{}", self.subs.0, self.subs.1);
        }
        text
    }

    fn parse(prefix: &str, text: &str) -> Result<Self, String> {
        let refuse = || format!("`{prefix}{text}` is no member");
        let (text, subs) = match text.split_once('/') {
            Some((text, subs)) => (text, subs.split_once('-').ok_or_else(refuse)?),
            None => (text, ("0", "0")),
        };
        let (digits, tag) = match text.split_once('.') {
            Some((digits, tag)) => (digits, Some(u32::from_str_radix(tag, 16).map_err(|_| refuse())?)),
            None => (text, None),
        };
        let sequence = SequenceNumber::parse(&format!("{prefix}{digits}")).map_err(|error| error.to_string())?;
        let subs = (subs.0.parse().map_err(|_| refuse())?, subs.1.parse().map_err(|_| refuse())?);
        Ok(Self { sequence, tag, subs })
    }
}

/// Adds the member that a record is; what follows inside an aggregate extends the last one.
pub(super) fn add(members: &mut Vec<Member>, member: Member) {
    if let Some(last) = members.last_mut()
        && (last.sequence, last.tag) == (member.sequence, member.tag)
        && last.subs.1.checked_add(1) == Some(member.subs.0)
    {
        last.subs.1 = member.subs.1;
        return;
    }
    members.push(member);
}

/// What a range says of its members, and of all ranges before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Members {
    pub(crate) list: Vec<Member>,
    pub(crate) before: Vec<Node>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// What all sequence numbers begin with.
    prefix: String,
    /// What follows, member by member.
    rest: String,
    before: Vec<String>,
}

impl From<Members> for Stored {
    fn from(members: Members) -> Self {
        let list = &members.list;
        let prefix =
            list.first().map_or("", |first| common(first.sequence.as_str(), members.list.iter().map(|m| m.sequence)));
        let rest: Vec<String> = list.iter().map(|member| member.write(prefix.len())).collect();
        let before = members.before.iter().map(Node::write).collect();
        Self { prefix: prefix.to_owned(), rest: rest.join(" "), before }
    }
}

impl TryFrom<Stored> for Members {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let texts = stored.rest.split(' ').filter(|text| !text.is_empty());
        let list: Vec<_> = texts.map(|text| Member::parse(&stored.prefix, text)).collect::<Result<_, _>>()?;
        let before: Vec<_> = stored.before.iter().map(|text| Node::parse(text)).collect::<Result<_, _>>()?;
        let mut next = 0;
        for node in &before {
            if node.first != next {
                return Err(format!("its index has no range {next}"));
            }
            next = node.end();
        }
        Ok(Self { list, before })
    }
}

/// What all begin with, but for at least one digit; nothing if they are of different lengths.
fn common(first: &str, all: impl Iterator<Item = SequenceNumber>) -> &str {
    let mut common = first.len().saturating_sub(1);
    for sequence in all {
        let text = sequence.as_str();
        if text.len() != first.len() {
            return "";
        }
        common = first.bytes().zip(text.bytes()).take(common).take_while(|(a, b)| a == b).count();
    }
    &first[..common]
}

impl Members {
    /// Of some records those that are the members, in order; `None` if one is missing.
    pub(super) fn pick(&self, records: &[Record]) -> Option<Vec<Record>> {
        let members: Vec<Member> = records.iter().map(Member::of).collect();
        let mut others = Wanted::new(members.clone());
        others.take_away(&self.list);
        let mut seen = HashSet::new();
        let held = records.iter().zip(members).filter(|(_, member)| !others.contains(member) && seen.insert(*member));
        let mut picked: Vec<Record> = held.map(|(record, _)| record.clone()).collect();
        picked.sort_by_key(|record| record.position);
        let places = |member: &Member| u64::from(member.subs.1 - member.subs.0) + 1;
        (picked.len() as u64 == self.list.iter().map(places).sum::<u64>()).then_some(picked)
    }

    /// The index of the range behind this one, which is range `n`.
    pub(super) fn next(&self, n: u64) -> Vec<Node> {
        let mut nodes = self.before.clone();
        let mut node = Node { first: n, count: 1, spans: Vec::new() };
        let sequences = || self.list.iter().map(|member| member.sequence);
        node.spans.extend(sequences().min().zip(sequences().max()));
        nodes.push(node);
        // As with digits: the thirty-second of a kind makes one of the next.
        while let Some(merged) = merge_last(&nodes) {
            nodes.truncate(nodes.len() - FAN);
            nodes.push(merged);
        }
        nodes
    }
}

fn merge_last(nodes: &[Node]) -> Option<Node> {
    let last = nodes.len().checked_sub(FAN).map(|from| &nodes[from..])?;
    if last.iter().any(|node| node.count != last[0].count) {
        return None;
    }
    let spans = last.iter().flat_map(|node| node.spans.iter().copied()).collect();
    Some(Node { first: last[0].first, count: last[0].count.saturating_mul(FAN as u64), spans: join(spans) })
}

/// Overlapping spans are one, and so are the closest while there are too many. A span may hold too much, never too little.
fn join(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => joined.push(span),
        }
    }
    if joined.len() > SPANS {
        // Numbers begin alike, and only what follows tells how far apart they are.
        let ends = joined.iter().flat_map(|span| [span.0, span.1]);
        let skip = joined.first().map_or(0, |first| common(first.0.as_str(), ends).len());
        let gap = |before: Span, behind: Span| about(behind.0, skip) - about(before.1, skip);
        while joined.len() > SPANS {
            let gaps = joined.windows(2).map(|pair| gap(pair[0], pair[1]));
            let Some((closest, _)) = gaps.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)) else { break };
            joined[closest].1 = joined[closest + 1].1;
            joined.remove(closest + 1);
        }
    }
    joined
}

/// Its size behind some digits, for distances: only how good the index is depends on it.
fn about(sequence: SequenceNumber, skip: usize) -> f64 {
    sequence.as_str()[skip..].parse().unwrap_or(f64::MAX)
}

/// The lowest and the highest of some sequence numbers.
type Span = (SequenceNumber, SequenceNumber);

/// One range of the index, or 32, or 1024, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(super) first: u64,
    pub(super) count: u64,
    /// Between which sequence numbers all members lie.
    spans: Vec<Span>,
}

impl Node {
    /// The number behind its last range.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The highest number of its members.
    pub(super) fn highest(&self) -> Option<SequenceNumber> {
        self.spans.iter().map(|(_, high)| *high).max()
    }

    fn write(&self) -> String {
        let spans = self.spans.iter().map(|(low, high)| format!(" {low}-{high}"));
        std::iter::once(format!("{}+{}", self.first, self.count)).chain(spans).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no node of an index");
        let mut words = text.split(' ');
        let (first, count) = words.next().and_then(|head| head.split_once('+')).ok_or_else(refuse)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| refuse());
        let spans = words.map(|word| {
            let (low, high) = word.split_once('-').ok_or_else(refuse)?;
            let sequence = |text: &str| SequenceNumber::parse(text).map_err(|_| refuse());
            Ok::<_, String>((sequence(low)?, sequence(high)?))
        });
        let node = Self { first: number(first)?, count: number(count)?, spans: spans.collect::<Result<_, _>>()? };
        if node.count == 0 { Err(refuse()) } else { Ok(node) }
    }
}

/// Records of which it is not known yet whether a range has them, sorted.
#[derive(Debug, Default)]
pub(super) struct Wanted(Vec<Member>);

impl Wanted {
    pub(super) fn new(mut members: Vec<Member>) -> Self {
        members.sort_unstable();
        Self(members)
    }

    /// Whether a range of a node may hold one of them.
    pub(super) fn may_be_in(&self, node: &Node) -> bool {
        node.spans.iter().any(|(low, high)| {
            let at = self.0.partition_point(|member| member.sequence < *low);
            self.0.get(at).is_some_and(|member| member.sequence <= *high)
        })
    }

    /// Takes away what a range holds.
    pub(super) fn take_away(&mut self, held: &[Member]) {
        let mut gone = vec![false; self.0.len()];
        for holder in held {
            let from = self.0.partition_point(|member| member.sequence < holder.sequence);
            let same = self.0[from..].iter().take_while(|member| member.sequence == holder.sequence);
            for (at, _) in same.enumerate().filter(|(_, member)| holder.holds(member)) {
                gone[from + at] = true;
            }
        }
        let mut gone = gone.into_iter();
        self.0.retain(|_| !gone.next().unwrap_or(false));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, member: &Member) -> bool {
        self.0.binary_search(member).is_ok()
    }
}

#[cfg(test)]
mod tests;
