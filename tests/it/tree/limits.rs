//! Limits, and what no path reaches (HOSTILE 57): clean errors, and nothing left.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use distro_fetch::archive::{Extent, Limits};
use distro_fetch::tree::{DigestBuilder, Writer};
use distro_fetch::{Error, Kind, sys};

use super::ground::{Ground, Made, file, folder, policy, symlink, write};

fn refused(limits: Limits, entries: &[Made], says: &str) {
    let ground = Ground::new();
    let error = write(&ground.target(), entries, policy(), limits).unwrap_err();
    assert_eq!(error.kind(), Kind::Format, "{error}");
    assert!(error.to_string().contains(says), "{says}: {error}");
    assert!(!ground.target().exists());
    assert_eq!(ground.litter(), [] as [&str; 0]);
}

#[test]
fn every_limit_has_its_name_in_the_error() {
    let entries: Vec<_> = (0..20).map(|n| file(format!("d/{n}"), "four")).collect();
    let default = Limits::default();
    refused(
        Limits {
            entries: 19,
            ..default
        },
        &entries,
        "`entries`",
    );
    refused(
        Limits {
            bytes: 79,
            ..default
        },
        &entries,
        "`bytes`",
    );
    refused(
        Limits {
            depth: 1,
            ..default
        },
        &entries,
        "`depth`",
    );
    refused(Limits { name: 3, ..default }, &entries, "`name`");
    refused(
        Limits { name: 3, ..default },
        &[symlink("a", "four")],
        "`name`",
    );
    let exact = Limits {
        entries: 20,
        bytes: 80,
        depth: 2,
        name: 4,
        ..default
    };
    let ground = Ground::new();
    write(&ground.target(), &entries, policy(), exact).unwrap();
}

#[test]
fn a_sparse_bomb_is_refused_before_a_byte_is_written() {
    let (mut bomb, data) = file("bomb", "");
    bomb.size = (1 << 63) - 1;
    bomb.extents = Some(vec![]);
    refused(
        Limits::default(),
        &[(bomb.clone(), data.clone())],
        "`bytes`",
    );
    bomb.size = 10;
    for map in [
        [(0, 5), (4, 2)],
        [(5, 1), (0, 1)],
        [(0, 1), (9, 2)],
        [(0, 0), (1, 1)],
        [(1, 1), (u64::MAX, 2)],
    ] {
        let map = map.map(|(offset, length)| Extent { offset, length });
        bomb.extents = Some(map.to_vec());
        refused(
            Limits::default(),
            &[(bomb.clone(), data.clone())],
            "map of holes",
        );
    }
    bomb.extents = Some(vec![
        Extent {
            offset: 0,
            length: 1
        };
        3
    ]);
    let limits = Limits {
        extents: 2,
        ..Limits::default()
    };
    refused(limits, &[(bomb, data)], "`extents`");
}

#[test]
fn a_component_that_no_file_system_holds_is_the_archives_fault() {
    let long = "x".repeat(280);
    refused(Limits::default(), &[file(&long, "")], "too long");
    refused(
        Limits::default(),
        &[file(format!("{long}/y"), "")],
        "too long",
    );
    refused(
        Limits::default(),
        &[folder(format!("a/{long}"))],
        "too long",
    );
}

#[test]
fn a_nanosecond_is_less_than_a_second() {
    // What the kernel takes for "now" and for "leave it".
    for nanos in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe] {
        let (mut entry, data) = file("x", "");
        entry.mtime.nanos = nanos;
        refused(Limits::default(), &[(entry, data)], "nanosecond");
    }
}

/// Longer than a path may be: 4096 bytes and more, which only descriptors reach.
#[test]
fn names_past_path_max_are_written_read_and_removed() {
    let ground = Ground::new();
    let limits = Limits {
        name: 100_000,
        depth: 10_000,
        ..Limits::default()
    };
    let deep = format!("{}/leaf", ["directory"; 420].join("/"));
    let entries = [
        file(&deep, "deep"),
        file(vec!["x"; 2060].join("/"), "deeper"),
    ];
    write(&ground.target(), &entries, policy(), limits).unwrap();
    let root = sys::open_folder(&ground.target()).unwrap();
    let leaf = sys::open_beneath(&root, deep.as_bytes(), sys::Beneath::File).unwrap();
    let mut text = String::new();
    fs::File::from(leaf).read_to_string(&mut text).unwrap();
    assert_eq!(text, "deep");
    let parent = sys::open_folder(ground.target().parent().unwrap()).unwrap();
    sys::remove_tree(parent.as_fd(), b"target").unwrap();
    assert!(!ground.target().exists());
}

#[test]
fn what_was_written_so_far_goes_with_the_writer() {
    let ground = Ground::new();
    let limits = Limits {
        name: 100_000,
        depth: 10_000,
        ..Limits::default()
    };
    let mut writer = Writer::create(&ground.target(), policy(), limits).unwrap();
    let (entry, data) = file(format!("{}/x", ["directory"; 500].join("/")), "deep");
    writer.add(&entry, &mut data.as_slice()).unwrap();
    // Somebody closes a directory of ours.
    let first = ground.path(&ground.litter()[0]).join("directory");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(first, closed).unwrap();
    assert_eq!(ground.litter().len(), 1);
    drop(writer);
    assert_eq!(ground.litter(), [] as [&str; 0]);
}

#[test]
fn walking_by_steps_is_as_strict_as_the_kernel() {
    let ground = Ground::new();
    let outside = ground.outside();
    ground
        .write(&[
            file("d/e/f", "x"),
            symlink("d/up", ".."),
            symlink("d/l", "e"),
        ])
        .unwrap();
    std::os::unix::fs::symlink(&outside, ground.target().join("out")).unwrap();
    let root = sys::open_folder(&ground.target()).unwrap();
    for path in ["d/e", "d", "."] {
        assert!(sys::open_beneath(&root, path.as_bytes(), sys::Beneath::Folder).is_ok());
        assert!(sys::open_by_steps(&root, path.as_bytes(), sys::Beneath::Folder).is_ok());
    }
    let bad = [
        "..",
        "d/..",
        "d/up",
        "d/l",
        "d/l/f",
        "out",
        "out/dir700",
        "/",
        "/tmp",
        "d//e",
    ];
    for path in bad {
        let path = path.as_bytes();
        let steps = sys::open_by_steps(&root, path, sys::Beneath::Folder);
        assert!(steps.is_err(), "{:?}", std::ffi::OsStr::from_bytes(path));
        // The kernel is told the truth about doubled slashes; our paths have none.
        if path != b"d//e" && path != b"d/.." {
            assert!(sys::open_beneath(&root, path, sys::Beneath::Folder).is_err());
        }
    }
}

/// A reader that gives a little and then fails.
struct Broken(usize, fn() -> io::Error);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1());
        }
        let n = buffer.len().min(self.0);
        self.0 -= n;
        Ok(n)
    }
}

/// HOSTILE 60: a read error leaves nothing, and its kind comes through.
#[test]
fn a_read_error_leaves_nothing_and_keeps_its_kind() {
    let ours = || io::Error::other(Error::new(Kind::Integrity, "ours"));
    let cases: [(fn() -> io::Error, Kind); 4] = [
        (ours, Kind::Integrity),
        (|| io::ErrorKind::UnexpectedEof.into(), Kind::Format),
        (|| io::ErrorKind::InvalidData.into(), Kind::Format),
        (|| io::Error::from_raw_os_error(5), Kind::Local),
    ];
    for (error, kind) in cases {
        let ground = Ground::new();
        let mut writer = Writer::create(&ground.target(), policy(), Limits::default()).unwrap();
        let mut digest = DigestBuilder::new(Limits::default());
        let (mut entry, _) = file("x", "");
        entry.size = 1 << 20;
        let got = writer.add(&entry, &mut Broken(300_000, error)).unwrap_err();
        assert_eq!(got.kind(), kind, "{got}");
        let got = digest.add(&entry, &mut Broken(300_000, error)).unwrap_err();
        assert_eq!(got.kind(), kind, "{got}");
        drop(writer);
        assert!(!ground.target().exists());
        assert_eq!(ground.litter(), [] as [&str; 0]);
    }
    let (mut entry, data) = file("x", "short");
    entry.size = 6;
    refused(Limits::default(), &[(entry, data)], "ends too early");
}
