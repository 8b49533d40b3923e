//! Which attributes has an item of each workload, and which of them does a change touch?

use super::Workload;
use super::text::{Random, b, decimal, json_string, n, s, set, time, unicode_words, words};

/// The attributes of an item, each with its value as DynamoDB JSON.
#[derive(Debug, Clone)]
pub struct Item(Vec<(String, String)>);

const PEOPLE: [&str; 12] = [
    "User A",
    "User B",
    "ana.lopes",
    "jörg",
    "mei-ling",
    "k8s-bot",
    "Søren Ø.",
    "o'brien",
    "priya",
    "tomasz",
    "Юлия",
    "root",
];
const LANGUAGES: [&str; 5] = ["en", "de", "pt-BR", "ja", "ru"];
const STATES: [&str; 4] = ["OPEN", "ANSWERED", "CLOSED", "FLAGGED"];
const TAGS: [&str; 10] =
    ["dynamodb", "streams", "kinesis", "lambda", "latency", "cost", "schema", "query", "index", "beginner"];

impl Item {
    pub fn new(workload: Workload, ordinal: u64, micros: i64, random: &mut Random) -> Self {
        let mut item = Self(Vec::new());
        match workload {
            Workload::Reply => item.reply(micros, random),
            Workload::Wide => {
                item.add("Id", s(&format!("wide-{ordinal:010}")));
                for at in 1..200 {
                    item.add(&format!("attribute_{at:03}"), wide_value(at, random));
                }
            }
            Workload::Tiny => {
                item.add("Id", s(&format!("{:016x}", random.next())));
                item.add("Count", n(random.below(100_000)));
                item.add("On", boolean(random));
            }
            Workload::Large => {
                item.add("Id", s(&format!("large-{ordinal:010}")));
                item.add("Body", s(&words(random, 72_000, 3)));
                item.add("Data", b(random, 15_000));
                let samples: Vec<_> = (0..500).map(|_| n(decimal(random, 1000, 3))).collect();
                item.add("Samples", format!("{{\"L\":[{}]}}", samples.join(",")));
                item.add("Version", n(random.below(50)));
            }
            Workload::Nested => {
                item.add("Id", s(&format!("nested-{ordinal:010}")));
                for at in 0..8 {
                    item.add(&format!("tree{at}"), tree(4, random));
                }
            }
            Workload::Schemaless => {
                item.add("Id", s(&format!("{ordinal:012}")));
                for at in 0..12 {
                    let name = format!("f{:012x}", random.next() >> 16);
                    item.add(&name, wide_value(at, random));
                }
            }
            Workload::Unicode => {
                item.add("Id", s(&format!("№{ordinal:010}")));
                for (at, name) in
                    ["Größe", "naïf", "名前", "данные", "plain", "emoji🚚", "title", "body"].iter().enumerate()
                {
                    let text = unicode_words(random, 60 + 20 * at as u64);
                    item.add(name, format!("{{\"S\":{}}}", json_string(&text, random.percent(50))));
                }
                let elements: Vec<_> = (0..3).map(|at| format!("{at}{}", unicode_words(random, 12))).collect();
                item.add("étiquettes", set("SS", &elements));
            }
        }
        item
    }

    fn add(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    fn reply(&mut self, micros: i64, random: &mut Random) {
        let posted = micros - random.below(86_400_000_000) as i64;
        self.add("Id", s(&format!("AWS#Thread {}", random.below(5000))));
        self.add("ReplyDateTime", s(&time(posted)));
        self.add("PostedBy", s(random.pick(&PEOPLE)));
        let length = 6 + random.below(24);
        self.add("Message", s(&words(random, length, 6)));
        self.add("Likes", n(random.below(2000)));
        self.add("Score", n(decimal(random, 10, 2)));
        self.add("Open", boolean(random));
        self.add("Digest", b(random, 6));
        self.add("EditedBy", if random.percent(80) { NULL.to_owned() } else { s(random.pick(&PEOPLE)) });
        let first = random.below(TAGS.len() as u64) as usize;
        let tags: Vec<_> = (0..1 + random.below(2) as usize).map(|at| TAGS[(first + at) % 10].to_owned()).collect();
        self.add("Tags", set("SS", &tags));
        let votes: Vec<_> = (0..1 + random.below(2)).map(|at| (at * 10 + random.below(10)).to_string()).collect();
        self.add("Votes", set("NS", &votes));
        let os = random.pick(&["linux", "macos", "android", "ios"]);
        self.add(
            "Meta",
            format!(
                r#"{{"M":{{"app":{{"M":{{"os":{{"S":"{os}"}}}}}},"path":{{"L":[{{"S":"web"}},{{"N":"{}"}}]}}}}}}"#,
                random.below(9)
            ),
        );
        self.add("Rev", n(random.below(12)));
        self.add("Views", n(random.below(1_000_000)));
        self.add("Lang", s(random.pick(&LANGUAGES)));
        self.add("Status", s(random.pick(&STATES)));
    }

    /// The item after an update: a few attributes have other values.
    pub fn changed(&self, workload: Workload, random: &mut Random) -> Self {
        let mut item = self.clone();
        let mut set = |at: usize, value: String| item.0[at].1 = value;
        match workload {
            Workload::Reply => {
                set(4, n(random.below(2000)));
                set(12, n(random.below(12)));
                set(13, n(random.below(1_000_000)));
                set(15, s(random.pick(&STATES)));
            }
            Workload::Wide | Workload::Schemaless => {
                for _ in 0..3 {
                    let at = 1 + random.below(self.0.len() as u64 - 1) as usize;
                    set(at, wide_value(if workload == Workload::Wide { at } else { at - 1 }, random));
                }
            }
            Workload::Tiny => set(1, n(random.below(100_000))),
            Workload::Large => set(4, n(random.below(50))),
            Workload::Nested => set(1, tree(4, random)),
            Workload::Unicode => set(7, s(&unicode_words(random, 80))),
        }
        item
    }

    /// The image; in three of a hundred the attributes stand in another order.
    pub fn json(&self, random: &mut Random) -> String {
        let mut order: Vec<_> = self.0.iter().collect();
        if random.percent(3) {
            for at in (1..order.len()).rev() {
                order.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        object(order.into_iter())
    }

    pub fn keys_json(&self, keys: &[&str]) -> String {
        object(self.0.iter().filter(|(name, _)| keys.contains(&name.as_str())))
    }
}

fn object<'a>(attributes: impl Iterator<Item = &'a (String, String)>) -> String {
    let members: Vec<_> = attributes.map(|(name, value)| format!("{}:{value}", json_string(name, false))).collect();
    format!("{{{}}}", members.join(","))
}

const NULL: &str = "{\"NULL\":true}";

fn boolean(random: &mut Random) -> String {
    format!("{{\"BOOL\":{}}}", random.percent(50))
}

/// The kind follows from the attribute's place, so that a column has one type.
fn wide_value(at: usize, random: &mut Random) -> String {
    match at % 4 {
        0 => s(&words(random, 12, 2)),
        1 => n(random.below(10_000_000)),
        2 => n(decimal(random, 10_000, 2)),
        _ => boolean(random),
    }
}

/// Maps and lists, `depth` deep, with two or three branches each.
fn tree(depth: u32, random: &mut Random) -> String {
    if depth == 0 {
        return match random.below(4) {
            0 => n(random.below(1000)),
            1 => boolean(random),
            2 => NULL.to_owned(),
            _ => s(random.pick(&TAGS)),
        };
    }
    let branches: Vec<_> = (0..2 + random.below(2)).map(|_| tree(depth - 1, random)).collect();
    if depth.is_multiple_of(2) {
        let members: Vec<_> =
            ["left", "right", "rest"].iter().zip(branches).map(|(n, v)| format!("\"{n}\":{v}")).collect();
        format!("{{\"M\":{{{}}}}}", members.join(","))
    } else {
        format!("{{\"L\":[{}]}}", branches.join(","))
    }
}
