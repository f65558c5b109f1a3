//! Where the content of files is: in a spool, in an archive on disk, in a directory.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::path::shown;
use crate::archive::{Extent, Time};
use crate::error::{Error, Kind, Result};
use crate::sys::{self, Beneath, FileKind, Node};

/// A place where contents are. Cloning one costs nothing.
#[derive(Clone, Debug)]
pub struct Source(Place);

#[derive(Clone, Debug)]
enum Place {
    /// Contents lie in one file, one after the other, without their holes.
    File(Arc<File>),
    /// Contents are files below a directory, which are opened when they are needed.
    Folder(Arc<Folder>),
    /// Contents lie in one file, each in several pieces.
    Pieces(Arc<Pieces>),
}

/// A file with contents in it, and the pieces of each.
#[derive(Debug)]
pub(super) struct Pieces {
    file: Arc<File>,
    runs: Vec<Piece>,
    /// Of each content, where its runs end.
    ends: Vec<usize>,
}

impl Pieces {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self {
            file,
            runs: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Notes a content of so many bytes. Its pieces come in order and do not overlap.
    pub(super) fn note(&mut self, pieces: &[Piece], size: u64) -> Result<u64> {
        let mut end = 0;
        for piece in pieces {
            let next = piece.offset.checked_add(piece.length);
            let from = piece.from.checked_add(piece.length);
            match next.filter(|it| piece.offset >= end && piece.length > 0 && *it <= size) {
                Some(next) if from.is_some() => end = next,
                _ => {
                    return Err(Error::new(
                        Kind::Format,
                        "a content in pieces that are none",
                    ));
                }
            }
        }
        self.runs.extend_from_slice(pieces);
        self.ends.push(self.runs.len());
        Ok(self.ends.len() as u64 - 1)
    }

    fn of(&self, number: u64) -> &[Piece] {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let end = self.ends.get(number).copied().unwrap_or(0);
        let start = number.checked_sub(1).and_then(|it| self.ends.get(it));
        &self.runs[start.copied().unwrap_or(0).min(end)..end]
    }
}

/// A directory on this machine, and the paths of the files in it that count.
#[derive(Debug)]
pub(super) struct Folder {
    root: OwnedFd,
    steps: Vec<Step>,
    text: Vec<u8>,
}

#[derive(Debug)]
struct Step {
    parent: u32,
    length: u32,
    at: u32,
}

impl Folder {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            steps: Vec::new(),
            text: Vec::new(),
        }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Notes a name in a directory that was noted before; [`Folder::TOP`] is the root.
    pub(super) fn note(&mut self, parent: u32, name: &[u8]) -> Option<u32> {
        let number = u32::try_from(self.steps.len()).ok()?;
        self.steps.push(Step {
            parent,
            length: u32::try_from(name.len()).ok()?,
            at: u32::try_from(self.text.len()).ok()?,
        });
        self.text.extend_from_slice(name);
        (number != Self::TOP).then_some(number)
    }

    /// The path of what was noted.
    pub(super) fn path(&self, number: u64) -> Vec<u8> {
        let mut names = Vec::new();
        let mut here = number;
        while let Some(step) = usize::try_from(here).ok().and_then(|it| self.steps.get(it)) {
            let at = step.at as usize;
            names.push(&self.text[at..at + step.length as usize]);
            here = step.parent.into();
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The root, as a parent.
    pub(super) const TOP: u32 = u32::MAX;
}

impl Source {
    /// Contents in one file.
    pub(super) fn file(file: Arc<File>) -> Self {
        Self(Place::File(file))
    }

    /// Contents below a directory.
    pub(super) fn folder(folder: Folder) -> Self {
        Self(Place::Folder(Arc::new(folder)))
    }

    /// Contents in one file, in pieces.
    pub(super) fn pieces(pieces: Pieces) -> Self {
        Self(Place::Pieces(Arc::new(pieces)))
    }

    pub(super) fn open<'a>(
        &'a self,
        offset: u64,
        size: u64,
        mtime: Time,
        map: Option<&'a [Extent]>,
    ) -> Result<Stored<'a>> {
        match &self.0 {
            Place::File(file) => Ok(Stored {
                held: Held::Shared(file),
                map,
                runs: None,
                size,
                from: offset,
                packed: true,
            }),
            Place::Pieces(pieces) => Ok(Stored {
                held: Held::Shared(&pieces.file),
                map: None,
                runs: Some(pieces.of(offset)),
                size,
                from: 0,
                packed: false,
            }),
            Place::Folder(folder) => {
                let path = folder.path(offset);
                let cannot = |error| {
                    let message = format!("cannot open {}", shown(&path));
                    Error::new(Kind::Local, message).with_source(error)
                };
                let fd = sys::open_beneath(&folder.root, &path, Beneath::File).map_err(cannot)?;
                let seen = Node::Open(fd.as_fd()).seen().map_err(cannot)?;
                let same = seen.kind == FileKind::File
                    && seen.size == size
                    && seen.mtime == (mtime.seconds, mtime.nanos);
                if !same {
                    let message = format!("{} changed while it was read", shown(&path));
                    return Err(Error::new(Kind::Local, message));
                }
                Ok(Stored {
                    held: Held::Own(fd.into()),
                    map,
                    runs: None,
                    size,
                    from: 0,
                    packed: false,
                })
            }
        }
    }
}

/// The content of one file, opened.
#[derive(Debug)]
pub struct Stored<'a> {
    held: Held<'a>,
    map: Option<&'a [Extent]>,
    /// All of it, for a content in pieces.
    runs: Option<&'a [Piece]>,
    size: u64,
    from: u64,
    /// Data lies there without its holes.
    packed: bool,
}

#[derive(Debug)]
enum Held<'a> {
    Shared(&'a File),
    Own(File),
    None,
}

/// A run of data: `length` bytes at `from` of [`Stored::file`] belong at `offset` of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file of the tree.
    pub offset: u64,
    /// Bytes, more than 0.
    pub length: u64,
    /// Where in the file that holds them.
    pub from: u64,
}

impl<'a> Stored<'a> {
    /// The content of an empty file.
    pub(super) fn nothing() -> Self {
        Self {
            held: Held::None,
            map: None,
            runs: None,
            size: 0,
            from: 0,
            packed: true,
        }
    }

    /// Bytes of the file, holes included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file that holds its data, to be read at [`Piece::from`]; `None` if there is no data.
    /// Its position means nothing and is shared: use calls that have one of their own.
    pub fn file(&self) -> Option<&File> {
        match &self.held {
            Held::Shared(file) => Some(file),
            Held::Own(file) => Some(file),
            Held::None => None,
        }
    }

    /// Where its data is, in order. What is not covered is a hole.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + use<'_, 'a> {
        let whole = Extent {
            offset: 0,
            length: self.size,
        };
        let unmapped = self.map.is_none() && self.runs.is_none();
        let whole = (unmapped && self.size > 0).then_some(whole);
        let mut sum = self.from;
        let runs = self.map.unwrap_or_default().iter().copied().chain(whole);
        let mapped = runs.map(move |Extent { offset, length }| {
            let from = if self.packed { sum } else { offset };
            sum += length;
            Piece {
                offset,
                length,
                from,
            }
        });
        self.runs.unwrap_or_default().iter().copied().chain(mapped)
    }

    /// The data without the holes, as a stream: what an archive would have of it.
    pub fn data(&self) -> impl Read + use<'_, 'a> {
        Data {
            file: self.file(),
            pieces: self.pieces(),
            now: None,
        }
    }

    /// The whole content as a stream: holes are zeros.
    pub fn content(&self) -> impl Read + use<'_, 'a> {
        Content {
            data: self.data(),
            runs: self.pieces(),
            now: None,
            at: 0,
            size: self.size,
        }
    }
}

struct Data<'a, P> {
    file: Option<&'a File>,
    pieces: P,
    now: Option<Piece>,
}

impl<P: Iterator<Item = Piece>> Read for Data<'_, P> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(file) = self.file.filter(|_| !out.is_empty()) else {
            return Ok(0);
        };
        loop {
            let Some(piece) = self.now.as_mut().filter(|piece| piece.length > 0) else {
                match self.pieces.next() {
                    None => return Ok(0),
                    next => self.now = next,
                }
                continue;
            };
            let most = usize::try_from(piece.length).map_or(out.len(), |it| it.min(out.len()));
            let got = file.read_at(&mut out[..most], piece.from)?;
            if got == 0 {
                // It was cut short since it was looked at.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            piece.from += got as u64;
            piece.length -= got as u64;
            return Ok(got);
        }
    }
}

struct Content<D, P> {
    data: D,
    runs: P,
    /// The run of data that is next, or being read.
    now: Option<Piece>,
    at: u64,
    size: u64,
}

impl<D: Read, P: Iterator<Item = Piece>> Read for Content<D, P> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self
            .now
            .is_none_or(|run| run.offset + run.length <= self.at)
        {
            self.now = self.runs.next();
        }
        let (start, end) = self.now.map_or((self.size, self.size), |run| {
            (run.offset, run.offset + run.length)
        });
        let hole = self.at < start;
        let left = if hole { start } else { end } - self.at;
        let most = usize::try_from(left).map_or(out.len(), |it| it.min(out.len()));
        let got = if hole {
            out[..most].fill(0);
            most
        } else {
            self.data.read(&mut out[..most])?
        };
        self.at += got as u64;
        Ok(got)
    }
}

/// A run of bytes in a file, to be read from its start to its end. Several of one file do not
/// disturb each other.
#[derive(Clone, Debug)]
pub struct Window {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Window {
    /// `length` bytes from `at` on.
    pub fn new(file: Arc<File>, at: u64, length: u64) -> Self {
        Self {
            file,
            at,
            end: at.saturating_add(length),
        }
    }

    /// All of a file, as long as it is now.
    ///
    /// # Errors
    /// That of the system.
    pub fn whole(file: Arc<File>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(file, 0, length))
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where the next byte is in the file.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Window {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left()).map_or(out.len(), |it| it.min(out.len()));
        let got = self.file.read_at(&mut out[..most], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
