//! Images that qemu-img makes, and the disk that it finds in them.

use std::fs;
use std::path::Path;
use std::process::Command;

use distro_fetch::disk::DiskFormat;

use super::read;
use crate::crash::strace::required;
use crate::harness::{Lab, noise};

fn have() -> bool {
    let version = Command::new("qemu-img").arg("--version").output();
    required("qemu-img", version.is_ok())
}

fn convert(from: (&str, &Path), to: (&str, &Path), options: &[&str]) {
    let mut command = Command::new("qemu-img");
    command
        .args(["convert", "-f", from.0, "-O", to.0])
        .args(options);
    let output = command.arg(from.1).arg(to.1).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Disks of sizes that are no multiple of anything, with data, patterns and holes.
fn disks() -> Vec<(&'static str, Vec<u8>)> {
    let mut full = noise(3 << 20);
    full[1 << 20..2 << 20].fill(0);
    full[5 << 18..(5 << 18) + 512].fill(3);
    let mut odd = vec![0; (5 << 20) + 3 * 512];
    let end = odd.len();
    odd[end - 600..].copy_from_slice(&noise(600));
    odd[70_000..200_000].fill(b'x');
    let mut wide = vec![0; 41 << 20];
    wide[(36 << 20) + 5] = 1;
    wide[40 << 20..].copy_from_slice(&noise(1 << 20));
    vec![
        ("full", full),
        ("odd", odd),
        ("wide", wide),
        ("empty", vec![0; 1 << 20]),
        ("small", noise(512)),
    ]
}

const STYLES: [(&str, DiskFormat, &str); 12] = [
    ("vmdk", DiskFormat::Vmdk, "subformat=monolithicSparse"),
    (
        "vmdk",
        DiskFormat::Vmdk,
        "subformat=monolithicSparse,zeroed_grain=on",
    ),
    ("vmdk", DiskFormat::Vmdk, "subformat=streamOptimized"),
    ("vmdk", DiskFormat::Vmdk, "subformat=monolithicFlat"),
    ("vmdk", DiskFormat::Vmdk, "subformat=twoGbMaxExtentFlat"),
    ("vpc", DiskFormat::Vhd, "subformat=fixed"),
    ("vpc", DiskFormat::Vhd, "subformat=fixed,force_size=on"),
    ("vpc", DiskFormat::Vhd, "subformat=dynamic"),
    ("vpc", DiskFormat::Vhd, "subformat=dynamic,force_size=on"),
    ("vhdx", DiskFormat::Vhdx, "subformat=dynamic"),
    ("vhdx", DiskFormat::Vhdx, "subformat=dynamic,block_size=2M"),
    ("vhdx", DiskFormat::Vhdx, "subformat=fixed"),
];

#[test]
fn what_qemu_img_makes_reads_as_it_reads_it() {
    if !have() {
        return;
    }
    for (disk, content) in disks() {
        for (name, format, options) in STYLES {
            let lab = Lab::new();
            fs::create_dir_all(lab.path("made")).unwrap();
            let (raw, image) = (lab.path("disk.raw"), lab.path("made/image"));
            let expect = lab.path("expect.raw");
            fs::write(&raw, &content).unwrap();
            convert(("raw", &raw), (name, &image), &["-o", options]);
            convert((name, &image), ("raw", &expect), &[]);
            let found = read(&lab, &image, format);
            let found = found.unwrap_or_else(|error| panic!("{disk} {options}: {error}"));
            let expect = fs::read(expect).unwrap();
            assert!(found == expect, "{disk} {options}: {} bytes", found.len());
            assert!(found.starts_with(&content) || found.len() < content.len());
        }
    }
}
