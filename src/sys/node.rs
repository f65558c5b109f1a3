//! Making the things that have a name in an open directory, and dressing them.
//!
//! Everything is made exclusively: what has the name already is an error (`AlreadyExists`), never
//! followed, never opened. Modes at creation are private and whatever the umask leaves of them;
//! [`Node::set_mode`] then says what they are.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
};

/// A thing on disk, by its descriptor or, where opening it would do something (a device, a FIFO)
/// or is impossible (a symbolic link), by its name in an open directory.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// Open.
    Open(BorrowedFd<'a>),
    /// By name, which is not followed.
    Named(BorrowedFd<'a>, &'a [u8]),
}

impl Node<'_> {
    /// Gives it to a user and a group.
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid)?,
            Self::Named(dir, name) => {
                rustix::fs::chownat(dir, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    /// Sets its permission bits: 12 of them.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => Ok(rustix::fs::fchmod(fd, mode)?),
            Self::Named(dir, name) => {
                // There is no `fchmodat` that does not follow on all kernels: hold the thing
                // itself, whatever it is, and go through the descriptor's own name.
                let held = hold(dir, name)?;
                Ok(rustix::fs::chmod(own_name(&held), mode)?)
            }
        }
    }

    /// Sets its modification time and leaves its access time alone.
    pub fn set_mtime(&self, seconds: i64, nanos: u32) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: nanos.into(),
            },
        };
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times)?,
            Self::Named(dir, name) => {
                rustix::fs::utimensat(dir, *name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    /// What it is now.
    pub fn seen(&self) -> io::Result<Seen> {
        let stat = match self {
            Self::Open(fd) => rustix::fs::fstat(fd)?,
            Self::Named(dir, name) => rustix::fs::statat(dir, *name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        Ok(Seen::from(stat))
    }
}

/// What a look at a thing tells. Two looks at one that nobody touched are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits: 12 of them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Bytes.
    pub size: u64,
    /// Names that it has.
    pub links: u64,
    /// File system and inode: equal for two names of one thing.
    pub identity: (u64, u64),
    /// Major and minor number of a device node.
    pub device: (u32, u32),
}

/// What a thing on disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket, or what a later kernel may have.
    Socket,
}

impl From<Stat> for Seen {
    #[allow(clippy::useless_conversion, clippy::cast_sign_loss)] // widths differ by architecture
    fn from(stat: Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Symlink,
            FileType::CharacterDevice => FileKind::Character,
            FileType::BlockDevice => FileKind::Block,
            FileType::Fifo => FileKind::Fifo,
            _ => FileKind::Socket,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (
                stat.st_mtime.into(),
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            size: stat.st_size as u64,
            links: stat.st_nlink.into(),
            identity: (stat.st_dev.into(), stat.st_ino.into()),
            device: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
        }
    }
}

/// What has this name; a symbolic link is looked at itself.
pub fn look(dir: impl AsFd, name: &[u8]) -> io::Result<Seen> {
    Node::Named(dir.as_fd(), name).seen()
}

/// The same, and when anything about it was last changed (`ctime`), in seconds since 1970 and
/// nanoseconds: unlike an `mtime`, nobody sets it. No part of [`Seen`]: another name changes it.
#[allow(clippy::useless_conversion)] // widths differ by architecture
pub fn look_closely(dir: impl AsFd, name: &[u8]) -> io::Result<(Seen, (i64, u32))> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let nanos = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
    Ok((Seen::from(stat), (stat.st_ctime.into(), nanos)))
}

/// Bytes that a file takes on disk: fewer than it has, if it has holes. No part of [`Seen`]: it
/// changes while a file system thinks about where to put them.
#[allow(clippy::cast_sign_loss)]
pub fn stored_bytes(dir: impl AsFd, name: &[u8]) -> io::Result<u64> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((stat.st_blocks as u64).saturating_mul(512))
}

/// Makes an empty file that did not exist, for writing; what was written can be read.
pub fn make_file(dir: impl AsFd, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(fd))
}

/// Makes a private directory.
pub fn make_folder(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::RWXU)?)
}

/// Makes a directory that whoever the umask lets may enter.
pub fn make_public_folder(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    Ok(rustix::fs::mkdirat(dir, name, mode)?)
}

/// Makes a symbolic link with this text.
pub fn make_symlink(text: &[u8], dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(text, dir, name)?)
}

/// Makes a named pipe.
pub fn make_fifo(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0)?)
}

/// What kind of device a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A character device.
    Character,
    /// A block device.
    Block,
}

/// Makes a device node.
pub fn make_device(
    kind: DeviceKind,
    (major, minor): (u32, u32),
    dir: impl AsFd,
    name: &[u8],
) -> io::Result<()> {
    let kind = match kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
    };
    let device = rustix::fs::makedev(major, minor);
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mknodat(dir, name, kind, mode, device)?)
}

/// Makes a second name for what has a name; a symbolic link is not followed.
pub fn make_link(from: impl AsFd, old: &[u8], to: impl AsFd, new: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::linkat(from, old, to, new, AtFlags::empty())?)
}

/// Removes a name that is not a directory's.
pub fn unlink(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// The text of a symbolic link.
pub fn link_text(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// The names in an open directory, in whatever order it has them.
pub fn names_of(dir: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// A descriptor of whatever has the name, which does not open it.
pub(super) fn hold(dir: impl AsFd, name: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// The name that the kernel gives to a descriptor of ours.
pub(super) fn own_name(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// The same as a path, for calls that want one.
pub fn own_path(fd: impl AsFd) -> std::path::PathBuf {
    own_name(fd).into()
}
