//! What of a record do the patterns ask for? One walk over its bytes; what they do not name is passed over.

use super::choose::{Found, NOWHERE, Seen};
use super::compile::{Compiled, ROOT, Rule};
use super::matcher::Leaf;
use crate::decode::json::{Cursor, Elements, MAX_DEPTH, Malformed, Members, Text};

type Bytes<'a> = Cursor<'a, [u8]>;

/// Whether a record matches.
pub(super) fn matches(compiled: &Compiled, payload: &[u8], source_arn: Option<&str>) -> Result<bool, Malformed> {
    let mut walk = Walk::new(compiled, true);
    if let Some(answer) = walk.record(payload, source_arn)? {
        return Ok(answer);
    }
    // A member of the top came twice, and the second time it gave hope again.
    Walk::new(compiled, false).record(payload, source_arn).map(|answer| answer.unwrap_or(false))
}

/// Stops a walk.
enum Stop {
    /// A rule is met for certain.
    Certain,
    /// Something was passed over that should not have been.
    Again,
    Malformed(Malformed),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What is known of a rule before the record has ended.
#[derive(Clone, Copy)]
struct Hope {
    /// How many conditions no value outside of arrays has pleased yet.
    open: usize,
    /// A member of the record itself has not pleased one of its conditions. Only if that member comes again can it.
    failed: bool,
}

struct Walk<'c> {
    compiled: &'c Compiled,
    found: Found,
    /// Per rule.
    hopes: Vec<Hope>,
    /// How many rules have failed.
    failures: usize,
    /// Whether to pass over objects once all rules have failed.
    hasty: bool,
    seen_source_arn: bool,
    /// Strings without their escapes.
    scratch: Vec<u8>,
}

impl<'c> Walk<'c> {
    fn new(compiled: &'c Compiled, hasty: bool) -> Self {
        let hope = |rule: &Rule| Hope { open: rule.conditions.len(), failed: false };
        Self {
            compiled,
            found: Found { seen: vec![Seen::default(); compiled.conditions.len()], ..Found::default() },
            hopes: compiled.rules.iter().map(hope).collect(),
            failures: 0,
            hasty,
            seen_source_arn: false,
            scratch: Vec::new(),
        }
    }

    /// Whether the record matches; `None` if it has to be walked again, and not hastily.
    fn record(&mut self, payload: &[u8], source_arn: Option<&str>) -> Result<Option<bool>, Malformed> {
        let mut cursor = Cursor::of_bytes(payload);
        let walked = self.object(&mut cursor, ROOT, NOWHERE, 0).and_then(|()| {
            cursor.end()?;
            match (self.compiled.source_arn(), source_arn) {
                (Some(node), Some(arn)) if !self.seen_source_arn => {
                    self.leaf(node, NOWHERE, Leaf::Text(Some(arn.as_bytes())))
                }
                _ => Ok(()),
            }
        });
        match walked {
            Err(Stop::Certain) => Ok(Some(true)),
            Err(Stop::Again) => Ok(None),
            Err(Stop::Malformed(malformed)) => Err(malformed),
            Ok(()) if self.is_hopeless() => Ok(Some(false)),
            Ok(()) => self.found.any(self.compiled).map(Some),
        }
    }

    /// Whether all rules have failed at the top.
    fn is_hopeless(&self) -> bool {
        self.hasty && self.failures == self.hopes.len()
    }

    fn object(&mut self, cursor: &mut Bytes<'_>, node: usize, place: usize, depth: usize) -> Result<(), Stop> {
        let mut members = Members::open(cursor)?;
        while let Some(name) = members.next_unchecked(cursor)? {
            let child = match self.follow(node, name) {
                Some(child) => child,
                None => {
                    cursor.value_unchecked()?;
                    continue;
                }
            };
            if depth == 0 {
                self.seen_source_arn |= name.is("eventSourceARN");
                self.top(cursor, child)?;
            } else {
                self.value(cursor, child, place, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Takes a member of the record itself.
    fn top(&mut self, cursor: &mut Bytes<'_>, child: usize) -> Result<(), Stop> {
        let compiled = self.compiled;
        let node = compiled.node(child);
        let first = cursor.peek();
        let plain = !matches!(first, Some(b'{' | b'['));
        if self.is_hopeless() && (first == Some(b'{') || node.conditions.is_empty()) {
            cursor.value_unchecked()?;
            return Ok(());
        }
        self.value(cursor, child, NOWHERE, 1)?;
        for &condition in node.conditions.iter().filter(|_| node.top) {
            let seen = &mut self.found.seen[condition];
            match (seen.pleased.is_empty(), seen.failed) {
                (true, false) if plain => {
                    seen.failed = true;
                    self.fail(&compiled.conditions[condition].rules);
                }
                (false, true) if self.hasty => return Err(Stop::Again),
                _ => {}
            }
        }
        Ok(())
    }

    fn fail(&mut self, rules: &[usize]) {
        for &rule in rules {
            self.failures += usize::from(!self.hopes[rule].failed);
            self.hopes[rule].failed = true;
        }
    }

    fn follow(&mut self, node: usize, name: Text<'_, [u8]>) -> Option<usize> {
        if !name.escaped {
            return self.compiled.follow(node, name.raw);
        }
        self.compiled.follow(node, name.decode()?.as_bytes())
    }

    fn value(&mut self, cursor: &mut Bytes<'_>, node: usize, place: usize, depth: usize) -> Result<(), Stop> {
        if depth >= MAX_DEPTH {
            return Err(cursor.malformed("nested too deeply").into());
        }
        match cursor.peek() {
            Some(b'{') if self.compiled.node(node).has_children() => self.object(cursor, node, place, depth),
            Some(b'{') => Ok(cursor.value_unchecked().map(drop)?),
            Some(b'[') => self.array(cursor, node, place, depth),
            _ if self.compiled.node(node).conditions.is_empty() => Ok(cursor.value_unchecked().map(drop)?),
            _ => self.scalar(cursor, node, place),
        }
    }

    /// Takes an array. Plain values in it are as if they stood beside it; objects and arrays exclude each other.
    fn array(&mut self, cursor: &mut Bytes<'_>, node: usize, place: usize, depth: usize) -> Result<(), Stop> {
        let array = self.found.places.open_array();
        let mut elements = Elements::open(cursor)?;
        while elements.next(cursor)? {
            if matches!(cursor.peek(), Some(b'{' | b'[')) {
                let element = self.found.places.open_element(place, array);
                self.value(cursor, node, element, depth + 1)?;
                self.found.places.close_element(element);
            } else {
                self.value(cursor, node, place, depth + 1)?;
            }
        }
        self.found.places.close_array(array);
        Ok(())
    }

    fn scalar(&mut self, cursor: &mut Bytes<'_>, node: usize, place: usize) -> Result<(), Stop> {
        let leaf = match cursor.peek() {
            Some(b'"') => {
                let text = cursor.string()?;
                if text.escaped {
                    return self.escaped(node, place, text);
                }
                Leaf::Text(Some(text.raw))
            }
            Some(b't') if cursor.literal("true") => Leaf::True,
            Some(b'f') if cursor.literal("false") => Leaf::False,
            Some(b'n') if cursor.literal("null") => Leaf::Null,
            _ => Leaf::Number(cursor.number()?),
        };
        self.leaf(node, place, leaf)
    }

    fn escaped(&mut self, node: usize, place: usize, text: Text<'_, [u8]>) -> Result<(), Stop> {
        let mut plain = std::mem::take(&mut self.scratch);
        plain.clear();
        let is_text = text.decode_into(&mut plain);
        let done = self.leaf(node, place, Leaf::Text(is_text.then_some(&plain)));
        self.scratch = plain;
        done
    }

    /// Shows a value to the conditions of its path.
    fn leaf(&mut self, node: usize, place: usize, leaf: Leaf<'_>) -> Result<(), Stop> {
        let compiled = self.compiled;
        for &number in &compiled.node(node).conditions {
            let condition = &compiled.conditions[number];
            let seen = &mut self.found.seen[number];
            if condition.absence {
                note(&mut seen.present, place);
            }
            if !condition.accepts(leaf) {
                continue;
            }
            note(&mut seen.pleased, place);
            if place != NOWHERE || std::mem::replace(&mut seen.outside, true) {
                continue;
            }
            for &rule in &condition.rules {
                self.hopes[rule].open -= 1;
                if self.hopes[rule].open == 0 && !compiled.rules[rule].absence {
                    return Err(Stop::Certain);
                }
            }
        }
        Ok(())
    }
}

/// Remembers a place once.
fn note(places: &mut Vec<usize>, place: usize) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}
