//! Raw files with holes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::extent::{Extent, Place};
use super::source::{Source, unreadable};
use crate::error::Result;
use crate::sys;

/// What of a run in a file is data, and what holes.
pub(super) fn data_in(
    source: &Source,
    file: usize,
    run: Run,
) -> impl Iterator<Item = Result<Extent>> + Send + '_ {
    let end = run.offset + run.length;
    let mut at = run.offset;
    let mut after = None;
    let piece = move |from, to, is_data| Extent {
        start: run.start + (from - run.offset),
        length: to - from,
        place: if is_data {
            Place::Data { file, offset: from }
        } else {
            Place::Zero
        },
    };
    std::iter::from_fn(move || {
        if let Some(data) = after.take() {
            return Some(Ok(data));
        }
        if at >= end {
            return None;
        }
        let (start, stop) = match sys::next_data(source.file(), at) {
            Ok(found) => found.unwrap_or((end, end)),
            Err(error) => {
                at = end;
                return Some(Err(unreadable(error)));
            }
        };
        // A file that grows meanwhile is still as long as it was.
        let (start, stop) = (start.min(end), stop.min(end));
        let hole = piece(at, start, false);
        let data = piece(start, stop, true);
        at = stop;
        if hole.length == 0 {
            return Some(Ok(data));
        }
        after = (data.length > 0).then_some(data);
        Some(Ok(hole))
    })
}

/// A stretch of a file that is a stretch of a disk as it stands, all in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where on the disk.
    pub(super) start: u64,
    /// Where in the file.
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Writes what is not zero. Blocks that are zero stay holes: `file` has none there.
pub(super) fn write_sparsely(file: &File, start: u64, bytes: &[u8]) -> io::Result<()> {
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        // Blocks are those of the file, wherever the bytes begin.
        let aligned = (start + at as u64) % BLOCK as u64;
        let length = (BLOCK - usize::try_from(aligned).unwrap_or(0)).min(bytes.len() - at);
        if is_zero(&bytes[at..at + length]) {
            file.write_all_at(&bytes[from..at], start + from as u64)?;
            from = at + length;
        }
        at += length;
    }
    file.write_all_at(&bytes[from..], start + from as u64)
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Pieces that a vector unit takes in one go, and that are left early.
    bytes
        .chunks(256)
        .all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A stream into a sparse file.
#[derive(Debug)]
pub struct SparseWriter<'a> {
    file: &'a File,
    written: u64,
    buffer: Vec<u8>,
}

impl<'a> SparseWriter<'a> {
    /// Writes to `file`, which is empty, from its beginning.
    pub fn new(file: &'a File) -> Self {
        Self {
            file,
            written: 0,
            buffer: Vec::with_capacity(BUFFER),
        }
    }

    /// Ends the file after the last byte, which may have been zero. How many bytes it has.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        self.file.set_len(self.written)?;
        Ok(self.written)
    }
}

impl Write for SparseWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BUFFER - self.buffer.len();
        let taken = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == BUFFER {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        write_sparsely(self.file, self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// What most file systems allocate.
pub(super) const BLOCK: usize = 4096;

/// A multiple of a block, so that no block is cut in two.
const BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn zeros_become_holes_wherever_they_begin() {
        let path = std::env::temp_dir().join(format!("df-sparse-{}", sys::unique_suffix()));
        let file = sys::create_exclusive(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut content = vec![0; 5 << 20];
        content[4096 * 3 + 7] = 1;
        content[(3 << 20) - 1] = 2;
        let mut writer = SparseWriter::new(&file);
        for piece in content.chunks(70_001) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 5 << 20);
        let mut found = vec![1; 5 << 20];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found, content);
        assert!(file.metadata().unwrap().blocks() <= 2 * 8);
        let source = Source::new(file).unwrap();
        let run = Run {
            start: 0,
            offset: 0,
            length: 5 << 20,
        };
        let extents: Vec<_> = data_in(&source, 0, run).map(|it| it.unwrap()).collect();
        assert_eq!(extents.iter().map(|it| it.length).sum::<u64>(), 5 << 20);
        assert!(
            extents
                .windows(2)
                .all(|pair| pair[0].end() == pair[1].start)
        );
        assert!(!is_zero(&[0, 0, 1]) && is_zero(&[0; 1000]) && is_zero(&[]));
    }
}
