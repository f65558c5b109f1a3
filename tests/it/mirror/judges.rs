//! Other people's tools on a mirror.

use std::process::Command;

use super::kit::{DISK_FOLDER, LXC, MINI_FOLDER, World};
use crate::crash::strace::required;

#[test]
fn coreutils_check_the_sums() {
    let there = Command::new("sha256sum").arg("--version").output().is_ok();
    if !required("sha256sum", there) {
        return;
    }
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    for (folder, files) in [(LXC, 2), (MINI_FOLDER, 2), (DISK_FOLDER, 2)] {
        let output = Command::new("sha256sum")
            .args(["--strict", "-c", "SHA256SUMS"])
            .current_dir(world.at(folder))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{folder}: {output:?}");
        assert_eq!(told.matches(": OK").count(), files, "{folder}: {told}");
    }
}
