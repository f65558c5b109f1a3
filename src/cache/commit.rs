//! How verified bytes become an entry.

use std::io;
use std::path::Path;

use super::entry::{Lookup, RECORD, Rehash};
use super::{Cache, Entry, Key, Partial, Record};
use crate::error::{Error, Kind, Result};
use crate::io::Verified;
use crate::sys::{self, FileLock, Locked, Stamp};

impl Cache {
    /// Makes a verified download an entry, and the partial file go.
    ///
    /// `verified` is the proof for exactly these bytes: its digest and size must be the key's.
    ///
    /// # Errors
    /// [`Kind::Local`]. The partial file is then still there, unless it could not be synced: what
    /// the kernel failed to write once it forgets, and a second sync would say that all is well.
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
        if let Err(error) = sys::seal(partial.file()) {
            let error = Error::local("cannot make durable", partial.path(), error);
            partial.discard();
            return Err(error);
        }
        match self.place(key, partial.path(), url) {
            Ok(entry) => {
                partial.discard();
                Ok(entry)
            }
            Err(error) => {
                if partial.is_lonely() {
                    partial.discard();
                }
                Err(error)
            }
        }
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
        let _staging = self.share_staging()?;
        let staging = parent.join(format!("{STAGING}{}", sys::unique_suffix()));
        let stage = || -> io::Result<(Record, Locked)> {
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
            // Held from before it is seen: nobody can prune it under the one who made it.
            let path = staging.join(RECORD);
            let text = record.to_json();
            let locked = sys::write_durably_with(&path, text.as_bytes(), FileLock::try_shared)?;
            sys::sync_folder(&staging)?;
            Ok((record, locked))
        };
        let staged = stage().map_err(|error| Error::local("cannot write", &staging, error));
        let placed = staged.and_then(|(record, locked)| {
            let entry = self.unveil(&staging, &folder, key)?;
            Ok(entry.unwrap_or_else(|| Entry::new(folder, record, locked)))
        });
        if placed.is_err() {
            let _ = sys::clear_away(&staging);
        }
        placed
    }

    /// The moment at which the entry exists; or the one that somebody else made.
    fn unveil(&self, staging: &Path, folder: &Path, key: &Key) -> Result<Option<Entry>> {
        // Somebody else's sound entry is as good as ours, a damaged one goes.
        for _ in 0..ROUNDS {
            match sys::rename_noreplace(staging, folder) {
                Ok(()) => {
                    return self
                        .sync_up(folder)
                        .map(|()| None)
                        .map_err(|error| Error::local("cannot make durable", folder, error));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::local("cannot create", folder, error)),
            }
            match self.lookup(key, Rehash::IfTouched)? {
                Lookup::Hit(entry) => {
                    let _ = sys::clear_away(staging);
                    return Ok(Some(entry));
                }
                Lookup::Miss => {}
                Lookup::Damaged(_) => {
                    self.set_aside(folder, Some(&key.sha256), Rehash::IfTouched)?;
                }
            }
        }
        Err(Error::new(
            Kind::Local,
            format!(
                "{} {}: other programs keep replacing the cache entry",
                key.image, key.arch
            ),
        ))
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

/// How directories start that are not entries yet.
pub(super) const STAGING: &str = ".tmp-";

/// How often a name may be taken and free again before we give up: others may come and prune as
/// they like, but not that fast.
const ROUNDS: usize = 16;
