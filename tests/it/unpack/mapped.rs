//! `--map-owner`: owners of an archive as subordinate ids.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::kit::{NOBODY, Scene, have_somebody_else, is_root, skip, small};
use super::snapshot::snapshot;
use crate::crash::strace::{mounts_work, unshare};
use crate::harness::{distro_fetch, said};

/// Root lends an ordinary user a range for the time of the test, where only the test sees it.
#[test]
fn an_ordinary_user_keeps_owners_in_a_range() {
    if !mounts_work() || !have_somebody_else() {
        return;
    }
    let found = ["/usr/bin/newuidmap", "/etc/subuid", "/etc/subgid"];
    if !is_root() || !found.iter().all(|path| Path::new(path).exists()) {
        return skip("there is no newuidmap, or no root to lend a range of ids");
    }
    let scene = Scene::new();
    let archive = scene.file("small.tar", &small());
    let ids = scene.file("subids", format!("{NOBODY}:300000:65535\n").as_bytes());
    let place = scene.theirs();
    let (target, report) = (place.join("target"), place.join("report.json"));
    // Its rights stay: newuidmap is set-user-ID, and works by what it gets.
    let mut command = unshare(
        "mount --bind \"$1\" /etc/subuid && mount --bind \"$1\" /etc/subgid || exit 100; shift
         exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"",
    );
    command.arg(&ids).arg(distro_fetch().get_program());
    command.arg("--cache-dir").arg(place.join("cache"));
    command
        .args(["unpack", "--map-owner=auto", "--report"])
        .arg(&report);
    command.arg(&archive).arg(&target);
    let said = said(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.trim_end(), target.to_str().unwrap());
    let tree = snapshot(&target);
    for (name, owner) in [("", NOBODY), ("etc/hostname", NOBODY), ("user", 300_999)] {
        assert_eq!(tree[Path::new(name)].owner, (owner, owner), "{name}");
    }
    assert_eq!(tree[Path::new("bin")].mode, 0o4755);
    assert_eq!(tree[Path::new("closed")].mode, 0);
    assert!(!tree.contains_key(Path::new("null")));
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let lost = report["lost"].as_object().unwrap();
    assert_eq!(lost.keys().collect::<Vec<_>>(), ["device"], "{report}");
}

#[test]
fn root_moves_owners_anywhere() {
    if !is_root() {
        return skip("only root moves owners to any range");
    }
    let scene = Scene::new();
    let archive = scene.file("small.tar", &small());
    let (plain, moved) = (scene.path("plain"), scene.path("moved"));
    assert_eq!(scene.unpack(&archive, &plain, &[]).code, Some(0));
    let said = scene.unpack(&archive, &moved, &["--map-owner=100000:65536"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let (plain, mut moved) = (snapshot(&plain), snapshot(&moved));
    for node in moved.values_mut() {
        node.owner = (node.owner.0 - 100_000, node.owner.1 - 100_000);
    }
    super::snapshot::assert_same(&moved, &plain, "moved and not");
    // An owner beyond the range is an error and not somebody else.
    let said = scene.unpack(&archive, &scene.path("small"), &["--map-owner=100000:1000"]);
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("1000"), "{said:?}");
    assert_eq!(scene.litter(), [] as [&str; 0]);
}

/// Said before anything is read or made.
#[test]
fn who_may_not_map_is_told() {
    let scene = Scene::new();
    let archive = scene.file("small.tar", &small());
    let target = scene.path("target");
    let cases: &[&str] = if is_root() {
        &["--map-owner=auto", "--map-owner=x", "--map-owner=1:2:3"]
    } else {
        &["--map-owner=100000:65536", "--map-owner=x"]
    };
    for option in cases {
        let said = scene.unpack(&archive, &target, &[option]);
        assert_eq!(said.code, Some(2), "{option}: {said:?}");
        assert!(!target.exists());
    }
}
