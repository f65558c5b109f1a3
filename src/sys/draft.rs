//! A file without a name, which gets its name when it is whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::{
    create_public, own_path, remove_file_if_any, rename_noreplace, rename_over, sync_folder,
    unique_suffix,
};
use crate::error::{Error, Kind, Result};

/// Whether a file that is in the way may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Yes,
    /// It may not, unless it already is what was asked for.
    No,
}

/// An output that nobody sees before it is whole. It has no name at all where the file system can
/// do that, so that nothing is left of it whatever kills us; a private one beside its target
/// otherwise, which goes when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it removes what was written"]
pub struct Draft {
    file: File,
    target: PathBuf,
    /// Its private name, if it needs one.
    name: Option<PathBuf>,
}

impl Draft {
    /// Makes one for a file at `target`, an absolute path, with the mode that the user's umask
    /// leaves.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        if let Ok(file) = unnamed(folder) {
            return Ok(Self {
                file,
                target: target.to_owned(),
                name: None,
            });
        }
        let name = private_name(target)?;
        Ok(Self {
            file: create_public(&name)?,
            target: target.to_owned(),
            name: Some(name),
        })
    }

    /// What is said where `place` may not replace what has the name.
    pub fn in_the_way(target: &Path) -> Error {
        let message = format!(
            "{} exists and has other content; --force overwrites it",
            target.display()
        );
        Error::new(Kind::Local, message).with_path(target)
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Syncs it, and gives it its name.
    ///
    /// # Errors
    /// [`Kind::Local`] if something has the name that may not be replaced, or as the system says.
    pub fn commit(self, overwrite: Overwrite) -> Result<()> {
        let target = self.target.clone();
        self.place(overwrite).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Self::in_the_way(&target),
            _ => Error::local("cannot write", target, error),
        })
    }

    /// The same; `AlreadyExists` if something has the name that may not be replaced.
    fn place(mut self, overwrite: Overwrite) -> io::Result<()> {
        self.file.sync_all()?;
        let placed = match (&self.name, overwrite) {
            (None, Overwrite::No) => link_open(&self.file, &self.target),
            (None, Overwrite::Yes) => {
                // A link never replaces: it takes a private name on its way.
                let name = private_name(&self.target)?;
                link_open(&self.file, &name)?;
                self.name = Some(name.clone());
                rename_over(&name, &self.target)
            }
            (Some(name), Overwrite::No) => rename_noreplace(name, &self.target),
            (Some(name), Overwrite::Yes) => rename_over(name, &self.target),
        };
        placed?;
        self.name = None;
        let folder = self.target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        sync_folder(folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = remove_file_if_any(name);
        }
    }
}

fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666))?);
    // Without `/proc` it could never get a name.
    std::fs::symlink_metadata(own_path(&file))?;
    Ok(file)
}

fn link_open(file: &File, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::linkat(
        CWD,
        own_path(file),
        CWD,
        to,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

fn private_name(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let name = format!(".{}.{}", name.to_string_lossy(), unique_suffix());
    Ok(target.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    #[test]
    fn a_name_comes_last_and_replaces_only_if_it_may() {
        let folder = std::env::temp_dir().join(format!("df-draft-{}", unique_suffix()));
        fs::create_dir(&folder).unwrap();
        let target = folder.join("disk");
        let count = || fs::read_dir(&folder).unwrap().count();
        let write = |text: &str| {
            let draft = Draft::beside(&target).unwrap();
            let mut file = draft.file();
            file.write_all(text.as_bytes()).unwrap();
            draft
        };
        drop(write("dropped"));
        assert_eq!(count(), 0);
        write("one").place(Overwrite::No).unwrap();
        let error = write("two").place(Overwrite::No).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        write("three").place(Overwrite::Yes).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"three");
        assert_eq!(count(), 1, "nothing else is left");
        // The other way, for file systems that cannot do without a name.
        let named = |overwrite| {
            let name = private_name(&target).unwrap();
            let mut file = create_public(&name).unwrap();
            file.write_all(b"four").unwrap();
            let (target, name) = (target.clone(), Some(name));
            Draft { file, target, name }.place(overwrite)
        };
        assert!(named(Overwrite::No).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"three");
        named(Overwrite::Yes).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"four");
        assert_eq!(count(), 1, "nothing else is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
