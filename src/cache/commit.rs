//! How verified bytes become an entry.

use std::io;
use std::path::Path;

use super::entry::{Lookup, RECORD, Rehash};
use super::{Cache, Entry, Key, Partial, Record};
use crate::error::{Error, Kind, Result};
use crate::io::Verified;
use crate::sys::{self, Stamp};

impl Cache {
    /// Makes a verified download an entry, and the partial file go.
    ///
    /// `verified` is the proof for exactly these bytes: its digest and size must be the key's.
    ///
    /// # Errors
    /// [`Kind::Local`]; the partial file is then still there.
    pub fn commit(
        &self,
        key: &Key,
        partial: Partial,
        verified: &Verified,
        url: &str,
    ) -> Result<Entry> {
        let right = verified.digest() == key.sha256
            && verified.size() == partial.length()
            && key.size.is_none_or(|size| size == verified.size());
        if !right {
            return Err(Error::new(
                Kind::Other,
                format!("{}: the proof is for other bytes than the key's", key.image),
            ));
        }
        sys::seal(partial.file())
            .map_err(|error| Error::local("cannot make durable", partial.path(), error))?;
        let entry = self.place(key, partial.path(), url)?;
        partial.discard();
        Ok(entry)
    }

    /// Gives the bytes of an entry a second name, without a download and without a copy.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn adopt(&self, key: &Key, from: &Entry) -> Result<Entry> {
        self.prepare()?;
        self.place(key, &from.path(), &from.record().url)
    }

    /// Links a sealed file beside a fresh record and renames the directory to the entry's name.
    fn place(&self, key: &Key, sealed: &Path, url: &str) -> Result<Entry> {
        let folder = self.folder_of(key);
        let parent = folder.parent().unwrap_or(&folder).to_owned();
        sys::create_private(&parent)
            .map_err(|error| Error::local("cannot create", &parent, error))?;
        let staging = parent.join(format!("{STAGING}{}", sys::unique_suffix()));
        let stage = || -> io::Result<()> {
            sys::create_private(&staging)?;
            let target = staging.join(&key.file);
            if let Err(error) = sys::link(sealed, &target) {
                // FAT, some FUSE and network file systems have no links. Moving gives up the
                // partial name before the entry has its own: a kill here costs a download.
                let no_links = matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                );
                if !no_links || !sealed.starts_with(self.partials()) {
                    return Err(error);
                }
                sys::rename_over(sealed, &target)?;
            }
            let stamp = Stamp::of(&sys::open_regular(&target)?)?;
            let record = Record::new(key, url.to_owned(), sys::now(), stamp);
            sys::write_durably(&staging.join(RECORD), record.to_json().as_bytes())?;
            sys::sync_folder(&staging)
        };
        let staged = stage().map_err(|error| Error::local("cannot write", &staging, error));
        let placed = staged.and_then(|()| self.unveil(&staging, &folder, key));
        if placed.is_err() {
            let _ = sys::clear_away(&staging);
        }
        placed?;
        match self.lookup(key, Rehash::IfTouched)? {
            Lookup::Hit(entry) => Ok(entry),
            Lookup::Miss => Err(gone_again(key, "removed")),
            Lookup::Damaged(why) => Err(gone_again(key, &format!("damaged ({why})"))),
        }
    }

    /// The moment at which the entry exists.
    fn unveil(&self, staging: &Path, folder: &Path, key: &Key) -> Result<()> {
        // Twice at most: somebody else's sound entry is as good as ours, a damaged one goes.
        for _ in 0..2 {
            match sys::rename_noreplace(staging, folder) {
                Ok(()) => {
                    return self
                        .sync_up(folder)
                        .map_err(|error| Error::local("cannot make durable", folder, error));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::local("cannot create", folder, error)),
            }
            match self.lookup(key, Rehash::IfTouched)? {
                Lookup::Hit(_) => {
                    let _ = sys::clear_away(staging);
                    return Ok(());
                }
                Lookup::Miss => {}
                Lookup::Damaged(_) => {
                    self.set_aside(folder)?;
                }
            }
        }
        Err(gone_again(key, "replaced"))
    }

    /// Syncs the parents of a new entry up to the cache directory: each of them may be new, too.
    fn sync_up(&self, folder: &Path) -> io::Result<()> {
        for parent in folder
            .ancestors()
            .skip(1)
            .take_while(|it| it.starts_with(self.path()))
        {
            sys::sync_folder(parent)?;
        }
        Ok(())
    }
}

fn gone_again(key: &Key, how: &str) -> Error {
    Error::new(
        Kind::Local,
        format!(
            "{} {}: the new cache entry was {how} by another program",
            key.image, key.arch
        ),
    )
}

/// How directories start that are not entries yet.
pub(super) const STAGING: &str = ".tmp-";
