//! What is cached needs no network, not even a look (HOSTILE 16, 17).

use super::bench::Bench;
use super::strace;

#[test]
fn a_hit_and_an_offline_miss_open_no_socket() {
    if !strace::works() {
        return;
    }
    let bench = Bench::new();
    let sockets = |arguments: &[&str], expect: i32| {
        let command = bench.command(arguments);
        let log = bench.log();
        let output = strace::under(&["-e", "trace=%network"], &log, &command)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(expect), "{arguments:?}: {text}");
        let log = std::fs::read_to_string(log).unwrap();
        (
            log.lines().filter(|line| line.contains("socket(")).count(),
            text,
        )
    };
    for arguments in [
        &["--offline", "ensure", "alpine-3.21"][..],
        &["ensure", "--pull=never", "alpine-3.21"],
    ] {
        let (count, text) = sockets(arguments, 4);
        assert_eq!(count, 0, "{arguments:?}");
        assert!(
            text.contains("alpine-3.21") && text.contains("not cached"),
            "{text}"
        );
    }
    assert_eq!(bench.server.connections(), 0);
    assert!(!bench.lab.cache().exists(), "not even a directory is made");
    assert!(
        sockets(&["ensure", "alpine-3.21"], 0).0 > 0,
        "or this test sees nothing"
    );
    let asked = bench.server.connections();
    for arguments in [
        &["ensure", "alpine-3.21"][..],
        &["--offline", "ensure", "alpine-3.21"],
        &["ensure", "--pull=never", "--verify", "alpine-3.21"],
        &["verify"],
        &["list"],
        &["show", "alpine-3.21"],
        &["cache", "list"],
        &["cache", "prune"],
    ] {
        assert_eq!(sockets(arguments, 0).0, 0, "{arguments:?}");
    }
    assert_eq!(bench.server.connections(), asked);
}
