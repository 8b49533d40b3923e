//! Which steps lead to which conditions? All patterns of a filter in one tree, so that a record is walked once.

use super::matcher::{Leaf, Matcher};
use super::parse::Pattern;

/// Where Lambda and the Streams API spell two members differently.
pub(super) const IDENTITY: &str = "userIdentity";

/// The member that Lambda adds to a record.
const SOURCE_ARN: &str = "eventSourceARN";

/// The patterns of a filter, ready for records.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    nodes: Vec<Node>,
    pub(super) conditions: Vec<Condition>,
    pub(super) rules: Vec<Rule>,
}

/// A place in the tree of steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// The steps from here, none of which has a `.`.
    children: Vec<(Box<str>, usize)>,
    /// What is wanted of values here.
    pub(super) conditions: Vec<usize>,
    /// The record's own members lead here.
    pub(super) top: bool,
    /// The members of `userIdentity` are here.
    identity: bool,
}

impl Node {
    /// Whether anything is wanted of objects here.
    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

/// A field of a pattern.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    matchers: Vec<Matcher>,
    /// Whether it is pleased by absence too.
    pub(super) absence: bool,
    /// The rules that want it.
    pub(super) rules: Vec<usize>,
}

impl Condition {
    pub(super) fn accepts(&self, leaf: Leaf<'_>) -> bool {
        self.matchers.iter().any(|matcher| matcher.accepts(leaf))
    }
}

/// Conditions that have to be met together; in the order of their paths.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) conditions: Vec<usize>,
    /// Whether absence pleases one of them: then nothing is certain before the record has ended.
    pub(super) absence: bool,
}

/// The root of the tree.
pub(super) const ROOT: usize = 0;

impl Compiled {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        let mut all = Self { nodes: vec![Node::default()], conditions: Vec::new(), rules: Vec::new() };
        for Pattern { fields, rules } in patterns {
            let first = all.conditions.len();
            for field in fields {
                all.add_condition(&field.path, field.matchers);
            }
            for fields in rules {
                all.add_rule(fields.into_iter().map(|field| first + field).collect());
            }
        }
        all.drop_overridden();
        all
    }

    fn add_condition(&mut self, path: &str, matchers: Vec<Matcher>) {
        let mut node = ROOT;
        for step in path.split('.') {
            node = self.child(node, step).unwrap_or_else(|| self.add_node(node, step));
        }
        let absence = matchers.contains(&Matcher::Absent);
        self.nodes[node].conditions.push(self.conditions.len());
        self.conditions.push(Condition { matchers, absence, rules: Vec::new() });
    }

    fn add_node(&mut self, parent: usize, step: &str) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node { top: parent == ROOT, identity: parent == ROOT && step == IDENTITY, ..Node::default() });
        self.nodes[parent].children.push((step.into(), node));
        node
    }

    fn add_rule(&mut self, conditions: Vec<usize>) {
        let mut absence = false;
        for &condition in &conditions {
            let condition = &mut self.conditions[condition];
            condition.rules.push(self.rules.len());
            absence |= condition.absence;
        }
        self.rules.push(Rule { conditions, absence });
    }

    /// What no rule wants, because a later array took its place, is not to be looked at.
    fn drop_overridden(&mut self) {
        for node in &mut self.nodes {
            node.conditions.retain(|&condition| !self.conditions[condition].rules.is_empty());
        }
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// The node of `eventSourceARN`, if it is asked for.
    pub(super) fn source_arn(&self) -> Option<usize> {
        self.child(ROOT, SOURCE_ARN).filter(|&node| !self.node(node).conditions.is_empty())
    }

    /// Where a member's name leads, which may be several steps in one.
    #[inline]
    pub(super) fn follow(&self, node: usize, name: &[u8]) -> Option<usize> {
        let node_here = &self.nodes[node];
        if !node_here.identity {
            let found = node_here.children.iter().find(|(step, _)| step.as_bytes() == name);
            if let Some((_, child)) = found {
                return Some(*child);
            }
            memchr::memchr(b'.', name)?;
        }
        let mut steps = std::str::from_utf8(name).ok()?.split('.');
        steps.try_fold(node, |node, step| self.child(node, step))
    }

    fn child(&self, node: usize, step: &str) -> Option<usize> {
        let node = &self.nodes[node];
        let step = if node.identity { identity_member(step) } else { step };
        node.children.iter().find(|(child, _)| **child == *step).map(|(_, child)| *child)
    }
}

/// Lambda's spelling of a member of `userIdentity`.
pub(super) fn identity_member(name: &str) -> &str {
    match name {
        "Type" => "type",
        "PrincipalId" => "principalId",
        other => other,
    }
}
