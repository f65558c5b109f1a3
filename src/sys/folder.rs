//! Directories: who may write in them, how much fits, what is in them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Creates a directory and its parents, mode 0700 whatever the umask. That it exists is fine.
pub fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Why a directory must not be trusted: somebody else may put files in it.
///
/// `Ok(None)` if it is fine or does not exist. Root is trusted with everything; a sticky
/// directory (`/tmp`) keeps others from replacing what is ours.
pub fn check_private(path: &Path) -> io::Result<Option<String>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let me = rustix::process::geteuid().as_raw();
    Ok(if !meta.is_dir() {
        Some("it is not a directory".to_owned())
    } else if meta.uid() != me && meta.uid() != 0 {
        Some(format!(
            "it belongs to user {}, and you are user {me}; --cache-dir DIR names another one, \
             chown makes it yours",
            meta.uid()
        ))
    } else if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
        Some(format!(
            "others may write to it (mode {:04o}); chmod go-w makes it private",
            meta.mode() & 0o7777
        ))
    } else {
        None
    })
}

/// Whether this process acts as user 0 of its user namespace.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether user ids mean something else here than on the machine: all of them are mapped to
/// themselves in the first namespace (user_namespaces(7)).
pub fn is_in_user_namespace() -> bool {
    let map = user_namespace_map();
    let numbers: Vec<&str> = map.split_whitespace().take(4).collect();
    !numbers.is_empty() && numbers != ["0", "0", "4294967295", "+"]
}

/// What users and, behind a `+`, groups of our namespace are on the machine; empty if the system
/// does not tell.
pub fn user_namespace_map() -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let users = read("uid_map");
    if users.is_empty() {
        return users;
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{} + {}", words(&users), words(&read("gid_map")))
}

/// Opens a directory to look beneath it. A symbolic link at its very end is followed: it is what
/// the user named.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Bytes that we may still write on the file system of an existing path.
pub fn available_space(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What is special about an error of a whole file system, in words for a message.
pub fn mount_error(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull => Some("the disk is full"),
        io::ErrorKind::QuotaExceeded => Some("the disk quota is used up"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is read-only"),
        _ => None,
    }
}

/// Whether anything has this name; a dangling symbolic link counts.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The names in a directory, sorted; none if it does not exist. Names that are not UTF-8 are not
/// ours and are left out.
pub fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Removes a directory with everything in it, whatever the modes of the directories in it are;
/// that it is not there is fine.
pub fn clear_away(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match fs::File::open(parent) {
        Ok(parent) => super::remove_tree(parent, name.as_encoded_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
