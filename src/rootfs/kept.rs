//! Files that were made of an entry, each in a directory of its own with a note beside it.
//!
//! The note says how the file was made, and what it looked like then: size, modification time,
//! inode. A hit compares them and reads nothing else. Both get their place by one rename.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::prepare::remove;
use crate::error::{Error, Result};
use crate::sys::{self, Before, Durable, Node, Staging, Stamp};

/// Where such a file is.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Its directory.
    folder: PathBuf,
    file: &'static str,
}

impl Kept {
    /// A file of this name in a directory of this name, of all that is made of an entry.
    pub(super) fn at(workshop: &Path, folder: &str, file: &'static str) -> Self {
        Self {
            folder: workshop.join(folder),
            file,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(self.file)
    }

    /// The directory: on the file system of the file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its note says, if nobody has touched the file since it was made by this recipe.
    pub(super) fn whole(&self, recipe: &Value) -> Option<Value> {
        let mut note = self.note()?;
        let file = sys::open_regular(&self.path()).ok()?;
        let same = note["recipe"] == *recipe && note["file"] == describe(Stamp::of(&file).ok()?);
        same.then(|| note["made"].take())
    }

    /// The recipe that its note names.
    pub(super) fn recipe(&self) -> Option<Value> {
        Some(self.note()?["recipe"].take())
    }

    /// Makes the file, by filling one that is empty, in the place of what was there. What comes
    /// with it goes into the note.
    pub(super) fn make<T>(
        &self,
        recipe: &Value,
        write: impl FnOnce(&File) -> Result<(T, Value)>,
    ) -> Result<T> {
        let cannot = |error| Error::local("cannot write", &self.folder, error);
        let (Some(workshop), Some(name)) = (self.folder.parent(), self.folder.file_name()) else {
            return Err(cannot(io::ErrorKind::InvalidInput.into()));
        };
        if sys::exists(&self.folder) {
            // Somebody has been at it.
            remove(&self.folder)?;
        }
        let staging = Staging::beside(workshop, name).map_err(cannot)?;
        let file = sys::make_file(staging.root(), self.file.as_bytes()).map_err(cannot)?;
        let (result, made) = write(&file)?;
        let finish = || -> io::Result<()> {
            sys::seal(&file)?;
            let file = describe(Stamp::of(&file)?);
            let note = json!({ "schema": 1, "recipe": recipe, "made": made, "file": file });
            let mut to = sys::make_file(staging.root(), NOTE.as_bytes())?;
            to.write_all(format!("{note:#}\n").as_bytes())?;
            sys::seal(&to)?;
            Node::Open(staging.root()).set_mode(0o755)
        };
        finish().map_err(cannot)?;
        match staging.place(OsStr::new(name), Before::Nothing, Durable::No) {
            Ok(_) => sys::sync_folder(workshop).map_err(cannot)?,
            // Where locks do nothing, somebody else may have made the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(error)),
        }
        Ok(result)
    }

    /// Removes it, to be made again.
    pub(super) fn forget(&self) -> Result<()> {
        remove(&self.folder)
    }

    fn note(&self) -> Option<Value> {
        let note: Value = serde_json::from_slice(&fs::read(self.folder.join(NOTE)).ok()?).ok()?;
        (note["schema"] == 1).then_some(note)
    }
}

fn describe(stamp: Stamp) -> Value {
    json!({
        "size": stamp.size,
        "mtime": stamp.mtime,
        "mtime_nanos": stamp.mtime_nanos,
        "inode": stamp.inode,
    })
}

/// Beside the file.
const NOTE: &str = "made.json";
