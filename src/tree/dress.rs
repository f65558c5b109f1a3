//! Owner, mode, attributes and time of a thing on disk, in the order in which they must be set.

use std::collections::BTreeMap;
use std::io;

use super::path::shown;
use super::policy::{Owners, Policy, SetIds, Xattrs};
use super::report::{Loss, Report};
use crate::archive::{Entry, Time};
use crate::error::{Error, Kind, Result};
use crate::sys::{self, Node};

/// The metadata of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dress {
    /// Permission bits with set-user-ID, set-group-ID and sticky: 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When its content was changed.
    pub mtime: Time,
    /// Extended attributes by their full names.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Dress {
    /// What an entry says.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs.clone(),
        }
    }

    /// What a directory has that an archive only implies. Fixed, so that the tree depends on the
    /// archive alone.
    pub fn implied() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: BTreeMap::new(),
        }
    }
}

/// What matters about the thing that is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wearer {
    Folder,
    /// The same, but the archive does not name it: nothing of it can be lost.
    ImpliedFolder,
    Symlink,
    Other,
}

/// Dresses things by a policy, and notes what could not be kept.
#[derive(Debug)]
pub(super) struct Dresser<'a> {
    pub(super) policy: &'a Policy,
    pub(super) report: &'a mut Report,
    /// Who owns what we make.
    pub(super) us: (u32, u32),
}

impl Dresser<'_> {
    /// A change of owner takes set-user-ID bits and capabilities away, so it comes first; mode
    /// 0444 forbids attributes to an ordinary user, so the mode comes after them; the time is last.
    pub(super) fn dress(
        &mut self,
        node: Node<'_>,
        path: &[u8],
        dress: &EntryDress<'_>,
        wearer: Wearer,
    ) -> Result<()> {
        let owner = self.owner(path, dress, wearer)?;
        if owner != self.us {
            node.set_owner(owner.0, owner.1)
                .map_err(|error| trouble("cannot set the owner of", path, error))?;
        }
        for (name, value) in dress.xattrs {
            self.set_xattr(node, path, name, value)?;
        }
        if wearer != Wearer::Symlink {
            let mode = self.mode(path, dress, wearer);
            node.set_mode(mode)
                .map_err(|error| trouble("cannot set the mode of", path, error))?;
        }
        self.set_mtime(node, path, dress.mtime)
    }

    fn owner(&mut self, path: &[u8], dress: &EntryDress<'_>, wearer: Wearer) -> Result<(u32, u32)> {
        let (uid, gid) = (dress.uid, dress.gid);
        let refuse = |kind, why: &str| {
            let message = format!("{}: owner {uid}:{gid} {why}", shown(path));
            Err(Error::new(kind, message))
        };
        match &self.policy.owners {
            Owners::Keep => match (kernel_id(uid), kernel_id(gid)) {
                (Some(uid), Some(gid)) => Ok((uid, gid)),
                _ => refuse(Kind::Format, "is more than this system can say"),
            },
            Owners::Shift { users, groups } => match (users.map(uid), groups.map(gid)) {
                (Some(uid), Some(gid)) => Ok((uid, gid)),
                _ => refuse(Kind::Local, "is outside the ranges of the map"),
            },
            Owners::Ours => {
                let ours = (u64::from(self.us.0), u64::from(self.us.1));
                if (uid, gid) != ours && wearer != Wearer::ImpliedFolder {
                    let detail = || format!("{uid}:{gid}");
                    self.report.note(Loss::Owner, path, detail);
                }
                Ok(self.us)
            }
        }
    }

    fn mode(&mut self, path: &[u8], dress: &EntryDress<'_>, wearer: Wearer) -> u32 {
        let mode = dress.mode & 0o7777;
        let folder = matches!(wearer, Wearer::Folder | Wearer::ImpliedFolder);
        if self.policy.set_ids == SetIds::Keep || folder || mode & SET_IDS == 0 {
            return mode;
        }
        self.report
            .note(Loss::SetId, path, || format!("{mode:04o}"));
        mode & !SET_IDS
    }

    fn set_xattr(&mut self, node: Node<'_>, path: &[u8], name: &[u8], value: &[u8]) -> Result<()> {
        let wanted = match self.policy.xattrs {
            Xattrs::All => true,
            Xattrs::User => name.starts_with(b"user."),
            Xattrs::None => false,
        };
        if !wanted {
            self.report.note(Loss::Xattr, path, || shown(name));
            return Ok(());
        }
        if name.is_empty() || name.len() > XATTR_NAME || name.contains(&0) || value.len() > XATTR {
            let message = format!(
                "{}: attribute {} is more than a file can have",
                shown(path),
                shown(name)
            );
            return Err(Error::new(Kind::Format, message));
        }
        match sys::set_xattr(node, name, value) {
            Ok(()) => Ok(()),
            Err(error) if sys::is_unkept(&error) => {
                let detail = || format!("{}: {error}", shown(name));
                self.report.note(Loss::Xattr, path, detail);
                Ok(())
            }
            Err(error) => Err(trouble("cannot set an attribute of", path, error)),
        }
    }

    fn set_mtime(&mut self, node: Node<'_>, path: &[u8], mtime: Time) -> Result<()> {
        let cannot = |error| trouble("cannot set the time of", path, error);
        node.set_mtime(mtime.seconds, mtime.nanos).map_err(cannot)?;
        // The kernel takes any time and silently stores the nearest that the file system can
        // say. All can say those of 32 bits; others are worth a look.
        if i32::try_from(mtime.seconds).is_err() {
            let seen = node.seen().map_err(cannot)?;
            if seen.mtime.0 != mtime.seconds {
                let detail = || format!("{}", mtime.seconds);
                self.report.note(Loss::Time, path, detail);
            }
        }
        Ok(())
    }
}

/// A borrowed [`Dress`]: files do not need a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryDress<'a> {
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: Time,
    xattrs: &'a BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> From<&'a Dress> for EntryDress<'a> {
    fn from(dress: &'a Dress) -> Self {
        Self {
            mode: dress.mode,
            uid: dress.uid,
            gid: dress.gid,
            mtime: dress.mtime,
            xattrs: &dress.xattrs,
        }
    }
}

impl<'a> From<&'a Entry> for EntryDress<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: &entry.xattrs,
        }
    }
}

/// An error of the system about a path in the tree.
pub(super) fn trouble(doing: &str, path: &[u8], error: io::Error) -> Error {
    // A name or link text that is too long, or that the file system cannot spell, is the
    // archive's fault.
    let kind = match error.kind() {
        io::ErrorKind::InvalidFilename => Kind::Format,
        _ => Kind::Local,
    };
    Error::new(kind, format!("{doing} {}", shown(path))).with_source(error)
}

/// An id that the kernel takes. The last one of 32 bits would mean "leave it as it is".
fn kernel_id(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|id| *id != u32::MAX)
}

/// `S_ISUID` and `S_ISGID`.
const SET_IDS: u32 = 0o6000;

/// `XATTR_NAME_MAX` of Linux.
const XATTR_NAME: usize = 255;

/// `XATTR_SIZE_MAX` of Linux.
const XATTR: usize = 65_536;
