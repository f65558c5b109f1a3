//! What readers of several formats share: tables read in pieces, areas that nothing may be on
//! top of, and maps taken apart step by step.

use std::collections::VecDeque;

use super::extent::Extent;
use super::source::{Source, refuse};
use crate::error::Result;

/// A table of entries of equal width, of which a piece is in memory.
pub(super) struct Table<'a> {
    source: &'a Source,
    offset: u64,
    /// Bytes of an entry.
    width: usize,
    count: u64,
    buffer: Vec<u8>,
    first: u64,
}

impl<'a> Table<'a> {
    /// `count` entries of `width` bytes at `offset`, all of which were found to be in the file.
    pub(super) fn new(source: &'a Source, offset: u64, width: usize, count: u64) -> Self {
        Self {
            source,
            offset,
            width,
            count,
            buffer: Vec::new(),
            first: 0,
        }
    }

    /// The bytes of an entry.
    pub(super) fn entry(&mut self, index: u64) -> Result<&[u8]> {
        let there = (self.buffer.len() / self.width) as u64;
        if index < self.first || index - self.first >= there {
            let room = (CHUNK / self.width) as u64;
            let entries = self.count.saturating_sub(index).min(room);
            if entries == 0 {
                return Err(refuse("a table has fewer entries than the disk needs"));
            }
            // At most CHUNK, so it fits.
            let bytes = usize::try_from(entries).unwrap_or(1) * self.width;
            self.buffer.resize(bytes, 0);
            self.first = index;
            let offset = self.offset + index * self.width as u64;
            self.source.read(offset, &mut self.buffer)?;
        }
        let at = usize::try_from(index - self.first).unwrap_or(0) * self.width;
        Ok(&self.buffer[at..at + self.width])
    }
}

/// Where the parts of an image are that are not content.
#[derive(Debug, Default)]
pub(super) struct Areas {
    /// Offset, end, and what it is.
    taken: Vec<(u64, u64, &'static str)>,
}

impl Areas {
    /// Adds a part, which must be inside of the file and clear of the others.
    pub(super) fn add(
        &mut self,
        source: &Source,
        offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<()> {
        if !source.holds(offset, length) {
            return Err(refuse(format!(
                "{what} is outside of the file: at {offset}"
            )));
        }
        self.check_clear(offset, length, what)?;
        self.taken.push((offset, offset + length, what));
        Ok(())
    }

    /// Refuses what is on top of one of them; it is inside of the file.
    pub(super) fn check_clear(&self, offset: u64, length: u64, what: &str) -> Result<()> {
        let end = offset.saturating_add(length);
        match self
            .taken
            .iter()
            .find(|(start, stop, _)| offset < *stop && *start < end)
        {
            None => Ok(()),
            Some((_, _, whose)) => Err(refuse(format!("{what} overlaps {whose}: at {offset}"))),
        }
    }
}

/// The pieces of a disk, of which `advance` makes some ready at a time and tells whether there are
/// more. The first error is the end.
pub(super) fn pieces(
    mut advance: impl FnMut(&mut VecDeque<Extent>) -> Result<bool>,
) -> impl Iterator<Item = Result<Extent>> {
    let mut ready = VecDeque::new();
    let mut has_more = true;
    std::iter::from_fn(move || {
        loop {
            if let Some(piece) = ready.pop_front() {
                return Some(Ok(piece));
            }
            if !has_more {
                return None;
            }
            match advance(&mut ready) {
                Ok(more) => has_more = more,
                Err(error) => {
                    has_more = false;
                    ready.clear();
                    return Some(Err(error));
                }
            }
        }
    })
}

/// Bytes of a table that are read at once.
const CHUNK: usize = 64 << 10;
