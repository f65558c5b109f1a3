//! Opening what lies beneath a directory, and nothing else.
//!
//! `openat2` has the kernel refuse symbolic links and `..` in one call. Where it is missing (Linux
//! before 5.6), forbidden (seccomp filters that answer `EPERM`), or the path is longer than it
//! takes, the path is walked one component at a time, none of them followed.

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
    let path = if path.is_empty() {
        b".".as_slice()
    } else {
        path
    };
    if path.len() >= PATH_MAX {
        return open_by_steps(root, path, what);
    }
    // EAGAIN: something was renamed meanwhile, and the kernel cannot say whether it escaped.
    for _ in 0..ATTEMPTS {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(&root, path, what.flags(), Mode::empty(), resolve);
        match opened {
            Ok(fd) => return Ok(fd),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    open_by_steps(root, path, what)
}

/// The same without `openat2`: one component after the other.
pub fn open_by_steps(root: impl AsFd, path: &[u8], what: Beneath) -> io::Result<OwnedFd> {
    let mut steps = path.split(|&byte| byte == b'/').peekable();
    let mut here: Option<OwnedFd> = None;
    while let Some(step) = steps.next() {
        // `.` is how the root itself is opened; the parent is how one escapes.
        if step.is_empty() || step == b".." {
            return Err(Errno::XDEV.into());
        }
        let flags = if steps.peek().is_some() {
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC
        } else {
            what.flags()
        };
        let from: BorrowedFd<'_> = here.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        here = Some(rustix::fs::openat(from, step, flags, Mode::empty())?);
    }
    here.ok_or_else(|| Errno::NOENT.into())
}

/// What the kernel takes as one path, with its terminating NUL.
const PATH_MAX: usize = 4096;

/// How often an undecided kernel is asked again before the path is walked.
const ATTEMPTS: u32 = 8;
