//! The cache directory itself, and the lock on a download.

use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Key;
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::sys::{self, FileLock, Locked};

/// A cache directory. Making one touches nothing on disk.
#[derive(Clone, Debug)]
pub struct Cache {
    base: PathBuf,
    root: PathBuf,
}

/// The right to download one digest, or the knowledge that nobody can have it alone.
#[derive(Debug)]
#[must_use = "the lock is released when this value is dropped"]
pub enum WriteLock {
    /// Nobody else downloads this digest.
    Held(FileLock),
    /// Locks do not work here; the reason is what the system said.
    Unsupported(String),
}

/// Somebody else is downloading what we want.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The lock file.
    pub lock: &'a Path,
    /// The process that holds it, if it told.
    pub holder: Option<u32>,
    /// How long we have waited.
    pub since: Duration,
}

impl Waiting<'_> {
    /// Tells it as an event.
    pub fn tell<T>(&self, tell: impl FnOnce(What<'_>) -> T) -> T {
        tell(What::Waiting {
            lock: &self.lock.to_string_lossy(),
            holder: self.holder,
            since: self.since,
        })
    }
}

impl Cache {
    /// The cache in this directory, whether it exists yet or not.
    ///
    /// # Errors
    /// [`Kind::Local`] if others may put files there: what it holds would not be ours.
    pub fn at(base: impl AsRef<Path>) -> Result<Self> {
        let base = std::path::absolute(base.as_ref()).map_err(|error| {
            Error::local("cannot use the cache directory", base.as_ref(), error)
        })?;
        let root = base.join(VERSION);
        for folder in [&base, &root] {
            let unsafe_because = sys::check_private(folder).map_err(|error| {
                Error::local("cannot look at the cache directory", folder, error)
            })?;
            if let Some(why) = unsafe_because {
                let message = format!(
                    "the cache directory {} is not safe: {why}",
                    folder.display()
                );
                return Err(Error::new(Kind::Local, message).with_path(folder));
            }
        }
        Ok(Self { base, root })
    }

    /// The directory that [`at`](Self::at) was given, absolute.
    pub fn path(&self) -> &Path {
        &self.base
    }

    /// The directory of an entry, whether it is there or not.
    pub fn folder_of(&self, key: &Key) -> PathBuf {
        self.images().join(key.folder())
    }

    /// What has everything else in it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the entries are.
    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where the images of layers are, whether there are any or not.
    pub fn layer_images(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// Where downloads grow.
    pub(super) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Where damaged entries go.
    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Creates what a writer needs, with `CACHEDIR.TAG` so that backups leave it out
    /// (<https://bford.info/cachedir/>).
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn prepare(&self) -> Result<()> {
        for folder in [&self.images(), &self.partials(), &self.locks()] {
            sys::create_private(folder).map_err(|error| cannot("create", folder, error))?;
        }
        let tag = self.root.join(TAG);
        if !sys::exists(&tag) {
            // A sweep takes the torn ones.
            let _staging = self.share_staging()?;
            sys::write_durably(&tag, CACHEDIR_TAG).map_err(|error| cannot("write", &tag, error))?;
        }
        Ok(())
    }

    /// Held by whoever stages an entry, so that nobody sweeps it away half made. `None` where
    /// locks do not work: nobody sweeps there.
    pub(super) fn share_staging(&self) -> Result<Option<FileLock>> {
        let (mut file, start) = (self.staging_lock()?, Instant::now());
        loop {
            match FileLock::try_shared(file) {
                Locked::Held(lock) => return Ok(Some(lock)),
                Locked::Unsupported(..) => return Ok(None),
                // A sweep takes a moment; one that hangs does not stop us.
                Locked::Busy(_) if start.elapsed() > SWEEP_PATIENCE => return Ok(None),
                Locked::Busy(back) => file = back,
            }
            std::thread::sleep(SWEEP_POLL);
        }
    }

    /// The right to sweep, if nobody stages anything right now.
    pub(super) fn claim_staging(&self) -> Result<Option<FileLock>> {
        Ok(
            match FileLock::exclusive_in_a_moment(self.staging_lock()?) {
                Locked::Held(lock) => Some(lock),
                Locked::Busy(_) | Locked::Unsupported(..) => None,
            },
        )
    }

    fn staging_lock(&self) -> Result<std::fs::File> {
        let path = self.locks().join("staging.lock");
        let open = || {
            sys::create_private(&self.locks())?;
            sys::open_append(&path)
        };
        open().map_err(|error| cannot("open the lock file", &path, error))
    }

    /// Bytes that still fit, if the system tells.
    pub fn available_space(&self) -> Option<u64> {
        sys::available_space(&self.root).ok()
    }

    /// Waits for the right to download a digest. `waiting` is asked ten times a second; its
    /// `Break` gives up.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] after a `Break`; [`Kind::Local`] if the lock file cannot be made.
    pub fn lock(
        &self,
        digest: &Digest,
        mut waiting: impl FnMut(Waiting<'_>) -> ControlFlow<()>,
    ) -> Result<WriteLock> {
        self.prepare()?;
        let path = self.locks().join(format!("{digest}.lock"));
        let mut file =
            sys::open_append(&path).map_err(|error| cannot("open the lock file", &path, error))?;
        let start = Instant::now();
        loop {
            match FileLock::try_exclusive(file) {
                Locked::Held(lock) => {
                    tell_holder(&lock);
                    return Ok(WriteLock::Held(lock));
                }
                Locked::Unsupported(_, error) => {
                    return Ok(WriteLock::Unsupported(error.to_string()));
                }
                Locked::Busy(back) => file = back,
            }
            let holder = read_holder(&mut file);
            let status = Waiting {
                lock: &path,
                holder,
                since: start.elapsed(),
            };
            if waiting(status).is_break() {
                return Err(Error::new(
                    Kind::Cancelled,
                    format!("stopped while waiting for {}", path.display()),
                ));
            }
            std::thread::sleep(POLL);
        }
    }
}

/// With the state of the file system in words, where that is the reason.
fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    match sys::mount_error(&error) {
        Some(state) => Error::local(&format!("{state}: cannot {what}"), path, error),
        None => Error::local(&format!("cannot {what}"), path, error),
    }
}

/// Writes who we are into the lock file, for the one who waits. Only for a message: nobody
/// decides anything by it, so that it may fail.
fn tell_holder(lock: &FileLock) {
    let mut file = lock.file();
    let _ = file.set_len(0);
    // Whoever waited has read to the end of what was there before.
    let _ = file.rewind();
    let _ = file.write_all(std::process::id().to_string().as_bytes());
}

fn read_holder(file: &mut std::fs::File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// The layout that this program knows; another one would live beside it.
const VERSION: &str = "v1";

/// How often a waiter looks again: a killed holder is noticed within a tenth of a second.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// The same for a sweep, which is over sooner.
const SWEEP_POLL: Duration = Duration::from_millis(5);
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);

/// Where backup programs look.
pub(super) const TAG: &str = "CACHEDIR.TAG";

const CACHEDIR_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55
# This directory is a cache of distro-fetch: everything in it can be fetched again.
";
