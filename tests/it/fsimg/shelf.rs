//! Images of layers that are made once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use distro_fetch::cache::{Cache, PruneOptions};
use distro_fetch::fsimg::erofs::Options;
use distro_fetch::rootfs::{Shelf, Source, Spelled};

use super::grove::Scratch;
use super::kit::opening;
use crate::layouts::kit::Maker;

const BASE: &[&str] = &[
    "d etc",
    "f etc/a=1",
    "f etc/gone",
    "d700 opaque",
    "f opaque/x",
];
/// Not all directories are said, and not the root.
const IMPLIED: &[&str] = &[
    "d etc",
    "f etc/.wh.gone",
    "d opaque",
    "f opaque/.wh..wh..opq",
    "f usr/bin/tool=2",
];
/// What it links to is in another layer: its image does not say that.
const LOWER: &[&str] = &["h etc/b->etc/a"];

fn make(source: &Path, target: &Path, shelf: Option<&Shelf>) -> BTreeMap<String, Vec<u8>> {
    let spool = std::env::temp_dir();
    let opening = opening(&spool);
    let source = Spelled::parse(source.to_str().unwrap()).unwrap();
    let source = Source::open(&source, opening).unwrap();
    let paths = source.to_layered(target, &Options::default(), shelf, opening);
    let files = paths.unwrap().into_iter().map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    });
    files.collect()
}

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_layer_has_one_image_whatever_has_the_layer() {
    let scratch = Scratch::new();
    let shelf = Shelf::of(&Cache::at(scratch.path("cache")).unwrap());
    let one = Maker::one(&scratch.path("one"), &[BASE, IMPLIED, LOWER]);
    let two = Maker::one(&scratch.path("two"), &[BASE, &["f other"], BASE]);
    let plain = make(&one.path, &scratch.path("plain"), None);
    assert_eq!(plain.len(), 5);
    let first = make(&one.path, &scratch.path("first"), Some(&shelf));
    let again = make(&one.path, &scratch.path("again"), Some(&shelf));
    assert!(plain == first, "with a shelf and without");
    assert!(plain == again, "read out of the images, and of the layers");
    assert_eq!(shelf.layers().unwrap().len(), 3);
    make(&two.path, &scratch.path("other"), Some(&shelf));
    assert_eq!(shelf.layers().unwrap().len(), 4);
    let base = inode(scratch.path("first/layer-0.erofs"));
    for shared in [
        "again/layer-0.erofs",
        "other/layer-0.erofs",
        "other/layer-2.erofs",
    ] {
        assert_eq!(inode(scratch.path(shared)), base, "{shared}");
    }
    // Layers that were on the shelf are not read: they may be damaged.
    let blobs = one.path.join("blobs/sha256");
    let layers = [BASE, IMPLIED].map(|it| crate::harness::sha256(&crate::layers::kit::tar(it)));
    for layer in layers {
        let path = blobs.join(layer.to_string());
        let size = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; usize::try_from(size).unwrap()]).unwrap();
    }
    assert!(plain == make(&one.path, &scratch.path("unread"), Some(&shelf)));
}

#[test]
fn an_image_that_somebody_has_been_at_is_made_again() {
    let scratch = Scratch::new();
    let shelf = Shelf::of(&Cache::at(scratch.path("cache")).unwrap());
    let source = Maker::one(&scratch.path("source"), &[BASE]).path;
    let expect = make(&source, &scratch.path("first"), Some(&shelf));
    let image = &shelf.layers().unwrap()[0];
    assert!(shelf.is_well(&image.diff_id, || Ok(())).unwrap());
    let mut bytes = fs::read(&image.path).unwrap();
    bytes[1030] ^= 1;
    fs::set_permissions(&image.path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&image.path, &bytes).unwrap();
    assert!(!shelf.is_well(&image.diff_id, || Ok(())).unwrap());
    assert!(expect == make(&source, &scratch.path("second"), Some(&shelf)));
    assert!(shelf.is_well(&image.diff_id, || Ok(())).unwrap());
    // Nor is one used whose note was forged to fit.
    let before = fs::metadata(&image.path).unwrap();
    fs::set_permissions(&image.path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&image.path, &bytes).unwrap();
    let file = fs::File::options().write(true).open(&image.path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    assert!(!shelf.is_well(&image.diff_id, || Ok(())).unwrap());
    assert!(expect == make(&source, &scratch.path("third"), Some(&shelf)));
}

#[test]
fn what_is_of_no_use_goes() {
    let scratch = Scratch::new();
    let shelf = Shelf::of(&Cache::at(scratch.path("cache")).unwrap());
    let source = Maker::one(&scratch.path("source"), &[BASE, IMPLIED]).path;
    make(&source, &scratch.path("first"), Some(&shelf));
    let prune = |options: &PruneOptions| shelf.prune(options).unwrap().len();
    let usual = PruneOptions::default();
    assert_eq!(prune(&usual), 0, "just made");
    let age = |days: u64| {
        let then = SystemTime::now() - Duration::from_hours(24 * days);
        let folder = shelf.layers().unwrap()[0].path.parent().unwrap().to_owned();
        fs::File::open(folder).unwrap().set_modified(then).unwrap();
    };
    age(8);
    let dry = PruneOptions {
        dry_run: true,
        ..PruneOptions::default()
    };
    assert_eq!(prune(&dry), 1);
    // It is of use once more.
    make(&source, &scratch.path("second"), Some(&shelf));
    assert_eq!(prune(&usual), 0);
    age(8);
    assert_eq!(prune(&usual), 1);
    assert_eq!(shelf.layers().unwrap().len(), 1);
    make(&source, &scratch.path("third"), Some(&shelf));
    age(2);
    let older_than = Some(Duration::from_hours(24));
    assert_eq!(
        prune(&PruneOptions {
            older_than,
            ..PruneOptions::default()
        }),
        1
    );
    make(&source, &scratch.path("fourth"), Some(&shelf));
    let size = shelf.layers().unwrap()[0].size;
    assert_eq!(
        prune(&PruneOptions {
            max_size: Some(size),
            ..PruneOptions::default()
        }),
        1
    );
    assert_eq!(
        prune(&PruneOptions {
            all: true,
            ..PruneOptions::default()
        }),
        1
    );
    assert!(shelf.layers().unwrap().is_empty());
}
