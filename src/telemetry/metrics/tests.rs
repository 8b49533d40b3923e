//! Is every metric of the table shown, under its name and with harmless labels?

use super::*;
use crate::telemetry::TABLE;

/// Touches every metric, so that each shows.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    metrics.records_read.with(["Reply"]).inc_by(3);
    metrics.lag.with(["Reply"]).set(1.5);
    metrics.shards.with(["reading"]).set(2.0);
    metrics.gaps.with(["Reply", "trimmed"]).inc();
    metrics.values_to_rest.with(["Reply"]).inc();
    metrics.rows_written.with(["Reply", "INSERT"]).inc_by(7);
    metrics.files_written.with(["Reply"]).inc();
    metrics.file_bytes_written.with(["Reply"]).inc_by(4096);
    metrics.commit.with([]).observe(0.3);
    for counter in [&metrics.delivered, &metrics.delivery_failures, &metrics.dead_letters] {
        counter.with(["new-replies"]).inc();
    }
    metrics.dropped_changes.with(["new-replies", "stale"]).inc();
    metrics.delivery.with(["new-replies"]).observe(0.3);
    metrics.delivery_lag.with(["new-replies"]).set(1.0);
    metrics.undelivered.with(["new-replies"]).set(1.0);
    metrics
}

#[test]
fn every_metric_is_shown_under_the_name_the_table_says() {
    let text = busy().render();
    for row in TABLE {
        let name = match row.kind {
            Kind::Histogram => format!("{}_bucket{{", row.name),
            _ if row.labels.is_empty() => format!("{} ", row.name),
            _ => format!("{}{{{}=\"", row.name, row.labels[0]),
        };
        assert!(text.lines().any(|line| line.starts_with(&name)), "{name} is not in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), TABLE.len());
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn values_and_labels_are_shown() {
    let metrics = busy();
    let clone = metrics.clone();
    clone.rows_written.with(["Reply", "INSERT"]).inc();
    clone.budget.with([]).set(268_435_456.0);
    let text = metrics.render();
    for line in [
        "watershed_rows_written_total{table=\"Reply\",op=\"INSERT\"} 8",
        "watershed_gaps_total{stream=\"Reply\",reason=\"trimmed\"} 1",
        "watershed_lag_seconds{stream=\"Reply\"} 1.5",
        "watershed_budget_bytes 268435456.0",
        "watershed_throttled_total 0",
        "watershed_commit_seconds_count 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::new();
    metrics.lag.with(["a\"} 1\nevil 2\\"]).set(0.0);
    let text = metrics.render();
    assert!(text.contains("{stream=\"a\\\"} 1\\nevil 2\\\\\"}"), "{text}");
    metrics.lag.remove(["a\"} 1\nevil 2\\"]);
    assert!(!metrics.render().contains("evil"));
}
