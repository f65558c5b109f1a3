//! Readers while somebody publishes, several publishers, and those that are killed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::kit::{SPLIT, Yard};
use crate::crash::strace;
use crate::harness::{distro_fetch, said};

/// What a reader sees who takes the index and then what it names: how many products, if the index
/// was the same all the time. Whatever happens meanwhile, both are whole, and no product is named that
/// is not there.
fn look(root: &Path) -> Option<usize> {
    let file = |name: &str| root.join("streams/v1").join(name);
    let inode = || fs::metadata(file("index.json")).map(|meta| meta.ino()).ok();
    let read = |name: &str| -> Option<Value> {
        let bytes = fs::read(file(name)).ok()?;
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        let read = serde_json::from_slice(&bytes);
        Some(read.unwrap_or_else(|error| panic!("{name} is torn: {error}: {}", shown())))
    };
    let before = inode();
    let index = read("index.json").unwrap();
    let images = read("images.json").unwrap();
    if inode() != before {
        return None;
    }
    let keys = index["index"]["images"]["products"].as_array().unwrap();
    for key in keys {
        let product = &images["products"][key.as_str().unwrap()];
        assert!(
            product["versions"].is_object(),
            "{key} is named, and not there"
        );
    }
    Some(keys.len())
}

#[test]
fn a_reader_never_sees_a_torn_or_inconsistent_pair() {
    let yard = Yard::with_image();
    yard.publish();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeSet::new();
                    let mut looks = 0;
                    while !done.load(Ordering::Relaxed) {
                        seen.extend(look(&yard.root));
                        looks += 1;
                    }
                    (seen, looks)
                })
            })
            .collect();
        for turn in 0..200 {
            // Products come and go, several at once.
            for product in 0..3 {
                let place = format!("images/p{product}/{}/amd64/default", turn % 7);
                if (turn + product) % 3 == 0 {
                    yard.put(&format!("{place}/20260101"), &SPLIT);
                } else {
                    let _ = fs::remove_dir_all(yard.root.join(place));
                }
            }
            yard.publish();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            let (seen, looks) = reader.join().unwrap();
            assert!(looks > 100 && seen.len() > 2, "{looks} looks: {seen:?}");
        }
    });
}

#[test]
fn publishers_at_once_are_one_after_the_other() {
    let yard = Yard::new();
    for product in 0..20 {
        yard.put(
            &format!("images/p{product}/1/amd64/default/20260101"),
            &SPLIT,
        );
    }
    let start = || {
        distro_fetch()
            .arg("publish")
            .arg(&yard.root)
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..6).map(|_| start()).collect();
    let (mut hashed, mut changed) = (0, 0);
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["versions"], 20);
        hashed += document["hashed"].as_u64().unwrap();
        changed += u32::from(document["changed"] == true);
    }
    // Whoever waited finds everything done.
    assert_eq!((hashed, changed), (40, 1));
    assert_eq!(look(&yard.root), Some(20));
}

/// HOSTILE 70: at every call that changes something.
#[test]
fn a_kill_leaves_a_whole_pair() {
    if !strace::works() {
        return;
    }
    let mut kills = 0;
    for call in [
        "linkat",
        "rename",
        "renameat",
        "renameat2",
        "fsync",
        "openat",
        "write",
        "ftruncate",
        "unlinkat",
    ] {
        let step = if call == "openat" { 7 } else { 1 };
        for nth in (1..).step_by(step) {
            let yard = Yard::with_image();
            yard.put("images/gone/1/amd64/default/20260101", &SPLIT);
            yard.put("images/alpine/3.21/amd64/default/20250101", &SPLIT);
            yard.publish();
            fs::remove_dir_all(yard.root.join("images/gone")).unwrap();
            yard.put("images/new/1/amd64/default/20260101", &SPLIT);
            let mut command = distro_fetch();
            command
                .arg("publish")
                .arg(&yard.root)
                .args(["--retain", "1"]);
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let trace = format!("trace={call}");
            let log = yard.folder.join("log");
            let output = strace::under(&["-e", &trace, "-e", &inject], &log, &command)
                .output()
                .unwrap();
            let when = format!("{call} number {nth}");
            let seen = look(&yard.root).unwrap();
            assert!((1..=2).contains(&seen), "{when}: {seen}");
            let killed = strace::was_killed(&output);
            assert!(killed || output.status.success(), "{when}: {output:?}");
            // The next run makes everything right.
            let again = said(&mut command);
            assert_eq!(again.code, Some(0), "{when}: {again:?}");
            assert_eq!(yard.listed().len(), 2, "{when}");
            assert_eq!(look(&yard.root), Some(2), "{when}");
            let check = said(
                Command::new(env!("CARGO_BIN_EXE_distro-fetch"))
                    .arg("publish")
                    .arg(&yard.root)
                    .arg("--verify"),
            );
            assert_eq!(check.code, Some(0), "{when}: {check:?}");
            if !killed {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 10, "only {kills} kills");
    eprintln!("{kills} kills");
}
