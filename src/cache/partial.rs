//! Downloads that are not finished.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Cache;
use super::store::WriteLock;
use crate::base::Digest;
use crate::error::{Error, Result};
use crate::sys;

/// A growing file, named by the hash that it will have. It survives whatever stops the download.
#[derive(Debug)]
#[must_use]
pub struct Partial {
    file: File,
    path: PathBuf,
    length: u64,
    /// Its name is nobody else's, and nobody will find it again.
    lonely: bool,
}

/// What the server of a partial download said of the file, for `If-Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Where it was said.
    pub url: String,
    /// The `ETag` or date.
    pub value: String,
}

impl Cache {
    /// Opens what is there of a download, or starts it. Without a working lock nobody may share
    /// the file, so that it has a name of its own.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn partial(&self, digest: &Digest, lock: &WriteLock) -> Result<Partial> {
        let name = match lock {
            WriteLock::Held(_) => format!("{digest}.part"),
            WriteLock::Unsupported(_) => format!("{digest}.{}.part", sys::unique_suffix()),
        };
        let path = self.partials().join(name);
        let file = open(&path).map_err(|error| Error::local("cannot open", &path, error))?;
        let length = file
            .metadata()
            .map_err(|error| Error::local("cannot look at", &path, error))?
            .len();
        Ok(Partial {
            file,
            path,
            length,
            lonely: matches!(lock, WriteLock::Unsupported(_)),
        })
    }
}

impl Partial {
    /// Bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where it grows.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local), with "the disk is full" in words.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.trouble("cannot write", error))?;
        let before = self.length;
        self.length += bytes.len() as u64;
        if before / WRITEBACK != self.length / WRITEBACK {
            let from = before - before % WRITEBACK;
            sys::start_writeback(&self.file, from, self.length - from);
        }
        Ok(())
    }

    /// Forgets everything after the first `length` bytes.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn truncate(&mut self, length: u64) -> Result<()> {
        self.file
            .set_len(length)
            .and_then(|()| self.file.seek(SeekFrom::Start(length)))
            .map_err(|error| self.trouble("cannot shorten", error))?;
        self.length = length;
        if length == 0 {
            let _ = sys::remove_file_if_any(&self.sidecar());
        }
        Ok(())
    }

    /// The kept bytes, to be hashed again; afterwards the file is at its end.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn rewind(&mut self) -> Result<&mut File> {
        match self.file.rewind() {
            Ok(()) => Ok(&mut self.file),
            Err(error) => Err(self.trouble("cannot read", error)),
        }
    }

    /// What a server said of these bytes.
    pub fn validator(&self) -> Option<Validator> {
        let text = std::fs::read_to_string(self.sidecar()).ok()?;
        let document: Value = serde_json::from_str(&text).ok()?;
        Some(Validator {
            url: document["url"].as_str()?.to_owned(),
            value: document["validator"].as_str()?.to_owned(),
        })
    }

    /// Remembers what a server says of these bytes. Losing it costs no correctness: the hash
    /// decides.
    pub fn remember(&self, validator: Option<&Validator>) {
        let path = self.sidecar();
        let _ = match validator {
            None => sys::remove_file_if_any(&path),
            Some(Validator { url, value }) => {
                let document = serde_json::json!({ "url": url, "validator": value });
                std::fs::write(path, document.to_string())
            }
        };
    }

    /// Removes the file and its sidecar. Idempotent.
    pub fn discard(self) {
        let _ = sys::remove_file_if_any(&self.path);
        let _ = sys::remove_file_if_any(&self.sidecar());
    }

    pub(super) fn is_lonely(&self) -> bool {
        self.lonely
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn sidecar(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    fn trouble(&self, doing: &str, error: io::Error) -> Error {
        match sys::mount_error(&error) {
            Some(what) => Error::local(&format!("{what}: {doing}"), &self.path, error),
            None => Error::local(doing, &self.path, error),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if sys::has_other_names(path) {
        // It became an entry, and a kill came before this name went: never write there.
        sys::remove_file_if_any(path)?;
    }
    match sys::open_append(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // It was complete and sealed, and a kill came before it became an entry.
            sys::unseal(path)?;
            sys::open_append(path)
        }
        // A link or device in its place is not a partial: start over.
        Err(error) if sys::is_damage(&error) => {
            sys::remove_file_if_any(path)?;
            sys::open_append(path)
        }
        other => other,
    }
}

/// How much is written before the disk is set to work. Small files are left alone.
const WRITEBACK: u64 = 8 << 20;
