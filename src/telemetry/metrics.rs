//! How are metrics counted and shown? Through the handles here; [`Metrics::render`] is what a scrape gets.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use super::table::{self, Kind, MetricRow};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge's number: a fraction where one is needed.
type Float = Gauge<f64, AtomicU64>;

/// Handles to every metric of [`TABLE`](super::TABLE), which says what each counts. Cheap to clone; clones count
/// together.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the table has the documentation")]
pub struct Metrics {
    pub records_read: Counters<1>,
    pub read_bytes: Counters<0>,
    pub get_records_calls: Counters<0>,
    pub throttled: Counters<0>,
    pub expired_iterators: Counters<0>,
    pub lag: Gauges<1>,
    pub shards: Gauges<1>,
    pub gaps: Counters<2>,
    pub undecodable: Counters<0>,
    pub unknown_types: Counters<0>,
    pub values_to_rest: Counters<1>,
    pub buffered: Gauges<0>,
    pub budget: Gauges<0>,
    pub rows_written: Counters<2>,
    pub files_written: Counters<1>,
    pub file_bytes_written: Counters<1>,
    pub ranges_committed: Counters<0>,
    pub commit: Histograms<0>,
    pub delivered: Counters<1>,
    pub delivery_failures: Counters<1>,
    pub dead_letters: Counters<1>,
    pub dropped_changes: Counters<2>,
    pub delivery: Histograms<1>,
    pub delivery_lag: Gauges<1>,
    pub undelivered: Gauges<1>,
    pub last_progress: Gauges<0>,
    registry: Arc<Registry>,
}

/// Counters of one name, told apart by `N` labels. A place that counts often keeps what [`Counters::with`] gave it.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize>(Labelled<N, Counter>);

/// Gauges of one name, told apart by `N` labels.
#[derive(Clone, Debug)]
pub struct Gauges<const N: usize>(Labelled<N, Float>);

/// Histograms of one name, told apart by `N` labels.
#[derive(Clone, Debug)]
pub struct Histograms<const N: usize>(Labelled<N, Histogram>);

impl<const N: usize> Counters<N> {
    /// The counter with these label values, in the table's order.
    pub fn with(&self, labels: [&str; N]) -> Counter {
        self.0.get(labels)
    }
}

impl<const N: usize> Gauges<N> {
    /// The gauge with these label values, in the table's order.
    pub fn with(&self, labels: [&str; N]) -> Gauge<f64, AtomicU64> {
        self.0.get(labels)
    }

    /// Forgets the gauge with these label values, so that it is no longer shown.
    pub fn remove(&self, labels: [&str; N]) {
        self.0.family.remove(&self.0.labels(labels));
    }
}

impl<const N: usize> Histograms<N> {
    /// The histogram with these label values, in the table's order.
    pub fn with(&self, labels: [&str; N]) -> Histogram {
        self.0.get(labels)
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let all = &mut registry;
        let mut metrics = Self {
            records_read: counters(all, &table::RECORDS_READ),
            read_bytes: counters(all, &table::READ_BYTES),
            get_records_calls: counters(all, &table::GET_RECORDS_CALLS),
            throttled: counters(all, &table::THROTTLED),
            expired_iterators: counters(all, &table::EXPIRED_ITERATORS),
            lag: gauges(all, &table::LAG),
            shards: gauges(all, &table::SHARDS),
            gaps: counters(all, &table::GAPS),
            undecodable: counters(all, &table::UNDECODABLE),
            unknown_types: counters(all, &table::UNKNOWN_TYPES),
            values_to_rest: counters(all, &table::VALUES_TO_REST),
            buffered: gauges(all, &table::BUFFERED),
            budget: gauges(all, &table::BUDGET),
            rows_written: counters(all, &table::ROWS_WRITTEN),
            files_written: counters(all, &table::FILES_WRITTEN),
            file_bytes_written: counters(all, &table::FILE_BYTES_WRITTEN),
            ranges_committed: counters(all, &table::RANGES_COMMITTED),
            commit: histograms(all, &table::COMMIT),
            delivered: counters(all, &table::DELIVERED),
            delivery_failures: counters(all, &table::DELIVERY_FAILURES),
            dead_letters: counters(all, &table::DEAD_LETTERS),
            dropped_changes: counters(all, &table::DROPPED_CHANGES),
            delivery: histograms(all, &table::DELIVERY),
            delivery_lag: gauges(all, &table::DELIVERY_LAG),
            undelivered: gauges(all, &table::UNDELIVERED),
            last_progress: gauges(all, &table::LAST_PROGRESS),
            registry: Arc::default(),
        };
        metrics.registry = Arc::new(registry);
        metrics
    }

    /// Every metric as text, in the format OpenMetrics, which Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A metric per combination of label values.
#[derive(Clone, Debug)]
struct Labelled<const N: usize, M> {
    names: &'static [&'static str],
    family: Family<Labels<N>, M, Make<M>>,
    /// The one metric without labels, which is shown from the start: whoever alerts on it must see that it is there.
    single: Option<M>,
}

impl<const N: usize, M: Clone> Labelled<N, M> {
    fn get(&self, labels: [&str; N]) -> M {
        match &self.single {
            Some(single) => single.clone(),
            None => self.family.get_or_create_owned(&self.labels(labels)),
        }
    }

    fn labels(&self, values: [&str; N]) -> Labels<N> {
        Labels { names: self.names, values: values.map(str::to_owned) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels<const N: usize> {
    names: &'static [&'static str],
    values: [String; N],
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// Makes the metric of a new combination of labels.
#[derive(Clone, Copy, Debug)]
struct Make<M>(fn() -> M);

impl<M> MetricConstructor<M> for Make<M> {
    fn new_metric(&self) -> M {
        (self.0)()
    }
}

fn counters<const N: usize>(registry: &mut Registry, row: &'static MetricRow) -> Counters<N> {
    debug_assert_eq!(row.kind, Kind::Counter, "{}", row.name);
    Counters(register(registry, row, Counter::default))
}

fn gauges<const N: usize>(registry: &mut Registry, row: &'static MetricRow) -> Gauges<N> {
    debug_assert_eq!(row.kind, Kind::Gauge, "{}", row.name);
    Gauges(register(registry, row, Float::default))
}

fn histograms<const N: usize>(registry: &mut Registry, row: &'static MetricRow) -> Histograms<N> {
    debug_assert_eq!(row.kind, Kind::Histogram, "{}", row.name);
    // 10 ms to 20 min, each limit twice the one before: a local folder and a patient retry both show.
    Histograms(register(registry, row, || Histogram::new(exponential_buckets(0.01, 2.0, 18))))
}

fn register<const N: usize, M>(registry: &mut Registry, row: &'static MetricRow, make: fn() -> M) -> Labelled<N, M>
where
    M: Metric + Clone,
    Family<Labels<N>, M, Make<M>>: Metric,
{
    debug_assert_eq!(row.labels.len(), N, "{}", row.name);
    let single = (N == 0).then(make);
    let metric = Labelled { names: row.labels, family: Family::new_with_constructor(Make(make)), single };
    match &metric.single {
        Some(single) => register_one(registry, row, single.clone()),
        None => register_one(registry, row, metric.family.clone()),
    }
    metric
}

fn register_one(registry: &mut Registry, row: &MetricRow, metric: impl Metric) {
    // The registry appends `_total` and the unit itself, and a full stop to the help.
    let base = row.name.strip_suffix("_total").unwrap_or(row.name);
    let base = base.strip_suffix(row.unit).unwrap_or(base).trim_end_matches('_');
    match row.unit {
        "" => registry.register(base, row.help, metric),
        "bytes" => registry.register_with_unit(base, row.help, Unit::Bytes, metric),
        "seconds" => registry.register_with_unit(base, row.help, Unit::Seconds, metric),
        other => registry.register_with_unit(base, row.help, Unit::Other(other.to_owned()), metric),
    }
}

#[cfg(test)]
mod tests;
