//! The file that an image is written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Kind, Result};
use crate::sys;
use crate::tree::Piece;

/// Writes runs of bytes: neighbours together, and blocks of zeros not at all, for the file is one
/// hole to begin with.
#[derive(Debug)]
pub(super) struct Target<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    at: u64,
}

impl<'a> Target<'a> {
    /// A file that is emptied, and then has this length.
    pub(super) fn new(file: &'a File, length: u64) -> Result<Self> {
        file.set_len(0)
            .and_then(|()| file.set_len(length))
            .map_err(cannot)?;
        Ok(Self::over(file))
    }

    /// A file that was emptied before.
    pub(super) fn over(file: &'a File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            at: 0,
        }
    }

    /// One more for the same file: what goes elsewhere does not keep neighbours apart.
    pub(super) fn another(&self) -> Self {
        Self::over(self.file)
    }

    /// Puts bytes somewhere.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if self.make_room(at)? < bytes.len() {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts a run of another file somewhere.
    pub(super) fn copy(&mut self, at: u64, from: &File, piece: Piece) -> Result<(), Trouble> {
        if piece.length >= LARGE {
            // In the kernel, which shares blocks where the file system can.
            self.flush().map_err(Trouble::Output)?;
            self.buffer.resize(BUFFER, 0);
            let Piece {
                from: start,
                length,
                ..
            } = piece;
            let copied = sys::copy_run(from, start, self.file, at, length, &mut self.buffer);
            self.buffer.clear();
            return copied.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Trouble::Input(error),
                _ => Trouble::Output(cannot(error)),
            });
        }
        self.copy_through(at, from, piece)
    }

    fn copy_through(&mut self, at: u64, from: &File, piece: Piece) -> Result<(), Trouble> {
        // Nobody else has something in the rest of the last block of a content.
        self.bridge(at);
        let mut done = 0;
        while done < piece.length {
            let room = self.make_room(at + done).map_err(Trouble::Output)?;
            let now = usize::try_from(piece.length - done).map_or(room, |left| left.min(room));
            let end = self.buffer.len();
            self.buffer.resize(end + now, 0);
            let read = from.read_exact_at(&mut self.buffer[end..], piece.from + done);
            if let Err(error) = read {
                self.buffer.truncate(end);
                return Err(Trouble::Input(error));
            }
            done += now as u64;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }

    /// Goes to a place. Gives the bytes that there is room for, more than 0.
    fn make_room(&mut self, at: u64) -> Result<usize> {
        if at != self.here() || self.buffer.len() >= BUFFER {
            self.flush()?;
            self.at = at;
        }
        Ok(BUFFER - self.buffer.len())
    }

    /// Zeros up to a place, if that is where the next block begins.
    fn bridge(&mut self, at: u64) {
        let here = self.here();
        let gap = at
            .checked_sub(here)
            .and_then(|gap| usize::try_from(gap).ok());
        let gap = gap.filter(|gap| *gap < BLOCK && at.is_multiple_of(BLOCK as u64));
        if let Some(gap) = gap.filter(|gap| self.buffer.len() + gap < BUFFER) {
            self.buffer.resize(self.buffer.len() + gap, 0);
        }
    }

    fn here(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        let mut from = 0;
        while from < self.buffer.len() {
            let is_zero = |at: usize| {
                let end = (at + BLOCK).min(self.buffer.len());
                let (words, rest) = self.buffer[at..end].as_chunks::<16>();
                words.iter().all(|it| *it == [0; 16]) && rest.iter().all(|it| *it == 0)
            };
            if is_zero(from) {
                from += BLOCK;
                continue;
            }
            let mut to = from + BLOCK;
            while to < self.buffer.len() && !is_zero(to) {
                to += BLOCK;
            }
            let to = to.min(self.buffer.len());
            let at = self.at + from as u64;
            self.file
                .write_all_at(&self.buffer[from..to], at)
                .map_err(cannot)?;
            from = to;
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What is read.
    Input(io::Error),
    /// What is written.
    Output(Error),
}

fn cannot(error: io::Error) -> Error {
    Error::new(Kind::Local, "cannot write the image").with_source(error)
}

/// Bytes that are written at once: file systems with large pages take longer to find larger ones
/// than to write these.
const BUFFER: usize = 128 << 10;

/// What is a hole if it is all zeros.
const BLOCK: usize = 4096;

/// From here on the kernel copies.
const LARGE: u64 = 256 << 10;
