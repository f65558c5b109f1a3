//! Images that lie: refused, and never followed.

use std::path::Path;
use std::process::Command;

use distro_fetch::archive::Limits;
use distro_fetch::fsimg::ext4::{Options, Reader};
use distro_fetch::{Kind, Result};

use super::ext4::{dump, read};
use super::kit::{Bench, Planting, digest, zoo};

fn open(path: &Path, limits: Limits) -> Result<String> {
    let reader = Reader::open(std::fs::File::open(path).unwrap(), limits)?;
    let tree = reader.tree(|| Ok(()))?;
    // Nothing has a checksum of what a link's block says.
    let mut text: String = dump(&tree)
        .lines()
        .map(|it| it.split(" -> ").next().unwrap())
        .collect();
    for visit in tree.walk() {
        let stored = visit.node.open()?;
        let mut content = std::io::Read::take(stored.content(), 1 << 20);
        let read = std::io::copy(&mut content, &mut std::io::sink()).unwrap();
        text.push_str(&read.to_string());
    }
    Ok(text)
}

/// Any byte of the metadata, any bit of it: the same tree, or a refusal.
#[test]
fn flipped_bits() {
    let bench = Bench::new();
    let tree = zoo();
    let (path, _) = bench.image("zoo", &tree, &Options::default());
    let expect = open(&path, Limits::default()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (other, _) = bench.file("flipped");
    let mut refused = 0;
    let mut state = 1_u64;
    for _ in 0..1500 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Superblock, descriptors, bitmaps, and some inodes, directories and attributes.
        let at = (state >> 33) as usize % whole.len();
        if whole[at / 256 * 256..]
            .iter()
            .take(256)
            .all(|byte| *byte == 0)
        {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (state >> 29 & 7);
        std::fs::write(&other, &bytes).unwrap();
        match open(&other, Limits::default()) {
            Ok(text) => assert!(text == expect, "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Format, "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// The same without checksums to help: an image by `mke2fs` that has none.
#[test]
fn without_checksums() {
    let bench = Bench::new();
    let folder = bench.path("tree");
    std::fs::create_dir(&folder).unwrap();
    for nth in 0..200 {
        std::fs::write(folder.join(format!("file-{nth}")), vec![b'x'; nth * 100]).unwrap();
    }
    std::fs::create_dir(folder.join("sub")).unwrap();
    std::os::unix::fs::symlink("x".repeat(99), folder.join("sub/link")).unwrap();
    let path = made(&bench, &folder, "^metadata_csum,^has_journal", "4096", "5M");
    let expect = open(&path, Limits::default()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (other, _) = bench.file("flipped");
    let mut state = 3_u64;
    for _ in 0..2500 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let at = (state >> 33) as usize % whole.len();
        if whole[at / 64 * 64..].iter().take(64).all(|byte| *byte == 0) {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] = (state >> 21 & 0xff) as u8;
        std::fs::write(&other, &bytes).unwrap();
        if let Err(error) = open(&other, Limits::default()) {
            assert!(
                matches!(error.kind(), Kind::Format | Kind::Local),
                "byte {at}: {error}"
            );
        }
    }
    assert!(expect.contains("sub/link"));
}

fn made(bench: &Bench, from: &Path, features: &str, block: &str, size: &str) -> std::path::PathBuf {
    let path = bench.path("made");
    let _ = std::fs::remove_file(&path);
    let output = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-t", "ext4", "-O", features, "-b", block, "-d"])
        .args([from, &path])
        .arg(size)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    path
}

/// What others make is read as well.
#[test]
fn images_of_mke2fs() {
    let bench = Bench::new();
    let folder = bench.path("tree");
    std::fs::create_dir(&folder).unwrap();
    for nth in 0..2000 {
        let name = format!("{nth}-{}", "n".repeat(nth % 100));
        std::fs::write(folder.join(name), vec![b'x'; nth * 7]).unwrap();
    }
    std::fs::hard_link(folder.join("0-"), folder.join("again")).unwrap();
    std::os::unix::fs::symlink("fast", folder.join("fast")).unwrap();
    std::os::unix::fs::symlink("s".repeat(300), folder.join("slow")).unwrap();
    let expect =
        distro_fetch::tree::Tree::of_directory(&folder, Limits::default(), || Ok(())).unwrap();
    // The root is its own, and so are fractions of seconds.
    let plain = |line: &str| -> String {
        let mut words: Vec<_> = line.split(' ').collect();
        words[3] = words[3].split('.').next().unwrap();
        words.join(" ")
    };
    let rest = |text: String| -> Vec<String> { text.lines().skip(1).map(plain).collect() };
    let expect = rest(dump(&expect));
    for features in [
        "metadata_csum",
        "^metadata_csum",
        "metadata_csum_seed",
        "^64bit,^flex_bg",
    ] {
        for block in ["1024", "2048", "4096"] {
            let path = made(&bench, &folder, features, block, "64M");
            let found = rest(dump(&read(&path)));
            let odd = found.iter().zip(&expect).find(|(a, b)| a != b);
            assert_eq!(
                (odd, found.len()),
                (None, expect.len()),
                "{features} {block}"
            );
        }
    }
}

#[test]
fn limits_hold() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    for nth in 0..100 {
        planting.file(format!("a/b/c/{nth}"), &[1; 5000]);
    }
    let tree = planting.tree();
    let (path, _) = bench.image("image", &tree, &Options::default());
    assert_eq!(digest(&read(&path)), digest(&tree));
    for limits in [
        Limits {
            entries: 50,
            ..Limits::default()
        },
        Limits {
            bytes: 400_000,
            ..Limits::default()
        },
        Limits {
            depth: 2,
            ..Limits::default()
        },
    ] {
        let error = open(&path, limits).unwrap_err();
        assert_eq!(error.kind(), Kind::Format);
        assert!(error.to_string().contains("limit"), "{error}");
    }
    // Cut short, and not one at all.
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1024, 2047, 2048, 4096, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{length}: {error}");
    }
}
