//! A directory that grows under a private name and gets its final one when it is whole.
//!
//! It is locked as long as somebody works on it, and the kernel lets go of the lock when that
//! process dies, so the next one knows which of its neighbours are litter.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{
    FileKind, Node, is_unique_suffix, look, make_folder, names_of, remove_tree, remove_xattr,
    unique_suffix,
};

/// A private directory beside the name that it will have. Dropping it removes it.
#[derive(Debug)]
#[must_use = "dropping it removes everything in it"]
pub struct Staging {
    parent: OwnedFd,
    name: Vec<u8>,
    root: OwnedFd,
    placed: bool,
}

/// What may have the final name before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A directory with nothing in it.
    Empty,
    /// Any directory: it goes once the new one has its name.
    Tree,
}

/// Whether a directory outlives a power cut once it has its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durable {
    /// Not before the kernel gets round to it: what can be made again need not wait for a disk.
    #[default]
    No,
    /// One `syncfs` before it gets its name, and an `fsync` of the directory that has the name.
    Yes,
}

impl Staging {
    /// Makes one, mode 0700, in `parent`, for what will be called `name` there. What is left of
    /// earlier ones for the same name, and is nobody's now, is swept.
    pub fn beside(parent: &Path, name: &OsStr) -> io::Result<Self> {
        let parent = OwnedFd::from(File::open(parent)?);
        let prefix = [b".", name.as_bytes()].concat();
        // Room for the suffixes: a name that is itself at the limit is cut.
        let prefix = [&prefix[..prefix.len().min(PREFIX)], b"~"].concat();
        sweep(&parent, &prefix);
        loop {
            let name = [&prefix, unique_suffix().as_bytes(), MARK].concat();
            match make_folder(&parent, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            let staging = Self {
                root: open_own(&parent, &name)?,
                parent: parent.try_clone()?,
                name,
                placed: false,
            };
            // Whoever sweeps may have taken it for litter in the moment before it was locked.
            if lock(&staging.root) != Lock::Busy && staging.is_at_its_name() {
                make_plain(staging.root.as_fd())?;
                return Ok(staging);
            }
        }
    }

    /// The directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Gives it its final name. `AlreadyExists` or `DirectoryNotEmpty` if something has it that
    /// may not; nothing has changed then. What was replaced is removed last; `Ok(false)` if that
    /// did not succeed and it is still beside the target.
    pub fn place(mut self, name: &OsStr, before: Before, durable: Durable) -> io::Result<bool> {
        if durable == Durable::Yes {
            rustix::fs::syncfs(&self.root)?;
        }
        let replaced = self.rename(name.as_bytes(), before)?;
        self.placed = true;
        if durable == Durable::Yes {
            match rustix::fs::fsync(&self.parent) {
                // Some network and FUSE file systems cannot sync directories.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(replaced.is_none_or(|old| remove_tree(&self.parent, &old).is_ok()))
    }

    /// The name that the replaced directory has now, if there was one.
    fn rename(&self, name: &[u8], before: Before) -> io::Result<Option<Vec<u8>>> {
        let (parent, own) = (&self.parent, self.name.as_slice());
        let with = |flags| rustix::fs::renameat_with(parent, own, parent, name, flags);
        let plain = || rustix::fs::renameat(parent, own, parent, name);
        match before {
            Before::Nothing => match with(RenameFlags::NOREPLACE) {
                // File systems without the flag. A plain rename of a directory replaces nothing
                // but an empty one.
                Err(Errno::INVAL | Errno::NOSYS) => plain()?,
                other => other?,
            },
            Before::Empty => plain()?,
            Before::Tree => {
                match look(parent, name) {
                    Ok(seen) if seen.kind == FileKind::Folder => {}
                    Ok(_) => return Err(Errno::NOTDIR.into()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        plain()?;
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
                match with(RenameFlags::EXCHANGE) {
                    // Both names mean a whole tree all the time; ours now means the old one.
                    Ok(()) => return Ok(Some(own.to_vec())),
                    Err(Errno::INVAL | Errno::NOSYS) => {}
                    Err(error) => return Err(error.into()),
                }
                let aside = [own, OLD].concat();
                rustix::fs::renameat(parent, name, parent, aside.as_slice())?;
                if let Err(error) = plain() {
                    let _ = rustix::fs::renameat(parent, aside.as_slice(), parent, name);
                    return Err(error.into());
                }
                return Ok(Some(aside));
            }
        }
        Ok(None)
    }

    fn is_at_its_name(&self) -> bool {
        let there = look(&self.parent, &self.name);
        let here = Node::Open(self.root()).seen();
        there.is_ok_and(|there| here.is_ok_and(|here| here.identity == there.identity))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is swept by the next run.
            let _ = remove_tree(&self.parent, &self.name);
        }
    }
}

/// Removes what earlier runs left of the same target.
fn sweep(parent: &OwnedFd, prefix: &[u8]) {
    let me = rustix::process::geteuid().as_raw();
    for name in names_of(parent).unwrap_or_default() {
        let Some(rest) = name.strip_prefix(prefix) else {
            continue;
        };
        let rest = rest.strip_suffix(OLD).unwrap_or(rest);
        let suffix = rest.strip_suffix(MARK).unwrap_or_default();
        if !std::str::from_utf8(suffix).is_ok_and(is_unique_suffix) {
            continue;
        }
        let ours = look(parent, &name).is_ok_and(|seen| seen.uid == me);
        // Where locks do not work, nobody can know what is litter.
        if ours
            && let Ok(root) = open(parent, &name)
            && lock(&root) == Lock::Held
        {
            let _ = remove_tree(parent, &name);
        }
    }
}

fn open(parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The same for one that we have just made: a umask may have taken our own rights.
fn open_own(parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    if let Ok(root) = open(parent, name) {
        return Ok(root);
    }
    Node::Named(parent.as_fd(), name).set_mode(0o700)?;
    open(parent, name)
}

/// Takes away what a directory inherits and would hand down to all that is made in it: access
/// control lists, set-group-ID, a group that is not ours.
fn make_plain(root: BorrowedFd<'_>) -> io::Result<()> {
    for list in ["system.posix_acl_default", "system.posix_acl_access"] {
        remove_xattr(root, list.as_bytes())?;
    }
    let group = rustix::process::getegid();
    if Node::Open(root).seen()?.gid != group.as_raw() {
        // Whoever cares which group it is sets it for each file.
        let _ = rustix::fs::fchown(root, None, Some(group));
    }
    Ok(rustix::fs::fchmod(root, Mode::RWXU)?)
}

#[derive(PartialEq, Eq)]
enum Lock {
    Held,
    Busy,
    Impossible,
}

fn lock(root: &OwnedFd) -> Lock {
    match rustix::fs::flock(root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Held,
        Err(Errno::WOULDBLOCK) => Lock::Busy,
        Err(_) => Lock::Impossible,
    }
}

/// Bytes of the target's name in the staging's: 255 less suffix and mark.
const PREFIX: usize = 180;

/// How our names end.
const MARK: &[u8] = b".unpacking";

/// How a replaced directory's name ends where names cannot be exchanged.
const OLD: &[u8] = b"-old";
