//! What of an archive's metadata goes to disk.

use std::path::PathBuf;

use super::IdMap;
use crate::sys::{self, Durable};

/// What is kept, and where a tree may appear. What is not kept is in the
/// [`Report`](super::Report), never silently lost.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose the files are.
    pub owners: Owners,
    /// Set-user-ID and set-group-ID bits of files. Those of directories and the sticky bit give
    /// nobody any rights, and are always kept.
    pub set_ids: SetIds,
    /// Device nodes. Never an empty file in the place of one.
    pub devices: Devices,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// What may be at the target.
    pub replace: Replace,
    /// Whether the tree outlives a power cut once it has its name.
    pub durable: Durable,
    /// Directories that no target may lie in, such as the cache.
    pub keep_out_of: Vec<PathBuf>,
}

impl Policy {
    /// Everything: what root does.
    pub fn everything() -> Self {
        Self {
            owners: Owners::Keep,
            set_ids: SetIds::Keep,
            devices: Devices::Make,
            xattrs: Xattrs::All,
            replace: Replace::No,
            durable: Durable::No,
            keep_out_of: Vec::new(),
        }
    }

    /// What an ordinary user may keep. The files belong to that user, so a set-user-ID program
    /// would lend the user's rights to anybody: those bits are dropped.
    pub fn rootless() -> Self {
        Self {
            owners: Owners::Ours,
            set_ids: SetIds::Drop,
            devices: Devices::LeaveOut,
            xattrs: Xattrs::User,
            ..Self::everything()
        }
    }

    /// [`everything`](Self::everything) for root, [`rootless`](Self::rootless) for others.
    pub fn of_this_user() -> Self {
        if sys::is_root() {
            Self::everything()
        } else {
            Self::rootless()
        }
    }
}

/// Whose the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The owners that the archive names. That one cannot be set is an error.
    Keep,
    /// Whoever unpacks.
    Ours,
    /// The owners that the archive names, moved into ranges of this machine, to be used in a user
    /// namespace with the same map. An id without a place is an error.
    Shift {
        /// Users.
        users: IdMap,
        /// Groups.
        groups: IdMap,
    },
}

/// Set-user-ID and set-group-ID bits of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetIds {
    /// Kept.
    Keep,
    /// Dropped, and reported.
    Drop,
}

/// Device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Made; reported where the kernel does not let us (root in a container).
    Make,
    /// Left out, and reported.
    LeaveOut,
    /// An archive with one is refused.
    Refuse,
}

/// Extended attributes. Those that the file system does not take are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xattrs {
    /// All of them.
    All,
    /// `user.*`; others are reported.
    User,
    /// None; all are reported.
    None,
}

/// What may be at the target before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing, or an empty directory.
    No,
    /// Any directory. It keeps its name until the new tree is whole, and is removed last.
    Yes,
}
