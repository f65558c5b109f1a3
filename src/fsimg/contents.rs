//! The contents of files are copied by several threads: who comes first does not show in an image.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys;

/// How much of an image's content is written, for whoever wants to know, or to stop it.
pub(super) struct Progress<'a> {
    observer: &'a dyn Observer,
    subject: &'a str,
    total: u64,
    written: AtomicU64,
    /// What was written when the observer heard of it last.
    told: AtomicU64,
}

impl<'a> Progress<'a> {
    /// Nothing of so many bytes.
    pub(super) fn new(observer: &'a dyn Observer, subject: &'a str, total: u64) -> Self {
        Self {
            observer,
            subject,
            total,
            written: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// So many more are. The observer hears of it if they have become many.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub(super) fn add(&self, bytes: u64) -> Result<()> {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if written - self.told.load(Ordering::Relaxed).min(written) < STEP {
            return Ok(());
        }
        self.tell()
    }

    /// Tells the observer.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] if it says so.
    pub(super) fn tell(&self) -> Result<()> {
        let written = self.written();
        self.told.store(written, Ordering::Relaxed);
        let what = What::Writing {
            written,
            total: Some(self.total),
        };
        let subject = self.subject;
        if self.observer.on(Event { subject, what }).is_break() {
            let message = "stopped while an image was written";
            return Err(Error::new(Kind::Cancelled, message));
        }
        Ok(())
    }
}

/// Copies the contents of all things from the first to the last: `bytes` says how much each has,
/// none of many, and `copy` puts it into the image. Neighbours are given to one thread.
///
/// # Errors
/// Those of `copy`, one of them; that the image cannot be written.
pub(super) fn copy_all(
    target: &Target<'_>,
    things: usize,
    bytes: impl Fn(usize) -> u64,
    copy: impl Fn(usize, &mut Target<'_>) -> Result<()> + Sync,
) -> Result<()> {
    let batches = batches(things, bytes);
    let stop = AtomicBool::new(false);
    let copy_batch = |batch: Range<usize>| {
        let mut target = target.another();
        for at in batch {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            copy(at, &mut target)?;
        }
        target.finish()
    };
    let threads = sys::processors().min(THREADS);
    let done = sys::each(batches.len(), threads, |at, (): &mut ()| {
        copy_batch(batches[at].clone()).inspect_err(|_| stop.store(true, Ordering::Relaxed))
    });
    done.into_iter().collect()
}

/// Neighbours with enough content to be worth a thread's while.
fn batches(things: usize, bytes: impl Fn(usize) -> u64) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut sum) = (0, 0_u64);
    for at in 0..things {
        sum = sum.saturating_add(bytes(at));
        if sum >= BATCH {
            batches.push(start..at + 1);
            (start, sum) = (at + 1, 0);
        }
    }
    if sum > 0 {
        batches.push(start..things);
    }
    batches
}

/// Bytes between two looks at whether somebody wants us to stop.
const STEP: u64 = 16 << 20;

/// Bytes that one thread copies before it asks for more.
const BATCH: u64 = 4 << 20;

/// More of them are not faster than memory is; and several images may be written at once.
const THREADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();
