//! An error instead of every system call that touches the cache (HOSTILE 71).

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::strace;

#[test]
fn an_io_error_anywhere_is_told_with_its_path_and_leaves_nothing_wrong() {
    check(
        "EIO",
        &[
            "openat",
            "write",
            "fsync",
            "fchmod",
            "ftruncate",
            "mkdir",
            "rename",
            "renameat2",
            "linkat",
            "unlink",
            "flock",
            "lseek",
            "statx",
            "getdents64",
            "read",
            "statfs",
        ],
    );
}

#[test]
fn a_full_disk_anywhere_is_told_with_its_path_and_leaves_nothing_wrong() {
    check(
        "ENOSPC",
        &[
            "openat",
            "write",
            "fsync",
            "ftruncate",
            "mkdir",
            "rename",
            "renameat2",
            "linkat",
        ],
    );
}

#[test]
fn a_quota_anywhere_is_told_with_its_path_and_leaves_nothing_wrong() {
    check("EDQUOT", &["openat", "write", "mkdir", "linkat"]);
}

/// Not `close`: nothing depends on it after an fsync, and for a directory the standard library
/// panics.
fn check(error: &str, calls: &[&str]) {
    if !strace::works() {
        return;
    }
    let deadline = Instant::now() + BUDGET;
    let (prelude, _) = Bench::new().prelude();
    let (mut told, mut harmless) = (0, 0);
    for name in calls {
        let bench = Bench::new();
        let cache = bench.lab.cache().to_string_lossy().into_owned();
        let mut nth = prelude.get(*name).copied().unwrap_or(0);
        loop {
            nth += 1;
            let when = format!("{error} for {name} number {nth}");
            assert!(Instant::now() < deadline, "{when}: out of time");
            let inject = format!("inject={name}:error={error}:when={nth}");
            let trace = format!("trace={name}");
            let output = bench.cold(&["-e", &trace, "-e", &inject]);
            let log = strace::calls(&bench.log());
            let Some(hit) = log.iter().find(|it| it.rest.contains("(INJECTED)")) else {
                assert!(output.status.success(), "{when}: {output:?}");
                break;
            };
            let when = format!("{when}: {name}({}", hit.rest);
            let text = String::from_utf8_lossy(&output.stderr);
            bench.no_wrong_entry(&when);
            if *name == "fsync" && hit.rest.contains(".part>") {
                // The kernel forgets what it failed to write: a second fsync would say "fine".
                assert_eq!(bench.lab.cached_files(), [] as [&str; 0], "{when}");
            }
            if output.status.success() {
                bench.is_right(&output, &when);
                harmless += 1;
            } else if hit.rest.contains(&cache) {
                assert_eq!(output.status.code(), Some(8), "{when}: {text}");
                assert!(text.contains(&cache), "{when}: no path: {text}");
                assert!(output.stdout.is_empty(), "{when}: a path and an error");
                told += 1;
            } else {
                // The network, the terminal, the system's files: other tests judge those.
                assert!(
                    output.status.code().is_some_and(|code| code != 101),
                    "{when}: {text}"
                );
            }
            bench.recovers(&when);
        }
    }
    eprintln!("{error}: {told} told, {harmless} harmless");
    assert!(told >= 10, "only {told} were errors");
}

const BUDGET: Duration = Duration::from_secs(90);
