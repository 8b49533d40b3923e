//! Which metrics are there? This table says it once; the handles ([`super::Metrics`]) and the README come from it.
//!
//! Labels hold names of streams and tables and words of ours, never item values or keys: those are private, and there
//! is no end to them.

use std::fmt::Write as _;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many observations fell below each of some limits.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricRow {
    /// The name, as it is scraped (a histogram's gets the usual suffixes).
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit: a suffix of the name (before `_total`); empty for plain counts.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// Turns the rows below into [`TABLE`] and one constant per row, so that a handle names its row and none is forgotten.
macro_rules! metrics {
    ($($row:ident: $name:literal, $kind:ident, $unit:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub(super) const $row: MetricRow = MetricRow {
            name: concat!("watershed_", $name), kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help,
        };)+
        /// Every metric, in the order of the data's way.
        pub const TABLE: &[MetricRow] = &[$($row),+];
    };
}

#[rustfmt::skip]
metrics! {
    RECORDS_READ: "records_read_total", Counter, "", ["stream"], "Records received from the source";
    READ_BYTES: "read_bytes_total", Counter, "bytes", [], "Bytes of the source's answers";
    GET_RECORDS_CALLS: "get_records_calls_total", Counter, "", [], "GetRecords calls, whatever their answer";
    THROTTLED: "throttled_total", Counter, "", [], "Calls to the source that it refused as too many";
    EXPIRED_ITERATORS: "expired_iterators_total", Counter, "", [], "Shard iterators that grew too old and were got anew";
    LAG: "lag_seconds", Gauge, "seconds", ["stream"], "Age of the newest record received, 0 at the tip; the worst of the stream's shards";
    SHARDS: "shards", Gauge, "", ["state"], "Shards that are waiting (for their parents), reading or finished";
    GAPS: "gaps_total", Counter, "", ["stream", "reason"], "Places where the source lost records before they were read";
    UNDECODABLE: "undecodable_total", Counter, "", [], "Records that could not be decoded and went to the dead letters";
    UNKNOWN_TYPES: "unknown_types_total", Counter, "", [], "Attribute values of a type this version does not know";
    VALUES_TO_REST: "values_to_rest_total", Counter, "", ["table"], "Values that did not fit their column exactly and went to _rest";
    BUFFERED: "buffered_bytes", Gauge, "bytes", [], "Bytes in memory that count against the budget";
    BUDGET: "budget_bytes", Gauge, "bytes", [], "The memory budget; reading stops when it is full";
    ROWS_WRITTEN: "rows_written_total", Counter, "", ["table", "op"], "Rows that are durable in the lake";
    FILES_WRITTEN: "files_written_total", Counter, "", ["table"], "Parquet files that are durable in the lake";
    FILE_BYTES_WRITTEN: "file_written_bytes_total", Counter, "bytes", ["table"], "Bytes of those files";
    RANGES_COMMITTED: "ranges_committed_total", Counter, "", [], "Ranges added to the lake's chains";
    COMMIT: "commit_seconds", Histogram, "seconds", [], "Time from a full roll to its durable checkpoint";
    DELIVERED: "delivered_total", Counter, "", ["handler"], "Changes that a handler has handled";
    DELIVERY_FAILURES: "delivery_failures_total", Counter, "", ["handler"], "Changes in calls of a handler that failed, or that it failed; they are tried again or given up";
    DEAD_LETTERS: "dead_letters_total", Counter, "", ["handler"], "Changes that a handler was given up with and that are in its dead letters";
    DROPPED_CHANGES: "dropped_changes_total", Counter, "", ["handler", "reason"], "Changes that a handler did not get because they came before (repeat), or a later one of their item did (stale)";
    DELIVERY: "delivery_seconds", Histogram, "seconds", ["handler"], "Time that a call of a handler takes";
    DELIVERY_LAG: "delivery_lag_seconds", Gauge, "seconds", ["handler"], "How long the oldest change has waited that a handler has received and not handled; the worst of its shards";
    UNDELIVERED: "undelivered_bytes", Gauge, "bytes", ["handler"], "Bytes in memory of changes that wait for a handler";
    LAST_PROGRESS: "last_progress_timestamp_seconds", Gauge, "seconds", [], "When a position last became durable, seconds since 1970";
}

/// The table in Markdown, for the README.
pub fn metrics_table_markdown() -> String {
    let mut text = "| metric | type | labels | what |\n|---|---|---|---|\n".to_owned();
    for MetricRow { name, kind, labels, help, .. } in TABLE {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String cannot fail.
        _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// <https://prometheus.io/docs/practices/naming/>, as far as a program can tell.
    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let word = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !text.contains("__")
        };
        let mut names = BTreeSet::new();
        for MetricRow { name, kind, unit, labels, help } in TABLE {
            assert!(names.insert(name), "{name} twice");
            assert!(word(name) && name.starts_with("watershed_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert!(["", "bytes", "seconds"].contains(unit), "{name}: base units only");
            assert!(unit.is_empty() || base.ends_with(&format!("_{unit}")), "{name}: {unit}");
            for other in ["count", "sum", "bucket", "created", "info", "gauge", "counter", "histogram"] {
                assert!(!base.ends_with(&format!("_{other}")), "{name}: reserved suffix");
            }
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains(['\n', '|', '\\']), "{name}: {help}");
            for label in *labels {
                assert!(word(label) && !["le", "quantile", "job", "instance"].contains(label), "{name}{{{label}}}");
                assert!(!name.contains(label), "{name}{{{label}}} says it twice");
            }
        }
    }

    #[test]
    fn the_readme_lists_every_metric() {
        let text = metrics_table_markdown();
        assert_eq!(text.lines().count(), TABLE.len() + 2);
        for row in TABLE {
            assert!(text.contains(&format!("| `{}` |", row.name)), "{}", row.name);
        }
        assert!(text.contains("| `watershed_gaps_total` | counter | `stream`, `reason` | Places where"), "{text}");
    }
}
