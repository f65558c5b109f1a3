//! Blobs of container images: files whose name is their hash.
//!
//! They lie where an OCI image layout has them (`oci/blobs/sha256/<hex>`), so that any tool can
//! read them; what refers to them is the business of whoever knows images. There is no record
//! beside a blob: trust is in its modification time, which is made from its hash and its inode when
//! the hash is found right. Whoever writes to a blob changes the time, whoever copies one the inode,
//! and it is read again before it is believed again.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::{Cache, Partial, Rehash};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::io::{Expect, Fault, Verified, VerifyingReader};
use crate::sys::{self, FileLock, Stamp};

/// What a look for a blob gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Blob {
    /// It is there, and right.
    Sound {
        /// Its size in bytes.
        size: u64,
    },
    /// It is not there.
    Missing,
    /// What is there is not what it should be.
    Damaged(String),
}

impl Cache {
    /// The OCI image layout of this cache, whether it is there or not.
    pub fn layout(&self) -> PathBuf {
        self.root().join("oci")
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_folder().join(digest.to_string())
    }

    fn blob_folder(&self) -> PathBuf {
        self.layout().join("blobs/sha256")
    }

    /// Looks for a blob, of this size if it is known.
    ///
    /// # Errors
    /// [`Kind::Local`] if the cache cannot be read.
    pub fn blob(&self, digest: &Digest, size: Option<u64>, rehash: Rehash) -> Result<Blob> {
        let path = self.blob_path(digest);
        let file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !sys::exists(&path) => {
                return Ok(Blob::Missing);
            }
            Err(error) if sys::is_damage(&error) => return Ok(Blob::Damaged(error.to_string())),
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        let stamp =
            Stamp::of(&file).map_err(|error| Error::local("cannot look at", &path, error))?;
        if let Some(size) = size.filter(|size| *size != stamp.size) {
            let why = format!("{} bytes where {size} were verified", stamp.size);
            return Ok(Blob::Damaged(why));
        }
        let trusted = (stamp.mtime, stamp.mtime_nanos) == (mark(digest, stamp.inode), 0);
        if trusted && rehash == Rehash::IfTouched {
            return Ok(Blob::Sound { size: stamp.size });
        }
        let again = file
            .try_clone()
            .map_err(|error| Error::local("cannot read", &path, error))?;
        let expect = Expect {
            digest: *digest,
            size: Some(stamp.size),
            limit: 0,
        };
        match VerifyingReader::new(file, expect).drain() {
            Ok(_) => {
                if !trusted {
                    // A read-only cache hashes it again next time.
                    let _ = again.set_modified(time(digest, stamp.inode));
                }
                Ok(Blob::Sound { size: stamp.size })
            }
            Err(Fault::Mismatch { actual, .. }) => {
                Ok(Blob::Damaged(format!("it hashes to {actual}")))
            }
            Err(Fault::Io(error)) if sys::is_damage(&error) => Ok(Blob::Damaged(error.to_string())),
            Err(Fault::Io(error)) => Err(Error::local("cannot read", path, error)),
            Err(Fault::Short { .. } | Fault::Long { .. }) => {
                Ok(Blob::Damaged("it changed while it was read".to_owned()))
            }
        }
    }

    /// The bytes of a small blob, hashed as they are read; `None` if it is not there, too large, or
    /// damaged.
    ///
    /// # Errors
    /// [`Kind::Local`] if the cache cannot be read.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.blob_path(digest);
        let read = || {
            let file = sys::open_regular(&path)?;
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => {
                Ok(Some(bytes).filter(|it| it.len() as u64 <= limit && hash(it) == *digest))
            }
            Err(error) if sys::is_damage(&error) => Ok(None),
            Err(error) => Err(Error::local("cannot read", path, error)),
        }
    }

    /// Makes a verified download a blob, and the partial file go.
    ///
    /// # Errors
    /// [`Kind::Local`]. The partial file is then still there, unless it could not be synced.
    pub fn keep_blob(&self, partial: Partial, verified: &Verified) -> Result<PathBuf> {
        if verified.size() != partial.length() {
            return Err(Error::new(Kind::Other, "the proof is for other bytes"));
        }
        let digest = verified.digest();
        if let Err(error) = seal(partial.file(), &digest) {
            let error = Error::local("cannot make durable", partial.path(), error);
            partial.discard();
            return Err(error);
        }
        let path = self.unveil_blob(partial.path(), &digest)?;
        partial.discard();
        Ok(path)
    }

    /// Makes bytes that are in memory a blob; its digest. Whoever does so shares the blobs
    /// ([`share_blobs`](Self::share_blobs)): what is half written goes with a sweep.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest> {
        self.prepare()?;
        let digest = hash(bytes);
        // Not where downloads grow, whose lock nobody has here.
        let name = format!("{TORN_BLOB}{}.tmp", sys::unique_suffix());
        let temporary = self.layout().join(name);
        let write = || {
            sys::create_private(&self.layout())?;
            let mut file = sys::create_exclusive(&temporary)?;
            file.write_all(bytes)?;
            seal(&file, &digest)
        };
        let written = write()
            .map_err(|error| Error::local("cannot write", &temporary, error))
            .and_then(|()| self.unveil_blob(&temporary, &digest));
        if written.is_err() {
            let _ = sys::remove_file_if_any(&temporary);
        }
        written.map(|_| digest)
    }

    /// The moment at which a blob exists. What has its name already is the same, or damaged.
    fn unveil_blob(&self, sealed: &Path, digest: &Digest) -> Result<PathBuf> {
        let folder = self.blob_folder();
        let path = self.blob_path(digest);
        sys::create_private(&folder)
            .and_then(|()| sys::rename_over(sealed, &path))
            .and_then(|()| {
                let ours = folder
                    .ancestors()
                    .take_while(|it| it.starts_with(self.path()));
                ours.take(BLOB_DEPTH).try_for_each(sys::sync_folder)
            })
            .map_err(|error| Error::local("cannot create", &path, error))?;
        Ok(path)
    }

    /// Every blob, sorted. Files of other names are not ours.
    ///
    /// # Errors
    /// [`Kind::Local`] if the cache cannot be read.
    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let folder = self.blob_folder();
        let names =
            sys::names(&folder).map_err(|error| Error::local("cannot list", &folder, error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Moves a damaged blob out of the way; where it is now. `None` if it is not there or not
    /// damaged any more.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn set_blob_aside(&self, digest: &Digest, size: Option<u64>) -> Result<Option<PathBuf>> {
        if !matches!(self.blob(digest, size, Rehash::Always)?, Blob::Damaged(_)) {
            return Ok(None);
        }
        let quarantine = self.quarantine();
        let path = self.blob_path(digest);
        let target = quarantine.join(format!("oci_{digest}.{}", sys::unique_suffix()));
        let moved =
            sys::create_private(&quarantine).and_then(|()| sys::rename_noreplace(&path, &target));
        match moved {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::local("cannot set aside", path, error)),
            Ok(()) => Ok(Some(target)),
        }
    }

    /// Held by whoever brings blobs that nothing refers to yet, and by whoever reads blobs: as
    /// long as it is, nobody sweeps them away. `None` where locks do not work.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn share_blobs(&self) -> Result<Option<FileLock>> {
        self.share_staging()
    }

    /// The right to sweep blobs away, if nobody brings or reads any right now.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn claim_blobs(&self) -> Result<Option<FileLock>> {
        self.claim_staging()
    }
}

fn hash(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Read-only, marked as verified, and durable.
fn seal(file: &File, digest: &Digest) -> io::Result<()> {
    file.set_modified(time(digest, Stamp::of(file)?.inode))?;
    sys::seal(file)
}

/// A time in whole seconds, which every file system keeps, between 2004 and 2021: nobody who writes
/// today makes one. FAT keeps the even ones.
fn mark(digest: &Digest, inode: u64) -> i64 {
    let word = |bytes: &[u8]| {
        let bytes = bytes.iter().take(4);
        bytes.fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
    };
    // An inode that is near another one gives a time that is far from the other's.
    let place = word(&(inode << 32 ^ inode).to_be_bytes()).wrapping_mul(0x9e37_79b1);
    let spread = (word(digest.as_bytes()) ^ place) & 0x1fff_fffe;
    (1 << 30) + i64::from(spread)
}

fn time(digest: &Digest, inode: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(mark(digest, inode).unsigned_abs())
}

/// How files in the layout start that are not blobs yet.
const TORN_BLOB: &str = "blob.";

/// `sha256`, `blobs`, `oci`, and what they are in: each may be new.
const BLOB_DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_blob_that_was_touched_is_read_again() {
        let folder = std::env::temp_dir().join(format!("df-blob-{}", sys::unique_suffix()));
        let cache = Cache::at(&folder).unwrap();
        let digest = cache.write_blob(b"some bytes").unwrap();
        let path = cache.blob_path(&digest);
        let look = |size, rehash| cache.blob(&digest, size, rehash).unwrap();
        let sound = Blob::Sound { size: 10 };
        let stamp = |path: &Path| Stamp::of(&sys::open_regular(path).unwrap()).unwrap();
        let mtime = stamp(&path).mtime;
        assert_eq!(look(Some(10), Rehash::IfTouched), sound);
        assert!(matches!(
            look(Some(11), Rehash::IfTouched),
            Blob::Damaged(_)
        ));
        // A copy is another file: it is read once, and then it is known.
        let copy = folder.join("copy");
        fs::copy(&path, &copy).unwrap();
        let file = File::open(&copy).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs()))
            .unwrap();
        sys::rename_over(&copy, &path).unwrap();
        assert_eq!(look(None, Rehash::IfTouched), sound);
        assert_ne!(stamp(&path).mtime, mtime);
        // Other bytes of the same length.
        fs::remove_file(&path).unwrap();
        assert_eq!(look(None, Rehash::IfTouched), Blob::Missing);
        fs::write(&path, b"some bites").unwrap();
        assert!(matches!(
            look(Some(10), Rehash::IfTouched),
            Blob::Damaged(_)
        ));
        assert_eq!(cache.read_blob(&digest, 100).unwrap(), None);
        let aside = cache.set_blob_aside(&digest, None).unwrap().unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"some bites");
        assert_eq!(cache.set_blob_aside(&digest, None).unwrap(), None);
        // A link to the right bytes is not ours.
        fs::write(folder.join("elsewhere"), b"some bytes").unwrap();
        std::os::unix::fs::symlink(folder.join("elsewhere"), &path).unwrap();
        assert!(matches!(look(None, Rehash::IfTouched), Blob::Damaged(_)));
        fs::remove_dir_all(&folder).unwrap();
    }
}
