//! Where a tree may appear.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::policy::{Policy, Replace};
use crate::error::{Error, Kind, Result};
use crate::sys::Before;

/// A place that was looked at.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// The directory it is in, without symbolic links.
    pub(super) parent: PathBuf,
    pub(super) name: OsString,
    /// What is there now.
    pub(super) before: Before,
}

impl Target {
    pub(super) fn check(path: &Path, policy: &Policy) -> Result<Self> {
        let refuse = |why: String| {
            let message = format!("cannot unpack to {}: {why}", path.display());
            Err(Error::new(Kind::Local, message).with_path(path))
        };
        let cannot = |error| Error::local("cannot unpack to", path, error);
        let absolute = std::path::absolute(path).map_err(cannot)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return refuse("it has no name of its own".to_owned());
        };
        let parent = fs::canonicalize(parent).map_err(cannot)?;
        let full = parent.join(name);
        for shut in &policy.keep_out_of {
            // One that does not exist has nothing in it.
            if let Ok(shut) = fs::canonicalize(shut)
                && full.starts_with(&shut)
            {
                return refuse(format!("it lies in {}", shut.display()));
            }
        }
        let before = match fs::symlink_metadata(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Before::Nothing,
            Err(error) => return Err(cannot(error)),
            Ok(meta) if meta.is_symlink() => return refuse("it is a symbolic link".to_owned()),
            Ok(meta) if !meta.is_dir() => return refuse("it is not a directory".to_owned()),
            Ok(_) if policy.replace == Replace::Yes => Before::Tree,
            Ok(_) => {
                if fs::read_dir(&full).map_err(cannot)?.next().is_some() {
                    return refuse("it exists and is not empty".to_owned());
                }
                Before::Empty
            }
        };
        Ok(Self {
            path: path.to_owned(),
            parent,
            name: name.to_owned(),
            before,
        })
    }
}
