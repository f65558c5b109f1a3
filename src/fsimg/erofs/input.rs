//! An image on this machine, read in pieces that are in it.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::format::BLOCK;
use crate::error::{Error, Kind, Result};
use crate::tree::Window;

/// A file of which so many bytes count.
#[derive(Debug)]
pub(super) struct Input {
    file: Arc<File>,
    bytes: u64,
    /// What was read last, and where it was.
    cache: Vec<u8>,
    at: u64,
}

impl Input {
    pub(super) fn new(file: Arc<File>, blocks: u32) -> Self {
        Self {
            file,
            bytes: u64::from(blocks) * BLOCK,
            cache: Vec::new(),
            at: 0,
        }
    }

    /// Whether so many bytes are in it from here on.
    pub(super) fn has(&self, at: u64, length: u64) -> bool {
        at.checked_add(length).is_some_and(|end| end <= self.bytes)
    }

    /// So many bytes from here on.
    pub(super) fn read(&mut self, at: u64, length: usize) -> Result<&[u8]> {
        if !self.has(at, length as u64) {
            return Err(malformed(
                "something that should be in the image is behind its end",
            ));
        }
        let within = |input: &Self| {
            let skip = usize::try_from(at.checked_sub(input.at)?).ok()?;
            (skip.checked_add(length)? <= input.cache.len()).then_some(skip)
        };
        if within(self).is_none() {
            let begin = at - at % BLOCK;
            let ahead = (at - begin) + (length as u64).max(AHEAD);
            let ahead = ahead.min(self.bytes - begin);
            self.cache.clear();
            self.at = begin;
            Window::new(self.file.clone(), begin, ahead)
                .read_to_end(&mut self.cache)
                .map_err(|error| {
                    Error::new(Kind::Local, "cannot read the image").with_source(error)
                })?;
        }
        let skip = within(self).ok_or_else(|| malformed("the image is cut off"))?;
        Ok(&self.cache[skip..skip + length])
    }
}

/// An image that is not what it should be.
pub(super) fn malformed(why: &str) -> Error {
    Error::new(
        Kind::Format,
        format!("no EROFS image that can be read: {why}"),
    )
}

/// Bytes that are read at least.
const AHEAD: u64 = 64 << 10;
