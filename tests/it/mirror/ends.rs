//! How runs end: failures, kills, full disks, somebody else at work.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use distro_fetch::sys::{FileLock, Locked};
use serde_json::{Value, json};

use super::kit::{LXC, MINI, World, images, is_servable, rootfs_xz, tree};
use crate::crash::strace;
use crate::harness::{distro_fetch, said};

#[test]
fn each_failure_has_its_name_and_the_rest_is_mirrored() {
    let world = World::new();
    world.up.forget(MINI);
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(
        said.stderr.contains("alpine-3.20-minirootfs amd64 3.20.3"),
        "{said:?}"
    );
    assert_eq!(said.stdout.matches("added    ").count(), 3, "{said:?}");
    is_servable(&world.mirror, "one is gone");
    // Wrong bytes weigh more than bytes that are gone.
    let path = "raw/release-20260720/disk.img";
    fs::remove_file(world.at(path)).unwrap();
    world.forget_cache();
    world.up.pin("x", path, &crate::harness::noise(9001)[1..]);
    let said = world.run(&["--all", "--json"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let failed = document["failed"].as_array().unwrap();
    let kinds: Vec<_> = failed.iter().map(|it| &it["error"]["kind"]).collect();
    assert_eq!(kinds, ["gone", "integrity"], "{document:#}");
    assert_eq!(document["index"]["versions"], 2);
    // Offline: what is there is enough, what is not is told.
    let said = world.run(&["--all", "--offline"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert_eq!(said.stdout.matches("present  ").count(), 2, "{said:?}");
}

#[test]
fn a_mirror_is_not_in_the_cache_nor_the_cache_in_a_mirror() {
    let world = World::new();
    for folder in [world.lab.cache().join("mirror"), world.lab.path("")] {
        let said = said(&mut world.command_into(&folder, &["--all"]));
        assert_eq!(said.code, Some(8), "{said:?}");
        assert!(said.stderr.contains("in each other"), "{said:?}");
    }
}

#[test]
fn two_at_once_wait_for_each_other() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.21"]).code, Some(0));
    let file = distro_fetch::sys::open_append(&world.at(".distro-fetch/mirror.lock")).unwrap();
    let Locked::Held(lock) = FileLock::try_exclusive(file) else {
        panic!("nobody else has it");
    };
    let mut child = world.command(&["--all", "-q"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    assert!(!world.at(MINI).exists());
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert!(world.at(MINI).exists());
}

#[test]
fn a_record_that_is_no_record_is_told() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.21"]).code, Some(0));
    let record = world.at(".distro-fetch/mirror.json");
    fs::write(&record, "{").unwrap();
    let said = world.run(&["alpine-3.21"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.stderr.contains("mirror.json"), "{said:?}");
    fs::remove_file(&record).unwrap();
    let said = world.run(&["alpine-3.21"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with("present  "), "{said:?}");
}

#[test]
fn a_kill_at_any_moment_leaves_a_mirror_that_can_be_served() {
    if !strace::works() {
        return;
    }
    let world = World::new();
    let whole = world.lab.path("whole");
    assert_eq!(
        said(&mut world.command_into(&whole, ARGUMENTS)).code,
        Some(0)
    );
    let whole = tree(&whole);
    let deadline = Instant::now() + BUDGET;
    let mut kills = 0;
    for name in CALLS {
        for nth in 1.. {
            let when = format!("killed at {name} number {nth}");
            assert!(Instant::now() < deadline, "{when}: out of time");
            let _ = fs::remove_dir_all(&world.mirror);
            // The cache has everything: what is killed is the work on the mirror.
            let command = world.command(ARGUMENTS);
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let options = ["-e", &format!("trace={name}"), "-e", &inject];
            let log = world.lab.path("strace.log");
            let output = strace::under(&options, &log, &command).output().unwrap();
            is_servable(&world.mirror, &when);
            if !strace::was_killed(&output) {
                assert!(output.status.success(), "{when}: {output:?}");
                break;
            }
            kills += 1;
            let said = said(&mut world.command(ARGUMENTS));
            assert_eq!(said.code, Some(0), "{when}: {said:?}");
            let again = tree(&world.mirror);
            let left: Vec<_> = again.keys().filter(|it| !whole.contains_key(*it)).collect();
            let left: Vec<_> = left.iter().filter(|it| !is_hidden(it)).collect();
            assert!(left.is_empty(), "{when}: {left:?}");
            for (name, file) in &whole {
                assert!(again.get(name) == Some(file), "{when}: {name}");
            }
        }
    }
    assert!(kills > 60, "only {kills} kills");
    eprintln!("{kills} kills");
}

/// No server shows it, and no sync has to.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.'))
}

const ARGUMENTS: &[&str] = &["alpine-3.21", "alpine-3.20-minirootfs", "--blobs", "-q"];

/// What changes something on disk.
const CALLS: [&str; 9] = [
    "mkdir",
    "mkdirat",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "fchmod",
    "utimensat",
    "fsync",
];

/// Some ten times what it takes on a quiet machine.
const BUDGET: Duration = Duration::from_secs(240);

/// A mirror on a file system that is too small for what is new: what was served stays, and the
/// index names nothing that is not there.
#[test]
fn a_full_disk_leaves_the_old_mirror() {
    if !strace::mounts_work() {
        return;
    }
    let world = World::new();
    let mut list = images(&world.up);
    let mut large = rootfs_xz("large");
    large.extend(crate::harness::noise(2_000_000));
    let path = "images/alpine/3.22/amd64/default/20260129_13%3A00/rootfs.tar.xz";
    let pin = world.up.pin("20260129_13:00", path, &large);
    list.add("alpine-3.22", "rootfs", json!({}), pin);
    list.write(&world.catalog);
    fs::create_dir(&world.mirror).unwrap();
    let script = "set -e; M=$1; mount -t tmpfs -o mode=755,size=$2 none \"$M\"; set +e
        p() { \"$PROGRAM\" --cache-dir \"$C\" --catalog \"$CATALOG\" --arch amd64 --retries 0 mirror \"$M\" -q \"$@\"; }
        p alpine-3.21 >/dev/null || exit 100
        p --all; code=$?
        cp -r \"$M\" \"$OUT\"; exit $code";
    let mut full = 0;
    for size in (64..=4096_usize).step_by(448) {
        let out = world.lab.path(&format!("out-{size}"));
        let mut command = strace::unshare(script);
        command.arg(&world.mirror).arg(format!("{size}k"));
        command
            .env("PROGRAM", distro_fetch().get_program())
            .env("CATALOG", &world.catalog)
            .env("C", world.lab.cache())
            .env("OUT", &out);
        let said = said(&mut command);
        match said.code {
            Some(0) => {}
            // Not even the small one.
            Some(100) => continue,
            Some(8) => {
                full += 1;
                let told = ["no space is left", "No space left", "disk is full"];
                let told = told.iter().any(|text| said.stderr.contains(text));
                assert!(told, "{size}: {said:?}");
            }
            _ => panic!("{size}: {said:?}"),
        }
        is_servable(&out, &format!("{size} KiB"));
        let text = fs::read_to_string(out.join("streams/v1/images.json")).unwrap();
        assert!(text.contains("alpine:3.21:amd64:default"), "{size}");
    }
    assert!(full > 2, "{full}");
}

#[test]
fn a_mirror_shares_no_inode_with_the_cache() {
    let world = World::new();
    assert_eq!(world.run(&["--all", "--blobs"]).code, Some(0));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let ours = inode(&world.at(&format!("{LXC}/rootfs.tar.xz")));
    let cached = world.lab.cached_files();
    let cached: Vec<_> = cached.iter().filter(|it| it.contains("rootfs")).collect();
    assert!(!cached.is_empty());
    for name in cached {
        assert_ne!(inode(&world.lab.cache().join(name)), ours, "{name}");
    }
}
