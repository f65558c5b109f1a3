//! Tar headers: the first block gets its checksum, so that changes reach what is behind it.
#![no_main]

use distro_fetch::archive::{Limits, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut tar = data.to_vec();
    let mut at = 0;
    while at + 512 <= tar.len() {
        let block = &mut tar[at..at + 512];
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let digits = str::from_utf8(&tar[at + 124..at + 135]).unwrap_or("");
        let size = usize::from_str_radix(digits, 8).unwrap_or(0);
        at += 512 + size.min(1 << 20).next_multiple_of(512);
    }
    let limits = Limits {
        bytes: 1 << 20,
        ..Limits::default()
    };
    let mut reader = Reader::new(&tar[..], limits);
    while let Ok(Some(entry)) = reader.next_entry() {
        let mut read = 0;
        while let Ok(block) = reader.next_block() {
            if block.is_empty() {
                break;
            }
            read += block.len() as u64;
        }
        assert!(read <= tar.len() as u64);
        let extents = entry.extents.iter().flatten();
        let mut end = 0;
        for extent in extents {
            assert!(extent.length > 0 && extent.offset >= end);
            end = extent.offset + extent.length;
        }
        assert!(end <= entry.size && entry.size <= limits.bytes);
    }
});
