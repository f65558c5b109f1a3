//! What may stand on the command line, and must not do harm.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kit::{Scene, gzip, small};
use super::snapshot::{assert_same, snapshot};
use crate::crash::strace::required;

/// Arguments, the exit code, and what the message names.
type Row = (&'static [&'static str], i32, &'static [&'static str]);

/// Names are relative to the scene.
const ROWS: &[Row] = &[
    (&["small.tar.gz", "link"], 8, &["link", "symbolic link"]),
    (&["small.tar.gz", "link/"], 8, &["link", "symbolic link"]),
    (&["small.tar.gz", "link", "--force"], 8, &["symbolic link"]),
    (&["small.tar.gz", "dangling"], 8, &["symbolic link"]),
    (&["small.tar.gz", "cache"], 8, &["lies in"]),
    (&["small.tar.gz", "cache/x", "--force"], 8, &["lies in"]),
    (&["small.tar.gz", "cache/v1/x"], 8, &["lies in"]),
    (&["small.tar.gz", "full/../cache/v1"], 8, &["lies in"]),
    (&["small.tar.gz", "full"], 8, &["not empty"]),
    (&["small.tar.gz", "small.tar.gz"], 8, &["not a directory"]),
    (
        &["small.tar.gz", "small.tar.gz", "--force"],
        8,
        &["not a directory"],
    ),
    (
        &["small.tar.gz", "absent/x"],
        8,
        &["absent/x", "No such file"],
    ),
    (&["small.tar.gz", "/"], 8, &["no name"]),
    (&["small.tar.gz", "."], 8, &["not empty"]),
    (&["small.tar.gz", ""], 2, &["DIR"]),
    (&["pipe", "new"], 2, &["pipe is not a file"]),
    (&["full", "new"], 2, &["full is not a file"]),
    (&["/dev/zero", "new"], 2, &["/dev/zero is not a file"]),
    (
        &["absent", "new"],
        8,
        &["cannot read absent", "No such file"],
    ),
    (&["empty.tar", "new"], 9, &["empty"]),
    (
        &["empty", "new"],
        9,
        &["neither its name nor its first bytes"],
    ),
    (
        &["text", "new"],
        9,
        &["neither its name nor its first bytes"],
    ),
    (&["disk.qcow2", "new"], 9, &["disk image"]),
    (&["small.tar.gz", "new", "--from", "xz"], 9, &["xz", "gzip"]),
    (&["lie.tar.xz", "new"], 9, &["xz", "gzip"]),
    (&["small.tar.gz", "new", "--from", "zip"], 2, &["zip"]),
    (
        &["small.tar.gz", "new", "--max-bytes", "8k"],
        9,
        &["8192", "limit"],
    ),
    (
        &["small.tar.gz", "new", "--max-entries", "12"],
        9,
        &["12", "limit"],
    ),
    (
        &["small.tar.gz", "new", "--report", "absent/r"],
        8,
        &["cannot write absent/r"],
    ),
    (
        &["small.tar.gz", "new", "--report", "full"],
        8,
        &["cannot write full"],
    ),
    (&["cut.tar.gz", "new"], 9, &["ends early"]),
];

fn scene() -> (Scene, PathBuf) {
    let scene = Scene::new();
    let bytes = gzip(&small());
    scene.file("small.tar.gz", &bytes);
    scene.file("lie.tar.xz", &bytes);
    scene.file("cut.tar.gz", &bytes[..bytes.len() - 9]);
    scene.file("empty.tar", b"");
    scene.file("empty", b"");
    scene.file("text", b"no archive\n");
    scene.file("disk.qcow2", b"QFI\xfb");
    fs::create_dir_all(scene.path("cache/v1")).unwrap();
    fs::create_dir(scene.path("full")).unwrap();
    scene.file("full/old", b"old");
    symlink("full", scene.path("link")).unwrap();
    symlink("nowhere", scene.path("dangling")).unwrap();
    let place = scene.path("");
    (scene, place)
}

fn run(scene: &Scene, place: &Path, arguments: &[&str]) -> crate::harness::Said {
    // Whatever waits forever is killed by an outside judge.
    let mut program = scene.program();
    program.args(arguments);
    let mut command = super::kit::inside("timeout", &[&["-s", "KILL", "20"]], &program);
    crate::harness::said(command.current_dir(place))
}

#[test]
fn hostile_arguments_are_told_and_change_nothing() {
    let (scene, place) = scene();
    let made = Command::new("mkfifo").arg(place.join("pipe")).status();
    if !required("mkfifo", made.is_ok_and(|status| status.success())) {
        return;
    }
    // Whoever begins touches the place: its own time aside.
    let look = || {
        let mut tree = snapshot(&place);
        tree.remove(Path::new(""));
        tree
    };
    let before = look();
    for (arguments, code, names) in ROWS {
        let said = run(&scene, &place, &[&["unpack"], *arguments].concat());
        assert_eq!(said.code, Some(*code), "{arguments:?}: {said:?}");
        for name in *names {
            assert!(
                said.stderr.contains(name),
                "{arguments:?}: {name}: {said:?}"
            );
        }
        assert_eq!(said.stdout, "", "{arguments:?}");
        assert_same(&look(), &before, &format!("{arguments:?}"));
    }
    for (path, code) in [
        ("pipe", 2),
        ("empty.tar", 9),
        ("absent", 8),
        ("lie.tar.xz", 9),
    ] {
        let said = run(&scene, &place, &["digest", path]);
        assert_eq!(said.code, Some(code), "{path}: {said:?}");
    }
}

/// The same limits, just wide enough.
#[test]
fn a_limit_is_the_most_that_is_fine() {
    let (scene, place) = scene();
    let size = small().len().to_string();
    for (target, option, value) in [("a", "--max-bytes", &*size), ("b", "--max-entries", "13")] {
        let said = run(
            &scene,
            &place,
            &["unpack", "small.tar.gz", target, option, value],
        );
        assert_eq!(said.code, Some(0), "{option}: {said:?}");
    }
    assert_eq!(scene.litter(), [] as [&str; 0]);
}

/// A name that looks like an option, a target with a slash, `--json`.
#[test]
fn what_is_allowed_works() {
    let (scene, place) = scene();
    for (arguments, target) in [
        (&["unpack", "--", "small.tar.gz", "-rf"][..], "-rf"),
        (&["unpack", "small.tar.gz", "slash/"], "slash"),
        (&["unpack", "small.tar.gz", "full", "--force"], "full"),
        (&["--json", "unpack", "small.tar.gz", "json"], "json"),
        (&["unpack", "--from=gzip", "small.tar.gz", "from"], "from"),
    ] {
        let said = run(&scene, &place, arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        let hostname = place.join(target).join("etc/hostname");
        assert_eq!(fs::read(hostname).unwrap(), b"small\n", "{arguments:?}");
        if target == "json" {
            let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            assert_eq!(document["path"], place.join(target).to_str().unwrap());
            assert_eq!(document["entries"], 13);
        }
    }
    assert!(!place.join("full/old").exists(), "replaced");
    assert_eq!(scene.litter(), [] as [&str; 0]);
}
