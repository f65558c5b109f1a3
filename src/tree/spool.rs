//! Contents that were decoded, until they are used.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::source::Source;
use crate::error::{Error, Kind, Result};
use crate::sys;

/// Contents on their way into a file without a name: what was decoded is kept until it is used.
#[derive(Debug)]
pub struct Spool {
    file: File,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    at: u64,
}

impl Spool {
    /// Makes one on the file system of a directory.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn create(folder: &Path) -> Result<Self> {
        let file = sys::unnamed_file(folder)
            .map_err(|error| Error::local("cannot make a temporary file in", folder, error))?;
        Ok(Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            at: 0,
        })
    }

    /// Where the next content begins. Large ones begin where blocks do, so that file systems can
    /// share them; small ones are packed.
    pub(super) fn begin(&mut self, length: u64) -> Result<u64> {
        let here = self.at + self.buffer.len() as u64;
        let aligned = here.next_multiple_of(BLOCK);
        if length < LARGE || aligned == here {
            return Ok(here);
        }
        self.flush()?;
        self.at = aligned;
        Ok(aligned)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.put(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// All that was written.
    pub(super) fn finish(mut self) -> Result<Source> {
        self.flush()?;
        Ok(Source::file(Arc::new(self.file)))
    }

    fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.put(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.at).map_err(|error| {
            Error::new(Kind::Local, "cannot write to a temporary file").with_source(error)
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Bytes that are written at once: file systems with large pages take longer to find larger ones
/// than to write these.
const BUFFER: usize = 128 << 10;

/// What file systems share is whole blocks.
const BLOCK: u64 = 4096;

/// From here on it is worth the bytes between.
const LARGE: u64 = 64 << 10;
