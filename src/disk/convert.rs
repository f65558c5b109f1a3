//! From a map to a raw file: several threads, each with a piece of its own.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::decode::Decoder;
use super::extent::{Extent, Place, Survey};
use super::image::Disk;
use super::sparse::{BLOCK, write_sparsely};
use crate::base::{DiskFormat, HumanBytes};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys::{self, Draft, Overwrite};

/// Converts the image at `source`, which is declared to be in `format`, to a sparse raw file at
/// `target`. The name appears when the file is whole and on disk; that it is there with the right
/// content is success.
///
/// # Errors
/// [`Kind::Format`] if the image is refused: nothing was created then. [`Kind::Local`] if
/// something else has the name, or the disk is full; [`Kind::Cancelled`].
pub fn convert(
    source: &Path,
    format: DiskFormat,
    target: &Path,
    overwrite: Overwrite,
    observer: &dyn Observer,
) -> Result<Survey> {
    let disk = Disk::open(source, format)?;
    Converter::new(&source.to_string_lossy(), observer).to_file(&disk, target, overwrite)
}

/// Converts disks, and tells an observer how it goes.
pub struct Converter<'a> {
    subject: &'a str,
    observer: &'a dyn Observer,
    threads: usize,
}

impl<'a> Converter<'a> {
    /// Events are about `subject`. As many threads as there are processors, but twelve at most.
    pub fn new(subject: &'a str, observer: &'a dyn Observer) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            subject,
            observer,
            threads: threads.min(MAX_THREADS),
        }
    }

    /// With another number of threads; more than twelve need more memory.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self {
            threads: threads.get(),
            ..self
        }
    }

    /// As [`convert`], for a disk that is open.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn to_file(&self, disk: &Disk, target: &Path, overwrite: Overwrite) -> Result<Survey> {
        let target = absolute(target)?;
        let survey = disk.survey().map_err(|error| error.about(self.subject))?;
        if sys::exists(&target) && overwrite == Overwrite::No {
            return match self.is_in(disk, &target)? {
                true => Ok(survey),
                false => Err(Draft::in_the_way(&target)),
            };
        }
        let draft = draft(&target)?;
        self.write(disk, draft.file(), &target)?;
        place(draft, &target, overwrite)?;
        Ok(survey)
    }

    /// Fills `output`, which is empty, and gives it its length. It is on the file system of
    /// `path`, which need not exist yet.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn write(&self, disk: &Disk, output: &File, path: &Path) -> Result<Survey> {
        let survey = disk.survey().map_err(|error| error.about(self.subject))?;
        output.set_len(survey.size).map_err(unwritable)?;
        let source = disk.file(0).file();
        let shares = survey.data > 0 && sys::shares_blocks(source, output);
        if shares {
            output.set_len(survey.size).map_err(unwritable)?;
        } else {
            check_space(path, survey.allocated())?;
        }
        self.run(disk, survey, &Sink::Write { output, shares })?;
        Ok(survey)
    }

    /// Whether a raw file has exactly what is on the disk: both are read.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn is_in(&self, disk: &Disk, path: &Path) -> Result<bool> {
        let Ok(file) = sys::open_regular(path) else {
            return Ok(false);
        };
        let survey = disk.survey().map_err(|error| error.about(self.subject))?;
        let meta = file.metadata();
        if meta.is_ok_and(|meta| meta.len() != survey.size) {
            return Ok(false);
        }
        let differs = AtomicBool::new(false);
        let sink = Sink::Compare {
            file: &file,
            differs: &differs,
        };
        self.run(disk, survey, &sink)?;
        Ok(!differs.load(Ordering::Relaxed))
    }

    fn run(&self, disk: &Disk, survey: Survey, sink: &Sink<'_>) -> Result<()> {
        let zeros = matches!(sink, Sink::Compare { .. });
        let queue = Mutex::new(Queue {
            extents: Box::new(disk.extents()),
            rest: None,
            zeros,
        });
        let total = if zeros {
            survey.size
        } else {
            survey.allocated()
        };
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let work = || {
            let result = Worker::new(disk, sink).and_then(|mut worker| {
                loop {
                    if stop.load(Ordering::Relaxed) || sink.is_decided() {
                        return Ok(());
                    }
                    let taken = queue.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let Some(work) = taken? else { return Ok(()) };
                    worker.process(&work)?;
                    let length = work.length as u64;
                    let done = done.fetch_add(length, Ordering::Relaxed) + length;
                    let what = What::Converting { done, total };
                    let subject = self.subject;
                    if self.observer.on(Event { subject, what }).is_break() {
                        return Err(Error::new(Kind::Cancelled, "stopped while converting"));
                    }
                }
            });
            if let Err(error) = result {
                stop.store(true, Ordering::Relaxed);
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        };
        // Not more threads than there is work for.
        let units = total.div_ceil(UNIT as u64);
        let threads = usize::try_from(units).map_or(self.threads, |units| units.min(self.threads));
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), |error| Err(error.about(self.subject)))
    }
}

impl std::fmt::Debug for Converter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter")
            .field("subject", &self.subject)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Where content goes.
enum Sink<'a> {
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
    fn is_decided(&self) -> bool {
        match self {
            Sink::Write { .. } => false,
            Sink::Compare { differs, .. } => differs.load(Ordering::Relaxed),
        }
    }
}

/// What is still to be done.
struct Queue<'a> {
    extents: Box<dyn Iterator<Item = Result<Extent>> + Send + 'a>,
    /// What was taken and did not fit.
    rest: Option<Extent>,
    /// Whether zeros are work, too.
    zeros: bool,
}

/// A stretch of the disk without gaps.
struct Work {
    start: u64,
    length: usize,
    pieces: Vec<Extent>,
}

impl Queue<'_> {
    fn take(&mut self) -> Result<Option<Work>> {
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
            if extent.place == Place::Zero && !self.zeros {
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
struct Worker<'a> {
    disk: &'a Disk,
    sink: &'a Sink<'a>,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(disk: &'a Disk, sink: &'a Sink<'a>) -> Result<Self> {
        Ok(Self {
            disk,
            sink,
            decoder: Decoder::new(disk.codec())?,
            input: Vec::new(),
            output: Vec::new(),
        })
    }

    fn process(&mut self, work: &Work) -> Result<()> {
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
                        let out = &mut self.output[at..at + cluster];
                        let decoded = self.decoder.decode(&input[..length], out);
                        decoded.map_err(|error| {
                            let place = format!("at {} of the disk", piece.start);
                            error.about(&place)
                        })?;
                        at += usize::try_from(piece.length).unwrap_or(cluster);
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

/// An output beside its target.
pub(super) fn draft(target: &Path) -> Result<Draft> {
    Draft::beside(target).map_err(|error| Error::local("cannot write", target, error))
}

/// Fails before the first byte if it is clear that the last one will not fit.
fn check_space(target: &Path, need: u64) -> Result<()> {
    let folder = target.parent().unwrap_or(target);
    match sys::available_space(folder) {
        Ok(have) if have < need => {
            let message = format!(
                "the disk is full: {} are needed in {} and {} are free",
                HumanBytes(need),
                folder.display(),
                HumanBytes(have)
            );
            Err(Error::new(Kind::Local, message).with_path(folder))
        }
        _ => Ok(()),
    }
}

pub(super) fn place(draft: Draft, target: &Path, overwrite: Overwrite) -> Result<()> {
    match draft.place(overwrite) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Draft::in_the_way(target))
        }
        Err(error) => Err(Error::local("cannot write", target, error)),
    }
}

pub(super) fn absolute(target: &Path) -> Result<PathBuf> {
    std::path::absolute(target).map_err(|error| Error::local("cannot write", target, error))
}

pub(super) fn unwritable(error: std::io::Error) -> Error {
    Error::new(Kind::Local, "cannot write").with_source(error)
}

/// Bytes of the disk that a thread takes at once, but for clusters that are larger.
const UNIT: usize = 1 << 20;

/// Compressed bytes that are read at once, but for clusters that claim more.
const MAX_INPUT: u64 = (1 << 20) + (64 << 10);

/// Bytes between two clusters that are read along.
const GAP: u64 = 4096;

/// Each needs up to 8 MiB, at clusters of 2 MiB that do not compress; 3 at the usual ones.
const MAX_THREADS: usize = 12;
