//! Every root file system of the `shared/` folder, when it is there.

use std::path::Path;

use distro_fetch::fsimg::ext4::Options;
use distro_fetch::rootfs::{Source, Spelled};

use super::ext4::check;
use super::kit::{Bench, opening};
use crate::shared::shared;

fn convert(bench: &Bench, source: &str) {
    let spool = std::env::temp_dir();
    let opening = opening(&spool);
    let spelled = Spelled::parse(source).unwrap();
    let tree = Source::open(&spelled, opening)
        .unwrap()
        .tree(opening)
        .unwrap();
    check(bench, "real", &tree, &Options::default());
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path());
    let mut names: Vec<_> = files.map(|it| it.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".tar."));
    names.sort();
    names
}

#[test]
fn archives() {
    let bench = Bench::new();
    for name in ["images/alpine", "images/tar"] {
        let Some(folder) = shared(name) else { return };
        let files = files(&folder);
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            convert(&bench, &format!("file:{file}"));
        }
    }
}

#[test]
fn layers() {
    let bench = Bench::new();
    let Some(folder) = shared("images/oci") else {
        return;
    };
    let folder = folder.to_str().unwrap();
    for tag in ["base", "l1", "l2", "l3", "final"] {
        convert(&bench, &format!("oci:{folder}/alpine-umoci:{tag}"));
    }
    convert(&bench, &format!("dir:{folder}/alpine-v2s2-dir"));
}
