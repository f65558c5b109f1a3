//! The command over images: exit codes, and disks that are full (HOSTILE 72).

use std::fs;

use crate::crash::strace::{mounts_work, unshare};
use crate::harness::{distro_fetch, noise, said};

use super::kit::{LAYER, Maker, Scratch, entry_of, host, open, opening, text};

/// A layout with a compressed layer of noise.
fn layout(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.path("layout");
    let plain = entry_of("noise", &noise(300_000));
    let packed = zstd::encode_all(&plain[..], 1).unwrap();
    let mut maker = Maker::new(&path);
    let kind = format!("{LAYER}+zstd");
    maker.add(
        maker.image_of(&host(), &[(&kind, packed, Some(plain))]),
        None,
    );
    path
}

#[test]
fn the_digest_of_an_image() {
    let scratch = Scratch::new();
    let path = layout(&scratch);
    let run = |path: &str| said(distro_fetch().args(["digest", path]));
    let digest = run(text(&path));
    let spool = scratch.path("");
    let tree = open(text(&path)).unwrap().tree(opening(&spool)).unwrap();
    let expect = tree
        .digest(std::num::NonZeroUsize::MIN, |_, _| Ok(()))
        .unwrap();
    assert_eq!(
        (digest.code, digest.stdout.trim_end()),
        (Some(0), expect.to_string().as_str())
    );
    assert_eq!(
        run(&format!("{}:nobody", text(&path))).code,
        Some(3),
        "no such image"
    );
    for blob in fs::read_dir(path.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        let good = fs::read(&blob).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&blob, bad).unwrap();
        assert_eq!(run(text(&path)).code, Some(7), "{}", blob.display());
        fs::write(&blob, good).unwrap();
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left() {
    if !mounts_work() {
        return;
    }
    let scratch = Scratch::new();
    let path = layout(&scratch);
    let full = scratch.path("full");
    fs::create_dir(&full).unwrap();
    let script = "set -e; mount -t tmpfs -o size=128k none \"$1\"; set +e
                  TMPDIR=$1 \"$PROGRAM\" digest \"$2\"; code=$?; ls -A \"$1\"; exit $code";
    let mut command = unshare(script);
    command.arg(&full).arg(&path);
    command.env("PROGRAM", distro_fetch().get_program());
    let said = said(&mut command);
    assert_eq!((said.code, said.stdout.as_str()), (Some(8), ""), "{said:?}");
    assert!(said.stderr.contains("No space left"), "{said:?}");
}
