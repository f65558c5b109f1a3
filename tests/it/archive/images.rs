//! Real root file systems: one tree in four dialects, and what Alpine and AlmaLinux publish.

use std::collections::BTreeMap;
use std::path::Path;

use distro_fetch::archive::{Entry, Format, Kind, Limits};

use super::kit::{Listed, hex, open};
use crate::shared::shared;

fn read(path: &Path) -> BTreeMap<String, Listed> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let format = Format::of_file_name(name).unwrap();
    let listed = open(std::fs::read(path).unwrap(), format, Limits::default()).unwrap();
    let count = listed.len();
    let tree: BTreeMap<_, _> = listed.into_iter().map(|one| (place(&one), one)).collect();
    assert_eq!(tree.len(), count, "{name}: every name once");
    tree
}

/// The name as the tables have it: `./a`.
fn place(one: &Listed) -> String {
    let path = one.path();
    if path == "." || path.starts_with("./") {
        return path;
    }
    format!("./{path}")
}

/// The file that an entry names: itself, or what it links to.
fn file<'a>(tree: &'a BTreeMap<String, Listed>, one: &'a Listed) -> &'a Listed {
    let Kind::Hardlink(target) = &one.entry.kind else {
        return one;
    };
    let target = target.escape_ascii().to_string();
    let target = format!("./{}", target.strip_prefix("./").unwrap_or(&target));
    &tree[&target]
}

/// A line of the table: type, mode, owner, group, size, time, link text. Directories have no size.
fn stat(entry: &Entry) -> (char, u32, u64, u64, u64, String) {
    let (kind, link) = match &entry.kind {
        Kind::File => ('f', String::new()),
        Kind::Directory => ('d', String::new()),
        Kind::Symlink(text) => ('l', text.escape_ascii().to_string()),
        Kind::Character(_) => ('c', String::new()),
        Kind::Block(_) => ('b', String::new()),
        Kind::Fifo => ('p', String::new()),
        Kind::Hardlink(_) => unreachable!(),
    };
    let size = match &entry.kind {
        Kind::Symlink(text) => text.len() as u64,
        _ => entry.size,
    };
    (kind, entry.mode, entry.uid, entry.gid, size, link)
}

/// One tree, four dialects. What ustar cannot say is not there (`absent`), times are whole seconds
/// where a dialect has no more, and far ones are what fits.
#[test]
fn one_tree_in_every_dialect() {
    let Some(folder) = shared("images/tar") else {
        return;
    };
    let table = std::fs::read_to_string(folder.join("EXPECTED-STAT.tsv")).unwrap();
    let sums = std::fs::read_to_string(folder.join("EXPECTED-FILES.sha256")).unwrap();
    let sums: BTreeMap<_, _> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (name, sum))
        .collect();
    for (archive, absent, fractions) in [
        ("gnu-sparse", 0, false),
        ("posix-sparse-1.0-xattrs", 0, true),
        ("ustar", 5, false),
        ("bsdtar-pax", 0, true),
    ] {
        let tree = read(&folder.join(format!("{archive}.tar.zst")));
        let mut missing = Vec::new();
        let mut files = 0;
        for line in table.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [name, kind, mode, uid, gid, size, time, link] = fields[..] else {
                panic!("{line}");
            };
            let Some(one) = tree.get(name) else {
                missing.push(name);
                continue;
            };
            let one = file(&tree, one);
            let (seconds, nanos) = time.split_once('.').unwrap();
            // GNU tar cuts link texts off that ustar has no room for.
            let link = &link[..link.len().min(if archive == "ustar" { 100 } else { 4096 })];
            let size = match kind {
                "d" => 0,
                "l" => link.len() as u64,
                _ => size.parse().unwrap(),
            };
            let expect = (
                kind.chars().next().unwrap(),
                u32::from_str_radix(mode, 8).unwrap(),
                uid.parse().unwrap(),
                gid.parse().unwrap(),
                size,
                link.to_owned(),
            );
            assert_eq!(stat(&one.entry), expect, "{archive}: {name}");
            let seconds: i64 = seconds.parse().unwrap();
            assert_eq!(one.entry.mtime.seconds, seconds, "{archive}: {name}");
            if fractions {
                let nanos: u32 = nanos[..9].parse().unwrap();
                assert_eq!(one.entry.mtime.nanos, nanos, "{archive}: {name}");
            }
            if kind == "f" {
                files += 1;
                assert_eq!(hex(&one.content()), sums[name], "{archive}: {name}");
            }
        }
        assert_eq!(missing.len(), absent, "{archive}: {missing:?}");
        assert_eq!(tree.len() + absent, table.lines().count(), "{archive}");
        assert!(files + absent >= sums.len(), "{archive}: {files} files");
        let sparse = tree.values().filter(|one| one.entry.extents.is_some());
        let expect = if archive == "ustar" { 0 } else { 2 };
        assert_eq!(sparse.count(), expect, "{archive}");
    }
}

/// Attributes are the same in both dialects that have them.
#[test]
fn attributes_survive() {
    let Some(folder) = shared("images/tar") else {
        return;
    };
    let mut all = Vec::new();
    for archive in ["posix-sparse-1.0-xattrs", "bsdtar-pax"] {
        let tree = read(&folder.join(format!("{archive}.tar.zst")));
        let mut lines = Vec::new();
        for (name, one) in &tree {
            for (attribute, value) in &one.entry.xattrs {
                let attribute = attribute.escape_ascii();
                lines.push(format!("{name} {attribute} {}", value.escape_ascii()));
            }
        }
        all.push(lines);
    }
    assert_eq!(all[0], all[1]);
    assert!(!all[0].is_empty());
}

#[test]
fn what_distributions_publish() {
    let Some(folder) = shared("images") else {
        return;
    };
    for (name, entries, shell) in [
        (
            "alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz",
            500,
            "./bin/busybox",
        ),
        (
            "alpine/alpine-minirootfs-3.20.3-aarch64.tar.gz",
            500,
            "./bin/busybox",
        ),
        (
            "tar/almalinux-9-docker-aarch64-micro.tar.xz",
            500,
            "./usr/bin/bash",
        ),
    ] {
        let tree = read(&folder.join(name));
        assert!(tree.len() > entries, "{name}: {}", tree.len());
        let shell = &tree[shell];
        assert!(shell.data.starts_with(b"\x7fELF"), "{name}");
        assert_eq!(shell.entry.mode & 0o7777, 0o755, "{name}");
    }
}
