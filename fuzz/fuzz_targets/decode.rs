//! Compressed streams, in the format that their magic says.
#![no_main]

use std::io::Read;

use distro_fetch::archive::{Checks, Decoder, Format, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let format = Format::of_magic(data).unwrap_or(Format::Plain);
    let limits = Limits {
        bytes: 1 << 20,
        xz_memory: 64 << 20,
        zstd_window: 23,
        ..Limits::default()
    };
    let Ok(mut decoder) = Decoder::new(data, format, &limits, Checks::Verify) else {
        return;
    };
    let (mut out, mut read) = (vec![0; 64 << 10], 0);
    while let Ok(n @ 1..) = decoder.read(&mut out) {
        read += n as u64;
    }
    assert!(read <= limits.bytes);
});
