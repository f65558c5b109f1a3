//! Flat images.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use distro_fetch::archive::Time;
use distro_fetch::event::{Event, Observer, Silent, What};
use distro_fetch::fsimg::erofs::{self, Options, Small};
use distro_fetch::fsimg::{self, Uuid};
use distro_fetch::tree::{NodeId, Thing};
use sha2::{Digest as _, Sha256};

use super::super::grove::{Grove, Scratch, noise, rich};
use super::{check, judge, read, write};

const ROOT: NodeId = NodeId::ROOT;

#[test]
fn of_everything_something() {
    let tree = rich();
    let small = check(&tree, &Options::default());
    let options = Options {
        volume: "sixteen bytes ok".into(),
        uuid: Some(Uuid::from_bytes([7; 16])),
        epoch: Some(Time {
            seconds: 1,
            nanos: 2,
        }),
        small: Small::Blocks,
    };
    let large = check(&tree, &options);
    assert!(small.bytes < large.bytes);
    assert_eq!(small.inodes, large.inodes);
}

#[test]
fn an_empty_tree() {
    let summary = check(&Grove::new().finish(), &Options::default());
    assert_eq!((summary.bytes, summary.inodes), (8192, 1));
}

#[test]
fn what_dump_erofs_sees() {
    if !judge::has("dump.erofs") {
        return;
    }
    let scratch = Scratch::new();
    let options = Options {
        uuid: Some(Uuid::from_bytes([0xab; 16])),
        ..Options::default()
    };
    let (image, summary) = write(&rich(), &options, &scratch, "x");
    let said = judge::run(Command::new("dump.erofs").arg("-s").arg(&image));
    let inodes = format!(" {}\n", summary.inodes);
    for words in ["abababab-abab-", "sb_csum", "chunked_file", &inodes] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let path = ["--path=/usr/bin/sudo"];
    let said = judge::run(Command::new("dump.erofs").args(path).arg(&image));
    assert!(
        said.contains("Size: 13 ") && said.contains("Access: 0755"),
        "{said}"
    );
}

#[test]
fn the_same_bytes_again() {
    let scratch = Scratch::new();
    let options = Options::default();
    let (one, summary) = write(&rich(), &options, &scratch, "one");
    // What was in the file does not matter.
    let file = scratch.file("two");
    file.set_len(100 << 20).unwrap();
    file.write_all_at(&noise(200_000), 0).unwrap();
    erofs::write(&rich(), &file, &options, &Silent, "x").unwrap();
    assert!(fs::read(one).unwrap() == fs::read(scratch.path("two")).unwrap());
    assert_eq!(summary.uuid.as_bytes()[6] >> 4, 8);
}

/// A change of these bytes is a change of the recipe of prepared images.
#[test]
fn pinned() {
    let mut grove = Grove::new();
    let etc = grove.folder(ROOT, "etc");
    let file = grove.file(etc, "hostname", b"here\n");
    grove.link(ROOT, "again", file);
    grove.file(ROOT, "large", &noise(10_000));
    grove.add(ROOT, "link", Thing::Symlink(b"etc/hostname"));
    grove.holes(ROOT, "holes", 1 << 20, &[(65_536, b"data")]);
    grove.xattr("user.x", b"y");
    grove.like.uid = 70_000;
    grove.file(ROOT, "x", b"x");
    let tree = grove.finish();
    let scratch = Scratch::new();
    let (image, _) = write(&tree, &Options::default(), &scratch, "x");
    let hash = Sha256::digest(fs::read(image).unwrap());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hash,
        "1f8492918d753cd14019b7ec4f40009db977682fcd8ed5b8d9dc326988984c15"
    );
}

#[test]
fn a_large_directory() {
    let mut grove = Grove::new();
    let folder = grove.folder(ROOT, "folder");
    for at in 0..10_000 {
        grove.file(folder, &format!("file-{at:05}"), b"");
    }
    let long = grove.folder(ROOT, "long");
    for at in 0..300 {
        grove.file(long, &format!("{at:03}{}", "n".repeat(252)), b"x");
    }
    let summary = check(&grove.finish(), &Options::default());
    assert_eq!(summary.inodes, 10_303);
}

#[test]
fn directories_of_every_size() {
    let mut grove = Grove::new();
    // Around the ends of the first and the second block: 27 bytes for the dots, 108 for each name.
    for (count, lengths) in [(37, 40..80), (74, 60..140)] {
        for length in lengths {
            let folder = grove.folder(ROOT, &format!("{count}-{length}"));
            for at in 0..count {
                grove.file(folder, &format!("{at:096}"), b"");
            }
            grove.file(folder, &"x".repeat(length), b"");
        }
    }
    check(&grove.finish(), &Options::default());
}

#[test]
fn a_hundred_thousand_files() {
    let mut grove = Grove::new();
    for at in 0..100 {
        let folder = grove.folder(ROOT, &format!("folder-{at}"));
        for at in 0..1000_u32 {
            grove.like.mode = 0o600 + at % 64;
            grove.file(folder, &format!("file-{at}"), &at.to_le_bytes());
        }
    }
    let summary = check(&grove.finish(), &Options::default());
    assert_eq!(summary.inodes, 100_101);
    // Compact inodes with four bytes behind them, and their names.
    assert!(summary.bytes < 100_000 * 88, "{}", summary.bytes);
}

#[test]
fn holes_cost_nothing() {
    let mut grove = Grove::new();
    grove.holes(ROOT, "5G", 5 << 30, &[(3 << 30, b"data")]);
    grove.file(ROOT, "zeros", &vec![0; 60 << 10]);
    let tree = grove.finish();
    let scratch = Scratch::new();
    let (image, summary) = write(&tree, &Options::default(), &scratch, "x");
    assert!(summary.bytes < 1 << 20, "{}", summary.bytes);
    let stored = fs::metadata(&image).unwrap().blocks() * 512;
    assert!(stored < 200 << 10, "{stored}");
    judge::fsck(&image, &[]);
    let tree = read(&image, &[]).unwrap();
    let large = tree.find(b"5G").unwrap();
    assert_eq!(large.thing(), Thing::File { size: 5 << 30 });
    assert_eq!(large.extents().unwrap().len(), 1);
    let look = |file: &File, at: u64| {
        let mut bytes = [0xff; 12];
        file.read_exact_at(&mut bytes, at).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0data\0\0\0\0");
    };
    let stored = large.open().unwrap();
    let piece = stored.pieces().next().unwrap();
    look(
        stored.file().unwrap(),
        piece.from + (3 << 30) - piece.offset - 4,
    );
    judge::with_mount("erofs", &image, |root| {
        let file = File::open(root.join("5G")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5 << 30);
        look(&file, (3 << 30) - 4);
    });
}

#[test]
fn what_cannot_be_said_is_an_error_with_its_reason() {
    let check = |make: &dyn Fn(&mut Grove), words: &str| {
        let mut grove = Grove::new();
        make(&mut grove);
        let scratch = Scratch::new();
        let file = scratch.file("x");
        let tree = grove.finish();
        let result = erofs::write(&tree, &file, &Options::default(), &Silent, "x");
        let error = result.unwrap_err();
        assert_eq!(error.kind(), distro_fetch::Kind::Format);
        assert!(error.message().contains(words), "{error}");
    };
    check(
        &|grove| {
            grove.like.uid = 1 << 32;
            grove.file(ROOT, "x", b"");
        },
        "x: owners are numbers of 32 bits, and not 4294967296",
    );
    check(
        &|grove| {
            grove.xattr("user.x", &noise(65_536));
            grove.file(ROOT, "x", b"");
        },
        "x: the attribute",
    );
    check(
        &|grove| {
            grove.add(ROOT, "x", Thing::Symlink(&[b'x'; 4096]));
        },
        "x: 4096 bytes, and Linux reads 4095",
    );
}

/// Hears how it is going, and stops it after so many events.
struct Patience(AtomicU64, u64);

impl Observer for Patience {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        let What::Writing { written, total } = event.what else {
            panic!("{event:?}");
        };
        assert!(written <= total.unwrap() && event.subject == "subject");
        if self.0.fetch_add(1, Ordering::Relaxed) < self.1 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

#[test]
fn an_observer_may_stop_it() {
    let tree = rich();
    let scratch = Scratch::new();
    let file = scratch.file("x");
    let options = Options::default();
    let run = |most| {
        let patience = Patience(AtomicU64::new(0), most);
        let result = erofs::write(&tree, &file, &options, &patience, "subject");
        (result, patience.0.into_inner())
    };
    let (result, events) = run(u64::MAX);
    result.unwrap();
    assert!(events > 0);
    let (result, _) = run(events - 1);
    assert_eq!(result.unwrap_err().kind(), distro_fetch::Kind::Cancelled);
    let (result, _) = run(0);
    assert_eq!(result.unwrap_err().kind(), distro_fetch::Kind::Cancelled);
}

#[test]
fn attributes_that_nobody_could_read_are_counted() {
    let mut grove = Grove::new();
    grove.xattr("system.nfs4_acl", b"x");
    grove.file(ROOT, "x", b"");
    grove.file(ROOT, "y", b"");
    let summary = check(&grove.finish(), &Options::default());
    assert_eq!(summary.xattrs_left_out, 2);
}

#[test]
fn a_listing_says_everything() {
    let mut grove = Grove::new();
    grove.xattr("user.x", b"\x00\xff");
    let file = grove.file(ROOT, "a b", b"xyz");
    grove.plain();
    grove.link(ROOT, "again", file);
    grove.add(ROOT, "link", Thing::Symlink(b"a b"));
    let scratch = Scratch::new();
    let (image, _) = write(&grove.finish(), &Options::default(), &scratch, "x");
    let mut text = Vec::new();
    fsimg::list(&read(&image, &[]).unwrap(), &mut text).unwrap();
    let expect = "d 755 0:0 1700000000.000000000 - .\n\
                  f 644 0:0 1700000000.000000000 3 a\\x20b user.x=00ff\n\
                  f 644 0:0 1700000000.000000000 3 again = a\\x20b user.x=00ff\n\
                  l 777 0:0 1700000000.000000000 - link -> a\\x20b\n";
    assert_eq!(String::from_utf8(text).unwrap(), expect);
}
