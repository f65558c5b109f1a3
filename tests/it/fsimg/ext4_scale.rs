//! Much of everything: names, directories, bytes, pieces, attributes.

use distro_fetch::Kind;
use distro_fetch::fsimg::ext4::{Options, Plan};
use distro_fetch::tree::Thing;

use super::ext4::check;
use super::kit::{Bench, EMPTY, Planting, fsck, judge};

#[test]
fn directories_of_ten_and_a_hundred_thousand_names() {
    let bench = Bench::new();
    for (count, length) in [
        (1, 200),
        (20, 200),
        (10_000, 12),
        (100_000, 8),
        (10_000, 255),
    ] {
        let mut planting = Planting::new();
        planting.add("crowd", Thing::Folder);
        for nth in 0..count {
            let name = format!("crowd/{nth:0length$}");
            planting.add(
                name,
                if nth % 1000 == 0 {
                    Thing::Folder
                } else {
                    EMPTY
                },
            );
        }
        let name = format!("{count}-{length}");
        let tree = planting.tree();
        check(&bench, &name, &tree, &Options::default());
        let (path, _) = bench.image(&name, &tree, &Options::default());
        let said = judge(
            "debugfs",
            &["-R", "htree_dump /crowd", path.to_str().unwrap()],
        );
        let levels = match (count, length) {
            (..20, _) => None,
            (10_000, 255) => Some("Indirect levels: 1"),
            _ => Some("Indirect levels: 0"),
        };
        assert!(
            levels.is_none_or(|it| said.contains(it)),
            "{name}: {}",
            &said[..400]
        );
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn more_directories_and_names_than_are_counted() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    for nth in 0..65_100 {
        planting.add(format!("d/{nth}"), Thing::Folder);
    }
    check(&bench, "folders", &planting.tree(), &Options::default());

    let names = |count: usize| {
        let mut planting = Planting::new();
        planting.file("a", b"x");
        for nth in 1..count {
            planting.link(&format!("n/{nth}"), "a");
        }
        planting.tree()
    };
    check(&bench, "names", &names(65_000), &Options::default());
    let error = Plan::new(&names(65_001), &Options::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Format);
    assert!(error.to_string().starts_with("a: 65001 names"), "{error}");
}

#[test]
fn large_and_scattered_files() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    let block = vec![7; 4096];
    let far = [0, 1 << 30, (5 << 30) - 4096].map(|at| planting.data(at, &block));
    planting.with("five-gib", Thing::File { size: 5 << 30 }, &far, |_| ());
    let end = (1_u64 << 44) - 8192;
    let last = planting.data(end, &block);
    let size = (1 << 44) - 4096;
    planting.with("largest", Thing::File { size }, &[last], |_| ());
    // Every second block: trees of one, two and three levels.
    for count in [4_u64, 5, 340, 341, 1360, 1361, 20_000] {
        let mut pieces = vec![planting.data(0, &block)];
        for nth in 1..count {
            let mut piece = pieces[0];
            piece.offset = nth * 8192;
            piece.length = 1 + nth % 64;
            pieces.push(piece);
        }
        let size = count * 8192;
        planting.with(
            format!("pieces-{count}"),
            Thing::File { size },
            &pieces,
            |_| (),
        );
    }
    let tree = planting.tree();
    let options = Options {
        // A digest would be one of 16 TiB of zeros.
        uuid: Some("0b1e9a14-5c3d-4f70-a1b2-00ff00ff00ff".parse().unwrap()),
        ..Options::default()
    };
    let (path, _) = bench.image("files", &tree, &options);
    fsck(&path);
    let back = super::ext4::read(&path);
    assert_eq!(super::ext4::dump(&back), super::ext4::dump(&tree));
    for visit in tree.walk() {
        let Thing::File { size } = visit.node.thing() else {
            continue;
        };
        let there = back.find(&visit.path).unwrap();
        let sum = |node: distro_fetch::tree::Node<'_>| -> Vec<u8> {
            let mut data = Vec::new();
            let stored = node.open().unwrap();
            std::io::Read::read_to_end(&mut stored.data(), &mut data).unwrap();
            // What is left of a block reads as zeros.
            data.retain(|byte| *byte != 0);
            data
        };
        assert!(
            size > 0 && sum(visit.node) == sum(there),
            "{:?}",
            visit.path
        );
    }
    let blocks = std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap());
    assert!(blocks * 512 < 1 << 30, "the image has holes, too: {blocks}");
}

#[test]
fn attributes_that_overflow() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    // More sharers than one block may have, and values of every length.
    for nth in 0..3000 {
        planting.with(format!("same/{nth}"), EMPTY, &[], |it| {
            it.xattrs.insert(b"user.same".to_vec(), vec![9; 1000]);
        });
    }
    for length in 0..300 {
        planting.with(format!("each/{length}"), EMPTY, &[], |it| {
            let value = |seed: usize| super::kit::filled(seed, length);
            it.xattrs.insert(b"user.one".to_vec(), value(1));
            it.xattrs
                .insert(format!("trusted.{length}").into_bytes(), value(3));
            it.xattrs.insert(b"security.\xff\xfe".to_vec(), value(7));
        });
    }
    planting.with("other", EMPTY, &[], |it| {
        it.xattrs
            .insert(b"security.selinux".to_vec(), b"kept".to_vec());
        it.xattrs.insert(b"user.x".to_vec(), Vec::new());
    });
    check(&bench, "attributes", &planting.tree(), &Options::default());

    let mut planting = Planting::new();
    planting.with("a/too-much", EMPTY, &[], |it| {
        it.xattrs.insert(b"user.a".to_vec(), vec![1; 4096]);
    });
    let error = Plan::new(&planting.tree(), &Options::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Format);
    assert!(
        error
            .to_string()
            .starts_with("a/too-much: its extended attributes"),
        "{error}"
    );

    let mut planting = Planting::new();
    planting.with("view", EMPTY, &[], |it| {
        it.xattrs.insert(b"system.nfs4_acl".to_vec(), vec![1; 4]);
    });
    let (path, summary) = bench.image("view", &planting.tree(), &Options::default());
    fsck(&path);
    assert_eq!(summary.report.count(distro_fetch::tree::Loss::Xattr), 1);
}

#[test]
fn a_hundred_thousand_files() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    for nth in 0..100_000_u32 {
        let data = vec![b'x'; (nth % 7) as usize * 900];
        planting.file(format!("{:02}/{:03}/{nth}", nth % 40, nth % 997), &data);
    }
    check(&bench, "files", &planting.tree(), &Options::default());
}

#[test]
fn lost_and_found_of_the_tree() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    planting.with("lost+found", Thing::Folder, &[], |it| it.mode = 0o700);
    planting.file("lost+found/#12", b"found");
    check(&bench, "full", &planting.tree(), &Options::default());
    let mut planting = Planting::new();
    planting.with("lost+found", Thing::Folder, &[], |it| it.mode = 0o700);
    check(&bench, "empty", &planting.tree(), &Options::default());
    check(
        &bench,
        "nothing",
        &Planting::new().tree(),
        &Options::default(),
    );
    let mut planting = Planting::new();
    planting.file("lost+found", b"");
    assert!(Plan::new(&planting.tree(), &Options::default()).is_err());
}
