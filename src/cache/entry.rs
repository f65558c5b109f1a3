//! Entries, as readers see them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cache, Key, Record};
use crate::base::Digest;
use crate::error::{Error, Result};
use crate::io::{Expect, Fault, VerifyingReader};
use crate::sys::{self, FileLock, Locked, Stamp};

/// A verified file in the cache. As long as this value lives, nobody prunes it.
#[derive(Debug)]
pub struct Entry {
    folder: PathBuf,
    record: Record,
    lease: Lease,
}

/// What keeps an entry from being removed: a shared lock on its record, where locks work.
#[derive(Debug)]
enum Lease {
    Held(FileLock),
    Impossible(File),
}

impl Lease {
    /// First the lease, then the look: what is there now stays.
    fn on(folder: &Path) -> Result<Leased> {
        let path = folder.join(RECORD);
        let file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if sys::exists(folder) && !sys::exists(&path) {
                    Leased::Damaged(format!("it has no {RECORD}"))
                } else {
                    Leased::Missing
                });
            }
            Err(error) if sys::is_damage(&error) => {
                return Ok(Leased::Damaged(format!("{RECORD}: {error}")));
            }
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        let lease = match FileLock::try_shared(file) {
            Locked::Held(lock) => Self::Held(lock),
            Locked::Unsupported(file, _) => Self::Impossible(file),
            Locked::Busy(_) => return Ok(Leased::Changing),
        };
        // A lease on a record that no longer has the name keeps nothing.
        let current = sys::is_at(lease.file(), &path);
        Ok(if current {
            Leased::Held(lease)
        } else {
            Leased::Changing
        })
    }

    fn file(&self) -> &File {
        match self {
            Self::Held(lock) => lock.file(),
            Self::Impossible(file) => file,
        }
    }
}

impl Entry {
    /// An entry whose record was locked before it had its name.
    pub(super) fn new(folder: PathBuf, record: Record, locked: Locked) -> Self {
        let lease = match locked {
            Locked::Held(lock) => Lease::Held(lock),
            Locked::Busy(file) | Locked::Unsupported(file, _) => Lease::Impossible(file),
        };
        Self {
            folder,
            record,
            lease,
        }
    }

    /// The verified file, absolute.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.record.file)
    }

    /// The directory of the entry.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the entry says of itself.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Opens the verified file.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn open(&self) -> Result<File> {
        let path = self.path();
        sys::open_regular(&path).map_err(|error| Error::local("cannot open", path, error))
    }

    /// Reads the file, and believes nothing.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if it cannot be read.
    pub fn is_sound(&self) -> Result<bool> {
        Ok(!matches!(self.judge(Rehash::Always)?, Judged::Damaged(_)))
    }

    /// What is wrong with the file.
    fn judge(&self, rehash: Rehash) -> Result<Judged> {
        let path = self.path();
        let name = &self.record.file;
        let damaged = |why: String| Ok(Judged::Damaged(why));
        let file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if sys::is_damage(&error) => return damaged(format!("{name}: {error}")),
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        let stamp =
            Stamp::of(&file).map_err(|error| Error::local("cannot look at", &path, error))?;
        let recorded = self.record.stamp;
        if stamp.size != recorded.size {
            return damaged(format!(
                "{name} has {} bytes where {} were verified",
                stamp.size, recorded.size
            ));
        }
        if stamp == recorded && rehash == Rehash::IfTouched {
            return Ok(Judged::Untouched);
        }
        let expect = Expect {
            digest: self.record.sha256,
            size: Some(stamp.size),
            limit: 0,
        };
        match VerifyingReader::new(file, expect).drain() {
            Ok(_) if stamp == recorded => Ok(Judged::Untouched),
            Ok(_) => Ok(Judged::Right(stamp)),
            Err(Fault::Mismatch { actual, .. }) => damaged(format!(
                "{name} hashes to {actual} and not to {}",
                self.record.sha256
            )),
            Err(Fault::Io(error)) if sys::is_damage(&error) => damaged(format!("{name}: {error}")),
            Err(Fault::Io(error)) => Err(Error::local("cannot read", path, error)),
            Err(Fault::Short { .. } | Fault::Long { .. }) => {
                damaged(format!("{name} changed while it was read"))
            }
        }
    }

    /// Remembers what a file that was copied or touched, and is right, looks like now. That a
    /// read-only cache cannot is no harm. `None` if the entry was removed meanwhile.
    ///
    /// The record is what readers hold, so that it is replaced only when no other reader does,
    /// and the new one is held before anybody can see it.
    fn remember(self, stamp: Stamp) -> Option<Self> {
        let Entry {
            folder,
            mut record,
            lease,
        } = self;
        record.stamp = stamp;
        let path = folder.join(RECORD);
        let write = |record: &Record| {
            sys::write_durably_with(&path, record.to_json().as_bytes(), FileLock::try_shared)
        };
        let lock = match lease {
            Lease::Held(lock) => lock,
            Lease::Impossible(file) => {
                let _ = write(&record);
                let lease = Lease::Impossible(file);
                return Some(Entry {
                    folder,
                    record,
                    lease,
                });
            }
        };
        // Changing the kind of a lock lets go of it for a moment: look again afterwards.
        let file = match FileLock::try_exclusive(lock.into_file()) {
            Locked::Held(alone) if sys::is_at(alone.file(), &path) => {
                if let Ok(locked) = write(&record) {
                    return Some(Entry::new(folder, record, locked));
                }
                alone.into_file()
            }
            Locked::Held(_) => return None,
            Locked::Busy(file) | Locked::Unsupported(file, _) => file,
        };
        match FileLock::try_shared(file) {
            Locked::Held(lock) if sys::is_at(lock.file(), &path) => {
                let lease = Lease::Held(lock);
                Some(Entry {
                    folder,
                    record,
                    lease,
                })
            }
            _ => None,
        }
    }
}

/// Whether a hit is believed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehash {
    /// Believe a file that has not been touched since it was verified.
    IfTouched,
    /// Read it all.
    Always,
}

/// What a look into the cache gives.
#[derive(Debug)]
#[must_use]
pub enum Lookup {
    /// The entry is there and sound.
    Hit(Entry),
    /// There is none.
    Miss,
    /// There is one, and it is not what it should be.
    Damaged(String),
}

impl Cache {
    /// Looks for an entry. Costs a few `stat`s and reads `entry.json`; writes nothing.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn lookup(&self, key: &Key, rehash: Rehash) -> Result<Lookup> {
        read_entry(&self.folder_of(key), Some(&key.sha256), rehash)
    }

    /// Any sound entry with these bytes, under whatever name.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn find(&self, digest: &Digest) -> Result<Option<Entry>> {
        let suffix = format!("-{}", digest.short());
        for folder in self.folders()? {
            let candidate = folder.to_string_lossy().ends_with(&suffix);
            // One that cannot be read is no reason to fail: there is still the network.
            if candidate
                && let Ok(Lookup::Hit(entry)) = read_entry(&folder, Some(digest), Rehash::IfTouched)
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Judges the entry in a directory. `digest` is what it must have, or else what it claims.
pub(super) fn read_entry(folder: &Path, digest: Option<&Digest>, rehash: Rehash) -> Result<Lookup> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lease = match Lease::on(folder)? {
            Leased::Held(lease) => lease,
            Leased::Damaged(why) => return Ok(Lookup::Damaged(why)),
            // Removed, replaced, or looked at by a dry run: over in no time.
            Leased::Changing if Instant::now() < deadline => {
                std::thread::sleep(POLL);
                continue;
            }
            Leased::Missing | Leased::Changing => return Ok(Lookup::Miss),
        };
        let mut text = String::new();
        if let Err(error) = lease.file().take(MAX_RECORD).read_to_string(&mut text) {
            return Ok(Lookup::Damaged(format!("{RECORD}: {error}")));
        }
        let Some(record) = Record::parse(&text) else {
            return Ok(Lookup::Damaged(format!("{RECORD} cannot be read")));
        };
        if digest.is_some_and(|digest| *digest != record.sha256) {
            return Ok(Lookup::Damaged(format!("{RECORD} names another hash")));
        }
        let entry = Entry {
            folder: folder.to_owned(),
            record,
            lease,
        };
        match entry.judge(rehash)? {
            Judged::Untouched => return Ok(Lookup::Hit(entry)),
            Judged::Damaged(why) => return Ok(Lookup::Damaged(why)),
            Judged::Right(stamp) => {
                if let Some(entry) = entry.remember(stamp) {
                    return Ok(Lookup::Hit(entry));
                }
            }
        }
    }
}

/// What came of an attempt to hold an entry.
enum Leased {
    Held(Lease),
    Missing,
    Damaged(String),
    /// Somebody removes or replaces it right now.
    Changing,
}

/// What the file of an entry is.
enum Judged {
    /// As it was recorded.
    Untouched,
    /// Right, with another stamp than the recorded one.
    Right(Stamp),
    Damaged(String),
}

/// How long an entry may be held by somebody who wants it alone: removing is one rename.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often one looks again.
const POLL: Duration = Duration::from_millis(1);

/// The file that makes a directory an entry.
pub(super) const RECORD: &str = "entry.json";

/// A record has a few hundred bytes; a larger one is not ours.
const MAX_RECORD: u64 = 64 << 10;
