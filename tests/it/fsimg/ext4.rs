//! What is in an image.

use distro_fetch::fsimg::ext4::Options;

use super::kit::{Bench, fsck, zoo};

#[test]
fn a_zoo() {
    let bench = Bench::new();
    let tree = zoo();
    let (path, summary) = bench.image("zoo", &tree, &Options::default());
    fsck(&path);
    eprintln!("{summary:?}");
}
