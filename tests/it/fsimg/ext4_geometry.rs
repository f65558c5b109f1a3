//! Images of every size, and what is in the superblock.

use distro_fetch::Kind;
use distro_fetch::event::Silent;
use distro_fetch::fsimg::ext4::{self, Options, Plan};

use super::kit::{Bench, fsck, judge, zoo};

#[test]
fn every_size_is_exactly_that() {
    let bench = Bench::new();
    let tree = zoo();
    let mib = |count: u64| count << 20;
    let mut sizes: Vec<u64> = [8, 100, 127, 128, 129, 2048, 20 << 10].map(mib).to_vec();
    // Last groups of one, two and three blocks, with and without a copy of the superblock.
    for group in [1, 2, 3, 9, 16, 17] {
        sizes.extend([1, 2, 3].map(|blocks| group * mib(128) + blocks * 4096));
    }
    for size in sizes {
        for journal in [false, true] {
            let options = Options {
                size: Some(size),
                journal,
                ..Options::default()
            };
            let (path, summary) = bench.image(&format!("{size}-{journal}"), &tree, &options);
            assert_eq!(summary.size, size);
            fsck(&path);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn more_than_32_bits_of_blocks() {
    let bench = Bench::new();
    let tree = zoo();
    let size = (16 << 40) + (1 << 30);
    let (path, file) = bench.file("huge");
    if file.set_len(size).is_err() {
        eprintln!("skipped: no file here can have {size} bytes");
        return;
    }
    let options = Options {
        size: Some(size),
        inode_ratio: 1 << 20,
        ..Options::default()
    };
    ext4::write(&tree, &file, &options, &Silent, "huge").unwrap();
    assert_eq!(file.metadata().unwrap().len(), size);
    fsck(&path);
}

#[test]
fn too_small_says_how_much_it_takes() {
    let bench = Bench::new();
    let tree = zoo();
    let plan = |size| {
        let options = Options {
            size: Some(size),
            ..Options::default()
        };
        Plan::new(&tree, &options).map(|plan| plan.size())
    };
    let error = plan(4096).unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    let needed: u64 = error
        .to_string()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        plan(needed - 4096)
            .unwrap_err()
            .to_string()
            .ends_with(&needed.to_string())
    );
    assert_eq!(plan(needed).unwrap(), needed);
    let options = Options {
        size: Some(needed),
        ..Options::default()
    };
    let (path, summary) = bench.image("least", &tree, &options);
    fsck(&path);
    assert!(summary.used <= needed);
    assert!(plan(needed + 1).is_err(), "no multiple of a block");
    let (_, usual) = bench.image("usual", &tree, &Options::default());
    assert_eq!(
        usual.size,
        (needed / 4096 + (needed / 4096).div_ceil(10)) * 4096
    );
}

#[test]
fn what_dumpe2fs_sees() {
    let bench = Bench::new();
    let options = Options {
        size: Some(64 << 20),
        label: "sixteen bytes ok".to_owned(),
        uuid: Some("0b1e9a14-5c3d-4f70-a1b2-00ff00ff00ff".parse().unwrap()),
        reserved: ext4::Reserved::Percent(5),
        epoch: Some(1_600_000_000),
        ..Options::default()
    };
    let (path, summary) = bench.image("seen", &zoo(), &options);
    fsck(&path);
    let said = judge("dumpe2fs", &[path.to_str().unwrap()]);
    for line in [
        "Filesystem volume name:   sixteen bytes ok",
        "Last mounted on:          <not available>",
        "Filesystem UUID:          0b1e9a14-5c3d-4f70-a1b2-00ff00ff00ff",
        "Filesystem state:         clean",
        "Filesystem OS type:       Linux",
        "Block count:              16384",
        "Reserved block count:     819",
        "Mount count:              0",
        "Inode size:\t          256",
        "Default directory hash:   half_md4",
        "Checksum type:            crc32c",
        "Maximum mount count:      -1",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(
        said.matches("Sun Sep 13").count(),
        3,
        "made, written, checked: {said}"
    );
    assert_eq!(summary.inodes, 4096);
    let too_long = Options {
        label: "seventeen bytes.!".to_owned(),
        ..Options::default()
    };
    assert!(Plan::new(&zoo(), &too_long).is_err());
}
