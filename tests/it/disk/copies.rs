//! Copies of raw disks: independent, sparse, and of another size if asked.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use distro_fetch::cache::Overwrite;
use distro_fetch::disk::{CopyOptions, SparseWriter, copy_disk};
use distro_fetch::event::{Event, Observer};
use distro_fetch::{Kind, disk};

use super::kit::{allocated, at_most, names, salted};
use crate::crash::strace::{mounts_work, unshare};
use crate::harness::{Lab, distro_fetch, said};

/// A disk of 64 MiB with a few blocks in it.
fn sparse(path: &Path) -> Vec<u8> {
    let mut raw = vec![0; 64 << 20];
    for at in [0, 5 << 20, (33 << 20) + 77, (64 << 20) - 10_000] {
        raw[at..at + 10_000].copy_from_slice(&salted(10_000, at % 1000));
    }
    let file = File::create(path).unwrap();
    let mut writer = SparseWriter::new(&file);
    std::io::Write::write_all(&mut writer, &raw).unwrap();
    writer.finish().unwrap();
    raw
}

fn options(size: Option<u64>) -> CopyOptions<'static> {
    CopyOptions {
        size,
        ..CopyOptions::default()
    }
}

#[test]
fn a_copy_is_sparse_and_independent() {
    let lab = Lab::new();
    let (source, target) = (lab.path("source.raw"), lab.path("target.raw"));
    let raw = sparse(&source);
    let most = at_most(&raw) + 4 * 4096;
    assert!(allocated(&source) <= most);
    for size in [None, Some(64 << 20), Some((64 << 20) + 1), Some(20 << 30)] {
        copy_disk(&source, &target, options(size)).unwrap();
        let meta = fs::metadata(&target).unwrap();
        assert_eq!(meta.len(), size.unwrap_or(64 << 20));
        let mut start = vec![0; raw.len()];
        let copy = File::options()
            .read(true)
            .write(true)
            .open(&target)
            .unwrap();
        copy.read_exact_at(&mut start, 0).unwrap();
        assert!(start == raw, "{size:?}");
        let has = allocated(&target);
        assert!(has <= most, "{size:?}: {has} bytes on disk");
        // It is its owner's to write to; nobody else sees that.
        copy.write_all_at(b"written", 0).unwrap();
        copy.write_all_at(b"written", 40 << 20).unwrap();
        assert!(fs::read(&source).unwrap() == raw, "{size:?}");
        fs::remove_file(&target).unwrap();
    }
    assert_eq!(names(&lab.path("")), ["source.raw"]);
}

#[test]
fn what_is_written_as_zeros_becomes_a_hole() {
    let lab = Lab::new();
    let (source, target) = (lab.path("source.raw"), lab.path("target.raw"));
    for length in [1, 4095, 4096, 4097, 100_001, (3 << 20) + 5] {
        let mut raw = vec![0; length];
        raw[length / 2] = 1;
        fs::write(&source, &raw).unwrap();
        copy_disk(&source, &target, options(None)).unwrap();
        super::kit::assert_sparse(&target, &raw, &format!("{length} bytes"));
        fs::remove_file(&target).unwrap();
    }
    fs::write(&source, "").unwrap();
    copy_disk(&source, &target, options(None)).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().len(), 0);
}

#[test]
fn nothing_is_replaced_unless_it_may_be() {
    let lab = Lab::new();
    let (source, target) = (lab.path("source.raw"), lab.path("target.raw"));
    let raw = sparse(&source);
    // To shrink is refused before there is anything, whatever is in the way.
    for there in [false, true] {
        if there {
            fs::write(&target, "mine").unwrap();
        }
        let overwrite = Overwrite::Yes;
        let error = copy_disk(
            &source,
            &target,
            CopyOptions {
                overwrite,
                ..options(Some((64 << 20) - 1))
            },
        );
        assert_eq!(error.unwrap_err().kind(), Kind::Other);
        assert_eq!(target.exists(), there);
    }
    for other in [b"mine".to_vec(), salted(64 << 20, 3)] {
        fs::write(&target, &other).unwrap();
        let error = copy_disk(&source, &target, options(None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Local, "{error}");
        assert!(error.to_string().contains("--force"), "{error}");
        assert!(fs::read(&target).unwrap() == other);
    }
    let overwrite = Overwrite::Yes;
    copy_disk(
        &source,
        &target,
        CopyOptions {
            overwrite,
            ..options(None)
        },
    )
    .unwrap();
    assert!(fs::read(&target).unwrap() == raw);
    // The goal holds already: that is success, and the file stays the one it was.
    let before = fs::metadata(&target).unwrap();
    copy_disk(&source, &target, options(None)).unwrap();
    let after = fs::metadata(&target).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
    assert!(copy_disk(&source, &target, options(Some(65 << 20))).is_err());
    assert_eq!(names(&lab.path("")), ["source.raw", "target.raw"]);
}

#[test]
fn only_files_are_disks() {
    let lab = Lab::new();
    let target = lab.path("target.raw");
    for source in ["/dev/zero", "/", "nowhere"] {
        let source = lab.path(source);
        assert!(copy_disk(&source, &target, options(None)).is_err());
        assert!(disk::Disk::open(&source, disk::DiskFormat::Raw).is_err());
    }
    let source = lab.path("source.raw");
    sparse(&source);
    // A link that is in the way is replaced, not followed.
    let victim = lab.path("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, &target).unwrap();
    assert!(copy_disk(&source, &target, options(None)).is_err());
    let overwrite = Overwrite::Yes;
    copy_disk(
        &source,
        &target,
        CopyOptions {
            overwrite,
            ..options(None)
        },
    )
    .unwrap();
    assert!(!fs::symlink_metadata(&target).unwrap().is_symlink());
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
}

struct Stop;

impl Observer for Stop {
    fn on(&self, _: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[test]
fn stop_means_stop() {
    let lab = Lab::new();
    let (source, target) = (lab.path("source.raw"), lab.path("target.raw"));
    sparse(&source);
    let error = copy_disk(
        &source,
        &target,
        CopyOptions {
            observer: &Stop,
            ..options(None)
        },
    );
    // Where blocks are shared, it is done before anybody can say stop.
    if let Err(error) = error {
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
        assert_eq!(names(&lab.path("")), ["source.raw"]);
    }
}

/// Another file system than that of the original, and too small a one.
#[test]
fn a_copy_crosses_to_another_file_system() {
    if !mounts_work() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source.raw");
    sparse(&source);
    for (size, code) in [("16m", 0), ("24k", 8)] {
        let mut command = unshare(
            "mount -t tmpfs -o mode=700,size=$1 none \"$2\" || exit 100; shift; D=$1; S=$2; shift 2
             \"$@\" convert \"$S\" --size 20G -o \"$D/target.raw\"; code=$?
             ls -A \"$D\"; [ $code != 0 ] || cmp -n 67108864 \"$S\" \"$D/target.raw\" || exit 101
             exit $code",
        );
        let place = lab.path(size);
        fs::create_dir(&place).unwrap();
        command.args([size]).arg(&place).arg(&source);
        let said = said(command.arg(distro_fetch().get_program()));
        assert_eq!(said.code, Some(code), "{said:?}");
        let left = said.stdout.contains("\ntarget.raw\n");
        assert_eq!(left, code == 0, "{said:?}");
        if code == 8 {
            assert_eq!(said.stdout, "", "litter");
        }
    }
}
