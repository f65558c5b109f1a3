//! The files of a version and their hashes.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

use sha2::Sha256;

use super::about::About;
use super::document;
use super::hash::{Progress, hash};
use super::item::Role;
use super::scan::{Found, Version};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::sys::{self, Beneath};

/// A version with its hashes.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) serial: String,
    /// Its folder, relative to the root.
    pub(super) path: String,
    /// Its files, sorted by name.
    pub(super) files: Vec<Hashed>,
    /// How many of them were read.
    pub(super) hashed: usize,
}

/// A file with its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) mark: Mark,
    /// Whether whoever changes the file changes the mark, too.
    pub(super) settled: bool,
    pub(super) sha256: Digest,
    /// Of a root: the hash of a metadata tarball, and the one of it with the root behind it.
    pub(super) combined: Vec<(Digest, Digest)>,
    /// Of metadata: what it says of its product, if somebody looked.
    pub(super) about: Option<Box<About>>,
}

/// What tells that a file is the one that was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes.
    pub(super) size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(super) mtime: (i64, u32),
    /// The same of the last change of anything about it.
    pub(super) ctime: (i64, u32),
    pub(super) inode: u64,
}

impl Found {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            size: self.seen.size,
            mtime: self.seen.mtime,
            ctime: self.changed,
            inode: self.seen.identity.1,
        }
    }

    fn known<'a>(&self, known: &'a [Hashed]) -> Option<&'a Hashed> {
        let mark = self.mark();
        known
            .iter()
            .find(|it| it.name == self.name && it.mark == mark)
    }
}

impl Version {
    /// Bytes that have to be read to hash it.
    pub(super) fn unknown(&self, known: &[Hashed]) -> u64 {
        let (metadata, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|file| file.role.is_metadata());
        let fresh = |file: &&&Found| file.known(known).is_none();
        let is_known = |file: &&Found| match file.known(known) {
            // With metadata that nobody has seen it makes another fingerprint.
            Some(it) if matches!(it.role, Role::Root(_)) => metadata.iter().all(|metadata| {
                let metadata = metadata.known(known);
                metadata.is_some_and(|metadata| it.behind(&metadata.sha256).is_some())
            }),
            known => known.is_some(),
        };
        let metadata = metadata.iter().filter(fresh).map(|file| file.seen.size);
        let others = others.into_iter().filter(|file| !is_known(file));
        metadata.sum::<u64>() + others.map(|file| file.seen.size).sum::<u64>()
    }

    /// Hashes what is not known.
    ///
    /// # Errors
    /// [`Kind::Cancelled`]; anything else is about this version.
    pub(super) fn build(
        &self,
        root: &OwnedFd,
        known: &[Hashed],
        buffer: &mut Vec<u8>,
        progress: &Progress<'_>,
    ) -> Result<Build> {
        progress.check()?;
        let mut work = Work {
            version: self,
            root,
            folder: None,
            buffer,
            progress,
            hashed: 0,
        };
        let mut files = Vec::with_capacity(self.files.len());
        let mut metadata: Vec<(&Found, Digest, Option<Sha256>)> = Vec::new();
        for file in self.files.iter().filter(|file| file.role.is_metadata()) {
            let (hashed, state) = if let Some(known) = file.known(known) {
                (known.clone(), None)
            } else {
                let (hashed, state) = work.hash(file, &[])?;
                (hashed, Some(state))
            };
            // Two with the same bytes make the same fingerprints.
            if metadata.iter().all(|it| it.1 != hashed.sha256) {
                metadata.push((file, hashed.sha256, state));
            }
            files.push(hashed);
        }
        for file in self.files.iter().filter(|file| !file.role.is_metadata()) {
            let is_root = matches!(file.role, Role::Root(_));
            let behind: &mut [_] = if is_root { &mut metadata } else { &mut [] };
            if let Some(known) = file.known(known)
                && behind.iter().all(|it| known.behind(&it.1).is_some())
            {
                let mut known = known.clone();
                known
                    .combined
                    .retain(|it| behind.iter().any(|(_, sha256, _)| *sha256 == it.0));
                files.push(known);
                continue;
            }
            let mut states = Vec::new();
            for (file, sha256, state) in &mut *behind {
                if state.is_none() {
                    let (again, read) = work.hash(file, &[])?;
                    if again.sha256 != *sha256 {
                        return Err(changed(&file.name));
                    }
                    *state = Some(read);
                }
                states.extend(state.clone());
            }
            let (mut hashed, _) = work.hash(file, &states)?;
            let names = behind.iter().map(|it| it.1);
            hashed.combined = names.zip(hashed.combined.iter().map(|it| it.1)).collect();
            files.push(hashed);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Build {
            serial: self.serial.clone(),
            path: self.path.clone(),
            files,
            hashed: work.hashed,
        })
    }
}

impl Hashed {
    /// The hash of metadata with this file behind it.
    pub(super) fn behind(&self, metadata: &Digest) -> Option<&Digest> {
        let found = self.combined.iter().find(|(it, _)| it == metadata);
        found.map(|(_, combined)| combined)
    }
}

struct Work<'a, 'b> {
    version: &'a Version,
    root: &'a OwnedFd,
    folder: Option<OwnedFd>,
    buffer: &'a mut Vec<u8>,
    progress: &'a Progress<'b>,
    hashed: usize,
}

impl Work<'_, '_> {
    /// Hashes one file; `combined` is in the order of `before`, under hashes that mean nothing.
    fn hash(&mut self, file: &Found, before: &[Sha256]) -> Result<(Hashed, Sha256)> {
        let cannot = |error| {
            Error::new(Kind::Local, format!("cannot open {}", file.name)).with_source(error)
        };
        if self.folder.is_none() {
            let path = self.version.path.as_bytes();
            let folder = sys::open_beneath(self.root, path, Beneath::Folder).map_err(cannot)?;
            self.folder = Some(folder);
        }
        let folder = self.folder.as_ref().unwrap_or(self.root);
        let settled = settle(file.changed);
        let open = document::open(folder, &file.name).map_err(cannot)?;
        let read = hash(&open, before, self.buffer, self.progress)
            .map_err(|error| error.about(&file.name))?;
        let (seen, ctime) =
            sys::look_closely(folder.as_fd(), file.name.as_bytes()).map_err(cannot)?;
        let same = |a: &sys::Seen, b: &sys::Seen| {
            a.identity == b.identity && a.size == b.size && a.mtime == b.mtime
        };
        let opened = sys::Node::Open(open.as_fd()).seen().map_err(cannot)?;
        if read.size != seen.size || !same(&seen, &file.seen) || !same(&seen, &opened) {
            return Err(changed(&file.name));
        }
        self.hashed += 1;
        let nothing = Digest::from_bytes([0; 32]);
        let hashed = Hashed {
            name: file.name.clone(),
            role: file.role.clone(),
            mark: file.mark(),
            settled: settled && ctime == file.changed,
            sha256: read.sha256,
            combined: read.combined.into_iter().map(|it| (nothing, it)).collect(),
            about: None,
        };
        Ok((hashed, read.state))
    }
}

fn changed(name: &str) -> Error {
    Error::new(Kind::Local, format!("{name} was changed while it was read"))
}

/// Waits until a change of the file would get another time than the last one. `false` where that
/// takes long, or clocks differ: then the hash is not remembered.
fn settle(changed: (i64, u32)) -> bool {
    let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
        return false;
    };
    let Ok(seconds) = u64::try_from(changed.0) else {
        return false;
    };
    let Some(age) = now.checked_sub(Duration::new(seconds, changed.1)) else {
        return false;
    };
    if changed.1 == 0 {
        // Perhaps a file system that counts seconds, or two at once.
        return age >= COARSE;
    }
    std::thread::sleep(TICK.saturating_sub(age));
    true
}

/// Longer than the kernel's clock stands still for the times of files (a hundredth of a second at
/// most).
const TICK: Duration = Duration::from_millis(20);
const COARSE: Duration = Duration::from_secs(3);
