//! The file that an image is written to.
#![allow(clippy::cast_possible_truncation)] // of blocks, and of runs that the caller cuts

use std::fs::File;
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use super::format::{BLOCK, PAGE};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::fsimg::Uuid;
use crate::fsimg::target::Target;

/// The image, written in large pieces, each once.
#[derive(Debug)]
pub(super) struct Out<'a> {
    file: &'a File,
    /// Where the buffer begins.
    at: u64,
    buffer: Vec<u8>,
    /// Of everything so far that is not the content of files with blocks.
    hash: Option<Sha256>,
}

impl<'a> Out<'a> {
    /// A file that is emptied. Its first block is left for the end.
    pub(super) fn new(file: &'a File) -> Result<Self> {
        file.set_len(0).map_err(cannot_write)?;
        Ok(Self {
            file,
            at: 0,
            buffer: Vec::with_capacity(BUFFER),
            hash: Some(Sha256::new()),
        })
    }

    /// Where we are in the image.
    pub(super) fn position(&self) -> u64 {
        PAGE as u64 + self.at + self.buffer.len() as u64
    }

    /// Puts bytes here.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The same file, for contents behind all this.
    pub(super) fn target(&self) -> Target<'a> {
        Target::over(self.file)
    }

    /// Zeros up to here, or a hole.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<()> {
        let gap = offset.saturating_sub(self.position());
        if gap == 0 {
            return Ok(());
        }
        let zeros = usize::try_from(gap).ok().filter(|gap| *gap < PAGE);
        if let Some(gap) = zeros {
            return self.put(&[0; PAGE][..gap]);
        }
        self.flush()?;
        self.at += gap;
        Ok(())
    }

    /// Zeros up to the next block.
    pub(super) fn pad(&mut self) -> Result<()> {
        self.skip_to(self.position().next_multiple_of(BLOCK))
    }

    /// Reads a short run through the buffer.
    pub(super) fn read(&mut self, file: &File, from: u64, length: u64) -> std::io::Result<()> {
        let length = length as usize;
        if self.buffer.len() + length > BUFFER {
            self.flush_bytes()?;
        }
        let here = self.buffer.len();
        self.buffer.resize(here + length, 0);
        file.read_exact_at(&mut self.buffer[here..], from)
    }

    /// Writes what is left.
    fn flush(&mut self) -> Result<()> {
        self.flush_bytes().map_err(cannot_write)
    }

    fn flush_bytes(&mut self) -> std::io::Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer);
        }
        let mut at = PAGE as u64 + self.at;
        let mut rest = self.buffer.as_slice();
        // Blocks of zeros stay holes.
        while !rest.is_empty() {
            let zeros = cut(rest, at, is_zero);
            at += zeros as u64;
            rest = &rest[zeros..];
            let data = cut(rest, at, |block| !is_zero(block));
            self.file.write_all_at(&rest[..data], at)?;
            at += data as u64;
            rest = &rest[data..];
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// What all that was written so far makes of a UUID.
    pub(super) fn end_of_metadata(&mut self) -> Result<Uuid> {
        self.flush()?;
        let hash = self.hash.take().unwrap_or_default().finalize();
        let digest = Digest::from_bytes(hash.into());
        Ok(Uuid::of_digest("erofs", &digest))
    }
}

/// How many bytes, which begin at an offset of the image, are in blocks that are of this kind.
fn cut(bytes: &[u8], at: u64, is: impl Fn(&[u8]) -> bool) -> usize {
    let mut end = 0;
    while end < bytes.len() {
        let within = ((at + end as u64) % BLOCK) as usize;
        let next = (end + PAGE - within).min(bytes.len());
        if !is(&bytes[end..next]) {
            break;
        }
        end = next;
    }
    end
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|it| *it == [0; 16]) && rest.iter().all(|it| *it == 0)
}

pub(super) fn cannot_write(error: std::io::Error) -> Error {
    Error::new(Kind::Local, "cannot write the image").with_source(error)
}

/// Bytes that are written at once.
const BUFFER: usize = 128 << 10;
