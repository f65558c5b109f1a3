//! Images that others made: every tarball and container image beside the checkout.

use std::path::Path;

use distro_fetch::event::Silent;
use distro_fetch::fsimg::erofs::{self, Options};
use distro_fetch::oci::Loader;
use distro_fetch::rootfs::{Source, Spelled};
use distro_fetch::tree::{Layer, Tree};

use super::super::grove::Scratch;
use super::super::kit::opening;
use super::{check, judge, read};
use crate::shared::shared;

fn open(text: &str) -> (Source, Tree) {
    let spool = std::env::temp_dir();
    let spelled = Spelled::parse(text).unwrap();
    let source = Source::open(&spelled, opening(&spool)).unwrap();
    let tree = source.tree(opening(&spool)).unwrap();
    (source, tree)
}

#[test]
fn tarballs() {
    let Some(folder) = shared("images") else {
        return;
    };
    for name in [
        "alpine/alpine-minirootfs-3.20.3-aarch64.tar.gz",
        "alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz",
        "incus/incus.tar.xz",
        "tar/almalinux-9-docker-aarch64-micro.tar.xz",
        "tar/bsdtar-pax.tar.zst",
        "tar/gnu-sparse.tar.zst",
        "tar/posix-sparse-1.0-xattrs.tar.zst",
        "tar/ustar.tar.zst",
    ] {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let (_, tree) = open(path.to_str().unwrap());
        eprintln!("{name}: {:?}", check(&tree, &Options::default()));
    }
}

#[test]
fn container_images() {
    let Some(folder) = shared("images/oci") else {
        return;
    };
    for name in [
        "alpine-umoci:final",
        "alpine-umoci:l1",
        "alpine-umoci:l2",
        "alpine-v2s2-dir",
        "alpine-zstd",
    ] {
        let (source, tree) = open(&format!("{}/{name}", folder.display()));
        check(&tree, &Options::default());
        let spool = std::env::temp_dir();
        let image = source.image().unwrap();
        let layers = Loader::new(&spool, &Silent).layers(image).unwrap();
        let merged = Layer::merge(&layers).unwrap();
        let expect = judge::digest(&merged.tree);
        assert_eq!(judge::digest(&tree), expect);
        let scratch = Scratch::new();
        let options = Options::default();
        let written = erofs::layered(&layers, &scratch.0, &options, &Silent, name).unwrap();
        let paths: Vec<_> = written.names.iter().map(|it| scratch.path(it)).collect();
        let parts: Vec<&Path> = paths[2..].iter().map(AsRef::as_ref).collect();
        judge::fsck(&paths[1], &parts);
        assert_eq!(judge::digest(&read(&paths[1], &parts).unwrap()), expect);
        let whole = scratch.path("whole");
        let mut bytes = Vec::new();
        for path in &paths[1..] {
            bytes.extend(std::fs::read(path).unwrap());
        }
        std::fs::write(&whole, bytes).unwrap();
        if let Some(seen) = judge::mounted("erofs", &whole) {
            assert_eq!(seen, expect, "{name}: what the kernel shows");
        }
    }
}
