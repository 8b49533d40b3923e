//! When is a target left alone? After some calls in a row that did not reach it no more are made, but for one now and
//! then that finds out whether it is back. A state machine without I/O, shared by all shards of a handler.

use std::time::Duration;

/// So many calls in a row that did not reach the target open the circuit.
const OPENS_AFTER: u32 = 5;
/// The first pause of an open circuit; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: what is handled late because of it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A probe that was not answered by then is taken for lost.
const PROBE_LASTS: Duration = Duration::from_secs(16 * 60);

/// Whether calls may be made. Times are durations since any fixed moment.
#[derive(Debug, Default)]
pub struct Circuit {
    /// Calls in a row that did not reach the target.
    missed: u32,
    /// Pauses since it opened.
    pauses: u32,
    /// While it is open: when the next probe may be made.
    until: Option<Duration>,
}

impl Circuit {
    /// Whether a call may be made now.
    pub fn allows(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// A call is made. In an open circuit it is the probe, and others have to wait for its answer.
    pub fn begins(&mut self, now: Duration) {
        if self.until.is_some() {
            self.until = Some(now + PROBE_LASTS);
        }
    }

    /// When [`Self::allows`] may say something else; `None` while calls may be made.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// The target answered, whatever it said. Whether the circuit was open.
    pub fn answered(&mut self) -> bool {
        let was_open = self.until.is_some();
        *self = Self::default();
        was_open
    }

    /// A call did not reach the target, which asks for a pause of `after` perhaps. Whether the circuit has opened by it.
    pub fn missed(&mut self, now: Duration, after: Option<Duration>) -> bool {
        self.missed += 1;
        if self.missed < OPENS_AFTER {
            return false;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
        let opened = self.until.is_none();
        self.pauses += 1;
        self.until = Some(now + pause.max(after.unwrap_or_default().min(LONGEST_PAUSE)));
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_probes_and_closes() {
        let (mut circuit, mut now) = (Circuit::default(), Duration::ZERO);
        for _ in 1..OPENS_AFTER {
            circuit.begins(now);
            assert!(circuit.allows(now) && !circuit.missed(now, None));
        }
        assert!(circuit.missed(now, None), "it opens once");
        assert!(!circuit.allows(now));
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(circuit.until(), Some(now + pause * SECOND));
            now += pause * SECOND;
            assert!(circuit.allows(now));
            circuit.begins(now);
            assert!(!circuit.allows(now), "one probe");
            assert!(!circuit.missed(now, None));
        }
        now += 60 * SECOND;
        assert!(circuit.allows(now));
        assert!(circuit.answered() && circuit.allows(now));
        assert!(!circuit.answered());
    }

    #[test]
    fn the_target_may_ask_for_more() {
        let mut circuit = Circuit::default();
        for _ in 0..OPENS_AFTER {
            circuit.missed(Duration::ZERO, Some(20 * SECOND));
        }
        assert_eq!(circuit.until(), Some(20 * SECOND));
    }
}
