//! Extended headers: the data is the records of one, for one entry or for all.
#![no_main]

use distro_fetch::archive::{Limits, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, records)) = data.split_first() else {
        return;
    };
    let flag = if first % 2 == 0 { b'x' } else { b'g' };
    let mut tar = header(flag, records.len());
    tar.extend_from_slice(records);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(header(b'0', 0));
    tar.resize(tar.len() + 1024, 0);
    let mut reader = Reader::new(&tar[..], Limits::default());
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(!entry.path.contains(&0) && !entry.path.is_empty());
        assert!(entry.mtime.nanos < 1_000_000_000);
    }
});

fn header(flag: u8, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[0] = b'f';
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[148..156].fill(b' ');
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
