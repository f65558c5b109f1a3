//! Work that is the same for many things, on several threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does something for each number below `count`, on at most so many threads, ours among them, and
/// gives what came of them in their order. They are begun in their order, too. Each thread has a
/// store of its own, for what is dear to make.
pub fn each<S: Default, R: Send>(
    count: usize,
    threads: NonZeroUsize,
    work: impl Fn(usize, &mut S) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(count));
    let run = || {
        let mut store = S::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let result = work(at, &mut store);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(count) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How many threads there is room for.
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_in_order() {
        for threads in [1, 3, 100] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let seen = each(50, threads, |at, mine: &mut Vec<usize>| {
                mine.push(at);
                (at, mine.last().copied())
            });
            let expect: Vec<_> = (0..50).map(|at| (at, Some(at))).collect();
            assert_eq!(seen, expect);
            assert!(each(0, threads, |at, (): &mut ()| at).is_empty());
        }
    }
}
