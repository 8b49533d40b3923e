//! Does one thing to many items, on several threads if there are.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` to each item, on up to `threads` threads, this one included; on one thread in their order. The first
/// error found stops it; a panic is passed on.
pub(super) fn side_by_side<T: Send, E: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().try_for_each(work);
    }
    let queue = Mutex::new(items.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(item) = next() {
            if let Err(error) = work(item) {
                // Nobody needs the rest.
                while next().is_some() {}
                return Err(error);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        // Where the system has no thread to give, there are fewer.
        let helpers = (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok());
        let helpers: Vec<_> = helpers.collect();
        let mine = run();
        helpers.into_iter().fold(mine, |so_far, helper| {
            let theirs = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
            so_far.and(theirs)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_item_once_whatever_the_threads() {
        for threads in [0, 1, 2, 7, 100] {
            let mut seen = vec![0; 50];
            side_by_side(threads, seen.iter_mut().collect(), |item| {
                *item += 1;
                Ok::<_, ()>(())
            })
            .unwrap();
            assert_eq!(seen, [1; 50]);
        }
    }

    #[test]
    fn an_error_comes_back_and_ends_the_rest() {
        for threads in [1, 4] {
            let done = AtomicUsize::new(0);
            let failed = side_by_side(threads, (0..10_000).collect(), |item| {
                done.fetch_add(1, Ordering::Relaxed);
                if item == 3 { Err("three") } else { Ok(()) }
            });
            assert_eq!(failed, Err("three"));
        }
    }

    #[test]
    #[should_panic(expected = "four")]
    fn a_panic_comes_back() {
        let _ = side_by_side(3, (0..10).collect(), |item| if item == 4 { panic!("four") } else { Ok::<_, ()>(()) });
    }
}
