//! Runs that end too early: killed, interrupted, out of room (HOSTILE 60, 70, 72).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::kit::{Scene, Tar, gzip, is_root, litter, skip, small, small_of};
use super::prepared::{ENSURE, Shop};
use super::snapshot::{Snapshot, assert_same, snapshot};
use crate::crash::strace::{self, mounts_work, unshare, whole_or_full};
use crate::harness::{distro_fetch, said};

/// One command, killed again and again.
struct Case<'a> {
    command: &'a dyn Fn() -> Command,
    target: PathBuf,
    /// What is at the target before, if anything.
    before: Option<Snapshot>,
    /// Makes it so.
    reset: &'a dyn Fn(),
    /// What a run that was killed before may leave beside the tree.
    strangers: &'a dyn Fn() -> Vec<String>,
    log: PathBuf,
}

impl Case<'_> {
    fn traced(&self, options: &[&str]) -> Output {
        (self.reset)();
        strace::under(options, &self.log, &(self.command)())
            .output()
            .unwrap()
    }

    /// Kills at some of the calls of each name that come after the first touch of the place.
    fn run(&self, what: &str) {
        let output = self.traced(&[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {text}");
        let whole = snapshot(&self.target);
        let calls = strace::calls(&self.log);
        let is_start = |call: &strace::Call| call.name.starts_with("mkdir");
        let start = calls.iter().position(is_start).expect("a staging");
        let mut counts = BTreeMap::<_, (usize, usize)>::new();
        for (at, call) in calls.iter().enumerate() {
            let (before, after) = counts.entry(call.name.clone()).or_default();
            *(if at < start { before } else { after }) += 1;
        }
        for name in [
            "mkdirat",
            "renameat2",
            "fchmod",
            "linkat",
            "symlinkat",
            "utimensat",
        ] {
            assert!(
                counts.contains_key(name),
                "{what}: {name} is not called any more"
            );
        }
        let mut kills = 0;
        for (name, (before, after)) in &counts {
            if HARMLESS.contains(&name.as_str()) {
                continue;
            }
            // The first, the last, and what lies between.
            let mut moments = vec![1, 2, after / 2, *after];
            moments.retain(|nth| (1..=*after).contains(nth));
            moments.sort_unstable();
            moments.dedup();
            for nth in moments {
                let when = format!("{what}, killed at {name} number {nth} of {after}");
                let inject = format!("inject={name}:signal=KILL:when={}", before + nth);
                let trace = format!("trace={name}");
                let output = self.traced(&["-e", &trace, "-e", &inject]);
                if strace::was_killed(&output) {
                    kills += 1;
                } else {
                    assert!(output.status.success(), "{when}: {output:?}");
                }
                self.check(&whole, &when);
            }
        }
        eprintln!("{what}: {kills} kills");
        assert!(kills > 40, "{what}: only {kills} kills");
    }

    fn check(&self, whole: &Snapshot, when: &str) {
        let there = self.target.exists().then(|| snapshot(&self.target));
        if there.is_some() || self.before.is_some() {
            let there = there.unwrap_or_else(|| panic!("{when}: neither old nor new"));
            if self.before.as_ref() != Some(&there) {
                assert_same(&there, whole, when);
            }
        }
        let output = (self.command)().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{when}: {text}");
        assert_same(&snapshot(&self.target), whole, when);
        assert_eq!((self.strangers)(), [] as [&str; 0], "{when}");
    }
}

#[test]
fn a_kill_leaves_no_half_tree() {
    if !strace::works() {
        return;
    }
    for replacing in [false, true] {
        let scene = Scene::new();
        let archive = scene.file("small.tar.gz", &gzip(&small()));
        let place = scene.path("place");
        fs::create_dir(&place).unwrap();
        let target = place.join("target");
        let reset = || {
            distro_fetch::sys::clear_away(&place).unwrap();
            fs::create_dir(&place).unwrap();
            if replacing {
                fs::create_dir(&target).unwrap();
                fs::write(target.join("old"), "old").unwrap();
                let old = fs::File::open(&target).unwrap();
                old.set_modified(std::time::UNIX_EPOCH).unwrap();
                let file = fs::File::options().write(true).open(target.join("old"));
                file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            }
        };
        reset();
        let case = Case {
            command: &|| {
                let mut command = scene.program();
                command
                    .args(["unpack", "--force"])
                    .arg(&archive)
                    .arg(&target);
                command
            },
            before: replacing.then(|| snapshot(&target)),
            target: target.clone(),
            reset: &reset,
            strangers: &|| litter(&place),
            log: scene.path("strace.log"),
        };
        case.run(if replacing {
            "unpack over a tree"
        } else {
            "unpack"
        });
    }
}

#[test]
fn a_kill_leaves_no_half_tree_in_the_cache() {
    if !strace::works() {
        return;
    }
    let shop = Shop::new();
    let target = shop.prepare();
    let prepared = target.parent().unwrap();
    let case = Case {
        command: &|| shop.command(&ENSURE),
        target: target.clone(),
        before: None,
        reset: &|| distro_fetch::sys::clear_away(prepared).unwrap(),
        strangers: &|| {
            let mut names = Shop::strangers(&target);
            // A hit writes nothing, and so sweeps nothing: half a report waits for the entry's end.
            names.retain(|name| !name.contains(".json."));
            names
        },
        log: shop.scene.path("strace.log"),
    };
    case.run("ensure --as dir");
    assert_eq!(shop.run(&["verify"]).code, Some(0));
}

/// Calls that change nothing outside the process.
const HARMLESS: [&str; 22] = [
    "access",
    "brk",
    "clone3",
    "execve",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "geteuid",
    "getrandom",
    "ioctl",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "readlink",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sigaltstack",
    "statx",
];

/// More than is unpacked before somebody can say stop.
fn large() -> Vec<u8> {
    let mut tar = Tar::default();
    for n in 0..20_000 {
        tar = tar.file(&format!("{}/{n}", n % 100), b"x");
    }
    gzip(&tar.end())
}

fn signal(process: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn stop_means_stop_and_nothing_is_left() {
    let scene = Scene::new();
    let archive = scene.file("large.tar.gz", &large());
    let place = scene.path("place");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        fs::create_dir(&place).unwrap();
        let mut command = scene.program();
        command
            .arg("unpack")
            .arg(&archive)
            .arg(place.join("target"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let staging = || litter(&place).into_iter().next();
        // Well under way: a hundredth of it is there.
        while !staging().is_some_and(|it| place.join(it).join("99/199").exists()) {
            assert!(Instant::now() < deadline, "it never began");
            std::thread::sleep(Duration::from_millis(2));
        }
        signal(child.id(), name);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(output.stdout.is_empty(), "a path and an error");
        assert!(text.contains("stopped"), "{text}");
        let left: Vec<_> = fs::read_dir(&place).unwrap().collect();
        assert!(left.is_empty(), "{name}: {left:?}");
        fs::remove_dir(&place).unwrap();
    }
}

/// Every size of disk between nothing and enough, in bytes and in names.
#[test]
fn a_full_disk_keeps_nothing() {
    if !mounts_work() {
        return;
    }
    let scene = Scene::new();
    // An ordinary user is root of the namespace, where nobody else exists.
    let archive = scene.file("small.tar.gz", &gzip(&small_of(0)));
    let disk = scene.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut codes = Vec::new();
    let sizes = (1..8).map(|pages| format!("size={}k", pages * 4));
    let names = (2..24).map(|names| format!("nr_inodes={names}"));
    for options in sizes.chain(names) {
        let mut command = unshare(
            "D=$1; mount -t tmpfs -o \"mode=700,$2\" none \"$D\" || exit 100; shift 2
             \"$@\" \"$D/target\"; code=$?
             find \"$D\" -mindepth 1 -maxdepth 1 -printf '%f '; exit $code",
        );
        command.arg(&disk).arg(&options);
        command.arg(distro_fetch().get_program());
        command.arg("--cache-dir").arg(scene.lab.cache());
        command.args(["unpack", "--quiet"]).arg(&archive);
        let said = said(&mut command);
        codes.push(whole_or_full(&said, "target ", &options));
    }
    for code in [Some(0), Some(8)] {
        assert!(codes.contains(&code), "{codes:?}");
    }
}

/// In the cache the disk is full, too; the verified file stays.
#[test]
fn a_full_cache_keeps_the_file_and_no_tree() {
    if !is_root() {
        return skip("another kind of user would make the tree in the namespace");
    }
    if !mounts_work() {
        return;
    }
    let shop = Shop::new();
    let cache = shop.scene.lab.cache();
    fs::create_dir(&cache).unwrap();
    let (mut full, mut fine) = (0, 0);
    for inodes in (10..40).step_by(2) {
        let mut command = unshare(
            "C=$1; N=$2; shift 2
             mount -t tmpfs -o \"mode=700,nr_inodes=$N\" none \"$C\" || exit 100
             \"$@\"; code=$?
             find \"$C\" -path '*/prepared/*' -prune -printf '%f\\n' >&2
             find \"$C\" -name entry.json >&2; exit $code",
        );
        let ensure = shop.command(&ENSURE);
        command.arg(&cache).arg(inodes.to_string());
        command.arg(ensure.get_program()).args(ensure.get_args());
        let said = said(&mut command);
        match said.code {
            Some(0) => {
                fine += 1;
                assert!(Path::new(said.stdout.trim_end()).ends_with("prepared/dir-1"));
            }
            Some(8) if said.stderr.contains("entry.json") => {
                full += 1;
                assert!(!said.stderr.contains("unpacking"), "{inodes}: {said:?}");
                assert!(!said.stderr.contains("\ndir-1\n"), "{inodes}: {said:?}");
                assert_eq!(said.stdout, "", "{inodes}");
            }
            // Not even the file.
            Some(8) => {}
            _ => panic!("{inodes}: {said:?}"),
        }
    }
    assert!(full > 1 && fine > 1, "{full} {fine}");
}
