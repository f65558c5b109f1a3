//! All entries at once: listing, checking, removing, setting aside.

use std::path::{Path, PathBuf};

use super::entry::{Lookup, RECORD, Rehash, read_entry};
use super::{Cache, Entry};
use crate::base::Digest;
use crate::error::{Error, Result};
use crate::sys::{self, FileLock, Locked};

/// A directory that is, or should be, an entry.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub folder: PathBuf,
    /// What is in it.
    pub condition: Condition,
}

/// What state an entry is in.
#[derive(Debug)]
pub enum Condition {
    /// Sound.
    Sound(Entry),
    /// Not what it should be, and why.
    Damaged(String),
}

impl Cache {
    /// Every entry, sorted by path, looked at when its turn comes: a lease is a file descriptor,
    /// and there may be more entries than those.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn survey(&self, rehash: Rehash) -> Result<impl Iterator<Item = Result<Found>>> {
        self.survey_where(rehash, |_| true)
    }

    /// Every entry whose directory is wanted, sorted by path.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn survey_where(
        &self,
        rehash: Rehash,
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<impl Iterator<Item = Result<Found>>> {
        let folders = self
            .folders()?
            .into_iter()
            .filter(move |folder| wanted(folder));
        Ok(folders.filter_map(move |folder| {
            let condition = match read_entry(&folder, None, rehash) {
                Ok(Lookup::Hit(entry)) => Condition::Sound(entry),
                Ok(Lookup::Damaged(why)) => Condition::Damaged(why),
                Ok(Lookup::Miss) => return None,
                Err(error) => return Some(Err(error)),
            };
            Some(Ok(Found { folder, condition }))
        }))
    }

    /// Removes an entry. `false` if a reader holds it.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local), also if locks do not work here: nobody can then
    /// know who reads.
    pub fn remove(&self, folder: &Path) -> Result<bool> {
        let record = folder.join(RECORD);
        let opened = sys::open_regular(&record).or_else(|error| {
            // What was absent may just have come.
            if sys::is_damage(&error) {
                sys::open_regular(&record)
            } else {
                Err(error)
            }
        });
        let lock = match opened {
            Ok(file) => match FileLock::exclusive_in_a_moment(file) {
                Locked::Held(lock) if sys::is_at(lock.file(), &record) => Some(lock),
                Locked::Held(_) | Locked::Busy(_) => return Ok(false),
                Locked::Unsupported(_, error) => {
                    return Err(Error::local(
                        "locks do not work here, so that nothing is removed:",
                        record,
                        error,
                    ));
                }
            },
            Err(_) if !sys::exists(folder) => return Ok(true),
            // Without a record it is not an entry, and nobody holds it.
            Err(error) if sys::is_damage(&error) => None,
            Err(error) => return Err(Error::local("cannot read", record, error)),
        };
        let parent = folder.parent().unwrap_or(folder);
        let doomed = parent.join(format!(
            "{}{}",
            super::commit::STAGING,
            sys::unique_suffix()
        ));
        // Out of sight first, in one step: a half-removed entry is never found by its name.
        match sys::rename_noreplace(folder, &doomed) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            other => other.map_err(|error| Error::local("cannot remove", folder, error))?,
        }
        drop(lock);
        sys::clear_away(&doomed).map_err(|error| Error::local("cannot remove", &doomed, error))?;
        self.trim_parents(folder);
        Ok(true)
    }

    /// Moves a damaged entry out of the way; where it is now. `digest` and `rehash` are how it
    /// was found damaged. `None` if it is not there or not damaged any more: somebody else was
    /// faster, and what has the name now is sound.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn set_aside(
        &self,
        folder: &Path,
        digest: Option<&Digest>,
        rehash: Rehash,
    ) -> Result<Option<PathBuf>> {
        let judged = identity(folder);
        if !matches!(read_entry(folder, digest, rehash)?, Lookup::Damaged(_)) {
            return Ok(None);
        }
        let quarantine = self.quarantine();
        sys::create_private(&quarantine)
            .map_err(|error| Error::local("cannot create", &quarantine, error))?;
        let images = self.images();
        let name = folder
            .strip_prefix(&images)
            .unwrap_or(folder)
            .to_string_lossy()
            .replace('/', "_");
        let target = quarantine.join(format!("{name}.{}", sys::unique_suffix()));
        match sys::rename_noreplace(folder, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Error::local("cannot set aside", folder, error))?,
        }
        if identity(&target) != judged {
            // Mended between the look and the rename: back with it, unless there is another.
            let _ = sys::rename_noreplace(&target, folder);
            return Ok(None);
        }
        Ok(Some(target))
    }

    /// Image, architecture and own name of an entry's directory; `None` for any other path.
    pub fn names_of(&self, folder: &Path) -> Option<(String, String, String)> {
        let below = folder.strip_prefix(self.images()).ok()?;
        let mut names = below.iter().map(|name| name.to_string_lossy().into_owned());
        let names = (names.next()?, names.next()?, names.next()?, names.next());
        names.3.is_none().then_some((names.0, names.1, names.2))
    }

    /// Whether anything is cached under this image name.
    pub fn has_image(&self, name: &str) -> bool {
        name.parse::<crate::base::ImageName>().is_ok() && sys::exists(&self.images().join(name))
    }

    /// The directories of all entries, damaged ones included, sorted.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn folders(&self) -> Result<Vec<PathBuf>> {
        Ok(self
            .two_levels()?
            .into_iter()
            .filter(|it| is_entry(it))
            .collect())
    }

    /// What was staged or doomed and never finished.
    pub(super) fn staging_folders(&self) -> Result<Vec<PathBuf>> {
        Ok(self
            .two_levels()?
            .into_iter()
            .filter(|it| is_staging(it))
            .collect())
    }

    fn two_levels(&self) -> Result<Vec<PathBuf>> {
        let images = self.images();
        let list = |path: &Path| {
            sys::names(path).map_err(|error| Error::local("cannot list", path, error))
        };
        let mut folders = Vec::new();
        for image in list(&images)? {
            let image = images.join(image);
            for arch in list(&image)? {
                let arch = image.join(arch);
                folders.extend(list(&arch)?.into_iter().map(|name| arch.join(name)));
            }
        }
        Ok(folders)
    }

    /// Removes the directories of an image and architecture that have nothing in them any more.
    fn trim_parents(&self, folder: &Path) {
        // Whoever stages an entry has just made sure that they are there.
        let Ok(Some(_alone)) = self.claim_staging() else {
            return;
        };
        let images = self.images();
        for parent in folder.ancestors().skip(1).take_while(|it| **it != *images) {
            if std::fs::remove_dir(parent).is_err() {
                return;
            }
        }
    }
}

/// Only names that we make are ours: nobody else's file is ever judged, moved or removed.
fn is_staging(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(super::commit::STAGING)
        .is_some_and(sys::is_unique_suffix)
}

/// `<stamp>-<12 hex digits>`.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').is_some_and(|(stamp, digest)| {
        !stamp.is_empty()
            && !stamp.starts_with('.')
            && digest.len() == 12
            && digest
                .bytes()
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Which directory it is, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
