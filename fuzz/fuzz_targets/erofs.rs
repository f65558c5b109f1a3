//! Any bytes behind the superblock of an EROFS image: a tree or a refusal, and of a tree its digest.
#![no_main]

use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;

use distro_fetch::Kind;
use distro_fetch::archive::Limits;
use distro_fetch::fsimg::erofs::Reader;
use distro_fetch::sys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    let blocks = u32::try_from(bytes.len() / 4096).unwrap();
    if let Some(block) = bytes.get_mut(1024..4096) {
        // What must be so, for anything else to be looked at.
        block[..12].copy_from_slice(b"\xe2\xe1\xf5\xe0\0\0\0\0\x01\0\0\0");
        block[12..14].copy_from_slice(&[12, 0]);
        block[36..40].copy_from_slice(&blocks.to_le_bytes());
        block[40..48].copy_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        block[80..128].fill(0);
        block[80] = 4;
        let sum = block.iter().fold(u32::MAX, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| {
                sum >> 1 ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
            })
        });
        block[4..8].copy_from_slice(&sum.to_le_bytes());
    }
    let file = sys::unnamed_file(&std::env::temp_dir()).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        extents: 100,
        ..Limits::default()
    };
    let read = || Reader::open(file, Vec::new(), limits)?.tree();
    match read() {
        Ok(tree) => drop(tree.digest(NonZeroUsize::MIN, |_, _| Ok(())).unwrap()),
        Err(error) => assert_eq!(error.kind(), Kind::Format, "{error}"),
    }
});
