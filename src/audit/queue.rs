//! Work for several threads, of which only so much is for one host at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits, and which hosts are busy. It hands out work in order, but for what has to wait for
/// its host.
pub(super) struct Queue<'a> {
    hosts: Vec<&'a str>,
    state: Mutex<State<'a>>,
    freed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    waiting: VecDeque<usize>,
    busy: BTreeMap<&'a str, usize>,
}

/// One piece of work. Its host is free again when it is dropped.
pub(super) struct Task<'q, 'a> {
    queue: &'q Queue<'a>,
    pub(super) at: usize,
}

impl<'a> Queue<'a> {
    /// One piece of work per host that is given; an empty host is this machine.
    pub(super) fn new(hosts: Vec<&'a str>) -> Self {
        let state = State {
            waiting: (0..hosts.len()).collect(),
            ..State::default()
        };
        Self {
            hosts,
            state: Mutex::new(state),
            freed: Condvar::new(),
        }
    }

    /// The next piece of work, as soon as its host may be asked; `None` if nothing is left.
    pub(super) fn take(&self) -> Option<Task<'_, 'a>> {
        let mut state = self.state();
        loop {
            if state.waiting.is_empty() {
                return None;
            }
            let free = state.waiting.iter().position(|at| {
                let host = self.hosts[*at];
                host.is_empty() || state.busy.get(host).is_none_or(|busy| *busy < PER_HOST)
            });
            if let Some(at) = free.and_then(|position| state.waiting.remove(position)) {
                *state.busy.entry(self.hosts[at]).or_default() += 1;
                return Some(Task { queue: self, at });
            }
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more is handed out.
    pub(super) fn stop(&self) {
        self.state().waiting.clear();
        self.freed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Task<'_, '_> {
    fn drop(&mut self) {
        if let Some(busy) = self.queue.state().busy.get_mut(self.queue.hosts[self.at]) {
            *busy -= 1;
        }
        self.queue.freed.notify_all();
    }
}

/// Two at a time is what a browser of manners did, and no server minds.
const PER_HOST: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_two_things_at_a_time() {
        let queue = Queue::new(vec!["a", "a", "a", "b", "", "", ""]);
        let mut held = Vec::new();
        for expect in [0, 1, 3, 4, 5, 6] {
            let task = queue.take().unwrap();
            assert_eq!(task.at, expect);
            held.push(task);
        }
        held.remove(0);
        assert_eq!(queue.take().unwrap().at, 2);
        assert!(queue.take().is_none());
    }

    #[test]
    fn whoever_waits_is_woken() {
        let queue = Queue::new(vec!["a"; 20]);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some(task) = queue.take() {
                        done.lock().unwrap().push(task.at);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());

        let queue = Queue::new(vec!["a"; 3]);
        let held = [queue.take(), queue.take()];
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.take().is_none());
            queue.stop();
            assert!(waiting.join().unwrap());
        });
        drop(held);
    }
}
