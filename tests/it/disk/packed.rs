//! Images that are compressed as a whole.

use std::fs;
use std::io::Write;

use super::kit::{Image, Style, assert_sparse, folder, mixed, names, run};
use super::names::check_refused;
use crate::harness::Lab;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = xz2::write::XzEncoder::new(Vec::new(), 1);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut out = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    // So that a cut at any place is one that is noticed.
    out.include_checksum(true).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A disk of some megabytes, mostly nothing, that ends within a block.
fn disk() -> Image {
    let mut image = mixed(Style::V3.with_bits(16));
    let length = image.raw.len();
    image.raw.resize(length + (6 << 20), 0);
    image.raw.extend_from_slice(b"the end");
    image
}

type Packer = fn(&[u8]) -> Vec<u8>;

const PACKERS: [(&str, Packer); 4] = [("xz", xz), ("gz", gzip), ("zst", zst), ("bz2", bz2)];

#[test]
fn what_is_packed_becomes_sparse() {
    let lab = Lab::new();
    let disk = disk();
    let image = mixed(Style::ZSTD);
    for (extension, pack) in PACKERS {
        for (kind, content, raw, more) in [
            ("raw", &disk.raw, &disk.raw, &[][..]),
            ("img", &disk.raw, &disk.raw, &[]),
            ("IMG", &disk.raw, &disk.raw, &["--from", "raw"]),
            ("qcow2", &image.bytes, &image.raw, &[]),
            ("img", &image.bytes, &image.raw, &["--from", "qcow2"]),
        ] {
            let name = format!("disk.{kind}.{extension}");
            let place = folder(&lab, "place");
            let (source, target) = (lab.path(&name), place.join("target.raw"));
            fs::write(&source, pack(content)).unwrap();
            let said = run(&source, &target, more);
            assert_eq!(said.code, Some(0), "{name}: {said:?}");
            assert_sparse(&target, raw, &name);
            assert_eq!(names(&place), ["target.raw"], "{name}");
            // Once more: the goal holds. Something else is not replaced.
            assert_eq!(run(&source, &target, more).code, Some(0), "{name}");
            fs::write(&target, "mine").unwrap();
            assert_eq!(run(&source, &target, more).code, Some(8), "{name}");
            assert_eq!(fs::read(&target).unwrap(), b"mine");
            assert_eq!(names(&place), ["target.raw"], "{name}");
            fs::remove_dir_all(&place).unwrap();
        }
        // A name that may mean two things, over what looks like one of them.
        let source = lab.path(&format!("undecided.img.{extension}"));
        fs::write(&source, pack(&image.bytes)).unwrap();
        let said = run(&source, &lab.path("never.raw"), &[]);
        assert_eq!(said.code, Some(9), "{extension}: {said:?}");
        assert!(said.stderr.contains("--from qcow2"), "{said:?}");
    }
}

#[test]
fn what_is_packed_grows_and_does_not_shrink() {
    let lab = Lab::new();
    let disk = disk();
    let place = folder(&lab, "place");
    let (source, target) = (lab.path("disk.raw.gz"), place.join("target.raw"));
    fs::write(&source, gzip(&disk.raw)).unwrap();
    let said = run(&source, &target, &["--size", "4096"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_eq!(names(&place), [] as [&str; 0]);
    let said = run(&source, &target, &["--size", "32M"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut raw = disk.raw;
    raw.resize(32 << 20, 0);
    assert_sparse(&target, &raw, "grown");
}

#[test]
fn what_is_cut_off_is_refused() {
    let lab = Lab::new();
    let disk = disk();
    for (extension, pack) in PACKERS {
        let whole = pack(&disk.raw);
        let middle = whole.len() / 2;
        for length in [1, 12, middle, whole.len() - 9, whole.len() - 1] {
            let source = lab.path(&format!("disk.raw.{extension}"));
            fs::write(&source, &whole[..length]).unwrap();
            check_refused(&lab, &source, &[]);
        }
        // A lie about the packing is noticed, too.
        let source = lab.path(&format!("disk.raw.{extension}"));
        fs::write(&source, &disk.raw).unwrap();
        check_refused(&lab, &source, &[]);
        // The image in it is.
        let image = mixed(Style::V3);
        let source = lab.path(&format!("disk.qcow2.{extension}"));
        fs::write(&source, pack(&image.bytes[..image.bytes.len() - 9])).unwrap();
        let text = check_refused(&lab, &source, &[]);
        assert!(text.contains("cut off"), "{text}");
    }
}
