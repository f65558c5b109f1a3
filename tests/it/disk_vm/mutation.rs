//! Images that were cut off, and images of which one bit fell over: refused or read, never a
//! panic, and of all of them no other size than the disk's. The same on every run.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;

use distro_fetch::Kind;
use distro_fetch::disk::{Disk, DiskFormat};

use super::{vhd, vhdx, vmdk};
use crate::harness::Lab;

/// Whether an image is accepted, as far as its tables go.
fn is_read(path: &std::path::Path, format: DiskFormat) -> bool {
    match Disk::open(path, format).and_then(|disk| disk.survey()) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Format, "{error}");
            false
        }
    }
}

/// Every bit of `head`, and lengths near the places where something begins or ends.
fn check(image: &[u8], format: DiskFormat, head: &[std::ops::Range<usize>]) {
    let lab = Lab::new();
    let path = lab.path("image");
    std::fs::write(&path, image).unwrap();
    assert!(is_read(&path, format));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut refused = 0;
    for at in head.iter().cloned().flatten() {
        for bit in 0..8 {
            file.write_all_at(&[image[at] ^ 1 << bit], at as u64)
                .unwrap();
            refused += usize::from(!is_read(&path, format));
        }
        file.write_all_at(&image[at..=at], at as u64).unwrap();
    }
    assert!(refused > 0);
    let whole = image.len();
    let step = (whole / 300).max(1);
    let lengths = (0..whole).step_by(step).chain(whole - 20..whole).rev();
    for length in lengths {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(length as u64).unwrap();
        let _ = is_read(&path, format);
    }
}

#[test]
fn vmdk_changed_or_cut_off() {
    use vmdk::Kind::{Sparse, Stream, StreamAtEnd};
    for kind in [Sparse, Stream] {
        let (image, _) = vmdk::sample(kind);
        check(
            &image,
            DiskFormat::Vmdk,
            &[0..90, 512..700, 1536..1544, 4096..4112],
        );
    }
    let (image, _) = vmdk::sample(StreamAtEnd);
    let end = image.len();
    check(
        &image,
        DiskFormat::Vmdk,
        &[0..90, end - 2048..end - 2040, end - 1536..end - 900],
    );
}

#[test]
fn vhd_changed_or_cut_off() {
    let (image, _) = vhd::sample();
    let end = image.len();
    check(
        &image,
        DiskFormat::Vhd,
        &[
            0..80,
            512..600,
            1536..1560,
            2048..2052,
            end - 512..end - 440,
        ],
    );
}

#[test]
fn vhdx_changed_or_cut_off() {
    let (image, _) = vhdx::sample();
    let (one, two, regions) = (64 << 10, 128 << 10, 192 << 10);
    let (table, metadata) = (1 << 20, 2 << 20);
    let items = metadata + (64 << 10);
    check(
        &image,
        DiskFormat::Vhdx,
        &[
            0..10,
            one..one + 10,
            two + 40..two + 80,
            regions..regions + 12,
            table..table + 40,
            metadata..metadata + 128,
            items..items + 24,
        ],
    );
}
