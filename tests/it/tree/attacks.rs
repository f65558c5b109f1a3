//! Entries that mean harm (HOSTILE 51 to 53, 56, 66): an error or a harmless tree, and outside
//! nothing has changed to the last mode bit.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use distro_fetch::Kind;
use distro_fetch::archive::Limits;
use distro_fetch::tree::{DigestBuilder, Loss};

use super::ground::{Ground, Made, file, folder, hardlink, mode, snapshot, symlink};

/// Refused: nothing at the target, nothing beside it, nothing changed outside; and the digest
/// refuses the same entries.
fn refused(name: &str, entries: impl Fn(&[u8]) -> Vec<Made>, says: &str) {
    let ground = Ground::new();
    let outside = ground.outside();
    let before = snapshot(&outside);
    let entries = entries(outside.as_os_str().as_bytes());
    let error = ground.write(&entries).expect_err(name);
    assert_eq!(error.kind(), Kind::Format, "{name}: {error}");
    assert!(error.to_string().contains(says), "{name}: {error}");
    assert_eq!(snapshot(&outside), before, "{name}: outside");
    assert!(!ground.target().exists(), "{name}: a target");
    assert_eq!(ground.litter(), [] as [&str; 0], "{name}: litter");

    let mut digest = DigestBuilder::new(Limits::default());
    let mut add = |(entry, data): &Made| digest.add(entry, &mut data.as_slice());
    let error = entries.iter().find_map(|made| add(made).err());
    assert_eq!(
        error.map(|it| it.kind()),
        Some(Kind::Format),
        "{name}: digest"
    );
}

fn at(base: &[u8], rest: &str) -> Vec<u8> {
    [base, rest.as_bytes()].concat()
}

#[test]
fn names_that_leave_are_refused() {
    refused("01", |out| vec![file(at(out, "/new"), "x")], "absolute");
    refused("02", |_| vec![file("../outside/victim", "x")], "..");
    refused(
        "03",
        |_| vec![folder("d"), file("d/../../outside/victim", "x")],
        "..",
    );
    refused("04", |_| vec![folder("..")], "..");
    refused("21", |_| vec![symlink("", "../outside")], "empty");
    refused("41", |_| vec![file("a\0b", "x")], "NUL");
    refused("66", |_| vec![file("d/../.wh.x", "")], "..");
    refused("71", |_| vec![file("d/.wh./../../x", "")], "..");
}

#[test]
fn links_are_never_ways() {
    let no = "contradicts";
    refused(
        "05",
        |out| vec![symlink("a", out), file("a/victim", "x")],
        no,
    );
    refused(
        "06",
        |_| vec![symlink("a", "../outside"), file("a/new", "x")],
        no,
    );
    refused(
        "chain",
        |_| {
            vec![
                symlink("a", "b"),
                symlink("b", "../outside"),
                file("a/new", "x"),
            ]
        },
        no,
    );
    refused(
        "deep",
        |_| {
            vec![
                folder("d"),
                symlink("d/a", "../../outside"),
                folder("d/a/dir700/new"),
            ]
        },
        no,
    );
    refused(
        "09",
        |_| vec![symlink("a", "../outside/dir700"), mode(folder("a"), 0o777)],
        no,
    );
    refused(
        "15",
        |_| {
            vec![
                folder("d"),
                file("d/one", "1"),
                symlink("d", "../outside"),
                file("d/two", "2"),
            ]
        },
        "directory",
    );
    refused(
        "18",
        |_| vec![symlink("e\u{301}", "../outside"), file("e\u{301}/x", "")],
        no,
    );
    refused(
        "62",
        |_| vec![symlink("a", "b"), symlink("b", "a"), file("a/x", "")],
        no,
    );
    refused(
        "69",
        |_| vec![symlink("a", "../outside"), file("a/.wh.victim", "")],
        no,
    );
    refused(
        "70",
        |_| vec![symlink("a", "../outside"), file("a/.wh..wh..opq", "")],
        no,
    );
    refused(
        "79",
        |_| vec![symlink("p", "/proc/self/root"), file("p/tmp/x", "")],
        no,
    );
    refused(
        "sibling",
        |_| vec![symlink("a", ".."), file("a/outside/victim", "x")],
        no,
    );
}

#[test]
fn hard_links_reach_only_files_of_the_same_run() {
    let no = "no earlier entry";
    refused(
        "10",
        |_| vec![hardlink("a", "../outside/victim"), file("a", "x")],
        "..",
    );
    refused(
        "11",
        |out| vec![hardlink("a", at(out, "/victim"))],
        "absolute",
    );
    refused("12", |_| vec![hardlink("a", "b"), file("b", "x")], no);
    refused(
        "13",
        |_| {
            vec![
                symlink("a", "../outside"),
                hardlink("b", "a/victim"),
                file("b", "x"),
            ]
        },
        no,
    );
    refused(
        "14",
        |_| {
            vec![
                symlink("a", "../outside/victim"),
                hardlink("b", "a"),
                file("b", "x"),
            ]
        },
        "not a regular file",
    );
    refused("63", |_| vec![hardlink("a", "a")], "itself");
    refused(
        "63b",
        |_| vec![file("a", "x"), hardlink("./a", "a")],
        "itself",
    );
    refused(
        "dir",
        |_| vec![folder("d"), hardlink("a", "d")],
        "not a regular file",
    );
    refused("root", |_| vec![hardlink("a", ".")], "no");
    refused(
        "over",
        |_| vec![file("f", ""), folder("d"), hardlink("d", "f")],
        "directory",
    );
}

#[test]
fn one_name_is_one_type() {
    refused(
        "19",
        |_| vec![symlink("./", "../outside"), file("x", "")],
        "root",
    );
    refused("20", |_| vec![file(".", "x")], "root");
    refused(
        "22",
        |_| vec![folder("rootfs"), symlink("rootfs", "/")],
        "directory",
    );
    refused(
        "23",
        |_| vec![symlink("templates", "../outside"), folder("templates")],
        "contra",
    );
    refused(
        "65",
        |_| vec![file("a", "x"), file("a/b", "y")],
        "contradicts",
    );
    refused(
        "file/dir",
        |_| vec![file("a", "x"), folder("a")],
        "contradicts",
    );
    refused(
        "dir/file",
        |_| vec![folder("a"), file("a", "x")],
        "directory",
    );
    refused(
        "implied",
        |_| vec![file("a/b", "x"), file("a", "x")],
        "directory",
    );
    refused("slash", |_| vec![file("a/", "x")], "slash");
    refused("text", |_| vec![symlink("a", "")], "empty link");
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let ground = Ground::new();
    let outside = ground.outside();
    let before = snapshot(&outside);
    let report = ground
        .write(&[
            symlink("a", "../outside/victim"),
            file("a", "mine"),
            symlink("dangling", "../outside/new"),
            file("dangling", "mine"),
        ])
        .unwrap();
    assert_eq!(snapshot(&outside), before);
    for name in ["a", "dangling"] {
        let path = ground.target().join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
    assert_eq!(report.count(Loss::Replaced), 2);
}

#[test]
fn the_root_stays_a_directory_and_may_be_dressed() {
    let ground = Ground::new();
    ground
        .write(&[file("x", ""), mode(folder("./"), 0o711)])
        .unwrap();
    let meta = fs::metadata(ground.target()).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o711);
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec()),
        (1_600_000_000, 123_456_789)
    );
}

#[test]
fn odd_names_are_only_names() {
    let ground = Ground::new();
    let names: [&[u8]; 9] = [
        b"a\\..\\b",
        b"-rf",
        b"new\nline\x1b[2J",
        b"\xff\xfe",
        b"metadata.json",
        b".ok",
        b".wh.x",
        b".wh..wh..opq",
        b"...",
    ];
    let entries: Vec<_> = names.iter().map(|name| file(name, name)).collect();
    ground.write(&entries).unwrap();
    let mut found: Vec<_> = fs::read_dir(ground.target())
        .unwrap()
        .map(|it| it.unwrap().file_name().as_bytes().to_vec())
        .collect();
    found.sort();
    let mut names: Vec<_> = names.iter().map(|it| it.to_vec()).collect();
    names.sort();
    assert_eq!(found, names);
}

#[test]
fn a_message_escapes_what_a_terminal_would_obey() {
    let ground = Ground::new();
    let error = ground.write(&[file("a\x1b[2J/../b", "")]).unwrap_err();
    assert!(!error.to_string().contains('\x1b'), "{error}");
}
