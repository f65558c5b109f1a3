//! EROFS.

mod flat;
mod hostile;
#[cfg(feature = "cli")]
mod images;
mod layers;

use std::fs::File;
use std::path::{Path, PathBuf};

use distro_fetch::archive::Limits;
use distro_fetch::event::Silent;
use distro_fetch::fsimg::erofs::{self, Options, Reader, Summary};
use distro_fetch::tree::Tree;

use super::grove::Scratch;
use super::judge;

/// Writes an image into a scratch directory.
fn write(tree: &Tree, options: &Options, scratch: &Scratch, name: &str) -> (PathBuf, Summary) {
    let file = scratch.file(name);
    let summary = erofs::write(tree, &file, options, &Silent, "test").unwrap();
    assert_eq!(file.metadata().unwrap().len(), summary.bytes);
    (scratch.path(name), summary)
}

/// The tree in an image.
fn read(image: &Path, devices: &[&Path]) -> distro_fetch::Result<Tree> {
    let devices = devices.iter().map(|it| File::open(it).unwrap()).collect();
    Reader::open(File::open(image).unwrap(), devices, roomy())?.tree()
}

fn roomy() -> Limits {
    Limits {
        bytes: 1 << 40,
        ..Limits::default()
    }
}

/// Writes a tree, and has everybody look at it.
fn check(tree: &Tree, options: &Options) -> Summary {
    let scratch = Scratch::new();
    let (image, summary) = write(tree, options, &scratch, "image.erofs");
    judge::fsck(&image, &[]);
    let expect = judge::digest(tree);
    assert_eq!(judge::digest(&read(&image, &[]).unwrap()), expect);
    if let Some(seen) = judge::mounted("erofs", &image) {
        assert_eq!(seen, expect, "what the kernel shows");
    }
    summary
}
