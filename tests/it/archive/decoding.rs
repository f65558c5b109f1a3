//! Compressed streams: whole, in every form that the formats allow, or refused.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use distro_fetch::archive::{Checks, Decoder, Format, Limits, Reader, error_of};
use distro_fetch::{Error, Kind};
use xz2::stream::{Check, MtStreamBuilder, Stream};

use super::kit::{Tar, compressed, decode, list, open};
use crate::shared::shared;

const PACKED: [Format; 4] = [Format::Gzip, Format::Xz, Format::Zstd, Format::Bzip2];

/// Text that compresses, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut text = Vec::with_capacity(length);
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("line {} of a file\n", state >> 20).as_bytes());
    }
    text.truncate(length);
    text
}

fn whole(bytes: &[u8], format: Format) -> Result<Vec<u8>, Error> {
    let limits = Limits::default();
    let here = decode(bytes, format, &limits);
    // The thread says the same.
    let source = io::Cursor::new(bytes.to_vec());
    let mut there = Vec::new();
    let said = Decoder::new(source, format, &limits, Checks::Verify).and_then(|decoder| {
        let mut threaded = decoder.threaded();
        threaded.read_to_end(&mut there).map_err(|error| {
            assert!(threaded.read(&mut [0]).is_err(), "an error is no end");
            error_of(error)
        })
    });
    match (&here, said) {
        (Ok(here), Ok(_)) => assert!(*here == there),
        (Err(here), Err(there)) => assert_eq!(here.to_string(), there.to_string()),
        (here, there) => panic!("{here:?} here, {there:?} there"),
    }
    here
}

fn refused(bytes: &[u8], format: Format) -> String {
    let error = whole(bytes, format).unwrap_err();
    assert_eq!(error.kind(), Kind::Format, "{error}");
    error.to_string()
}

#[test]
fn words_names_and_magics() {
    for format in Format::ALL {
        assert_eq!(format.as_str().parse::<Format>().unwrap(), format);
        let start = compressed(&Tar::default().file("a", b"").end(), format);
        assert_eq!(Format::of_magic(&start), Some(format));
    }
    for (word, format) in [
        ("gz", Format::Gzip),
        ("zst", Format::Zstd),
        ("bz2", Format::Bzip2),
        ("none", Format::Plain),
    ] {
        assert_eq!(word.parse::<Format>().unwrap(), format);
    }
    let error = "lzma".parse::<Format>().unwrap_err();
    assert!(
        error.message().contains("plain, gzip, xz, zstd, bzip2"),
        "{error}"
    );
    for (name, format) in [
        ("a.tar", Some(Format::Plain)),
        ("a.TGZ", Some(Format::Gzip)),
        ("a.tar.gz", Some(Format::Gzip)),
        ("a.txz", Some(Format::Xz)),
        ("a.tzst", Some(Format::Zstd)),
        ("a.tbz2", Some(Format::Bzip2)),
        ("a.tar.lzma", None),
        ("tar", None),
    ] {
        assert_eq!(Format::of_file_name(name), format, "{name}");
    }
    let empty_bzip2 = compressed(b"", Format::Bzip2);
    assert_eq!(Format::of_magic(&empty_bzip2), Some(Format::Bzip2));
    // A name that begins like bzip2 is a name.
    assert_eq!(Format::of_magic(b"BZh91-notes"), None);
}

#[test]
fn all_members_are_read() {
    for length in [0, 1, 700_000] {
        let text = text(length);
        for format in PACKED {
            let member = compressed(&text, format);
            for members in 1..=3 {
                let stream = member.repeat(members);
                assert!(whole(&stream, format).unwrap() == text.repeat(members));
            }
        }
    }
}

#[test]
fn what_follows_the_end() {
    let text = text(100_000);
    for format in PACKED {
        let member = compressed(&text, format);
        let followed = |by: &[u8]| [&member[..], by].concat();
        for garbage in [&b"garbage"[..], b"\0\0\0\0x", &member[..2], b"\x1f\x8b\x07"] {
            let said = refused(&followed(garbage), format);
            assert!(!said.is_empty(), "{format}");
        }
        for (zeros, accepted) in [
            (1, format == Format::Gzip),
            (512, matches!(format, Format::Gzip | Format::Xz)),
            (300_000, matches!(format, Format::Gzip | Format::Xz)),
        ] {
            let stream = followed(&vec![0; zeros]);
            assert_eq!(whole(&stream, format).is_ok(), accepted, "{format} {zeros}");
        }
    }
    // Padding between streams is a part of xz.
    let member = compressed(&text, Format::Xz);
    let padded = [&member[..], &[0; 8], &member, &[0; 4]].concat();
    assert_eq!(whole(&padded, Format::Xz).unwrap().len(), 200_000);
    let said = refused(&[&member[..], &[0; 3], &member].concat(), Format::Xz);
    assert_eq!(
        said,
        "bytes follow the end of the xz stream that are none of it"
    );
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    let zstd = compressed(&text, Format::Zstd);
    let stream = [&skippable[..], &zstd, skippable, &zstd, skippable].concat();
    assert_eq!(whole(&stream, Format::Zstd).unwrap().len(), 200_000);
}

#[test]
fn truncated_anywhere() {
    let text = text(5_000);
    for format in PACKED {
        let stream = compressed(&text, format);
        for length in 1..stream.len() {
            let error = decode(&stream[..length], format, &Limits::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::Format, "{format} at {length}: {error}");
        }
        let said = refused(&stream[..stream.len() / 2], format);
        assert!(said.contains("ends early"), "{said}");
    }
}

/// A flipped bit is an error, or changes nothing: gzip has fields without a check.
#[test]
fn flipped_anywhere() {
    let text = text(3_000);
    for format in PACKED {
        let stream = compressed(&text, format);
        let mut unnoticed = 0;
        for at in 0..stream.len() * 8 {
            let mut flipped = stream.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            if let Ok(decoded) = decode(&flipped, format, &Limits::default()) {
                // zstd::encode_all writes no checksum: its own loss.
                assert!(
                    decoded == text || format == Format::Zstd,
                    "{format}, bit {at}"
                );
                unnoticed += 1;
            }
        }
        let most = if format == Format::Zstd {
            usize::MAX
        } else {
            80
        };
        assert!(unnoticed <= most, "{format}: {unnoticed}");
    }
}

#[test]
fn the_declared_format_counts() {
    let tar = Tar::default().file("a", b"").end();
    for declared in Format::ALL {
        for actual in Format::ALL {
            let stream = compressed(&tar, actual);
            let opened = decode(&stream, declared, &Limits::default());
            if declared == actual {
                assert_eq!(opened.unwrap(), tar);
                continue;
            }
            let error = opened.unwrap_err();
            let expect = format!("declared {declared}, but the first bytes are those of {actual}");
            assert_eq!((error.kind(), error.message()), (Kind::Format, &expect[..]));
        }
        let error = decode(b"", declared, &Limits::default()).unwrap_err();
        assert!(error.message().contains("empty"), "{error}");
    }
    let error = decode(b"\x1f", Format::Gzip, &Limits::default()).unwrap_err();
    assert!(error.message().contains("something else"), "{error}");
    // One layer only.
    let twice = compressed(&compressed(&tar, Format::Gzip), Format::Gzip);
    let decoded = decode(&twice, Format::Gzip, &Limits::default()).unwrap();
    assert_eq!(Format::of_magic(&decoded), Some(Format::Gzip));
    assert!(list(&decoded).is_err());
}

#[test]
fn bombs_stop_at_the_cap() {
    let Some(corpus) = shared("corpus/own-compression") else {
        return;
    };
    let cap = 100 << 20;
    let limits = Limits {
        bytes: cap,
        ..Limits::default()
    };
    for (name, format) in [
        ("bomb-1GiB.xz", Format::Xz),
        ("bomb-1GiB.zst", Format::Zstd),
        ("bomb-256MiB.gz", Format::Gzip),
    ] {
        let start = Instant::now();
        let file = std::fs::File::open(corpus.join(name)).unwrap();
        let decoder = Decoder::new(file, format, &limits, Checks::Verify).unwrap();
        let mut threaded = decoder.threaded();
        let (mut written, mut buffer) = (0, vec![0; 1 << 20]);
        let error = loop {
            match threaded.read(&mut buffer) {
                Ok(0) => panic!("{name} ended"),
                Ok(n) => written += n as u64,
                Err(error) => break error_of(error),
            }
        };
        assert!(written <= cap + (64 << 10), "{name}: {written}");
        assert!(error.message().contains("104857600 bytes"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{name}");
    }
}

#[test]
fn limits_are_exact() {
    for format in Format::ALL {
        let stream = compressed(&text(10_000), format);
        for (bytes, passes) in [(10_000, true), (9_999, false), (0, false)] {
            let limits = Limits {
                bytes,
                ..Limits::default()
            };
            assert_eq!(
                decode(&stream, format, &limits).is_ok(),
                passes,
                "{format} {bytes}"
            );
        }
    }
    let xz = compressed(&text(10_000), Format::Xz);
    let limits = Limits {
        xz_memory: 100_000,
        ..Limits::default()
    };
    let error = decode(&xz, Format::Xz, &limits).unwrap_err();
    assert!(error.message().contains("limit of 100000 bytes"), "{error}");
    let zstd = zstd::encode_all(&text(3 << 20)[..], 19).unwrap();
    let limits = Limits {
        zstd_window: 20,
        ..Limits::default()
    };
    let error = decode(&zstd, Format::Zstd, &limits).unwrap_err();
    assert!(error.to_string().contains("too much memory"), "{error}");
}

/// Streams of many blocks that say their sizes, as `xz -T` makes them, are decoded on several
/// threads: with the same strictness.
#[test]
fn xz_in_many_blocks() {
    let text = text(5_000_000);
    let encoder = MtStreamBuilder::new()
        .threads(2)
        .block_size(300_000)
        .preset(0)
        .check(Check::Crc64)
        .encoder()
        .unwrap();
    let mut stream = Vec::new();
    xz2::read::XzEncoder::new_stream(&text[..], encoder)
        .read_to_end(&mut stream)
        .unwrap();
    assert_eq!(stream[13] & 0xc0, 0xc0, "sizes are there");
    assert!(whole(&stream, Format::Xz).unwrap() == text);
    let single = compressed(&text, Format::Xz);
    let mixed = [&stream[..], &[0; 4], &single, &stream].concat();
    assert_eq!(whole(&mixed, Format::Xz).unwrap().len(), 15_000_000);

    let length = stream.len();
    for cut in [1, 12, 40, 1000, length / 2, length - 30] {
        let said = refused(&stream[..length - cut], Format::Xz);
        assert!(
            said.contains("ends early") || said.contains("malformed"),
            "{said}"
        );
    }
    for at in [20, length / 3, length / 2, length - 40, length - 5] {
        let mut flipped = stream.clone();
        flipped[at] ^= 0x10;
        refused(&flipped, Format::Xz);
    }
    refused(&[&stream[..], b"x"].concat(), Format::Xz);
    let small = Limits {
        xz_memory: 100_000,
        ..Limits::default()
    };
    assert!(decode(&stream, Format::Xz, &small).is_err());
}

/// `Checks::Ignore` skips the check of the content and nothing else.
#[test]
fn checks_may_be_ignored_after_the_hash() {
    let text = text(1_000);
    let encoder = Stream::new_easy_encoder(0, Check::Crc32).unwrap();
    let mut stream = Vec::new();
    xz2::read::XzEncoder::new_stream(&text[..], encoder)
        .read_to_end(&mut stream)
        .unwrap();
    // The check stands before the index and the footer; the index ends on a multiple of four.
    let footer = stream.len() - 12;
    let backward = u32::from_le_bytes(stream[footer + 4..footer + 8].try_into().unwrap());
    let check = footer - (backward as usize + 1) * 4 - 4;
    stream[check] ^= 1;
    let read = |checks| {
        let mut out = Vec::new();
        let decoder = Decoder::new(&stream[..], Format::Xz, &Limits::default(), checks);
        decoder.unwrap().read_to_end(&mut out).map(|_| out)
    };
    assert!(read(Checks::Verify).is_err());
    assert_eq!(read(Checks::Ignore).unwrap(), text);
}

/// A tar ends before its stream does: what is behind the marker is still checked.
#[test]
fn trailers_are_checked_behind_the_end_marker() {
    let tar = Tar::default().file("a", b"a").end();
    for format in PACKED {
        let good = compressed(&tar, format);
        assert_eq!(
            open(good.clone(), format, Limits::default()).unwrap().len(),
            1
        );
        let garbage = [&good[..], b"garbage"].concat();
        assert!(
            open(garbage, format, Limits::default()).is_err(),
            "{format}"
        );
        let short = good[..good.len() - 1].to_vec();
        let error = open(short, format, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{format}: {error}");
    }
}

/// What the source says is passed on as it is.
#[test]
fn a_source_that_fails_is_named() {
    struct Broken(Vec<u8>, usize, fn() -> io::Error);
    impl Read for Broken {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.1 == self.0.len() {
                return Err(self.2());
            }
            let n = out.len().min(100).min(self.0.len() - self.1);
            out[..n].copy_from_slice(&self.0[self.1..self.1 + n]);
            self.1 += n;
            Ok(n)
        }
    }
    let tar = Tar::default().file("a", &text(100_000)).end();
    for format in Format::ALL {
        let stream = compressed(&tar, format);
        let half = stream[..stream.len() / 2].to_vec();
        for (cause, kind) in [
            (
                (|| io::ErrorKind::UnexpectedEof.into()) as fn() -> io::Error,
                Kind::Local,
            ),
            (
                || io::Error::other(Error::new(Kind::Network, "gone")),
                Kind::Network,
            ),
        ] {
            let source = Broken(half.clone(), 0, cause);
            let limits = Limits::default();
            let mut reader = Reader::open(source, format, limits, Checks::Verify).unwrap();
            let error = loop {
                match reader.next_entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{format}: it ended"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), kind, "{format}: {error}");
        }
    }
}

/// A decoder that nobody reads from any more ends, whatever it has left to decode.
#[test]
fn a_thread_ends_when_nobody_reads() {
    let stream = compressed(&vec![0; 64 << 20], Format::Zstd);
    for reads in [0, 1, 3] {
        let source = Counted(io::Cursor::new(stream.clone()), std::sync::Arc::new(()));
        let alive = std::sync::Arc::downgrade(&source.1);
        let decoder = Decoder::new(source, Format::Zstd, &Limits::default(), Checks::Verify);
        let mut threaded = decoder.unwrap().threaded();
        for _ in 0..reads {
            threaded.read_exact(&mut vec![0; 100_000]).unwrap();
        }
        drop(threaded);
        let deadline = Instant::now() + Duration::from_secs(20);
        while alive.upgrade().is_some() {
            assert!(Instant::now() < deadline, "the thread lives on");
            std::thread::yield_now();
        }
    }
}

struct Counted(io::Cursor<Vec<u8>>, #[allow(dead_code)] std::sync::Arc<()>);

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}
