//! What does a pattern mean, said as plainly as can be? On trees, trying everything, for tests to compare with.
//!
//! Patterns are taken to be right, and to name no member twice.

use std::collections::BTreeMap;

use serde_json::Value;

/// A plain value of an event: its path, itself, and which element of which array it is in.
type Leaf<'a> = (String, &'a Value, BTreeMap<usize, usize>);

/// Whether `event` matches `pattern`.
pub(super) fn matches(pattern: &Value, event: &Value) -> bool {
    let mut leaves = Vec::new();
    flatten("", event, &BTreeMap::new(), &mut 0, &mut leaves);
    let mut rules = vec![BTreeMap::new()];
    unfold("", pattern, &mut rules);
    rules.iter().any(|rule| {
        let fields: Vec<_> = rule.iter().collect();
        can_meet(&fields, &leaves, &BTreeMap::new())
    })
}

fn join(path: &str, step: &str) -> String {
    let step = match (path, step) {
        ("userIdentity", "Type") => "type",
        ("userIdentity", "PrincipalId") => "principalId",
        _ => step,
    };
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

fn flatten<'a>(
    path: &str,
    value: &'a Value,
    within: &BTreeMap<usize, usize>,
    arrays: &mut usize,
    out: &mut Vec<Leaf<'a>>,
) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| flatten(&join(path, name), value, within, arrays, out));
        }
        Value::Array(elements) => {
            *arrays += 1;
            let array = *arrays;
            for (at, element) in elements.iter().enumerate() {
                let mut within = within.clone();
                if element.is_object() || element.is_array() {
                    within.insert(array, at);
                }
                flatten(path, element, &within, arrays, out);
            }
        }
        plain => out.push((path.to_owned(), plain, within.clone())),
    }
}

/// All ways in which the branches of `$or` combine: arrays by path.
fn unfold<'a>(path: &str, pattern: &'a Value, rules: &mut Vec<BTreeMap<String, &'a [Value]>>) {
    for (name, value) in pattern.as_object().unwrap() {
        match value {
            Value::Array(branches) if name == "$or" => {
                let before = std::mem::take(rules);
                for branch in branches {
                    let mut with = before.clone();
                    unfold(path, branch, &mut with);
                    rules.extend(with);
                }
            }
            Value::Array(matchers) => {
                for rule in rules.iter_mut() {
                    rule.insert(join(path, name), matchers);
                }
            }
            object => unfold(&join(path, name), object, rules),
        }
    }
}

fn can_meet(fields: &[(&String, &&[Value])], leaves: &[Leaf<'_>], chosen: &BTreeMap<usize, usize>) -> bool {
    let [(path, matchers), later @ ..] = fields else { return true };
    let agree = |within: &BTreeMap<usize, usize>| {
        within.iter().all(|(array, at)| chosen.get(array).is_none_or(|other| at == other))
    };
    let here: Vec<_> = leaves.iter().filter(|(of, _, within)| of == *path && agree(within)).collect();
    let absent = matchers.iter().any(|matcher| matcher["exists"] == Value::Bool(false));
    let by_value = here.iter().any(|(_, value, within)| {
        let both = chosen.iter().chain(within).map(|(array, at)| (*array, *at)).collect();
        matchers.iter().any(|matcher| accepts(matcher, value)) && can_meet(later, leaves, &both)
    });
    by_value || absent && here.is_empty() && can_meet(later, leaves, chosen)
}

fn accepts(matcher: &Value, value: &Value) -> bool {
    let Some(operator) = matcher.as_object() else { return same(matcher, value) };
    let (name, operand) = operator.iter().next().unwrap();
    let text = value.as_str();
    match name.as_str() {
        "exactly" => operand == value,
        "prefix" => match operand.get("equals-ignore-case") {
            Some(of) => text.is_some_and(|text| fold(text).starts_with(&fold(of.as_str().unwrap()))),
            None => text.is_some_and(|text| text.starts_with(operand.as_str().unwrap())),
        },
        "suffix" => match operand.get("equals-ignore-case") {
            Some(of) => text.is_some_and(|text| fold(text).ends_with(&fold(of.as_str().unwrap()))),
            None => text.is_some_and(|text| text.ends_with(operand.as_str().unwrap())),
        },
        "equals-ignore-case" => text.is_some_and(|text| fold(text) == fold(operand.as_str().unwrap())),
        "wildcard" => text.is_some_and(|text| wild(operand.as_str().unwrap(), text)),
        "exists" => operand == &Value::Bool(true),
        "anything-but" => {
            let (inner, operand) = match operand.as_object() {
                Some(inner) => inner.iter().map(|(name, operand)| (Some(name), operand)).next().unwrap(),
                None => (None, operand),
            };
            let list = operand.as_array().cloned().unwrap_or_else(|| vec![operand.clone()]);
            !list.iter().any(|operand| match inner {
                Some(name) => accepts(&serde_json::json!({ name: operand }), value),
                None => same(operand, value),
            })
        }
        "numeric" => {
            let sides = operand.as_array().unwrap();
            value.as_f64().is_some_and(|number| {
                sides.chunks(2).all(|side| {
                    let bound = side[1].as_f64().unwrap();
                    match side[0].as_str().unwrap() {
                        "=" => number == bound,
                        "<" => number < bound,
                        "<=" => number <= bound,
                        ">" => number > bound,
                        _ => number >= bound,
                    }
                })
            })
        }
        other => panic!("{other}"),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|one| other.as_f64() == Some(one))
}

/// Enough for the characters that the tests use.
fn fold(text: &str) -> String {
    text.chars().map(|character| if character == 'É' { 'é' } else { character.to_ascii_lowercase() }).collect()
}

fn wild(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    match pattern.next() {
        None => text.next().is_none(),
        Some('*') => {
            let rest = text.as_str();
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| wild(pattern.as_str(), &rest[at..]))
        }
        Some('\\') => text.next() == pattern.next() && wild(pattern.as_str(), text.as_str()),
        Some(character) => text.next() == Some(character) && wild(pattern.as_str(), text.as_str()),
    }
}
