//! How many faults have been injected on this thread? A world lives on one thread, whose faults are its own.

use std::cell::Cell;

thread_local! {
    static FAULTS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a fault, if there was one; says whether there was.
pub(super) fn fault(happened: bool) -> bool {
    FAULTS.set(FAULTS.get() + u64::from(happened));
    happened
}

/// The faults since this was last called.
pub(super) fn take() -> u64 {
    FAULTS.take()
}
