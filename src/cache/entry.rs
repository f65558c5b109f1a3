//! Entries, as readers see them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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
    /// `None` where locks do not work.
    _lease: Option<FileLock>,
}

impl Entry {
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
        Self::read_entry(&self.folder_of(key), Some(&key.sha256), rehash)
    }

    /// Any sound entry with these bytes, under whatever name.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn find(&self, digest: &Digest) -> Result<Option<Entry>> {
        let suffix = format!("-{}", digest.short());
        for folder in self.folders()? {
            let candidate = folder.to_string_lossy().ends_with(&suffix);
            if candidate
                && let Lookup::Hit(entry) =
                    Self::read_entry(&folder, Some(digest), Rehash::IfTouched)?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Judges the entry in a directory. `digest` is what it must have, or else what it claims.
    pub(super) fn read_entry(
        folder: &Path,
        digest: Option<&Digest>,
        rehash: Rehash,
    ) -> Result<Lookup> {
        let path = folder.join(RECORD);
        let mut file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if sys::exists(folder) {
                    Lookup::Damaged(format!("it has no {RECORD}"))
                } else {
                    Lookup::Miss
                });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::local("cannot read", path, error));
            }
            Err(error) => return Ok(Lookup::Damaged(format!("{RECORD}: {error}"))),
        };
        let mut text = String::new();
        if let Err(error) = (&mut file).take(MAX_RECORD).read_to_string(&mut text) {
            return Ok(Lookup::Damaged(format!("{RECORD}: {error}")));
        }
        // First the lease, then the look: what is there now stays.
        let lease = match FileLock::try_shared(file) {
            Locked::Held(lease) => Some(lease),
            Locked::Unsupported(..) => None,
            // It is about to be removed.
            Locked::Busy(_) => return Ok(Lookup::Miss),
        };
        if !sys::exists(&path) {
            return Ok(Lookup::Miss);
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
            _lease: lease,
        };
        Ok(match Self::judge_file(&entry, rehash)? {
            None => Lookup::Hit(entry),
            Some(why) => Lookup::Damaged(why),
        })
    }

    /// What is wrong with the file of an entry.
    fn judge_file(entry: &Entry, rehash: Rehash) -> Result<Option<String>> {
        let path = entry.path();
        let file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::local("cannot read", path, error));
            }
            Err(error) => return Ok(Some(format!("{}: {error}", entry.record.file))),
        };
        let stamp =
            Stamp::of(&file).map_err(|error| Error::local("cannot look at", &path, error))?;
        let recorded = entry.record.stamp;
        if stamp.size != recorded.size {
            return Ok(Some(format!(
                "{} has {} bytes where {} were verified",
                entry.record.file, stamp.size, recorded.size
            )));
        }
        let untouched = stamp == recorded;
        if untouched && rehash == Rehash::IfTouched {
            return Ok(None);
        }
        let expect = Expect {
            digest: entry.record.sha256,
            size: Some(stamp.size),
            limit: 0,
        };
        match VerifyingReader::new(file, expect).drain() {
            Ok(_) => {}
            Err(Fault::Mismatch { actual, .. }) => {
                return Ok(Some(format!(
                    "{} hashes to {actual} and not to {}",
                    entry.record.file, entry.record.sha256
                )));
            }
            Err(Fault::Io(error)) => return Ok(Some(format!("{}: {error}", entry.record.file))),
            Err(Fault::Short { .. } | Fault::Long { .. }) => {
                return Ok(Some(format!(
                    "{} changed while it was read",
                    entry.record.file
                )));
            }
        }
        if !untouched {
            // Copied or touched, but right: remember what it looks like now. That a read-only
            // cache cannot is no harm.
            let record = Record {
                stamp,
                ..entry.record.clone()
            };
            let _ = sys::write_durably(&entry.folder.join(RECORD), record.to_json().as_bytes());
        }
        Ok(None)
    }
}

/// The file that makes a directory an entry.
pub(super) const RECORD: &str = "entry.json";

/// A record has a few hundred bytes; a larger one is not ours.
const MAX_RECORD: u64 = 64 << 10;
