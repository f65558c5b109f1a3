//! The work of one thread: to take a stretch of the disk, decode it, and write or compare it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::convert::unwritable;
use super::decode::Decoder;
use super::extent::{Extent, Place};
use super::image::Disk;
use super::sparse::{BLOCK, write_sparsely};
use crate::error::{Error, Kind, Result};
use crate::sys;

/// Where content goes.
pub(super) enum Sink<'a> {
    Write {
        output: &'a File,
        shares: bool,
    },
    Compare {
        file: &'a File,
        differs: &'a AtomicBool,
    },
}

impl Sink<'_> {
    pub(super) fn is_decided(&self) -> bool {
        match self {
            Sink::Write { .. } => false,
            Sink::Compare { differs, .. } => differs.load(Ordering::Relaxed),
        }
    }
}

/// What is still to be done.
pub(super) struct Queue<'a> {
    extents: Box<dyn Iterator<Item = Result<Extent>> + Send + 'a>,
    /// What was taken and did not fit.
    rest: Option<Extent>,
    zeros: Zeros,
}

/// Whether zeros are work, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zeros {
    /// They are: they are compared.
    Take,
    /// They are not: they are holes.
    Skip,
}

/// A stretch of the disk without gaps.
pub(super) struct Work {
    start: u64,
    pub(super) length: usize,
    pieces: Vec<Extent>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(disk: &'a Disk, zeros: Zeros) -> Self {
        Self {
            extents: Box::new(disk.extents()),
            rest: None,
            zeros,
        }
    }

    /// The next stretch; none at the end of the disk.
    pub(super) fn take(&mut self) -> Result<Option<Work>> {
        let mut pieces: Vec<Extent> = Vec::new();
        let mut length = 0;
        loop {
            let extent = match self.rest.take() {
                Some(rest) => rest,
                None => match self.extents.next() {
                    Some(extent) => extent?,
                    None => break,
                },
            };
            if extent.place == Place::Zero && self.zeros == Zeros::Skip {
                if pieces.is_empty() {
                    continue;
                }
                break;
            }
            let room = UNIT as u64 - length;
            let is_whole = matches!(extent.place, Place::Compressed { .. });
            if extent.length <= room || is_whole && pieces.is_empty() {
                length += extent.length;
                pieces.push(extent);
            } else if is_whole {
                self.rest = Some(extent);
                break;
            } else {
                let (head, tail) = split(extent, room);
                length += head.length;
                pieces.push(head);
                self.rest = Some(tail);
            }
            if length >= UNIT as u64 {
                break;
            }
        }
        // A cluster at most, or a unit: both fit.
        let length = usize::try_from(length).unwrap_or(UNIT);
        Ok(pieces.first().map(|first| first.start).map(|start| Work {
            start,
            length,
            pieces,
        }))
    }
}

fn split(extent: Extent, at: u64) -> (Extent, Extent) {
    let tail = Extent {
        start: extent.start + at,
        length: extent.length - at,
        place: match extent.place {
            Place::Data { file, offset } => Place::Data {
                file,
                offset: offset + at,
            },
            other => other,
        },
    };
    (
        Extent {
            length: at,
            ..extent
        },
        tail,
    )
}

/// One thread, and its memory.
pub(super) struct Worker<'a> {
    disk: &'a Disk,
    sink: &'a Sink<'a>,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(disk: &'a Disk, sink: &'a Sink<'a>) -> Result<Self> {
        Ok(Self {
            disk,
            sink,
            decoder: Decoder::new(disk.codec())?,
            input: Vec::new(),
            output: Vec::new(),
        })
    }

    pub(super) fn process(&mut self, work: &Work) -> Result<()> {
        if let Sink::Write {
            output,
            shares: true,
        } = self.sink
            && let Some(done) = self.share(work, output)
        {
            return done;
        }
        self.read(work)?;
        let content = &self.output[..work.length];
        match self.sink {
            Sink::Write { output, .. } => {
                write_sparsely(output, work.start, content).map_err(unwritable)?;
            }
            Sink::Compare { file, differs } => {
                self.input.resize(work.length, 0);
                file.read_exact_at(&mut self.input, work.start)
                    .map_err(|error| {
                        Error::new(Kind::Local, "cannot read what is compared").with_source(error)
                    })?;
                if self.input != *content {
                    differs.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Has the file system share the blocks of data that stands as it is; `None` where that
    /// cannot be.
    fn share(&self, work: &Work, output: &File) -> Option<Result<()>> {
        let block = BLOCK as u64;
        let (mut at, mut ranges) = (work.start, Vec::new());
        for piece in &work.pieces {
            let Place::Data { file, offset } = piece.place else {
                return None;
            };
            if at % block != 0 || offset % block != 0 || piece.length % block != 0 {
                return None;
            }
            ranges.push((file, offset, at, piece.length));
            at += piece.length;
        }
        for (file, mut offset, mut at, mut left) in ranges {
            let source = self.disk.file(file).file();
            while left > 0 {
                let n = usize::try_from(left).unwrap_or(UNIT);
                let moved = sys::copy_range(source, offset, output, at, n).ok()? as u64;
                if moved == 0 {
                    return None;
                }
                (offset, at, left) = (offset + moved, at + moved, left - moved);
            }
        }
        Some(Ok(()))
    }

    /// Fills the output with the content of a stretch.
    fn read(&mut self, work: &Work) -> Result<()> {
        // The last cluster of a disk may be cut off: there is room for the whole of it.
        let cluster = self.disk.cluster();
        let room = work.length + cluster;
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        let (mut at, mut next) = (0, 0);
        while let Some(piece) = work.pieces.get(next) {
            let length = usize::try_from(piece.length).unwrap_or(UNIT);
            match piece.place {
                Place::Zero => self.output[at..at + length].fill(0),
                Place::Data { file, offset } => {
                    let out = &mut self.output[at..at + length];
                    self.disk.file(file).read(offset, out)?;
                }
                Place::Compressed { offset, .. } => {
                    let run = run(&work.pieces[next..]);
                    self.input.resize(run.bytes, 0);
                    self.disk.file(0).read(offset, &mut self.input)?;
                    for piece in &work.pieces[next..next + run.pieces] {
                        let Place::Compressed {
                            offset: from,
                            length,
                        } = piece.place
                        else {
                            continue;
                        };
                        let from = usize::try_from(from - offset).unwrap_or(0);
                        let input = &self.input[from..];
                        let length =
                            usize::try_from(length).map_or(input.len(), |it| it.min(input.len()));
                        let used = usize::try_from(piece.length).unwrap_or(cluster);
                        let out = &mut self.output[at..at + cluster];
                        let decoded = self.decoder.decode(&input[..length], out, used);
                        decoded.map_err(|error| {
                            let place = format!("at {} of the disk", piece.start);
                            error.about(&place)
                        })?;
                        at += used;
                    }
                    next += run.pieces;
                    continue;
                }
            }
            at += length;
            next += 1;
        }
        Ok(())
    }
}

/// Compressed clusters that are near each other, to be read at once.
struct Run {
    pieces: usize,
    bytes: usize,
}

fn run(pieces: &[Extent]) -> Run {
    let (mut first, mut end) = (None, 0);
    let mut count = 0;
    for piece in pieces {
        let Place::Compressed { offset, length } = piece.place else {
            break;
        };
        let first = *first.get_or_insert(offset);
        let next = end.max(offset + length);
        let is_near = offset >= first && offset <= end + GAP && next - first <= MAX_INPUT;
        if count > 0 && !is_near {
            break;
        }
        end = next;
        count += 1;
    }
    Run {
        pieces: count,
        // What one cluster of 2 MiB can claim, or MAX_INPUT.
        bytes: usize::try_from(end - first.unwrap_or(0)).unwrap_or(0),
    }
}

/// Bytes of the disk that a thread takes at once, but for clusters that are larger.
pub(super) const UNIT: usize = 1 << 20;

/// Compressed bytes that are read at once, but for clusters that claim more.
const MAX_INPUT: u64 = (1 << 20) + (64 << 10);

/// Bytes between two clusters that are read along.
const GAP: u64 = 4096;
