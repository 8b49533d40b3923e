//! How many faults have been injected on this thread, which uploads did they leave behind, and how full was memory? A world
//! lives on one thread, whose faults are its own.

use std::cell::{Cell, RefCell};

use crate::engine::budget::Budget;

thread_local! {
    static FAULTS: Cell<u64> = const { Cell::new(0) };
    static LEFT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static FULLEST: Cell<usize> = const { Cell::new(0) };
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

/// Of this object an upload may stay behind: whoever began it was not told so, or could not abort it.
pub(super) fn leave(path: &str) {
    LEFT.with_borrow_mut(|left| left.push(path.to_owned()));
}

/// The objects of which uploads may have stayed behind since this was last called, one for each.
pub(super) fn take_left() -> Vec<String> {
    LEFT.take()
}

/// How full the fullest budget was that was watched since this was last called, in hundredths of its limit.
pub(super) fn take_fullest() -> usize {
    FULLEST.take()
}

/// A budget that is looked at when its process has ended, however it ended.
pub(super) struct Watched(pub(super) Budget);

impl Drop for Watched {
    fn drop(&mut self) {
        FULLEST.set(FULLEST.get().max(self.0.peak() * 100 / self.0.limit().max(1)));
    }
}
