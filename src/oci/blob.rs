//! Parts of an image as bytes in files: hashed before they are believed.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Descriptor;
use super::member::Members;
use crate::base::Digest;
use crate::error::{Digests, Error, Kind, Result};
use crate::sys;
use crate::tree::Window;

/// A part of an image, where it lies.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What it is called in messages.
    name: String,
    window: Window,
    /// What it must hash to, if anybody says so.
    digest: Option<Digest>,
}

impl Blob {
    /// Its bytes. They are what they should be only after [`check`](Self::check).
    pub fn open(&self) -> Window {
        self.window.clone()
    }

    /// What it hashes to, if that is known before it is read.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.window.left()
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads and hashes all of it. `tell` hears how many bytes were read; its error stops.
    ///
    /// # Errors
    /// [`Kind::Integrity`] if it is something else; [`Kind::Local`] if it cannot be read.
    pub fn check(&self, tell: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let Some(expected) = self.digest else {
            return Ok(());
        };
        let actual = crate::io::hash(self.open(), |it| self.unreadable(it), tell)?;
        self.judge(expected, actual)
    }

    /// All of it, checked; it must not be more than so many bytes.
    pub(super) fn bytes(&self, most: u64) -> Result<Vec<u8>> {
        if self.size() > most {
            let message = format!("{}: {} bytes, at most {most}", self.name, self.size());
            return Err(Error::new(Kind::Format, message));
        }
        let mut bytes = Vec::new();
        let read = self.open().read_to_end(&mut bytes);
        read.map_err(|it| self.unreadable(it))?;
        if let Some(expected) = self.digest {
            self.judge(expected, Digest::from_bytes(Sha256::digest(&bytes).into()))?;
        }
        Ok(bytes)
    }

    fn judge(&self, expected: Digest, actual: Digest) -> Result<()> {
        if expected == actual {
            return Ok(());
        }
        Err(mismatch(&self.name, "its SHA-256", expected, actual))
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        Error::local("cannot read", &self.name, error)
    }
}

/// A complete thing that is another one.
pub(super) fn mismatch(name: &str, what: &str, expected: Digest, actual: Digest) -> Error {
    let message = format!("{name}: {what} is {actual} where {expected} belongs");
    Error::new(Kind::Integrity, message).with_digests(Some(Digests {
        expected: expected.to_string(),
        actual: actual.to_string(),
    }))
}

/// Where the parts of images are.
#[derive(Debug)]
pub(super) enum Shelf {
    /// A directory: an OCI layout, or what skopeo calls `dir:`.
    Folder {
        root: OwnedFd,
        path: PathBuf,
        /// `blobs/sha256/`, or nothing.
        prefix: &'static str,
    },
    /// A tar.
    Tar(Members),
}

impl Shelf {
    pub(super) fn folder(path: &Path, prefix: &'static str) -> Result<Self> {
        let root =
            sys::open_folder(path).map_err(|error| Error::local("cannot open", path, error))?;
        Ok(Self::Folder {
            root,
            path: path.to_owned(),
            prefix,
        })
    }

    /// What something there is called in messages.
    pub(super) fn name(&self, inner: &str) -> String {
        let path = match self {
            Self::Folder { path, .. } => path,
            Self::Tar(members) => members.path(),
        };
        format!("{}: {inner}", path.display())
    }

    /// Something by its name; `None` if there is no such thing.
    pub(super) fn find(&self, inner: &str) -> Result<Option<Blob>> {
        let name = self.name(inner);
        let window = match self {
            Self::Folder { root, .. } => {
                let file = match sys::open_within(root, Path::new(inner)) {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(Error::local("cannot open", &name, error)),
                };
                whole(file, &name)?
            }
            Self::Tar(members) => match members.find(inner.as_bytes())? {
                Some(window) => window,
                None => return Ok(None),
            },
        };
        Ok(Some(Blob {
            name,
            window,
            digest: None,
        }))
    }

    /// Something that must be there.
    pub(super) fn get(&self, inner: &str) -> Result<Blob> {
        self.find(inner)?.ok_or_else(|| {
            Error::new(
                Kind::Format,
                format!("{}: it is not there", self.name(inner)),
            )
        })
    }

    /// The bytes of a digest.
    pub(super) fn blob(&self, digest: Digest) -> Result<Blob> {
        let prefix = match self {
            Self::Folder { prefix, .. } => prefix,
            Self::Tar(_) => BLOBS,
        };
        let mut blob = self.get(&format!("{prefix}{digest}"))?;
        blob.digest = Some(digest);
        Ok(blob)
    }

    /// What a descriptor is of.
    pub(super) fn part(&self, descriptor: &Descriptor) -> Result<Blob> {
        let blob = self.blob(descriptor.digest)?;
        match descriptor.size {
            Some(size) if size != blob.size() => {
                let message = format!("{}: {} bytes where {size} belong", blob.name, blob.size());
                Err(Error::new(Kind::Integrity, message))
            }
            _ => Ok(blob),
        }
    }
}

impl Blob {
    /// With what it must hash to.
    pub(super) fn expecting(mut self, digest: Option<Digest>) -> Self {
        self.digest = digest;
        self
    }
}

fn whole(file: File, name: &str) -> Result<Window> {
    Window::whole(Arc::new(file)).map_err(|error| Error::local("cannot look at", name, error))
}

/// OCI image specification 1.1, "Image Layout".
pub(super) const BLOBS: &str = "blobs/sha256/";
