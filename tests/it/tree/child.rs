//! The same work in a process of other circumstances: this test binary, started again.

use std::path::Path;
use std::process::Command;

use distro_fetch::archive::Limits;
use distro_fetch::sys;
use distro_fetch::tree::Writer;

use super::ground::{Ground, Made, file, folder, hardlink, mode, skip, symlink};

/// What a child is told: where to write, and what to write.
const PLACE: &str = "DISTRO_FETCH_TEST_TREE";

/// Where a child dies.
const DYING: &str = "DISTRO_FETCH_TEST_DYING";

/// Many directories, so that descriptors run out if they are kept.
fn entries() -> Vec<Made> {
    let mut entries = vec![mode(folder("closed"), 0), file("closed/x", "x")];
    for n in 0..60 {
        entries.push(mode(folder(format!("d{n}")), 0o750));
        entries.push(mode(file(format!("d{n}/e/f/g/x"), format!("{n}")), 0o640));
    }
    for n in 0..60 {
        // All parents once more, in another order.
        let from = format!("d{}/e/f/g/x", (n * 7) % 60);
        entries.push(hardlink(format!("d{n}/e/link"), from));
        entries.push(symlink(format!("d{n}/s"), "e"));
    }
    entries
}

/// Not a test of its own: what the others start.
#[test]
fn child() {
    if let Some(place) = std::env::var_os(PLACE) {
        super::rootless::write_here(Path::new(&place), &entries());
    }
}

/// Runs the child in a shell that first says `circumstances`.
fn run(place: &Path, circumstances: &str) -> bool {
    let script = format!("{circumstances} exec \"$0\" --exact tree::child::child --test-threads 1");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(PLACE, place)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{circumstances} {text} {output:?}");
    text.contains("1 passed")
}

/// HOSTILE 62 and 63.
#[test]
fn the_umask_does_not_matter() {
    let ground = Ground::new();
    let mut seen = Vec::new();
    for umask in ["000", "022", "077", "777"] {
        let place = ground.path(umask);
        assert!(run(&place, &format!("umask {umask};")));
        seen.push(super::rootless::listing(&place));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].contains(&"d7/e/f/g/x 100640".to_owned()),
        "{:?}",
        seen[0]
    );
}

/// HOSTILE 64.
#[test]
fn few_descriptors_are_enough() {
    let ground = Ground::new();
    let (few, many) = (ground.path("few"), ground.path("many"));
    assert!(run(&few, "ulimit -n 32;"));
    assert!(run(&many, ""));
    assert_eq!(
        super::rootless::listing(&few),
        super::rootless::listing(&many)
    );
}

/// Not a test of its own: dies half way, as if killed.
#[test]
fn dying_child() {
    if let Some(place) = std::env::var_os(DYING) {
        let (policy, limits) = (super::ground::policy(), Limits::default());
        let mut writer = Writer::create(Path::new(&place), policy, limits).unwrap();
        for (entry, data) in entries().iter().take(100) {
            writer.add(entry, &mut data.as_slice()).unwrap();
        }
        // No destructor runs.
        std::process::abort();
    }
}

/// HOSTILE 60: nothing is visible, and the next run succeeds and sweeps.
#[test]
fn a_killed_run_leaves_no_target_and_no_harm() {
    let ground = Ground::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tree::child::dying_child", "--test-threads", "1"])
        .env(DYING, ground.target())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(!ground.target().exists());
    assert_eq!(ground.litter().len(), 1);
    ground.write(&entries()).unwrap();
    assert!(ground.target().is_dir());
    assert_eq!(ground.litter(), [] as [&str; 0]);
}

/// As somebody else: modes that lock out even their owner, and a umask that does the same.
#[test]
fn an_ordinary_user_can_write_and_remove_it() {
    if !sys::is_root() {
        return skip("the other tests are those of an ordinary user already");
    }
    let ground = Ground::new();
    let place = ground.path("theirs");
    std::fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(65_534), Some(65_534)).unwrap();
    let run_as = "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all \
                  --inh-caps -all";
    let exe = std::env::current_exe().unwrap();
    let probe = Command::new("sh")
        .args(["-c", &format!("{run_as} -- \"$0\" --list")])
        .arg(&exe)
        .output();
    if !probe.is_ok_and(|it| it.status.success()) {
        return skip("nobody else may run this test binary");
    }
    for umask in ["022", "777"] {
        let target = place.join(umask);
        let script = format!(
            "umask {umask}; exec {run_as} -- \"$0\" --exact tree::rootless::child --test-threads 1"
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(&exe)
            .env(super::rootless::PLACE, &target)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{umask}: {text}"
        );
    }
}
