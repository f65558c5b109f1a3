//! Removing a tree that cannot be walked by path: directories of mode 000, names past `PATH_MAX`,
//! any depth with few descriptors, and somebody who swaps directories for links meanwhile.
//!
//! At any moment one directory is open. Down goes by name, without following; up goes by `..`,
//! and where that is not the directory we came from, somebody moved things about and we stop.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::node::{hold, own_name};
use super::{FileKind, Node, Seen, is_unique_suffix, unique_suffix};

/// A directory on the way down.
struct Level {
    name: Vec<u8>,
    identity: (u64, u64),
    /// Directories in it that are still there.
    folders: Vec<Vec<u8>>,
}

/// Removes `name` from `dir`, and everything in it if it is a directory. That it is not there is
/// fine. Nothing outside is touched: links are removed and not followed, other file systems that
/// are mounted inside are left alone and are an error.
pub fn remove_tree(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR, POSIX says EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut here = enter(&dir, name)?;
    let mut way = vec![level(&here, name.to_vec(), None)?];
    let device = way[0].identity.0;
    while let Some(last) = way.last_mut() {
        if let Some(name) = last.folders.pop() {
            here = enter(&here, &name)?;
            way.push(level(&here, name, Some(device))?);
            continue;
        }
        let done = way.pop().map(|level| level.name).unwrap_or_default();
        let Some(above) = way.last() else {
            return Ok(rustix::fs::unlinkat(
                &dir,
                done.as_slice(),
                AtFlags::REMOVEDIR,
            )?);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        here = rustix::fs::openat(&here, "..", flags, Mode::empty())?;
        if Node::Open(here.as_fd()).seen()?.identity != above.identity {
            return Err(io::Error::other(
                "a directory was moved while it was removed",
            ));
        }
        rustix::fs::unlinkat(&here, done.as_slice(), AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// The same for a directory that others know: it loses its name first, so that a kill leaves it
/// whole or out of sight.
pub fn retire_tree(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    let hidden = [b".", name, b"~", unique_suffix().as_bytes(), RETIRED].concat();
    match rustix::fs::renameat(&dir, name, &dir, hidden.as_slice()) {
        Ok(()) => remove_tree(dir, &hidden),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name is one that [`retire_tree`] gave: what still has it is left of a kill.
pub fn is_retired(name: &[u8]) -> bool {
    let suffix = || {
        let rest = name.strip_prefix(b".")?.strip_suffix(RETIRED)?;
        let at = rest.iter().rposition(|&byte| byte == b'~')?;
        std::str::from_utf8(&rest[at + 1..]).ok()
    };
    suffix().is_some_and(is_unique_suffix)
}

/// How the hidden names end.
const RETIRED: &[u8] = b".retired";

/// Opens a directory of ours, whatever its mode.
fn enter(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(here) => return Ok(here),
        Err(Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let held = hold(&dir, name)?;
    if Node::Open(held.as_fd()).seen()?.kind != FileKind::Folder {
        return Err(Errno::NOTDIR.into());
    }
    // Without /proc the open below says what is wrong.
    let _ = rustix::fs::chmod(own_name(&held), Mode::RWXU);
    Ok(rustix::fs::openat(&held, ".", flags, Mode::empty())?)
}

/// Removes everything in a directory but its directories, which are listed.
fn level(here: &OwnedFd, name: Vec<u8>, device: Option<u64>) -> io::Result<Level> {
    let Seen { identity, mode, .. } = Node::Open(here.as_fd()).seen()?;
    if device.is_some_and(|device| device != identity.0) {
        return Err(Errno::XDEV.into());
    }
    if mode & 0o700 != 0o700 {
        rustix::fs::fchmod(here, Mode::RWXU)?;
    }
    let mut folders = Vec::new();
    for entry in rustix::fs::Dir::read_from(here)? {
        let entry = entry?;
        let leaf = entry.file_name().to_bytes();
        if leaf == b"." || leaf == b".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            folders.push(leaf.to_vec());
            continue;
        }
        match rustix::fs::unlinkat(here, leaf, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => folders.push(leaf.to_vec()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Level {
        name,
        identity,
        folders,
    })
}
