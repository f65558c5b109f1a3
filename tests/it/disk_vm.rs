//! The disks of virtual machines but qcow2: VMDK, VHD and VHDX, made by hand and by qemu-img.

mod judge;
mod mutation;
mod vhd;
mod vhdx;
mod vmdk;

use std::fs;
use std::path::Path;

use distro_fetch::cache::Overwrite;
use distro_fetch::disk::{Converter, Disk, DiskFormat};
use distro_fetch::event::Silent;
use distro_fetch::{Error, Kind};

use crate::harness::Lab;

/// The disk of an image.
fn read(lab: &Lab, image: &Path, format: DiskFormat) -> Result<Vec<u8>, Error> {
    let target = lab.path("out.raw");
    let disk = Disk::open(image, format)?;
    Converter::new("image", &Silent).to_file(&disk, &target, Overwrite::Yes)?;
    let bytes = fs::read(target).unwrap();
    assert_eq!(bytes.len() as u64, disk.size());
    Ok(bytes)
}

/// The disk of an image that is these bytes.
fn decode(lab: &Lab, image: &[u8], format: DiskFormat) -> Result<Vec<u8>, Error> {
    let path = lab.path("image");
    fs::write(&path, image).unwrap();
    read(lab, &path, format)
}

/// Panics if an image is not refused for a reason.
fn assert_refused(found: Result<Vec<u8>, Error>, why: &str) {
    match found {
        Err(error) => {
            assert_eq!(error.kind(), Kind::Format, "{error}");
            assert!(error.message().contains(why), "{error}, expected {why:?}");
        }
        Ok(_) => panic!("it was read, expected {why:?}"),
    }
}

/// Puts bytes at a place.
fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}
