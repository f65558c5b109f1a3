//! Images that mean harm, and valid ones with a few other bytes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use distro_fetch::archive::Limits;
use distro_fetch::fsimg::erofs::{Options, Reader};
use distro_fetch::tree::{NodeId, Thing, Tree};
use distro_fetch::{Kind, Result};

use super::super::grove::{ACL, Grove, Scratch, noise};
use super::{judge, write};
use crate::chance::Random;
use crate::shared::shared;

const ROOT: NodeId = NodeId::ROOT;

fn open(bytes: &[u8], limits: Limits) -> Result<Tree> {
    let file = distro_fetch::sys::unnamed_file(&std::env::temp_dir()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    Reader::open(file, Vec::new(), limits)?.tree()
}

#[test]
fn crafted_images_are_refused() {
    let Some(folder) = shared("corpus/erofs-fuzz") else {
        return;
    };
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let refused = |path: &Path| {
            let file = File::open(path).unwrap();
            Reader::open(file, Vec::new(), Limits::default())?.tree()
        };
        let error = refused(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{}: {error}", path.display());
        // Again with what is missing at their ends, and a right checksum.
        let mut bytes = fs::read(&path).unwrap();
        bytes.resize(1 << 20, 0);
        bytes[1024 + 8..1024 + 12].copy_from_slice(&1_u32.to_le_bytes());
        seal(&mut bytes);
        let error = open(&bytes, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{}: {error}", path.display());
        found += 1;
    }
    assert!(found >= 4);
}

/// A small image with one of each.
fn small() -> Vec<u8> {
    let mut grove = Grove::new();
    let etc = grove.folder(ROOT, "etc");
    grove.xattr("user.x", b"1");
    grove.xattr("system.posix_acl_access", ACL);
    let file = grove.file(etc, "file", b"content");
    grove.link(ROOT, "again", file);
    grove.file(etc, "other", &noise(5000));
    grove.plain();
    grove.add(ROOT, "link", Thing::Symlink(b"etc"));
    grove.add(ROOT, "long-link", Thing::Symlink(&[b'x'; 4000]));
    grove.holes(ROOT, "holes", 100_000, &[(0, b"x"), (50_000, b"y")]);
    grove.like.uid = 100_000;
    grove.add(ROOT, "pipe", Thing::Fifo);
    let device = distro_fetch::archive::Device { major: 1, minor: 3 };
    grove.add(ROOT, "null", Thing::Character(device));
    let long = grove.folder(ROOT, "long");
    for at in 0..40 {
        grove.file(long, &format!("{at:0200}"), b"");
    }
    let scratch = Scratch::new();
    let (image, _) = write(&grove.finish(), &Options::default(), &scratch, "x");
    fs::read(image).unwrap()
}

/// Gives an image the checksum that its superblock should have.
fn seal(bytes: &mut [u8]) {
    bytes[1028..1032].fill(0);
    let sum = bytes[1024..4096].iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
        })
    });
    bytes[1028..1032].copy_from_slice(&sum.to_le_bytes());
}

/// Limits that stop a tree of exabytes before it is read.
fn tight() -> Limits {
    Limits {
        bytes: 4 << 20,
        entries: 10_000,
        extents: 1000,
        ..Limits::default()
    }
}

#[test]
fn other_bytes_are_another_tree_or_an_error() {
    let image = small();
    assert!(open(&image, tight()).is_ok());
    let mut refused = 0;
    let mut chance = Random::new();
    let mut random = |below| chance.below(below);
    // What follows the metadata is content.
    let end = image.len() - 3 * 4096;
    for round in 0..20_000 {
        let mut bytes = image.clone();
        for _ in 0..=round % 4 {
            let at = match random(4) {
                0 => 1024 + random(128),
                1 => 4096 + random(1024),
                _ => 4096 + random(end - 4096),
            };
            bytes[at] = match random(5) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at].wrapping_add(1),
                3 => bytes[at] ^ 1 << random(8),
                _ => random(256).to_le_bytes()[0],
            };
        }
        if round % 8 != 0 {
            seal(&mut bytes);
        }
        match open(&bytes, tight()) {
            Ok(tree) => drop(judge::digest(&tree)),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Format, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5000, "{refused}");
}

#[test]
fn what_is_cut_off_is_refused() {
    let image = small();
    for length in (0..image.len()).step_by(509) {
        let error = open(&image[..length], tight()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{error}");
    }
}

#[test]
fn limits_are_limits() {
    let image = small();
    let check = |limits: Limits, words: &str| {
        let error = open(&image, limits).unwrap_err();
        assert_eq!(error.kind(), Kind::Format);
        assert!(error.message().contains(words), "{error}");
    };
    let entries = Limits {
        entries: 5,
        ..tight()
    };
    check(entries, "`entries` of 5");
    let bytes = Limits {
        bytes: 50_000,
        ..tight()
    };
    check(bytes, "`bytes` of 50000");
    let depth = Limits {
        depth: 0,
        ..tight()
    };
    check(depth, "`depth` of 0");
    let extents = Limits {
        extents: 1,
        ..tight()
    };
    check(extents, "`extents` of 1");
}

/// A directory whose child is itself, with everything else in order.
#[test]
fn directories_do_not_go_round() {
    let mut grove = Grove::new();
    let one = grove.folder(ROOT, "one");
    grove.folder(one, "two");
    let scratch = Scratch::new();
    let (image, _) = write(&grove.finish(), &Options::default(), &scratch, "x");
    let mut bytes = fs::read(image).unwrap();
    let name = bytes.windows(3).position(|it| it == b"two").unwrap();
    // The entry of `two`: 12 bytes before its names `.`, `..`, `two`.
    let entry = name - 3 - 12;
    let one = u64::from_le_bytes(bytes[entry..entry + 8].try_into().unwrap()) - 2;
    for nid in [1, one, one + 1] {
        bytes[entry..entry + 8].copy_from_slice(&u64::to_le_bytes(nid));
        assert_eq!(open(&bytes, tight()).unwrap_err().kind(), Kind::Format);
    }
}
