//! How is chance drawn, and how do texts, numbers and names come out of it?

use std::fmt::Write as _;

/// SplitMix64: a generator of its own, so that no new version of a crate changes the workloads.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

const WORDS: [&str; 48] = [
    "the",
    "table",
    "stream",
    "has",
    "a",
    "reply",
    "that",
    "nobody",
    "answered",
    "yet",
    "and",
    "we",
    "measured",
    "latency",
    "in",
    "production",
    "after",
    "upgrade",
    "of",
    "client",
    "version",
    "please",
    "try",
    "again",
    "with",
    "larger",
    "capacity",
    "item",
    "collection",
    "index",
    "query",
    "returns",
    "nothing",
    "when",
    "sort",
    "key",
    "is",
    "missing",
    "thanks",
    "for",
    "your",
    "help",
    "it",
    "works",
    "now",
    "partition",
    "throttled",
    "why",
];

/// Where text leaves ASCII, or JSON needs an escape.
const ODD_WORDS: [&str; 10] =
    ["Grüße", "naïve", "\"quoted\"", "C:\\temp", "line\nbreak", "日本語", "🚚", "Ελλάδα", "tab\there", "façade"];

const UNICODE_WORDS: [&str; 12] = [
    "данные",
    "поток",
    "テーブル",
    "更新された",
    "🚚📦",
    "Größe",
    "œuvre",
    "한국어",
    "بيانات",
    "\u{1F469}\u{200D}\u{1F4BB}",
    "ﬁancé",
    "„so“",
];

/// About `length` bytes of words, `odd` per cent of them odd.
pub fn words(random: &mut Random, length: u64, odd: u64) -> String {
    let mut text = String::new();
    while (text.len() as u64) < length {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(if random.percent(odd) { random.pick(&ODD_WORDS) } else { random.pick(&WORDS) });
    }
    text
}

/// About `length` bytes of words that are not ASCII.
pub fn unicode_words(random: &mut Random, length: u64) -> String {
    let mut text = String::new();
    while (text.len() as u64) < length {
        text.push_str(random.pick(&UNICODE_WORDS));
        text.push_str(random.pick(&[" ", "/", "\"", "\\", "\n"]));
    }
    text
}

/// A JSON string; `escaped`: with everything beyond ASCII as `\u`, as Python's json and some servers write it.
pub fn json_string(text: &str, escaped: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if escaped && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `{"S":…}`
pub fn s(text: &str) -> String {
    format!("{{\"S\":{}}}", json_string(text, false))
}

/// `{"N":"…"}`
pub fn n(number: impl std::fmt::Display) -> String {
    format!("{{\"N\":\"{number}\"}}")
}

/// A decimal as DynamoDB writes it: `decimals` digits behind the point at most, no padding zeros.
pub fn decimal(random: &mut Random, end: u64, decimals: u32) -> String {
    let scale = 10_u64.pow(decimals);
    let text = format!("{}.{:0width$}", random.below(end), random.below(scale), width = decimals as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `{"B":"…"}` of `length` bytes.
pub fn b(random: &mut Random, length: usize) -> String {
    let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    format!("{{\"B\":\"{}\"}}", base64_simd::STANDARD.encode_to_string(bytes))
}

/// `{"<kind>":["…",…]}`
pub fn set(kind: &str, elements: &[String]) -> String {
    let elements: Vec<_> = elements.iter().map(|element| json_string(element, false)).collect();
    format!("{{\"{kind}\":[{}]}}", elements.join(","))
}

/// RFC 3339 in seconds.
pub fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|time| format!("{time:.0}")).unwrap_or_default()
}
