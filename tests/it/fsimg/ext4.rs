//! What is in an image: by our reader, by `debugfs`, and by the kernel.

use std::path::Path;

use distro_fetch::archive::Limits;
use distro_fetch::fsimg::ext4::{Options, Reader, Reserved};
use distro_fetch::tree::Tree;

use super::kit::{Bench, digest, fsck, sha256, zoo};

/// The tree in an image, by our reader.
pub(super) fn read(path: &Path) -> Tree {
    let limits = Limits {
        bytes: 1 << 50,
        ..Limits::default()
    };
    let reader = Reader::open(std::fs::File::open(path).unwrap(), limits).unwrap();
    reader.tree(|| Ok(())).unwrap()
}

pub(super) fn dump(tree: &Tree) -> String {
    let mut text = Vec::new();
    distro_fetch::fsimg::list(tree, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Clean, and the same tree.
pub(super) fn check(bench: &Bench, name: &str, tree: &Tree, options: &Options) {
    let (path, summary) = bench.image(name, tree, options);
    fsck(&path);
    let back = read(&path);
    assert_eq!(dump(&back), dump(tree), "{name}");
    assert_eq!(digest(&back), digest(tree), "{name}");
    let used = u64::from(options.journal) * (4 << 20) + summary.used;
    assert!(used >= tree.len() as u64 * 256, "{name}: {summary:?}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn one_of_everything() {
    let bench = Bench::new();
    let tree = zoo();
    check(&bench, "zoo", &tree, &Options::default());
    let options = Options {
        size: Some(64 << 20),
        journal: true,
        reserved: Reserved::Blocks(77),
        ..Options::default()
    };
    check(&bench, "journal", &tree, &options);
}

/// Changing what is written is a new recipe: prepared images are known by it.
#[test]
fn the_same_bytes_everywhere() {
    let bench = Bench::new();
    let tree = zoo();
    let (path, _) = bench.image("one", &tree, &Options::default());
    let (again, _) = bench.image("two", &zoo(), &Options::default());
    let sum = sha256(&path);
    assert_eq!(sum, sha256(&again), "by another plan");
    // What was in the file before does not matter.
    std::fs::write(&again, vec![0xff; 3 << 20]).unwrap();
    bench.image("two", &back_and_forth(&bench, &tree), &Options::default());
    assert_eq!(sum, sha256(&again), "from an image");
    assert_eq!(
        sum,
        "45503f15a695a81351b7bdbeb79fbcc6a46098e7fe38ade3773e95e3660df548"
    );
}

/// The tree, read from an image: other numbers, other sources.
fn back_and_forth(bench: &Bench, tree: &Tree) -> Tree {
    let options = Options {
        size: Some(32 << 20),
        ..Options::default()
    };
    read(&bench.image("middle", tree, &options).0)
}
