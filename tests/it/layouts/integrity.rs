//! Bytes that are not what they should be. HOSTILE 84, 93.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use distro_fetch::event::{Event, Observer, What};
use distro_fetch::oci::{Layout, Loader};
use distro_fetch::tree::Policy;
use distro_fetch::{Kind, sys};

use super::kit::{LAYER, Maker, Scratch, host, list, open, opening, refusal, tar, text};

fn blobs(path: &std::path::Path) -> Vec<PathBuf> {
    let folder = path.join("blobs/sha256");
    let names = sys::names(&folder).unwrap();
    names.iter().map(|name| folder.join(name)).collect()
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let gzip = format!("{LAYER}+gzip");
    let plain = tar(&["f a=1"]);
    let mut maker = Maker::new(&path);
    let layers = [
        (LAYER, tar(&["f b=2"]), None),
        (gzip.as_str(), gzipped(&plain), Some(plain)),
    ];
    maker.add(maker.image_of(&host(), &layers), None);
    assert_eq!(list(text(&path)).unwrap(), ["f a=1", "f b=2"]);
    let all = blobs(&path);
    assert_eq!(all.len(), 4);
    for blob in all {
        let good = fs::read(&blob).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&blob, &bad).unwrap();
            let error = refusal(text(&path));
            assert_eq!(error.kind(), Kind::Integrity, "{}: {error}", blob.display());
            assert!(error.digests().is_some());
        }
        for size in [good.len() - 1, good.len() + 1] {
            let mut bad = good.clone();
            bad.resize(size, 0);
            fs::write(&blob, &bad).unwrap();
            assert_eq!(refusal(text(&path)).kind(), Kind::Integrity);
        }
        fs::write(&blob, &good).unwrap();
    }
    assert!(list(text(&path)).is_ok());
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn streams_are_read_whole() {
    let scratch = Scratch::new();
    let plain = tar(&["f a=1", "f b=2"]);
    let (one, two) = plain.split_at(700);
    let members = [gzipped(one), gzipped(two)].concat();
    let frames = [
        zstd::encode_all(one, 1).unwrap(),
        // A skippable frame of four bytes: what zstd:chunked keeps its table in.
        [0x184d_2a50_u32.to_le_bytes(), 4_u32.to_le_bytes(), *b"toc!"].concat(),
        zstd::encode_all(two, 1).unwrap(),
    ]
    .concat();
    let behind = [plain.as_slice(), b"nobody's"].concat();
    let check = |what: &str, kind: &str, bytes: Vec<u8>, unpacked: &[u8], expect: Option<Kind>| {
        let path = scratch.path("layout");
        let _ = fs::remove_dir_all(&path);
        let mut maker = Maker::new(&path);
        let layers = [(kind, bytes, Some(unpacked.to_vec()))];
        maker.add(maker.image_of(&host(), &layers), None);
        let read = list(text(&path));
        assert_eq!(
            read.as_ref().err().map(distro_fetch::Error::kind),
            expect,
            "{what}: {read:?}"
        );
        if expect.is_none() {
            assert_eq!(read.unwrap(), ["f a=1", "f b=2"], "{what}");
        }
    };
    let (gzip, zst) = (format!("{LAYER}+gzip"), format!("{LAYER}+zstd"));
    check("two members", &gzip, members.clone(), &plain, None);
    check("two frames and one to skip", &zst, frames, &plain, None);
    let wrong = Some(Kind::Integrity);
    check("one member's id", &gzip, members, one, wrong);
    check("another id", &gzip, gzipped(&plain), b"?", wrong);
    check("another id, not packed", LAYER, plain.clone(), b"?", wrong);
    check(
        "bytes behind the end count",
        &gzip,
        gzipped(&behind),
        &behind,
        None,
    );
    check("and must be said", &gzip, gzipped(&behind), &plain, wrong);
    check(
        "said packed, is not",
        &gzip,
        plain.clone(),
        &plain,
        Some(Kind::Format),
    );
    check(
        "said plain, is not",
        LAYER,
        gzipped(&plain),
        &gzipped(&plain),
        Some(Kind::Format),
    );
}

#[test]
fn links_may_not_lead_out() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    Maker::one(&path, &[&["f a=1"]]);
    fs::create_dir(path.join("store")).unwrap();
    for blob in blobs(&path) {
        let name = blob.file_name().unwrap().to_owned();
        fs::rename(&blob, path.join("store").join(&name)).unwrap();
        symlink(PathBuf::from("../../store").join(&name), &blob).unwrap();
    }
    assert_eq!(list(text(&path)).unwrap(), ["f a=1"], "inside");
    fs::rename(path.join("store"), scratch.path("store")).unwrap();
    for lead in ["../../../store", text(&scratch.path("store"))] {
        for blob in blobs(&path) {
            fs::remove_file(&blob).unwrap();
            symlink(PathBuf::from(lead).join(blob.file_name().unwrap()), &blob).unwrap();
        }
        assert_eq!(refusal(text(&path)).kind(), Kind::Local, "{lead}");
    }
    for blob in blobs(&path) {
        fs::remove_file(&blob).unwrap();
        let dir = sys::open_folder(&path.join("blobs/sha256")).unwrap();
        sys::make_fifo(&dir, blob.file_name().unwrap().as_encoded_bytes()).unwrap();
    }
    assert_eq!(
        refusal(text(&path)).kind(),
        Kind::Local,
        "a FIFO does not make us wait"
    );
}

#[test]
fn limits_are_for_all_layers_together() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    Maker::one(&path, &[&["f a=1"], &["f b=2"], &["f c=3"]]);
    let image = Layout::open(&path).unwrap().image(None, None).unwrap();
    let spool = scratch.path("");
    let loader = |bytes, entries| {
        let limits = distro_fetch::archive::Limits {
            bytes,
            entries,
            ..Default::default()
        };
        let loader = Loader::new(&spool, &distro_fetch::event::Silent).with_limits(limits);
        loader
            .with_threads(std::num::NonZeroUsize::MIN)
            .tree(&image)
    };
    assert_eq!(loader(6144, 3).unwrap().tree.name_count(), 3);
    for (bytes, entries) in [(6143, 3), (6144, 2)] {
        assert_eq!(loader(bytes, entries).unwrap_err().kind(), Kind::Format);
    }
}

/// Stops at the event with this number.
struct StopAt(usize, AtomicUsize);

impl Observer for StopAt {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        assert!(matches!(event.what, What::Unpacking { .. }));
        if self.1.fetch_add(1, Ordering::Relaxed) >= self.0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn who_stops_leaves_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    Maker::one(&path, &[&["f a=1"], &["f b=2"]]);
    let spool = scratch.path("");
    let source = open(text(&path)).unwrap();
    let mut at = 0;
    loop {
        let stop = StopAt(at, AtomicUsize::new(0));
        let opening = distro_fetch::rootfs::Opening {
            observer: &stop,
            ..opening(&spool)
        };
        let target = scratch.path("out");
        let done = source.to_dir(&target, Policy::of_this_user(), opening);
        if done.is_ok() {
            assert!(target.join("b").is_file());
            break;
        }
        assert_eq!(done.unwrap_err().kind(), Kind::Cancelled);
        assert_eq!(scratch.names(), ["layout"], "stopped at event {at}");
        let done = source.to_tar(&scratch.path("o.tar"), sys::Overwrite::No, opening);
        if let Err(error) = done {
            assert_eq!(error.kind(), Kind::Cancelled);
            assert_eq!(scratch.names(), ["layout"], "stopped at event {at}");
        } else {
            fs::remove_file(scratch.path("o.tar")).unwrap();
        }
        at += 1;
    }
    assert!(at > 3, "{at} events");
}
