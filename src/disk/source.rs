//! A file that is read at places, with errors that say what they are about.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Kind, Result};

/// A file and its length, which is looked at once.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    length: u64,
}

impl Source {
    pub(super) fn new(file: File) -> Result<Self> {
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(Error::new(Kind::Format, "not a regular file"));
        }
        let length = meta.len();
        Ok(Self { file, length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether so many bytes are there.
    pub(super) fn holds(&self, offset: u64, length: u64) -> bool {
        offset
            .checked_add(length)
            .is_some_and(|end| end <= self.length)
    }

    /// Fills the buffer from `offset` on.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => refuse(format!("the file ends before {offset}")),
                _ => unreadable(error),
            })
    }

    /// The first bytes: fewer if there are no more.
    pub(super) fn start<const N: usize>(&self) -> Result<([u8; N], usize)> {
        let mut start = [0; N];
        let there = usize::try_from(self.length).map_or(N, |length| length.min(N));
        self.read(0, &mut start[..there])?;
        Ok((start, there))
    }
}

/// What is wrong with an image.
pub(super) fn refuse(why: impl Into<String>) -> Error {
    Error::new(Kind::Format, why)
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(Kind::Local, "cannot read the image").with_source(error)
}

/// A big-endian number in a header whose length was checked.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |all, byte| all << 8 | u32::from(*byte))
}

/// The same with 64 bits.
pub(super) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

/// A little-endian number.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The same with 32 bits.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u32::from(*byte))
}

/// The same with 64 bits.
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at + 4)) << 32 | u64::from(le32(bytes, at))
}
