//! Archives and streams with changed bytes: no panic, no hang, no memory for what is only claimed.
//! The same on every run; `fuzz/` looks further.

use std::time::{Duration, Instant};

use distro_fetch::archive::{Format, Limits, Reader};

use super::kit::{Header, Tar, compressed, decode, read};
use crate::chance::Random;

impl Random {
    fn byte(&mut self) -> u8 {
        // Bytes that mean something, mostly.
        let telling = b"\0 01379=\n,./-+xgLKSVD\x7f\x80\xff";
        if self.below(4) == 0 {
            u8::try_from(self.below(256)).unwrap()
        } else {
            telling[self.below(telling.len())]
        }
    }
}

/// Small limits, so that a claim that is believed shows.
fn limits() -> Limits {
    Limits {
        bytes: 1 << 20,
        entries: 1000,
        header: 64 << 10,
        extents: 1000,
        ..Limits::default()
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut sparse = Header::gnu(b'S', b"sparse", 512);
    sparse
        .put(386, b"00000001000\x0000000001000\0")
        .put(483, b"00000004000\0");
    vec![
        Tar::default()
            .file("a/b", b"data")
            .file("c", &[1; 700])
            .end(),
        Tar::default()
            .raw_pax(b'g', b"11 mtime=5\n")
            .pax(&[
                ("path", b"long/name"),
                ("size", b"5"),
                ("mtime", b"-1.5"),
                ("SCHILY.xattr.user.a", b"\0\x01"),
                ("LIBARCHIVE.xattr.user.b", b"Zm9v"),
                (
                    "SCHILY.acl.access",
                    b"user::rw-,group::r--,other::---,mask::r--,user:1:rwx",
                ),
            ])
            .file("x", b"hello")
            .end(),
        Tar::default()
            .long(b'L', b"a long name\0")
            .long(b'K', b"a long link\0")
            .add(&Header::gnu(b'2', b"n", 0), b"")
            .add(&sparse, &[7; 512])
            .end(),
        Tar::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.realsize", b"9999"),
            ])
            .file(
                "f",
                &[&b"2\n0\n512\n4096\n100\n"[..], &[0; 495], &[1; 612]].concat(),
            )
            .pax(&[
                ("GNU.sparse.size", b"600"),
                ("GNU.sparse.map", b"0,512,512,88"),
            ])
            .file("g", &[1; 600])
            .end(),
    ]
}

/// Gives every header a right checksum, so that a change is seen by what is behind that check.
fn reseal(tar: &mut [u8]) {
    let mut at = 0;
    while at + 512 <= tar.len() {
        let block = &tar[at..at + 512];
        let digits = &block[124..135];
        let size = str::from_utf8(digits).ok();
        let size = size.and_then(|text| usize::from_str_radix(text, 8).ok());
        if block.iter().any(|byte| *byte != 0) {
            let mut header = Header([0; 512]);
            header.put(0, block);
            tar[at..at + 512].copy_from_slice(&header.sealed());
        }
        at += 512 + size.unwrap_or(0).min(1 << 20).next_multiple_of(512);
    }
}

#[test]
fn changed_archives() {
    let seeds = seeds();
    for seed in &seeds {
        read(Reader::new(&seed[..], limits())).unwrap();
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let mut listed = 0;
    for round in 0..20_000 {
        let mut tar = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(tar.len());
            match random.below(12) {
                0 => tar.truncate(at),
                1 => {
                    let (end, from) = (tar.len().min(at + 512), random.below(tar.len()));
                    let length = (end - at).min(tar.len() - from);
                    tar.copy_within(from..from + length, at);
                }
                _ => tar[at] = random.byte(),
            }
            if tar.is_empty() {
                break;
            }
        }
        if round % 4 != 0 {
            reseal(&mut tar);
        }
        if let Ok(entries) = read(Reader::new(&tar[..], limits())) {
            listed += 1;
            for one in entries {
                assert!(one.data.len() <= tar.len());
                assert!(one.entry.size <= limits().bytes);
            }
        }
    }
    // Neither all nor none: the changes reach both the checks and what is behind them.
    assert!((1_000..19_000).contains(&listed), "{listed} of 20000");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn changed_streams() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let seed = seeds().concat();
    let start = Instant::now();
    for format in Format::ALL {
        let stream = compressed(&seed, format);
        for _ in 0..500 {
            let mut changed = stream.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(changed.len());
                changed[at] = random.byte();
            }
            if random.below(4) == 0 {
                changed.truncate(random.below(changed.len()));
            }
            if let Ok(decoded) = decode(&changed, format, &limits()) {
                assert!(decoded.len() as u64 <= limits().bytes);
            }
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}
