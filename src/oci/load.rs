//! Layers of an image become layers of a tree: checked, decoded, several at once.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::blob::{Blob, mismatch};
use super::image::{Image, ImageLayer};
use crate::archive::{Checks, Decoder, Empty, End, Format, Limits, Reader};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys;
use crate::tree::{Dialect, Flavor, Keep, Layer, Merged, Spool};

/// Reads the layers of images.
pub struct Loader<'a> {
    spool: &'a Path,
    limits: Limits,
    threads: NonZeroUsize,
    trust: Trust,
    observer: &'a dyn Observer,
}

/// Whether parts must be hashed before they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// They must.
    #[default]
    Nobody,
    /// Somebody has just done it: parts in our own cache.
    Hashed,
}

impl<'a> Loader<'a> {
    /// Decodes what is compressed into files without a name in `spool`, which is best on the file
    /// system of what is made of it.
    pub fn new(spool: &'a Path, observer: &'a dyn Observer) -> Self {
        Self {
            spool,
            limits: Limits::default(),
            threads: sys::processors(),
            trust: Trust::Nobody,
            observer,
        }
    }

    /// With these limits, for all layers together.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With so many layers at once. What comes out does not depend on it.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// Hashing parts before they are used, or not.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// All layers of an image, the lowest first.
    ///
    /// # Errors
    /// [`Kind::Integrity`] if a layer is not what it should be, packed or unpacked;
    /// [`Kind::Format`] if it is malformed, unsafe or beyond a limit; [`Kind::Local`];
    /// [`Kind::Cancelled`].
    pub fn layers(&self, image: &Image) -> Result<Vec<Layer>> {
        let work = Work::default();
        let mut done = sys::each(image.layers.len(), self.threads, |at, (): &mut ()| {
            if work.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            self.layer(&image.layers[at], &work)
                .inspect_err(|_| work.stop.store(true, Ordering::Relaxed))
        });
        // Those that were only stopped because of another one say less than that one.
        if let Some(at) = done
            .iter()
            .position(|it| it.as_ref().is_err_and(|it| !is_stop(it)))
        {
            return done.swap_remove(at).map(|it| vec![it]);
        }
        done.into_iter().collect()
    }

    /// What all layers make together. The observer hears of paths that became directories.
    ///
    /// # Errors
    /// As [`layers`](Self::layers), and [`Kind::Format`] if they do not go together.
    pub fn tree(&self, image: &Image) -> Result<Merged> {
        let merged = Layer::merge(&self.layers(image)?)?;
        for forced in &merged.forced {
            let path = String::from_utf8_lossy(&forced.path);
            self.observe(&image.name, || What::MadeFolder {
                path: &path,
                layer: forced.layer,
            })?;
        }
        Ok(merged)
    }

    fn layer(&self, layer: &ImageLayer, work: &Work) -> Result<Layer> {
        let limits = Limits {
            entries: self.limits.entries.saturating_sub(work.names()),
            ..self.limits
        };
        let layer = match layer {
            ImageLayer::Folder(path) => {
                let subject = path.to_string_lossy();
                Layer::of_directory(path, Flavor::Overlay, limits, || {
                    self.tell(&subject, 0, None, work)
                })?
            }
            ImageLayer::Blob {
                blob,
                format,
                diff_id,
            } => self.blob(blob, *format, *diff_id, limits, work)?,
        };
        work.names
            .fetch_add(layer.name_count() as u64, Ordering::Relaxed);
        Ok(layer)
    }

    fn blob(
        &self,
        blob: &Blob,
        format: Format,
        diff_id: Option<Digest>,
        limits: Limits,
        work: &Work,
    ) -> Result<Layer> {
        let total = blob.size();
        let subject = match blob.digest().or(diff_id) {
            Some(digest) => format!("sha256:{digest}"),
            None => blob.name().to_owned(),
        };
        let tell = |read| self.tell(&subject, read, Some(total), work);
        if self.trust == Trust::Nobody {
            blob.check(|_| tell(0))?;
        }
        let window = blob.open();
        let source = Counted {
            window: window.clone(),
            read: Arc::default(),
        };
        let read = source.read.clone();
        // A tar that is not compressed has one hash, which was just found right.
        let hashed = format == Format::Plain && diff_id.is_some() && blob.digest() == diff_id;
        let (keep, source): (_, Box<dyn Read>) = if format == Format::Plain {
            (Keep::InPlace(window), Box::new(source))
        } else {
            let decoder = Decoder::new(source, format, &limits, Checks::Verify);
            let decoder = decoder.map_err(|it| it.about(blob.name()))?;
            (
                Keep::Spool(Spool::create(self.spool)?),
                Box::new(decoder.threaded()),
            )
        };
        let source = Hashed {
            source,
            hash: (!hashed).then(Sha256::new),
            work,
            most: self.limits.bytes,
        };
        // Of what has a known hash nothing is missing, whatever it ends with.
        let end = match diff_id {
            Some(_) => End::Anywhere,
            None => End::Marked,
        };
        let reader = Reader::new(source, limits)
            .with_empty(Empty::Allow)
            .with_end(end);
        let (layer, rest) = Layer::read(reader, Dialect::Layer, keep, limits, || {
            tell(read.load(Ordering::Relaxed))
        })
        .map_err(|it| it.about(blob.name()))?;
        if let (Some(expected), Some(hash)) = (diff_id, rest.hash) {
            let actual = Digest::from_bytes(hash.finalize().into());
            if actual != expected {
                let what = "the SHA-256 of what it unpacks to";
                return Err(mismatch(blob.name(), what, expected, actual));
            }
        }
        Ok(layer)
    }

    fn tell(&self, subject: &str, read: u64, total: Option<u64>, work: &Work) -> Result<()> {
        if work.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        self.observe(subject, || What::Unpacking { read, total })
    }

    fn observe<'b>(&self, subject: &str, what: impl FnOnce() -> What<'b>) -> Result<()> {
        let what = what();
        if self.observer.on(Event { subject, what }).is_break() {
            return Err(stopped());
        }
        Ok(())
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Work {
    stop: AtomicBool,
    /// Names of all layers that are done.
    names: AtomicU64,
    /// Bytes that came out of all layers.
    bytes: AtomicU64,
}

impl Work {
    fn names(&self) -> u64 {
        self.names.load(Ordering::Relaxed)
    }
}

/// Counts what is read of a blob, from another thread.
struct Counted {
    window: crate::tree::Window,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.window.read(out)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Hashes what comes out, to its very end, and holds all layers together to one limit.
struct Hashed<'a> {
    source: Box<dyn Read>,
    hash: Option<Sha256>,
    work: &'a Work,
    most: u64,
}

impl Read for Hashed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(out)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&out[..n]);
        }
        let before = self.work.bytes.fetch_add(n as u64, Ordering::Relaxed);
        if before.saturating_add(n as u64) > self.most {
            let message = format!(
                "more than the limit `bytes` of {} in all layers together",
                self.most
            );
            return Err(io::Error::other(Error::new(Kind::Format, message)));
        }
        Ok(n)
    }
}

fn is_stop(error: &Error) -> bool {
    error.kind() == Kind::Cancelled
}

fn stopped() -> Error {
    Error::new(Kind::Cancelled, "stopped while reading layers")
}
