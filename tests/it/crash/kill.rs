//! A kill at every system call (HOSTILE 70).

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::strace;

#[test]
fn a_kill_at_any_system_call_costs_nothing_but_the_time() {
    if !strace::works() {
        return;
    }
    let deadline = Instant::now() + BUDGET;
    let (prelude, names) = Bench::new().prelude();
    let mut kills = 0;
    for name in names
        .iter()
        .filter(|name| !HARMLESS.contains(&name.as_str()))
    {
        // A server of its own each: they are bounded.
        let bench = Bench::new();
        let mut nth = prelude.get(name).copied().unwrap_or(0);
        loop {
            nth += 1;
            let when = format!("killed at {name} number {nth}");
            assert!(
                Instant::now() < deadline,
                "{when}: out of time after {kills} kills"
            );
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let trace = format!("trace={name}");
            let output = bench.cold(&["-e", &trace, "-e", &inject]);
            bench.no_wrong_entry(&when);
            if !strace::was_killed(&output) {
                assert!(output.status.success(), "{when}: {output:?}");
                bench.is_right(&output, &when);
                break;
            }
            kills += 1;
            bench.recovers(&when);
        }
    }
    for name in [
        "openat",
        "write",
        "fsync",
        "linkat",
        "renameat2",
        "mkdir",
        "unlink",
        "flock",
        "connect",
    ] {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not called any more: {names:?}"
        );
    }
    assert!(kills > 60, "only {kills} kills");
    eprintln!("{kills} kills");
}

/// Calls that change nothing outside the process.
const HARMLESS: [&str; 16] = [
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "mremap",
    "futex",
    "getrandom",
    "sigaltstack",
    "rt_sigaction",
    "rt_sigprocmask",
    "fcntl",
    "sched_getaffinity",
    "getpid",
    "exit_group",
    "geteuid",
];

/// Some twenty times what it takes on a quiet machine.
const BUDGET: Duration = Duration::from_secs(90);
