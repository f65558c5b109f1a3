//! The content of files, and how much of everything there may be.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::dress::trouble;
use super::path::shown;
use super::source::Stored;
use crate::archive::{Entry, Extent, Kind as What, Limits};
use crate::error::{Error, Kind, Result};
use crate::sys;

/// Counts entries and bytes against their limits, and checks maps of holes.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    limits: Limits,
    entries: u64,
    bytes: u64,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: 0,
            bytes: 0,
        }
    }

    /// One more entry. Holes count: a file of nothing but holes costs its reader as much as one
    /// with data.
    pub(super) fn count(&mut self, entry: &Entry) -> Result<()> {
        let refuse = |why: String| {
            let message = format!("{}: {why}", shown(&entry.path));
            Err(Error::new(Kind::Format, message))
        };
        let Limits {
            entries,
            bytes,
            extents: pieces,
            ..
        } = self.limits;
        self.entries += 1;
        if self.entries > entries {
            return refuse(format!(
                "more entries than the limit `entries` of {entries}"
            ));
        }
        if entry.mtime.nanos >= 1_000_000_000 {
            // The kernel has a meaning of its own for two of them.
            return refuse("a second has no such nanosecond".to_owned());
        }
        if entry.kind != What::File {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > bytes {
            return refuse(format!("more bytes than the limit `bytes` of {bytes}"));
        }
        let Some(map) = &entry.extents else {
            return Ok(());
        };
        if map.len() > pieces {
            return refuse(format!("more pieces than the limit `extents` of {pieces}"));
        }
        let mut end = 0;
        for Extent { offset, length } in map {
            let next = offset.checked_add(*length);
            match next.filter(|next| *offset >= end && *length > 0 && *next <= entry.size) {
                Some(next) => end = next,
                None => return refuse("a map of holes that is not one".to_owned()),
            }
        }
        Ok(())
    }
}

/// Copies content through one buffer.
#[derive(Debug)]
pub(super) struct Content {
    buffer: Box<[u8]>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            buffer: vec![0; BLOCK].into_boxed_slice(),
        }
    }
}

impl Content {
    /// Fills an empty file: as many bytes as the entry says, holes left as holes. Returns the
    /// bytes written.
    pub(super) fn write(
        &mut self,
        file: &File,
        path: &[u8],
        entry: &Entry,
        data: &mut dyn Read,
    ) -> Result<u64> {
        let write = |bytes: &[u8], offset| {
            let written = file.write_all_at(bytes, offset);
            written.map_err(|error| trouble("cannot write", path, error))
        };
        let written = self.read(path, entry, data, |piece| match piece {
            Piece::Data(bytes, offset) => write(bytes, offset),
            Piece::Hole(_) => Ok(()),
        })?;
        let end = match &entry.extents {
            Some(map) => map.last().map_or(0, |last| last.offset + last.length),
            None => entry.size,
        };
        if end < entry.size {
            file.set_len(entry.size)
                .map_err(|error| trouble("cannot write", path, error))?;
        }
        Ok(written)
    }

    /// The same for content that lies in a file: it need not come through us.
    pub(super) fn copy(
        &mut self,
        file: &File,
        path: &[u8],
        stored: &Stored<'_>,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<u64> {
        let (mut total, mut end, mut since) = (0, 0, 0);
        for mut run in stored.pieces() {
            end = run.offset + run.length;
            while let Some(from) = stored.file().filter(|_| run.length > 0) {
                let length = run.length.min(CHUNK);
                sys::copy_run(from, run.from, file, run.offset, length, &mut self.buffer)
                    .map_err(|error| trouble("cannot write", path, error))?;
                run.from += length;
                run.offset += length;
                run.length -= length;
                total += length;
                since += length;
                if since >= CHUNK {
                    since = 0;
                    tell()?;
                }
            }
        }
        if end < stored.size() {
            file.set_len(stored.size())
                .map_err(|error| trouble("cannot write", path, error))?;
        }
        Ok(total)
    }

    /// Gives the content of a file, piece by piece, in order. Returns the bytes that are data.
    pub(super) fn read(
        &mut self,
        path: &[u8],
        entry: &Entry,
        data: &mut dyn Read,
        mut take: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<u64> {
        let whole = [Extent {
            offset: 0,
            length: entry.size,
        }];
        let map = entry.extents.as_deref().unwrap_or(&whole);
        let (mut at, mut total) = (0, 0);
        for Extent { offset, length } in map {
            if *offset > at {
                take(Piece::Hole(offset - at))?;
            }
            at = *offset;
            let mut left = *length;
            while left > 0 {
                let want = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
                let got = fill(data, &mut self.buffer[..want])
                    .map_err(|error| unreadable(path, error))?;
                if got == 0 {
                    let message = format!("{}: its content ends too early", shown(path));
                    return Err(Error::new(Kind::Format, message));
                }
                take(Piece::Data(&self.buffer[..got], at))?;
                at += got as u64;
                left -= got as u64;
                total += got as u64;
            }
        }
        if at < entry.size {
            take(Piece::Hole(entry.size - at))?;
        }
        Ok(total)
    }
}

/// A piece of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// Bytes at an offset.
    Data(&'a [u8], u64),
    /// So many zeros that are not there.
    Hole(u64),
}

/// As much as there is, up to the whole buffer: decoders give small pieces, and each would be a
/// system call.
fn fill(data: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match data.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// What went wrong with the archive, not with the tree: our own errors come through as they are.
fn unreadable(path: &[u8], error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Kind::Format,
        _ => Kind::Local,
    };
    Error::new(kind, format!("cannot read the content of {}", shown(path))).with_source(error)
}

/// Bytes that are read and written at once.
const BLOCK: usize = 256 << 10;

/// Bytes that are copied between two looks at whether somebody wants us to stop.
const CHUNK: u64 = 8 << 20;
