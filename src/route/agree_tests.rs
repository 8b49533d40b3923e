//! Does the walk over bytes give the answer of the plain definition, for any pattern and any event?

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Few names and texts, so that patterns and events meet.
fn name() -> impl Strategy<Value = String> {
    const NAMES: [&str; 10] = ["a", "b", "c", "a.b", "b\"", "é", "type", "Type", "userIdentity", "a!"];
    proptest::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    const TEXTS: [&str; 12] = ["", "x", "X", "xy", "xyx", "é", "É", "*", "\\", "a\n\"", "1", "😀x"];
    proptest::sample::select(&TEXTS[..]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![json!(0), json!(1), json!(-1), json!(1.5), json!(300), json!(300.0), json!(2e-7)])
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::String),
        2 => number(),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ]
}

fn object(value: impl Strategy<Value = Value>, names: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
    proptest::collection::vec((name(), value), names)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn event() -> impl Strategy<Value = Value> {
    let value = plain().prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            1 => plain(),
            2 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            3 => object(inner, 0..4),
        ]
    });
    object(value, 0..5)
}

fn wildcard() -> impl Strategy<Value = String> {
    let pieces = proptest::collection::vec(proptest::sample::select(vec!["*", "x", "y", "\\*", "\\\\", "é"]), 0..5);
    pieces.prop_map(|pieces| pieces.concat()).prop_filter("no two asterisks in a row", |text| !text.contains("**"))
}

fn some(one: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = Value> {
    let list = proptest::collection::vec(one.clone(), 1..3).prop_map(|list| json!(list));
    prop_oneof![one.prop_map(Value::String), list]
}

fn matcher() -> impl Strategy<Value = Value> {
    let full = || text().prop_filter("not empty", |text| !text.is_empty());
    prop_oneof![
        6 => plain(),
        1 => text().prop_map(|text| json!({"exactly": text})),
        1 => text().prop_map(|text| json!({"prefix": text})),
        1 => text().prop_map(|text| json!({"suffix": text})),
        1 => text().prop_map(|text| json!({"prefix": {"equals-ignore-case": text}})),
        1 => text().prop_map(|text| json!({"suffix": {"equals-ignore-case": text}})),
        1 => text().prop_map(|text| json!({"equals-ignore-case": text})),
        2 => wildcard().prop_map(|text| json!({"wildcard": text})),
        1 => some(text().boxed()).prop_map(|texts| json!({"anything-but": texts})),
        1 => proptest::collection::vec(number(), 1..3).prop_map(|numbers| json!({"anything-but": numbers})),
        1 => some(full().boxed()).prop_map(|texts| json!({"anything-but": {"prefix": texts}})),
        1 => some(full().boxed()).prop_map(|texts| json!({"anything-but": {"suffix": texts}})),
        1 => some(text().boxed()).prop_map(|texts| json!({"anything-but": {"equals-ignore-case": texts}})),
        1 => some(wildcard().boxed()).prop_map(|texts| json!({"anything-but": {"wildcard": texts}})),
        1 => (proptest::sample::select(vec!["=", "<", "<=", ">", ">="]), number())
            .prop_map(|(comparison, number)| json!({"numeric": [comparison, number]})),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(from, to)| {
            json!({"numeric": [if from { ">" } else { ">=" }, 0, if to { "<" } else { "<=" }, 1.5]})
        }),
        3 => Just(json!({"exists": true})),
        6 => Just(json!({"exists": false})),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    let matchers = || proptest::collection::vec(matcher(), 1..4).prop_map(Value::Array);
    // Of two names of one path (`a.b` and `a` with `b`) it would matter which comes last; a tree forgets that.
    let fields = object(matchers(), 1..4).prop_recursive(
        3,
        12,
        3,
        move |inner| prop_oneof![2 => object(prop_oneof![inner.clone(), matchers()], 1..4), 1 => with_or(inner)],
    );
    fields.prop_filter("paths differ", |pattern| {
        let mut paths = Vec::new();
        collect("", pattern, &mut paths);
        let count = paths.len();
        paths.sort();
        paths.dedup();
        paths.len() == count
    })
}

fn with_or(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    (inner.clone(), proptest::collection::vec(inner, 2..4)).prop_map(|(mut beside, branches)| {
        beside["$or"] = Value::Array(branches);
        beside
    })
}

/// The paths of a pattern that are there at the same time.
fn collect(path: &str, pattern: &Value, out: &mut Vec<String>) {
    for (name, value) in pattern.as_object().into_iter().flatten() {
        let path = format!("{path}.{}", if name == "Type" { "type" } else { name });
        match value {
            Value::Array(branches) if name == "$or" => {
                branches.iter().for_each(|branch| collect(path.trim_end_matches(".$or"), branch, out));
            }
            Value::Array(_) => out.push(path),
            object => collect(&path, object, out),
        }
    }
}

/// Events that are little else than arrays of objects, of few names and values.
fn array_event() -> impl Strategy<Value = Value> {
    let value = || proptest::sample::select(vec![json!("x"), json!("y"), json!(["x", "y"])]);
    let leaves = proptest::collection::vec((proptest::sample::select(vec!["a", "b", "c"]), value()), 1..3);
    let leaves = leaves.prop_map(|members| members.into_iter().collect::<Value>());
    leaves.prop_recursive(3, 24, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::Array);
        let lists = proptest::collection::vec((proptest::sample::select(vec!["b", "l", "m"]), list.clone()), 1..3);
        let both = (inner.clone(), lists).prop_map(|(mut object, lists)| {
            lists.into_iter().for_each(|(name, list)| object[name] = list);
            object
        });
        let nested = (inner, list).prop_map(|(mut object, list)| {
            object["l"] = json!([list.clone(), "x", list]);
            object
        });
        prop_oneof![5 => both, 1 => nested]
    })
}

/// Patterns that ask for several members of such objects.
fn array_pattern() -> impl Strategy<Value = Value> {
    let matchers = proptest::sample::select(vec![
        json!(["x"]),
        json!(["x"]),
        json!(["y"]),
        json!([{"exists": false}]),
        json!(["x", {"exists": false}]),
        json!([{"anything-but": "x"}]),
    ]);
    let leaves = proptest::collection::vec((proptest::sample::select(vec!["a", "b", "c"]), matchers), 1..4);
    let leaves = leaves.prop_map(|members| members.into_iter().collect::<Value>());
    leaves.prop_recursive(3, 6, 2, |inner| {
        (inner.clone(), proptest::sample::select(vec!["b", "l", "l", "m"]), inner).prop_map(
            |(mut object, name, within)| {
                object[name] = within;
                object
            },
        )
    })
}

/// Writes a value with white space and escapes wherever `odd` says so.
fn write(value: &Value, odd: &mut impl Iterator<Item = u8>, out: &mut String) {
    const SPACES: [&str; 4] = ["", "", " ", "\n\t"];
    let mut space = |out: &mut String| out.push_str(SPACES[usize::from(odd.next().unwrap_or(0)) % 4]);
    space(out);
    let (open, close, members) = match value {
        Value::Object(members) => {
            ('{', '}', members.iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>())
        }
        Value::Array(elements) => ('[', ']', elements.iter().map(|value| (None, value)).collect()),
        Value::String(text) => return write_text(text, odd, out),
        other => return out.push_str(&other.to_string()),
    };
    out.push(open);
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if let Some(name) = name {
            write_text(name, odd, out);
            out.push(':');
        }
        write(value, odd, out);
    }
    out.push(close);
}

fn write_text(text: &str, odd: &mut impl Iterator<Item = u8>, out: &mut String) {
    if !odd.next().unwrap_or(0).is_multiple_of(3) {
        return out.push_str(&serde_json::to_string(text).unwrap());
    }
    out.push('"');
    text.encode_utf16().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
    out.push('"');
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bytes_are_matched_like_trees(pattern in pattern(), events in prop::collection::vec(event(), 1..6), odd: Vec<u8>) {
        let mut odd = odd.into_iter();
        let mut text = String::new();
        write(&pattern, &mut odd, &mut text);
        let filter = Filter::parse(&[&text], Extensions::default()).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        for event in events {
            let mut record = String::new();
            write(&event, &mut odd, &mut record);
            let expected = reference::matches(&pattern, &event);
            prop_assert_eq!(filter.matches(record.as_bytes(), None), Ok(expected), "{} {}", text, record);
        }
    }

    #[test]
    fn elements_of_arrays_are_chosen_like_those_of_trees(
        pattern in array_pattern(), events in prop::collection::vec(array_event(), 1..12),
    ) {
        let filter = Filter::parse(&[&pattern.to_string()], Extensions::default()).unwrap();
        for event in events {
            let (record, expected) = (event.to_string(), reference::matches(&pattern, &event));
            prop_assert_eq!(filter.matches(record.as_bytes(), None), Ok(expected), "{} {}", pattern, record);
        }
    }

    #[test]
    fn several_patterns_are_matched_like_each_alone(patterns in prop::collection::vec(pattern(), 1..4), event in event()) {
        let texts: Vec<_> = patterns.iter().map(Value::to_string).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let together = Filter::parse(&texts, Extensions::default()).unwrap();
        let expected = patterns.iter().any(|pattern| reference::matches(pattern, &event));
        prop_assert_eq!(together.matches(event.to_string().as_bytes(), None), Ok(expected));
    }

    #[test]
    fn any_text_as_a_pattern_and_any_bytes_as_a_record_do_no_harm(
        pattern in r#"[\[\]{}",:\\ 0-9a-funtrls.eE+$-]{0,40}"#, record: Vec<u8>, event in event(), cut in 0_usize..200,
    ) {
        let _ = Pattern::parse(&pattern);
        let filter = Filter::parse(&[r#"{"a":{"b":[1]},"b":["x",{"exists":false}]}"#], Extensions::default()).unwrap();
        let _ = filter.matches(&record, None);
        let event = event.to_string();
        let _ = filter.matches(&event.as_bytes()[..cut.min(event.len())], None);
    }
}
