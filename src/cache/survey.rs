//! All entries at once: listing, checking, removing, setting aside.

use std::path::{Path, PathBuf};

use super::entry::{Lookup, RECORD, Rehash};
use super::{Cache, Entry};
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
    /// Every entry, sorted by path.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn survey(&self, rehash: Rehash) -> Result<Vec<Found>> {
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
    ) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for folder in self.folders()?.into_iter().filter(|folder| wanted(folder)) {
            let condition = match Self::read_entry(&folder, None, rehash)? {
                Lookup::Hit(entry) => Condition::Sound(entry),
                Lookup::Damaged(why) => Condition::Damaged(why),
                Lookup::Miss => continue,
            };
            found.push(Found { folder, condition });
        }
        Ok(found)
    }

    /// Removes an entry. `false` if a reader holds it.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local), also if locks do not work here: nobody can then
    /// know who reads.
    pub fn remove(&self, folder: &Path) -> Result<bool> {
        let record = folder.join(RECORD);
        // Without a record it is not an entry, and nobody holds it.
        let lock = match sys::open_regular(&record) {
            Ok(file) => match FileLock::try_exclusive(file) {
                Locked::Held(lock) => Some(lock),
                Locked::Busy(_) => return Ok(false),
                Locked::Unsupported(_, error) => {
                    return Err(Error::local(
                        "locks do not work here, so that nothing is removed:",
                        record,
                        error,
                    ));
                }
            },
            Err(_) => None,
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

    /// Moves a damaged entry out of the way; where it is now.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn set_aside(&self, folder: &Path) -> Result<PathBuf> {
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
            // Somebody else was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(|error| Error::local("cannot set aside", folder, error))?,
        }
        Ok(target)
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
            .filter(|it| !is_staging(it))
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
        let images = self.images();
        for parent in folder.ancestors().skip(1).take_while(|it| **it != *images) {
            if std::fs::remove_dir(parent).is_err() {
                return;
            }
        }
    }
}

fn is_staging(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(super::commit::STAGING))
}
