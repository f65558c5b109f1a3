//! Conversions that end too early: killed, interrupted, out of room, over a limit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::cached::{ENSURE, Shop, large, with};
use super::kit::{assert_sparse, folder, names};
use super::packed::gzip;
use crate::crash::strace::{self, mounts_work, unshare, whole_or_full};
use crate::harness::{Lab, distro_fetch, said};

/// One command, killed again and again.
struct Case<'a> {
    command: &'a dyn Fn() -> Command,
    /// Where the disk is when it is made, and what it is then.
    target: PathBuf,
    raw: &'a [u8],
    /// Makes it what it was before: nothing, or an old disk.
    reset: &'a dyn Fn(),
    old: Option<&'a [u8]>,
    /// What lies around when all is well again.
    check: &'a dyn Fn(&str),
    log: PathBuf,
}

impl Case<'_> {
    fn traced(&self, options: &[&str]) -> Output {
        (self.reset)();
        let command = (self.command)();
        strace::under(options, &self.log, &command)
            .output()
            .unwrap()
    }

    /// Kills at every call of these names, by whichever thread, until a run is through.
    fn run(&self, what: &str) {
        let output = self.traced(&[]);
        assert!(output.status.success(), "{what}: {output:?}");
        let text = fs::read_to_string(&self.log).unwrap();
        let mut counts = BTreeMap::<&str, usize>::new();
        for name in MOMENTS {
            let calls = text
                .lines()
                .filter(|line| line.contains(&format!(" {name}(")));
            counts.insert(name, calls.count());
        }
        assert!(counts["pwrite64"] > 8, "{what}: {counts:?}");
        let mut kills = 0;
        for (name, count) in counts {
            let mut moments = vec![1, 2, 3, 4, 5, count / 2, count];
            moments.retain(|nth| (1..=count).contains(nth));
            moments.sort_unstable();
            moments.dedup();
            for nth in moments {
                let when = format!("{what}, killed at {name} number {nth} of {count}");
                let inject = format!("inject={name}:signal=KILL:when={nth}");
                let output = self.traced(&["-e", &format!("trace={name}"), "-e", &inject]);
                if strace::was_killed(&output) {
                    kills += 1;
                } else {
                    // Each thread counts for itself.
                    assert!(output.status.success(), "{when}: {output:?}");
                }
                if self.target.exists() {
                    let there = fs::read(&self.target).unwrap();
                    assert!(
                        there == self.raw || Some(&*there) == self.old,
                        "{when}: half a disk"
                    );
                } else {
                    assert!(self.old.is_none(), "{when}: neither old nor new");
                }
                let output = (self.command)().output().unwrap();
                assert!(output.status.success(), "{when}: {output:?}");
                assert_sparse(&self.target, self.raw, &when);
                (self.check)(&when);
            }
        }
        eprintln!("{what}: {kills} kills");
        assert!(kills > 7, "{what}: only {kills} kills");
    }
}

/// What changes something outside of the process.
const MOMENTS: [&str; 11] = [
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fsync",
    "linkat",
    "renameat2",
    "renameat",
    "fchmod",
    "mkdirat",
    "sync_file_range",
    "unlinkat",
];

#[test]
fn a_kill_leaves_no_half_disk() {
    if !strace::works() {
        return;
    }
    let image = large();
    for old in [None, Some(&b"old"[..])] {
        let lab = Lab::new();
        let source = lab.path("source.qcow2");
        fs::write(&source, &image.bytes).unwrap();
        let place = folder(&lab, "place");
        let target = place.join("target.raw");
        let case = Case {
            command: &|| {
                let mut command = distro_fetch();
                command.arg("convert").arg(&source).arg("-o").arg(&target);
                if old.is_some() {
                    command.arg("--force");
                }
                command
            },
            target: target.clone(),
            raw: &image.raw,
            reset: &|| {
                for name in names(&place) {
                    fs::remove_file(place.join(name)).unwrap();
                }
                if let Some(old) = old {
                    fs::write(&target, old).unwrap();
                }
            },
            old,
            check: &|when| {
                let mut names = names(&place);
                if old.is_some() {
                    // Between the name that a new disk has on its way, and the rename.
                    names.retain(|name| !name.starts_with(".target.raw."));
                }
                assert_eq!(names, ["target.raw"], "{when}: litter");
            },
            log: lab.path("strace.log"),
        };
        case.run(if old.is_some() {
            "convert --force"
        } else {
            "convert"
        });
    }
}

#[test]
fn a_kill_leaves_no_half_disk_in_the_cache() {
    if !strace::works() {
        return;
    }
    let shop = Shop::new();
    let target = shop.made(&ENSURE);
    let prepared = target.parent().unwrap().parent().unwrap();
    let case = Case {
        command: &|| shop.command(&ENSURE),
        target: target.clone(),
        raw: &shop.image.raw,
        reset: &|| distro_fetch::sys::clear_away(prepared).unwrap(),
        old: None,
        check: &|when| {
            assert_eq!(names(prepared), ["raw-1"], "{when}: litter");
            let own = names(target.parent().unwrap());
            assert_eq!(own, ["disk.raw", "made.json"], "{when}: litter");
        },
        log: shop.lab.path("strace.log"),
    };
    case.run("ensure --as raw");
    assert_eq!(shop.run(&["verify"]).code, Some(0));
}

/// Stopped when the output gets its length, while reading takes its time.
#[test]
fn stop_means_stop_and_nothing_is_left() {
    if !strace::works() {
        return;
    }
    let shop = Shop::new();
    shop.made(&["ensure", "debian-12"]);
    let place = folder(&shop.lab, "place");
    let source = shop.lab.path("source.qcow2");
    fs::write(&source, &shop.image.bytes).unwrap();
    let packed = shop.lab.path("source.raw.gz");
    // So long that it is asked while it decodes.
    fs::write(&packed, gzip(&vec![7; 200 << 20])).unwrap();
    let target = place.join("target.raw");
    let convert = |source: &Path| {
        let mut command = distro_fetch();
        command.arg("convert").arg(source).arg("-o").arg(&target);
        command
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for (what, call, nth, command) in [
            ("convert", "ftruncate", 1, convert(&source)),
            // The first one is that of the lock, which tells who has it.
            ("ensure", "ftruncate", 2, shop.command(&ENSURE)),
            ("convert of a packed one", "pwrite64", 1, convert(&packed)),
        ] {
            let log = shop.lab.path("strace.log");
            let inject = format!("inject={call}:signal={signal}:when={nth}");
            let trace = format!("trace={call},pread64");
            let slow = "inject=pread64:delay_enter=20000";
            let options = ["-e", &trace, "-e", &inject, "-e", slow];
            let output = strace::under(&options, &log, &command).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{what}: {text}");
            assert!(output.stdout.is_empty(), "{what}: a path and an error");
            assert!(text.contains("stopped"), "{what}: {text}");
            assert_eq!(names(&place), [] as [&str; 0], "{what}");
            assert_eq!(shop.prepared(), [] as [&str; 0], "{what}");
        }
    }
    let path = shop.made(&with(&["--offline"]));
    assert_sparse(&path, &shop.image.raw, "afterwards");
}

#[test]
fn a_full_disk_keeps_nothing() {
    if !mounts_work() {
        return;
    }
    let image = large();
    let lab = Lab::new();
    let place = folder(&lab, "place");
    let plain = lab.path("source.qcow2");
    fs::write(&plain, &image.bytes).unwrap();
    let packed = lab.path("source.raw.gz");
    fs::write(&packed, gzip(&image.raw)).unwrap();
    let both = lab.path("source.qcow2.gz");
    fs::write(&both, gzip(&image.bytes)).unwrap();
    for source in [&plain, &packed, &both] {
        let mut codes = Vec::new();
        let sizes = ["4k", "64k", "1m", "3m", "5900k", "6200k", "12m"];
        let sizes = sizes.map(|size| format!("size={size}"));
        for options in sizes.into_iter().chain(["nr_inodes=1".to_owned()]) {
            let mut command = unshare(
                "D=$1; mount -t tmpfs -o \"mode=700,$2\" none \"$D\" || exit 100; shift 2
                 \"$@\" -o \"$D/target.raw\"; code=$?
                 find \"$D\" -mindepth 1 -printf '%f '; exit $code",
            );
            command.arg(&place).arg(&options);
            command.arg(distro_fetch().get_program());
            command.args(["--quiet", "convert"]).arg(source);
            let said = said(&mut command);
            codes.push(whole_or_full(&said, "target.raw ", &options));
        }
        for code in [Some(0), Some(8)] {
            assert!(codes.contains(&code), "{source:?}: {codes:?}");
        }
    }
}

/// In the cache the disk is full, too; the verified file stays.
#[test]
fn a_full_cache_keeps_the_file_and_no_disk() {
    if !mounts_work() {
        return;
    }
    let shop = Shop::new();
    let cache = shop.lab.cache();
    fs::create_dir(&cache).unwrap();
    let (mut full, mut fine) = (0, 0);
    for size in ["2500k", "4m", "6m", "8m", "12m"] {
        let mut command = unshare(
            "C=$1; S=$2; shift 2
             mount -t tmpfs -o \"mode=700,size=$S\" none \"$C\" || exit 100
             \"$@\"; code=$?
             find \"$C\" -path '*/prepared/*' >&2
             find \"$C\" -name entry.json >&2; exit $code",
        );
        let ensure = shop.command(&ENSURE);
        command.arg(&cache).arg(size);
        command.arg(ensure.get_program()).args(ensure.get_args());
        let said = said(&mut command);
        match said.code {
            Some(0) => fine += 1,
            Some(8) if said.stderr.contains("entry.json") => {
                full += 1;
                assert!(!said.stderr.contains("/prepared/"), "{size}: {said:?}");
                assert_eq!(said.stdout, "", "{size}");
                let told = ["No space left", "disk is full"];
                assert!(told.iter().any(|it| said.stderr.contains(it)), "{said:?}");
            }
            // Not even the file.
            Some(8) => {}
            _ => panic!("{size}: {said:?}"),
        }
    }
    assert!(full > 0 && fine > 0, "{full} {fine}");
}

/// `ulimit -f`: an error, not a signal.
#[test]
fn a_limit_on_files_is_an_error() {
    let shop = Shop::new();
    shop.made(&["ensure", "debian-12"]);
    let place = folder(&shop.lab, "place");
    let target = place.join("target.raw");
    let plain = shop.lab.path("source.qcow2");
    fs::write(&plain, &shop.image.bytes).unwrap();
    let packed = shop.lab.path("source.raw.gz");
    fs::write(&packed, gzip(&shop.image.raw)).unwrap();
    let convert = |source: &Path| {
        let mut command = distro_fetch();
        command.arg("convert").arg(source).arg("-o").arg(&target);
        command
    };
    for (what, inner) in [
        ("convert", convert(&plain)),
        ("convert of a packed one", convert(&packed)),
        ("ensure", shop.command(&ENSURE)),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 2000 && exec \"$@\"", "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        let said = said(&mut command);
        assert_eq!(said.code, Some(8), "{what}: {said:?}");
        assert!(said.stderr.contains("too large"), "{what}: {said:?}");
        assert_eq!(said.stdout, "", "{what}");
        assert_eq!(names(&place), [] as [&str; 0], "{what}");
        assert_eq!(shop.prepared(), [] as [&str; 0], "{what}");
    }
}
