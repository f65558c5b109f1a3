//! Images that QEMU made, each feature alone, and the disks that they are of.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use distro_fetch::Digest;
use sha2::{Digest as _, Sha256};

use super::kit::{allocated, folder, have, judge, names, run};
use super::names::check_refused;
use crate::harness::{Lab, distro_fetch, said, shared};

/// What nobody should read, with the reason that is given.
const REFUSED: &[(&str, &str)] = &[
    ("chain-", "backing file"),
    ("enc-", "encrypted"),
    ("evil-", "backing file"),
    ("extdata", "external file"),
    ("flag-corrupt", "marked corrupt"),
    ("flag-unknown", "features that are not known"),
    ("truncated", "outside"),
];

/// Expected sums are of whole disks.
fn sum(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).unwrap();
        if n == 0 {
            return Digest::from_bytes(hasher.finalize().into()).to_string();
        }
        hasher.update(&buffer[..n]);
    }
}

#[test]
fn every_image_of_the_matrix_is_what_it_says() {
    let Some(archive) = shared("images/qcow2/matrix.tar.zst") else {
        return;
    };
    let lab = Lab::new();
    let images = lab.path("images");
    let mut command = distro_fetch();
    command.arg("--cache-dir").arg(lab.cache());
    command.arg("unpack").arg(&archive).arg(&images);
    let unpacked = said(&mut command);
    assert_eq!(unpacked.code, Some(0), "{unpacked:?}");
    let expected = fs::read_to_string(images.join("EXPECTED-RAW.sha256")).unwrap();
    let expected: BTreeMap<&str, &str> = expected
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let sum = words.next().unwrap();
            (words.nth(1).unwrap(), sum)
        })
        .collect();
    let (mut read, mut refused) = (0, 0);
    for name in names(&images) {
        let source = images.join(&name);
        if source.extension() != Some("qcow2".as_ref()) {
            continue;
        }
        if let Some((_, why)) = REFUSED.iter().find(|(start, _)| name.starts_with(start)) {
            let text = check_refused(&lab, &source, &[]);
            assert!(text.contains(why), "{name}: {text}");
            refused += 1;
            continue;
        }
        let place = folder(&lab, "place");
        let target = place.join("target.raw");
        let start = Instant::now();
        let said = run(&source, &target, &[]);
        let took = start.elapsed();
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        assert_eq!(names(&place), ["target.raw"], "{name}");
        if name == "huge-sparse-8T.qcow2" {
            assert_eq!(fs::metadata(&target).unwrap().len(), 8 << 40);
            assert_eq!(allocated(&target), 0);
            assert!(took < Duration::from_secs(1), "{took:?}");
        } else {
            let sum = sum(&target);
            // Dirty is plain with a flag.
            let of = if name == "flag-dirty.qcow2" {
                "v3-plain.qcow2"
            } else {
                &name
            };
            assert_eq!(Some(&&*sum), expected.get(of), "{name}");
        }
        if have("qemu-img") {
            let theirs = place.join("theirs.raw");
            let (from, to) = (source.to_str().unwrap(), theirs.to_str().unwrap());
            judge(
                "qemu-img",
                &["convert", "-f", "qcow2", "-O", "raw", from, to],
            );
            // Blocks are given out when they are written back.
            for path in [&target, &theirs] {
                File::open(path).unwrap().sync_all().unwrap();
            }
            let (ours, theirs) = (allocated(&target), allocated(&theirs));
            assert!(ours <= theirs, "{name}: {ours} bytes on disk, and {theirs}");
        }
        fs::remove_dir_all(&place).unwrap();
        read += 1;
    }
    assert!(read >= 18 && refused >= 7, "{read} read, {refused} refused");
    eprintln!("{read} read, {refused} refused");
}
