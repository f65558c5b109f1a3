//! Pulls that are killed at a system call (HOSTILE 70, for container images).

use super::kit::{blobs, name, small};
use crate::crash::strace;
use crate::harness::{Lab, distro_fetch, said};

/// Whatever is there by then is right, and the next pull ends it.
#[test]
fn a_kill_at_any_call_leaves_nothing_wrong() {
    if !strace::works() {
        return;
    }
    for call in ["rename", "fsync", "unlink", "utimensat"] {
        let (_, server, pinned) = small();
        let (tag, pin) = (
            name(&server, ":one"),
            name(&server, &format!("@{pinned}\n")),
        );
        let mut kills = 0;
        for nth in 1.. {
            let lab = Lab::new();
            let mut command = distro_fetch();
            command.arg("--cache-dir").arg(lab.cache());
            command.args(["--retries", "0", "-j", "1", "pull", &tag]);
            let (trace, inject) = (
                format!("trace={call}"),
                format!("inject={call}:signal=KILL:when={nth}"),
            );
            let options = ["-e", &*trace, "-e", &inject];
            let traced = said(&mut strace::under(&options, &lab.path("log"), &command));
            if traced.code == Some(0) {
                break;
            }
            kills += 1;
            let what = format!("{call} {nth}");
            let sound = lab.run(&["--offline", "verify"]);
            assert_eq!(sound.code, Some(0), "{what}: {sound:?}");
            let again = lab.run(&["pull", &tag]);
            assert_eq!(again.stdout, pin, "{what}: {again:?}");
            let swept = lab.run(&["cache", "prune", "--all", "--older-than", "1w"]);
            assert_eq!(swept.code, Some(0), "{what}: {swept:?}");
            assert_eq!(blobs(&lab).len(), 4, "{what}");
            let files = lab.cached_files();
            let left = files
                .iter()
                .filter(|it| it.contains("tmp") || it.contains("part"));
            assert_eq!(left.count(), 0, "{what}: {files:?}");
        }
        assert!(kills >= 4, "{call}: {kills} kills");
    }
}
