//! From a map to a raw file: several threads, each with a piece of its own.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::extent::Survey;
use super::image::Disk;
use super::worker::{Queue, Sink, UNIT, Worker, Zeros};
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
        let threads = sys::processors().get();
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
            return if self.is_in(disk, &target)? {
                Ok(survey)
            } else {
                Err(Draft::in_the_way(&target))
            };
        }
        let draft = draft(&target)?;
        self.write(disk, draft.file(), &target)?;
        draft.commit(overwrite)?;
        Ok(survey)
    }

    /// Fills `output`, which is empty, and gives it its length. It is on the file system of
    /// `path`, which need not exist yet.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn write(&self, disk: &Disk, output: &File, path: &Path) -> Result<Survey> {
        let survey = disk.survey().map_err(|error| error.about(self.subject))?;
        self.tell(0, survey.allocated())?;
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

    fn tell(&self, done: u64, total: u64) -> Result<()> {
        let what = What::Converting { done, total };
        let subject = self.subject;
        if self.observer.on(Event { subject, what }).is_break() {
            return Err(Error::new(Kind::Cancelled, "stopped while converting"));
        }
        Ok(())
    }

    fn run(&self, disk: &Disk, survey: Survey, sink: &Sink<'_>) -> Result<()> {
        let zeros = match sink {
            Sink::Write { .. } => Zeros::Skip,
            Sink::Compare { .. } => Zeros::Take,
        };
        let queue = Mutex::new(Queue::new(disk, zeros));
        let total = if zeros == Zeros::Take {
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
                    self.tell(done, total)?;
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

pub(super) fn absolute(target: &Path) -> Result<PathBuf> {
    std::path::absolute(target).map_err(|error| Error::local("cannot write", target, error))
}

pub(super) fn unwritable(error: std::io::Error) -> Error {
    Error::new(Kind::Local, "cannot write").with_source(error)
}

/// Each needs up to 8 MiB, at clusters of 2 MiB that do not compress; 3 at the usual ones.
const MAX_THREADS: usize = 12;
