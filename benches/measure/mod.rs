//! How is work measured? In CPU seconds of this process, so that what else runs on the machine counts as little as
//! possible.
//!
//! Throughput is bytes of input JSON per CPU second, in MB (10^6 bytes): per core, that is.

#![allow(dead_code, unused_imports, reason = "each bench uses a part of this")]
#![allow(unreachable_pub, reason = "a bench has no outside; `pub` says what this offers to it")]

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};

/// The CPU time that all threads of this process have taken.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Monotonic time.
pub fn wall_time() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// criterion's settings for one pass over some megabytes of input.
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(2000))
        .without_plots()
        .configure_from_args()
}

/// What one iteration takes in.
pub fn throughput(records: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: records as u64, bytes: bytes as u64 }
}

/// Measures CPU time instead of criterion's wall time.
#[derive(Debug)]
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu_time() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for CpuTime {
    fn scale_values(&self, _: f64, nanos: &mut [f64]) -> &'static str {
        nanos.iter_mut().for_each(|value| *value /= 1e6);
        "ms CPU"
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, nanos: &mut [f64]) -> &'static str {
        let (amount, unit) = match *throughput {
            Throughput::Bytes(bytes) | Throughput::BytesDecimal(bytes) => (bytes as f64 / 1e6, "MB/s per core"),
            Throughput::Elements(records) => (records as f64 / 1e3, "thousand records/s"),
            Throughput::ElementsAndBytes { elements, .. } => (elements as f64 / 1e3, "thousand records/s"),
            Throughput::Bits(bits) => (bits as f64 / 8e6, "MB/s per core"),
        };
        nanos.iter_mut().for_each(|value| *value = amount / (*value / 1e9));
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}
