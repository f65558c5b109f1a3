//! The folder, and what is done with it.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Import, Imported, Report, Verified};
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::sys;

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Write and remove nothing: only tell.
    pub dry_run: bool,
    /// Keep so many of the newest versions of each product; `None` keeps all.
    pub retain: Option<NonZeroUsize>,
    /// How many files are hashed at once.
    pub jobs: NonZeroUsize,
    /// The time of this run: what an index named less than an hour ago is not removed.
    pub now: SystemTime,
}

/// A folder with images in it that becomes a simplestreams server.
#[derive(Debug)]
pub struct Publisher {
    pub(super) root: PathBuf,
    pub(super) folder: OwnedFd,
}

impl Publisher {
    /// Takes a folder that exists.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be opened.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = std::path::absolute(root.as_ref())
            .map_err(|error| Error::local("cannot open", root.as_ref(), error))?;
        let folder =
            sys::open_folder(&root).map_err(|error| Error::local("cannot open", &root, error))?;
        Ok(Self { root, folder })
    }

    /// The same; what does not exist is made.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be made or opened.
    pub fn create(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        std::fs::create_dir_all(root).map_err(|error| Error::local("cannot create", root, error))?;
        Self::open(root)
    }

    /// Brings the index up to date with the images that are there.
    ///
    /// # Errors
    /// [`Kind::Local`] if the root has no images folder, or the index cannot be written;
    /// [`Kind::Cancelled`] if the observer stops it. What is wrong with single images is no error
    /// but in the report.
    pub fn publish(&self, _options: &Options, _observer: &dyn Observer) -> Result<Report> {
        Err(Error::new(Kind::Other, "not yet"))
    }

    /// Hashes every file that the index names, and compares.
    ///
    /// # Errors
    /// [`Kind::Local`] and [`Kind::Format`] if there is no index, or it is none;
    /// [`Kind::Cancelled`]. What differs is no error but in what is returned.
    pub fn verify(&self, _jobs: NonZeroUsize, _observer: &dyn Observer) -> Result<Verified> {
        Err(Error::new(Kind::Other, "not yet"))
    }

    /// Brings the files of a build to their place below the root; the index is another matter.
    ///
    /// # Errors
    /// [`Kind::Format`] if the folder is no build or its metadata is of no use;
    /// [`Kind::Integrity`] if other bytes are at their place; [`Kind::Local`];
    /// [`Kind::Cancelled`].
    pub fn import(
        &self,
        _build: &Path,
        _import: Import,
        _observer: &dyn Observer,
    ) -> Result<Imported> {
        Err(Error::new(Kind::Other, "not yet"))
    }
}
