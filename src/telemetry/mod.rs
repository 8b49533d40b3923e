//! What does a running pipeline tell about itself? Metrics, whether it is healthy, both over HTTP, and logs.

pub mod health;
pub mod http;
pub mod log;
mod metrics;
mod table;

pub use metrics::{CONTENT_TYPE, Counters, Gauges, Histograms, Metrics};
pub use table::{Kind, MetricRow, TABLE, metrics_table_markdown};
