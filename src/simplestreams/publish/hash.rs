//! Hashes of files, and of one behind another, in a single read.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys;

/// What a single read of a file gives.
pub(super) struct Hashes {
    /// Bytes that were read.
    pub(super) size: u64,
    /// Of the file.
    pub(super) sha256: Digest,
    /// Of the file behind each of those that were given, in their order.
    pub(super) combined: Vec<Digest>,
    /// The file's, to go on with.
    pub(super) state: Sha256,
}

/// Reads a file once and hashes it, alone and behind `before`. `buffer` is for the reader to use.
pub(super) fn hash(
    mut file: &File,
    before: &[Sha256],
    buffer: &mut Vec<u8>,
    progress: &Progress<'_>,
) -> Result<Hashes> {
    let mut state = Sha256::new();
    let mut combined = before.to_vec();
    buffer.resize(BUFFER, 0);
    let (mut size, mut told) = (0, 0);
    loop {
        let n = match file.read(buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::new(Kind::Local, "cannot read it").with_source(error));
            }
        };
        size += n as u64;
        let block = &buffer[..n];
        state.update(block);
        for hash in &mut combined {
            hash.update(block);
        }
        if n == 0 || size - told >= TELL_EVERY {
            progress.add(size - told)?;
            told = size;
        }
        if n == 0 {
            break;
        }
    }
    Ok(Hashes {
        size,
        sha256: digest(state.clone()),
        combined: combined.into_iter().map(digest).collect(),
        state,
    })
}

pub(super) fn digest(state: Sha256) -> Digest {
    Digest::from_bytes(state.finalize().into())
}

/// How far several threads together are.
pub(super) struct Progress<'a> {
    observer: &'a dyn Observer,
    subject: &'a str,
    done: AtomicU64,
    total: u64,
    stopped: AtomicBool,
}

impl<'a> Progress<'a> {
    /// `total` bytes are to be read.
    pub(super) fn new(observer: &'a dyn Observer, subject: &'a str, total: u64) -> Self {
        Self {
            observer,
            subject,
            done: AtomicU64::new(0),
            total,
            stopped: AtomicBool::new(false),
        }
    }

    /// So many more bytes are read.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] if somebody wants us to stop.
    pub(super) fn add(&self, bytes: u64) -> Result<()> {
        let received = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = Some(self.total.max(received));
        let what = What::Progress { received, total };
        let subject = self.subject;
        if self.observer.on(Event { subject, what }).is_break() {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.check()
    }

    /// # Errors
    /// [`Kind::Cancelled`] if somebody wanted us to stop.
    pub(super) fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            let message = "stopped while hashing; what is hashed will be known";
            return Err(Error::new(Kind::Cancelled, message));
        }
        Ok(())
    }
}

/// Does something for each of many, on several threads, and gives what came of them in their order.
/// Each thread has a buffer. The most work comes first, so that no thread is left with a large piece
/// at the end.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: NonZeroUsize,
    weight: impl Fn(&T) -> u64,
    work: impl Fn(&T, &mut Vec<u8>) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(weight(&items[at])));
    let done = sys::each(items.len(), jobs, |at, buffer: &mut Vec<u8>| {
        work(&items[order[at]], buffer)
    });
    let mut done: Vec<_> = order.into_iter().zip(done).collect();
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Bytes that are read at once: they are hashed up to three times, from a near cache.
const BUFFER: usize = 128 << 10;

/// Bytes of a file between two looks at whether somebody wants us to stop.
const TELL_EVERY: u64 = 8 << 20;
