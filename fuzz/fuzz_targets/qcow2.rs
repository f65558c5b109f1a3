//! The whole way of a disk image: what is surveyed stays within the disk, what is converted has its
//! size, and is the same when it is decoded once more.
#![no_main]

use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;

use distro_fetch::disk::{Converter, Disk, DiskFormat};
use distro_fetch::event::Silent;
use libfuzzer_sys::fuzz_target;

/// The largest disk that is written out, in bytes.
const LARGEST: u64 = 8 << 20;

/// Pieces that are looked at: a table of nothing but holes has millions of them.
const PIECES: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let name = format!("distro-fetch-fuzz-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = || {
        let _ = fs::remove_file(&path);
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(&path).unwrap()
    };
    let mut image = file();
    image.write_all(data).unwrap();
    let Ok(disk) = Disk::from_file(image, DiskFormat::Qcow2) else {
        return;
    };
    let mut at = 0;
    for extent in disk.extents().take(PIECES) {
        let Ok(extent) = extent else { break };
        assert_eq!(extent.start, at, "a gap, or an overlap");
        assert!(extent.length > 0);
        at = extent.end();
        assert!(at <= disk.size(), "beyond the disk");
    }
    if disk.size() > LARGEST {
        return;
    }
    let surveyed = disk.survey();
    let converter = Converter::new("fuzz", &Silent).with_threads(NonZeroUsize::MIN);
    let output = file();
    let converted = converter.write(&disk, &output, &path);
    let Ok(survey) = converted else { return };
    assert_eq!(surveyed.ok(), Some(survey), "converted, but not surveyed");
    assert_eq!(at, disk.size(), "not the whole disk");
    assert_eq!(output.metadata().unwrap().len(), disk.size());
    assert!(converter.is_in(&disk, &path).unwrap(), "another disk the second time");
    let raw = Disk::from_file(output, DiskFormat::Raw).unwrap();
    assert!(converter.is_in(&raw, &path).unwrap(), "not itself");
    let _ = fs::remove_file(&path);
});
