//! Compressed streams.
//!
//! A stream is read whole or refused: all members, streams and frames with their checks, and
//! nothing behind them. The one exception is zero bytes after the last gzip member, of any number:
//! tapes and `tar -z` to a block device leave them, and gzip itself accepts them. xz has its own
//! padding (multiples of four zero bytes between and after streams), which is part of the format.
//! What comes out is never decoded a second time.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use super::codec::Codec;
use super::entry::Limits;
use super::input::{Input, error_of, io_error};
use super::thread::Threaded;
use crate::error::{Error, Kind, Result};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// xz, any number of streams.
    Xz,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
    /// bzip2, any number of streams.
    Bzip2,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Gzip, Self::Xz, Self::Zstd, Self::Bzip2];

    /// The word for it: `plain`, `gzip`, `xz`, `zstd`, `bzip2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        }
    }

    /// What a file name declares by its last extension: `.tar`, `.tar.xz`, `.tgz`, `.zst` …
    ///
    /// ```
    /// use distro_fetch::archive::Format;
    /// assert_eq!(Format::of_file_name("rootfs.tar.xz"), Some(Format::Xz));
    /// assert_eq!(Format::of_file_name("rootfs.squashfs"), None);
    /// ```
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "tar" => Some(Self::Plain),
            "gz" | "tgz" => Some(Self::Gzip),
            "xz" | "txz" => Some(Self::Xz),
            "zst" | "tzst" => Some(Self::Zstd),
            "bz2" | "tbz" | "tbz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// What the first bytes of a file say; [`MAGIC`](Self::MAGIC) of them are enough. `Plain` is
    /// said only of a tar with a magic of its own, at byte 257.
    pub fn of_magic(start: &[u8]) -> Option<Self> {
        match start {
            // Method 8 is the only one (RFC 1952, section 2.3.1).
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // RFC 8878, section 3.1: a frame, or one of sixteen kinds of skippable frames.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            // A block (pi), or the end of an empty stream (its square root).
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if rest.starts_with(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
                    || rest.starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]) =>
            {
                Some(Self::Bzip2)
            }
            _ if start.get(257..262) == Some(b"ustar") => Some(Self::Plain),
            _ => None,
        }
    }

    /// How many bytes [`of_magic`](Self::of_magic) looks at.
    pub const MAGIC: usize = 262;
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    /// Reads the word or the extension.
    ///
    /// # Errors
    /// [`Kind::Format`] with the words that there are.
    fn from_str(word: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|format| format.as_str() == word);
        named
            .or(match word {
                "none" | "tar" => Some(Self::Plain),
                "gz" => Some(Self::Gzip),
                "zst" => Some(Self::Zstd),
                "bz2" => Some(Self::Bzip2),
                _ => None,
            })
            .ok_or_else(|| {
                let words = Self::ALL.map(Self::as_str).join(", ");
                let message = format!("unknown compression {word:?}: there are {words}");
                Error::new(Kind::Format, message)
            })
    }
}

/// Whether the checks that an xz stream carries are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// They are.
    #[default]
    Verify,
    /// They are not: only for a file whose SHA-256 was found right, from the first byte to the
    /// last, before the first one is decoded. The structure is still checked, and so is an index.
    Ignore,
}

/// A stream, decoded: a reader of what was compressed.
///
/// Its errors are `io::Error`s around an [`Error`]: [`error_of`] takes it out.
pub struct Decoder<R> {
    codec: Codec<R>,
    format: Format,
    /// Bytes that may still come out.
    left: u64,
    limit: u64,
    failed: bool,
}

impl<R: Read> Decoder<R> {
    /// Decodes `source`, which is declared to be in `format`. The first bytes must agree.
    ///
    /// # Errors
    /// [`Kind::Format`] for an empty stream and for one in another format than declared;
    /// [`Kind::Local`] or the source's own error where it cannot be read.
    pub fn new(source: R, format: Format, limits: &Limits, checks: Checks) -> Result<Self> {
        let mut input = Input::new(source, INPUT);
        let start = input.peek(Format::MAGIC).map_err(error_of)?;
        if start.is_empty() {
            return Err(Error::new(Kind::Format, "the archive is empty: 0 bytes"));
        }
        let found = Format::of_magic(start);
        // A plain tar may begin with any name, so there the absence of a magic says nothing.
        if found != Some(format) && !(format == Format::Plain && found.is_none()) {
            let found = found.map_or("something else", Format::as_str);
            let message = format!("declared {format}, but the first bytes are those of {found}");
            return Err(Error::new(Kind::Format, message));
        }
        Ok(Self {
            codec: Codec::new(input, format, limits, checks).map_err(error_of)?,
            format,
            left: limits.bytes,
            limit: limits.bytes,
            failed: false,
        })
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl<R: Read + Send + 'static> Decoder<R> {
    /// Decodes on a thread of its own, a few blocks ahead of whoever reads.
    pub fn threaded(self) -> Threaded {
        Threaded::new(self)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            let message = format!("the {} stream failed before", self.format);
            return Err(io_error(Error::new(Kind::Format, message)));
        }
        if out.is_empty() {
            return Ok(0);
        }
        // One byte more than allowed is asked for: the probe. A bomb is not even decoded.
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let room = room.min(out.len());
        let done = self.codec.read(&mut out[..room]);
        match done {
            Ok(n) if n as u64 > self.left => {
                self.failed = true;
                let message = format!(
                    "more than {} bytes come out of the {} stream: the limit",
                    self.limit, self.format
                );
                Err(io_error(Error::new(Kind::Format, message)))
            }
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) => {
                self.failed = true;
                Err(self.explain(error))
            }
        }
    }
}

impl<R> Decoder<R> {
    /// What a decoder says of its stream, as an error of ours. What the source said stays.
    fn explain(&self, error: io::Error) -> io::Error {
        match error.downcast::<Error>() {
            Ok(ours) => io_error(ours),
            Err(error) => {
                let what = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "ends early",
                    _ => "is malformed",
                };
                let message = format!("the {} stream {what}", self.format);
                io_error(Error::new(Kind::Format, message).with_source(error))
            }
        }
    }
}

impl<R> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Compressed bytes that are read at once.
const INPUT: usize = 128 << 10;
