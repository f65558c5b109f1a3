//! Opening what lies beneath a directory, and nothing else.
//!
//! `openat2` has the kernel refuse symbolic links and `..` in one call. Where it is missing (Linux
//! before 5.6) or forbidden (seccomp filters that answer `EPERM`), the path is walked one component
//! at a time, none of them followed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beneath {
    /// A directory, to make things in it and to list it.
    Folder,
    /// A regular file, to read it. A FIFO in its place does not make us wait.
    File,
}

impl Beneath {
    fn flags(self) -> OFlags {
        let common = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self {
            Self::Folder => common | OFlags::DIRECTORY,
            Self::File => common | OFlags::NONBLOCK | OFlags::NOCTTY,
        }
    }
}

/// Opens `path`, components joined by single slashes, below `root`; empty is `root` itself.
///
/// A symbolic link anywhere in it is an error, and so is `..`.
pub fn open_beneath(root: impl AsFd, path: &[u8], what: Beneath) -> io::Result<OwnedFd> {
    let mut rest = if path.is_empty() {
        b".".as_slice()
    } else {
        path
    };
    let mut here: Option<OwnedFd> = None;
    // A path that is longer than the kernel takes is opened in pieces.
    while rest.len() >= PATH_MAX {
        let Some(slash) = rest[..PATH_MAX].iter().rposition(|&byte| byte == b'/') else {
            return Err(Errno::NAMETOOLONG.into());
        };
        let from = here.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        here = Some(open_piece(from, &rest[..slash], WAY)?);
        rest = &rest[slash + 1..];
    }
    let from = here.as_ref().map_or(root.as_fd(), AsFd::as_fd);
    open_piece(from, rest, what.flags())
}

fn open_piece(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    // EAGAIN: something was renamed meanwhile, and the kernel cannot say whether it escaped.
    for _ in 0..ATTEMPTS {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(from, path, flags, Mode::empty(), resolve) {
            Ok(fd) => return Ok(fd),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    walk(from, path, flags)
}

/// The same without `openat2`: one component after the other.
pub fn open_by_steps(root: impl AsFd, path: &[u8], what: Beneath) -> io::Result<OwnedFd> {
    walk(root.as_fd(), path, what.flags())
}

fn walk(root: BorrowedFd<'_>, path: &[u8], last: OFlags) -> io::Result<OwnedFd> {
    let mut steps = path.split(|&byte| byte == b'/').peekable();
    let mut here: Option<OwnedFd> = None;
    while let Some(step) = steps.next() {
        // `.` is how the root itself is opened; the parent is how one escapes.
        if step.is_empty() || step == b".." {
            return Err(Errno::XDEV.into());
        }
        let flags = if steps.peek().is_some() { WAY } else { last };
        let from = here.as_ref().map_or(root, AsFd::as_fd);
        here = Some(rustix::fs::openat(from, step, flags, Mode::empty())?);
    }
    here.ok_or_else(|| Errno::NOENT.into())
}

/// How a directory is opened that only leads somewhere.
const WAY: OFlags = OFlags::PATH
    .union(OFlags::NOFOLLOW)
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// What the kernel takes as one path, with its terminating NUL.
const PATH_MAX: usize = 4096;

/// How often an undecided kernel is asked again before the path is walked.
const ATTEMPTS: u32 = 8;
