//! A verified file, left where a user wants it.

use std::io;
use std::path::{Path, PathBuf};

use super::Entry;
use crate::error::{Error, Kind, Result};
use crate::io::{Expect, VerifyingReader};
use crate::sys::{self, Draft, Overwrite};

impl Entry {
    /// Leaves the verified file at `target`: blocks are shared where the file system can, copied
    /// otherwise. The name appears when the file is whole. That it is already there, with the
    /// right bytes, is success. `go_on` is asked now and then; `false` stops.
    ///
    /// # Errors
    /// [`Kind::Local`] if something else has the name, or as the system says;
    /// [`Kind::Cancelled`].
    pub fn copy_to(
        &self,
        target: &Path,
        overwrite: Overwrite,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<PathBuf> {
        let target = std::path::absolute(target)
            .map_err(|error| Error::local("cannot write", target, error))?;
        if sys::exists(&target) {
            if self.is_copy(&target) {
                return Ok(target);
            }
            if overwrite == Overwrite::No {
                return Err(Draft::in_the_way(&target));
            }
        }
        let mut source = self.open()?;
        let cannot = |error| Error::local("cannot write", &target, error);
        let draft = Draft::beside(&target).map_err(cannot)?;
        let copied = sys::copy_or_reflink(&mut source, draft.file(), |_| {
            if go_on() {
                Ok(())
            } else {
                Err(io::ErrorKind::Interrupted.into())
            }
        });
        copied.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => {
                Error::new(Kind::Cancelled, format!("{}: stopped", target.display()))
            }
            _ => cannot(error),
        })?;
        draft.commit(overwrite)?;
        Ok(target)
    }

    fn is_copy(&self, target: &Path) -> bool {
        let size = self.record().stamp.size;
        let Ok(file) = sys::open_regular(target) else {
            return false;
        };
        let expect = Expect {
            digest: self.record().sha256,
            size: Some(size),
            limit: size,
        };
        file.metadata().is_ok_and(|meta| meta.len() == size)
            && VerifyingReader::new(file, expect).drain().is_ok()
    }
}
