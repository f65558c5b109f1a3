//! Other people's tools on a mirror.

use std::process::Command;

use super::kit::{DISK_FOLDER, LXC, MINI_FOLDER, World, real_alpine};
use crate::crash::strace::required;
use crate::publish::incus::{self, Incus};

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

#[test]
fn incus_lists_describes_and_exports() {
    if !incus::works() {
        return;
    }
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    incus::verify(&world.mirror).unwrap();
    let client = Incus::at(&world.mirror);
    let mut seen: Vec<String> = client
        .images()
        .iter()
        .map(|image| {
            let words = ["type", "architecture"].map(|key| image[key].as_str().unwrap());
            format!("{} {}", image["properties"]["os"], words.join(" "))
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "\"alpine\" container x86_64",
            "\"alpine\" container x86_64",
            "\"ubuntu\" virtual-machine x86_64"
        ]
    );
    let about = client.good(&["image", "info", "m:alpine/3.20/minirootfs"]);
    for text in ["serial: 20240906_00:00", "Created: 2024/09/06", "x86_64"] {
        assert!(about.contains(text), "{text}: {about}");
    }
    for (image, more, folder, root) in [
        ("alpine/3.21", &[] as &[&str], LXC, "rootfs.tar.xz"),
        (
            "alpine/3.20/minirootfs/amd64",
            &[],
            MINI_FOLDER,
            "rootfs.tar.gz",
        ),
        (
            "ubuntu/resolute/cloud",
            &["--vm"],
            DISK_FOLDER,
            "disk.qcow2",
        ),
    ] {
        let files = client.export(image, more).unwrap();
        let mut expect = ["incus.tar.xz", root].map(|name| world.read(&format!("{folder}/{name}")));
        expect.sort_by_key(Vec::len);
        assert!(files == expect, "{image}");
    }
}

/// Alpine's own release, with the metadata that is made for it.
#[test]
fn incus_takes_the_real_alpine() {
    let Some((world, body)) = real_alpine() else {
        return;
    };
    if !incus::works() {
        return;
    }
    assert_eq!(world.run(&["--all"]).code, Some(0));
    let client = Incus::at(&world.mirror);
    let files = client.export("alpine/3.20/minirootfs", &[]).unwrap();
    assert!(files.last() == Some(&body));
}
