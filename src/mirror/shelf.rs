//! Files below the root of a mirror.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::ledger::{Kept, Ledger};
use super::place::Place;
use crate::base::{Digest, Timestamp};
use crate::cache::Rehash;
use crate::error::{Error, Kind, Result};
use crate::io::{Expect, Fault, VerifyingReader};
use crate::sys::{self, Draft, Overwrite, Stamp};

/// The root of a mirror. Files get their names when they are whole, synced and proven; they are
/// read-only, and as old as the snapshot that they are of, so that a mirror is the same wherever
/// and whenever it is made.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
}

/// What has a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// The right bytes.
    Sound,
    /// Bytes that were right once, and why they are not any more.
    Damaged(String),
    /// Something else, which is not ours to replace.
    Other,
}

/// Bytes as they should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    pub(super) sha256: Digest,
    /// `None` where nobody says it.
    pub(super) size: Option<u64>,
    /// How old the file is made to look.
    pub(super) time: Timestamp,
}

impl Shelf {
    /// Makes the root if it is not there.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let root =
            std::path::absolute(root).map_err(|error| Error::local("cannot use", root, error))?;
        fs::create_dir_all(&root).map_err(|error| Error::local("cannot create", &root, error))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, place: &Place) -> PathBuf {
        place.below(&self.root)
    }

    /// The record of what is here; an empty one if there is none.
    pub(super) fn read_ledger(&self) -> Result<Ledger> {
        let path = self.own(LEDGER);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        Ledger::parse(&text).map_err(|error| {
            let message = format!(
                "{} cannot be understood ({}); without it, every file is hashed again, and only \
                 what is asked for is known to be here",
                path.display(),
                error.message()
            );
            Error::new(error.kind(), message).with_path(path)
        })
    }

    /// Writes the record, if it is another one.
    pub(super) fn write_ledger(&self, ledger: &Ledger) -> Result<()> {
        let (path, text) = (self.own(LEDGER), ledger.to_json());
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        sys::write_durably(&path, text.as_bytes())
            .and_then(|()| sys::sync_folder(&self.own("")))
            .map_err(|error| Error::local("cannot write", path, error))
    }

    /// The file that who changes the mirror has a lock on; its directory is there.
    pub(super) fn lock_path(&self) -> Result<PathBuf> {
        let folder = self.own("");
        fs::create_dir_all(&folder)
            .map_err(|error| Error::local("cannot create", folder, error))?;
        Ok(self.own(LOCK))
    }

    /// A file of our own, which no server needs.
    fn own(&self, name: &str) -> PathBuf {
        self.root.join(OWN).join(name)
    }

    /// What is there, where these bytes belong. A file that looks as it did when it was proven is
    /// believed, unless all are to be read.
    pub(super) fn look(
        &self,
        place: &Place,
        bytes: Bytes,
        known: Option<&Kept>,
        rehash: Rehash,
    ) -> Result<There> {
        let path = self.path(place);
        let known = known.filter(|known| known.sha256 == bytes.sha256);
        let damaged = |why: String| match known {
            Some(_) => There::Damaged(why),
            None => There::Other,
        };
        let file = match sys::open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !sys::exists(&path) => {
                return Ok(There::Nothing);
            }
            Err(error) if sys::is_damage(&error) => return Ok(damaged(error.to_string())),
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        let cannot = |error| Error::local("cannot read", &path, error);
        let stamp = Stamp::of(&file).map_err(cannot)?;
        if rehash == Rehash::IfTouched && known.is_some_and(|known| known.is(stamp)) {
            return Ok(There::Sound);
        }
        let again = file.try_clone().map_err(cannot)?;
        match prove(file, bytes.sha256, Some(stamp.size)) {
            Ok(_) => {
                if stamp.mtime != bytes.time.0 || stamp.mtime_nanos != 0 {
                    // Who may not change it has it hashed again next time.
                    let _ = again.set_modified(moment(bytes.time));
                }
                Ok(There::Sound)
            }
            Err(Fault::Io(error)) if !sys::is_damage(&error) => Err(cannot(error)),
            Err(fault) => Ok(damaged(words(&fault))),
        }
    }

    /// Leaves a copy of a file there: blocks are shared where the file system can, so that nothing
    /// that happens to the mirror happens to the source. The copy is hashed before it has its name.
    /// `tell` hears how many bytes are copied, and its error stops the work.
    pub(super) fn put(
        &self,
        place: &Place,
        source: &mut File,
        bytes: Bytes,
        overwrite: Overwrite,
        tell: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Kept> {
        let path = self.path(place);
        let cannot = |error| unwritten("cannot write", &path, error);
        self.make_folders(place)?;
        let draft = Draft::beside(&path).map_err(cannot)?;
        let mut stopped = None;
        let copied = sys::copy_or_reflink(source, draft.file(), |done| {
            tell(done).map_err(|error| {
                stopped = Some(error);
                io::ErrorKind::Interrupted.into()
            })
        });
        if let Some(error) = stopped {
            return Err(error);
        }
        copied.map_err(cannot)?;
        let mut copy = draft.file();
        copy.rewind().map_err(cannot)?;
        let proof = prove(copy, bytes.sha256, bytes.size);
        let size = proof.map_err(|fault| match fault {
            Fault::Io(error) => cannot(error),
            fault => {
                let message = format!(
                    "{}: the copy in the cache is damaged: {}; `distro-fetch verify --repair` \
                     fetches it again",
                    path.display(),
                    words(&fault)
                );
                Error::new(Kind::Integrity, message).with_path(&path)
            }
        })?;
        self.finish(draft, bytes.time, overwrite)?;
        Ok(Kept {
            sha256: bytes.sha256,
            size,
            mtime: bytes.time.0,
        })
    }

    /// Writes a file that was made here.
    pub(super) fn make(
        &self,
        place: &Place,
        content: &[u8],
        bytes: Bytes,
        overwrite: Overwrite,
    ) -> Result<Kept> {
        let path = self.path(place);
        let cannot = |error| unwritten("cannot write", &path, error);
        self.make_folders(place)?;
        let draft = Draft::beside(&path).map_err(cannot)?;
        draft.file().write_all(content).map_err(cannot)?;
        self.finish(draft, bytes.time, overwrite)?;
        Ok(Kept {
            sha256: bytes.sha256,
            size: content.len() as u64,
            mtime: bytes.time.0,
        })
    }

    fn finish(&self, draft: Draft, time: Timestamp, overwrite: Overwrite) -> Result<()> {
        let sealed = draft.file().set_modified(moment(time));
        sealed
            .and_then(|()| sys::seal(draft.file()))
            .map_err(|error| unwritten("cannot write below", &self.root, error))?;
        draft.commit(overwrite)
    }

    /// Gives a file of the mirror a second name; a copy where the file system has none.
    pub(super) fn link(
        &self,
        from: &Place,
        to: &Place,
        bytes: Bytes,
        overwrite: Overwrite,
        tell: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Kept> {
        self.make_folders(to)?;
        let (source, target) = (self.path(from), self.path(to));
        let cannot = |error| unwritten("cannot link", &target, error);
        let linked = match overwrite {
            Overwrite::No => sys::link(&source, &target),
            Overwrite::Yes => {
                let name = format!(".{}", sys::unique_suffix());
                let private = target.with_file_name(name);
                sys::link(&source, &private)
                    .and_then(|()| sys::rename_over(&private, &target))
                    .inspect_err(|_| {
                        let _ = sys::remove_file_if_any(&private);
                    })
            }
        };
        if linked.is_err() {
            let mut file = sys::open_regular(&source).map_err(cannot)?;
            return self.put(to, &mut file, bytes, overwrite, tell);
        }
        let size = fs::symlink_metadata(&target).map_err(cannot)?.len();
        self.sync(to).map_err(cannot)?;
        Ok(Kept {
            sha256: bytes.sha256,
            size,
            mtime: bytes.time.0,
        })
    }

    /// Writes a file that changes with the mirror, if it would be another one: an old name means the
    /// old or the new content, never a mix.
    pub(super) fn write(&self, place: &Place, content: &[u8]) -> Result<bool> {
        let path = self.path(place);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(false);
        }
        let cannot = |error| unwritten("cannot write", &path, error);
        self.make_folders(place)?;
        let draft = Draft::beside(&path).map_err(cannot)?;
        draft.file().write_all(content).map_err(cannot)?;
        draft.commit(Overwrite::Yes)?;
        Ok(true)
    }

    /// Removes a file, and the directories above it that are empty then. That it is not there is
    /// fine.
    pub(super) fn remove(&self, place: &Place) -> Result<()> {
        let path = self.path(place);
        match sys::remove_file_if_any(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotADirectory => {
                return Err(Error::local("cannot remove", path, error));
            }
            _ => {}
        }
        for folder in place.folders() {
            // One that is not empty stays.
            if fs::remove_dir(self.root.join(folder)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The size of a file that is there.
    pub(super) fn size(&self, place: &Place) -> Result<u64> {
        let path = self.path(place);
        let meta = fs::symlink_metadata(&path);
        let meta = meta.map_err(|error| Error::local("cannot look at", path, error))?;
        Ok(meta.len())
    }

    /// Whether two names mean one file.
    pub(super) fn is_one(&self, a: &Place, b: &Place) -> bool {
        sys::open_regular(&self.path(a)).is_ok_and(|file| sys::is_at(&file, &self.path(b)))
    }

    /// What a file is, whoever made it; `None` if there is none.
    pub(super) fn hash(&self, place: &Place) -> Result<Option<Kept>> {
        let path = self.path(place);
        let cannot = |error| Error::local("cannot read", &path, error);
        let file = match sys::open_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(cannot)?,
        };
        let sha256 = crate::io::hash(&file, cannot, |_| Ok(()))?;
        let stamp = Stamp::of(&file).map_err(cannot)?;
        Ok(Some(Kept {
            sha256,
            size: stamp.size,
            mtime: stamp.mtime,
        }))
    }

    /// The first bytes of a file: so many, or all.
    pub(super) fn start(&self, place: &Place, length: usize) -> Result<Vec<u8>> {
        let path = self.path(place);
        let mut start = Vec::new();
        let read = sys::open_regular(&path)
            .and_then(|file| file.take(length as u64).read_to_end(&mut start));
        read.map_err(|error| Error::local("cannot read", path, error))?;
        Ok(start)
    }

    /// Makes the directories above a file, each durable before there is something in it.
    fn make_folders(&self, place: &Place) -> Result<()> {
        let folders: Vec<_> = place.folders().collect();
        for folder in folders.into_iter().rev() {
            let path = self.root.join(folder);
            let made = match fs::create_dir(&path) {
                Ok(()) => sys::sync_folder(path.parent().unwrap_or(&self.root)),
                Err(_) if path.is_dir() => Ok(()),
                other => other,
            };
            made.map_err(|error| unwritten("cannot create", &path, error))?;
        }
        Ok(())
    }

    fn sync(&self, place: &Place) -> io::Result<()> {
        sys::sync_folder(&self.root.join(place.split().0))
    }
}

fn prove(file: impl Read, sha256: Digest, size: Option<u64>) -> Result<u64, Fault> {
    let expect = Expect {
        digest: sha256,
        size,
        limit: u64::MAX,
    };
    let verified = VerifyingReader::new(file, expect).drain()?;
    Ok(verified.size())
}

fn words(fault: &Fault) -> String {
    match fault {
        Fault::Io(error) => error.to_string(),
        Fault::Short { got, expected } => format!("{got} bytes where {expected} are pinned"),
        Fault::Long { allowed } => format!("more than {allowed} bytes"),
        Fault::Mismatch { actual, .. } => format!("it hashes to {actual}"),
    }
}

/// A full disk is the mirror's own here, and no cache makes room on it.
fn unwritten(doing: &str, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let message = format!(
                "{doing} {}: no space is left for the mirror; --retain N takes out old versions",
                path.display()
            );
            Error::new(Kind::Local, message).with_path(path)
        }
        _ => Error::local(doing, path, error),
    }
}

fn moment(time: Timestamp) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.0).unwrap_or(0))
}

/// What is ours alone: hidden, so that no upstream path is there.
const OWN: &str = ".distro-fetch";
const LEDGER: &str = "mirror.json";
const LOCK: &str = "mirror.lock";
