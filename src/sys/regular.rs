//! Regular files, opened so that a link, FIFO or device in their place is an error and not a
//! surprise.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What a cheap look at a file tells: enough to notice that it was touched since it was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Modification time, whole seconds since 1970.
    pub mtime: i64,
    /// Modification time, nanoseconds within the second.
    pub mtime_nanos: i64,
    /// Inode number.
    pub inode: u64,
}

impl Stamp {
    /// Looks at an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            size: meta.len(),
            mtime: meta.mtime(),
            mtime_nanos: meta.mtime_nsec(),
            inode: meta.ino(),
        })
    }
}

/// Opens a regular file for reading. A symbolic link is not followed; anything but a regular
/// file is an error, and a FIFO does not make us wait.
pub fn open_regular(path: &Path) -> io::Result<File> {
    check(open(OpenOptions::new().read(true), path)?)
}

/// The same for what a user names: a symbolic link there is followed.
pub fn open_regular_through_links(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    check(options.open(path)?)
}

/// Opens or creates a file of ours, mode 0600, for reading and writing where it ends.
pub fn open_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    check(open(
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600),
        path,
    )?)
}

/// Creates a file that did not exist, mode 0600.
pub fn create_exclusive(path: &Path) -> io::Result<File> {
    open(
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600),
        path,
    )
}

/// Creates a file that did not exist, with the mode that the user's umask leaves.
pub fn create_public(path: &Path) -> io::Result<File> {
    open(
        OpenOptions::new().read(true).write(true).create_new(true),
        path,
    )
}

/// Gives a sealed file that never became anything back to its writer.
pub fn unseal(path: &Path) -> io::Result<()> {
    open_regular(path)?.set_permissions(Permissions::from_mode(0o600))
}

/// Whether a name still means this open file.
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(here), Ok(there)) => here.dev() == there.dev() && here.ino() == there.ino(),
        _ => false,
    }
}

/// Whether a file has other names, too.
pub fn has_other_names(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.nlink() > 1)
}

/// Whether an error is about the thing with this name: absent, of the wrong type, on a bad
/// block. Anything else (no rights, no descriptors, no memory) says nothing about it.
pub fn is_damage(error: &io::Error) -> bool {
    if error.raw_os_error().is_none() {
        return error.kind() == io::ErrorKind::InvalidInput;
    }
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NXIO | Errno::IO)
    )
}

/// Makes a finished file read-only for everyone who may enter its directory, and durable.
pub fn seal(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

/// Has the kernel begin to write out what was just written, so that the `fsync` at the end finds
/// little left to do. A hint: nothing depends on it.
pub fn start_writeback(file: &File, from: u64, length: u64) {
    // Pages that are dirty are only queued by this, and stay cached; `sync_file_range` would say
    // it more plainly, but is not to be had without unsafe code.
    let _ = rustix::fs::fadvise(
        file,
        from,
        NonZeroU64::new(length),
        rustix::fs::Advice::DontNeed,
    );
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

/// Only a regular file.
pub(super) fn check(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}
