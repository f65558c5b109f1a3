//! What we tell an observer.
//!
//! The library prints nothing. It reports to an [`Observer`], which may be a progress bar, a log
//! or a test, and which can stop the work: an answer of `Break` cancels at the next safe point,
//! with everything received so far kept for a later resume.

use std::ops::ControlFlow;
use std::time::Duration;

/// Receives [`Event`]s, from several threads at once when several images are fetched.
pub trait Observer: Sync {
    /// Takes note of an event; `Break` cancels the operation that reported it.
    fn on(&self, event: Event<'_>) -> ControlFlow<()>;
}

/// An observer that does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// One thing that happened to one image.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What it happened to: `alpine-3.21 amd64 20260128_13:00`.
    pub subject: &'a str,
    /// What happened.
    pub what: What<'a>,
}

/// What happened. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum What<'a> {
    /// Another process is fetching the same bytes; we wait for it.
    Waiting {
        /// The lock file.
        lock: &'a str,
        /// The process that holds it, if it told.
        holder: Option<u32>,
        /// How long we have waited.
        since: Duration,
    },
    /// Locks do not work on this file system; two processes may fetch the same bytes twice.
    Unlocked {
        /// What the system said.
        reason: &'a str,
    },
    /// A source is asked.
    Source {
        /// Its address.
        url: &'a str,
        /// Bytes that are kept from an earlier, interrupted download.
        resumed: u64,
        /// The size of the whole file, if known.
        total: Option<u64>,
    },
    /// Bytes arrived.
    Progress {
        /// How many there are now, kept ones included.
        received: u64,
        /// The size of the whole file, if known.
        total: Option<u64>,
    },
    /// The same source will be asked again after a pause.
    Retry {
        /// Its address.
        url: &'a str,
        /// What was wrong.
        verdict: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
    /// A source did not deliver.
    Failed {
        /// Its address.
        url: &'a str,
        /// What was wrong.
        verdict: &'a str,
        /// The source that is asked next; none if this was the last one.
        next: Option<&'a str>,
    },
    /// A cached file was damaged and has been moved aside.
    Quarantined {
        /// Where it is now.
        path: &'a str,
        /// What was wrong with it.
        reason: &'a str,
    },
    /// The subject is this part of a container image: a layer, or its configuration.
    Part {
        /// `sha256:` and 64 hex digits.
        digest: &'a str,
        /// Its size.
        size: u64,
    },
    /// A path of a container image that is a link or a file in a lower layer became a directory:
    /// a higher layer has something below it, without saying that it is one. On systems with a
    /// merged `/usr` that is mostly a mistake of the image's maker.
    MadeFolder {
        /// Components joined by `/`.
        path: &'a str,
        /// The layer that did it, counted from the lowest.
        layer: usize,
    },
    /// An archive is being unpacked.
    Unpacking {
        /// Bytes of the compressed file that were read.
        read: u64,
        /// Its size, if known.
        total: Option<u64>,
    },
    /// A disk image is being converted or copied.
    Converting {
        /// Bytes of content that were written.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// A file-system image is being written.
    Writing {
        /// Bytes of file content that are in it.
        written: u64,
        /// How many there will be, if known.
        total: Option<u64>,
    },
    /// The verified file is in the cache.
    Done {
        /// Whether it was there before.
        cached: bool,
        /// Its size.
        size: u64,
    },
}
