//! How finished things get their final names, and stay there through a power cut.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Seek, Write};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, RenameFlags};

use super::regular::create_exclusive;

/// Renames; if the target exists, the error is `AlreadyExists` and nothing has changed.
pub fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Older kernels, and file systems such as NFS, do not know the flag. A rename of a
        // directory never replaces one that has something in it; ours always do.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            #[allow(clippy::disallowed_methods)] // this is the place that the fence points to
            fs::rename(from, to).map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty => io::ErrorKind::AlreadyExists.into(),
                _ => error,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Renames a file over whatever has the name now.
pub fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    #[allow(clippy::disallowed_methods)] // this is the place that the fence points to
    fs::rename(from, to)
}

/// A second name for a file, on the same file system. A symbolic link is not followed.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
}

/// Makes the names in a directory durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network and FUSE file systems cannot sync directories; there is nothing to add.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Removes a file; that it is not there is fine.
pub fn remove_file_if_any(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a small file so that its name means either the old or the new content, never a mix.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    write_durably_with(path, content, |_| ())
}

/// The same; `unseen` gets the file before it has its name, to lock it.
pub fn write_durably_with<T>(
    path: &Path,
    content: &[u8],
    unseen: impl FnOnce(File) -> T,
) -> io::Result<T> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", unique_suffix()));
    let temporary = Path::new(&temporary);
    let write = || {
        let mut file = create_exclusive(temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        let kept = unseen(file);
        rename_over(temporary, path)?;
        Ok(kept)
    };
    write().inspect_err(|_| {
        let _ = remove_file_if_any(temporary);
    })
}

/// Fills `to` with the content of `from`: shares the blocks where the file system can, copies
/// otherwise. `progress` hears the bytes copied so far; its error stops the copy.
pub fn copy_or_reflink(
    from: &mut File,
    mut to: &File,
    mut progress: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, &*from).is_ok() {
        return Ok(());
    }
    from.rewind()?;
    let mut copied = 0;
    loop {
        // `io::copy` between files is copy_file_range: data does not pass through us.
        let n = io::copy(&mut io::Read::take(&*from, COPY_CHUNK), &mut to)?;
        if n == 0 {
            return Ok(());
        }
        copied += n;
        progress(copied)?;
    }
}

/// A part of a temporary name that no other process or thread uses.
pub fn unique_suffix() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{random:016x}", std::process::id())
}

/// Whether a text could have come from [`unique_suffix`].
pub fn is_unique_suffix(text: &str) -> bool {
    text.split_once('-').is_some_and(|(pid, random)| {
        pid.parse::<u32>().is_ok()
            && random.len() == 16
            && random
                .bytes()
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// How much is copied between two looks at whether somebody wants us to stop.
const COPY_CHUNK: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_never_replaces_and_a_write_always_does() {
        let folder = std::env::temp_dir().join(format!("df-place-{}", unique_suffix()));
        fs::create_dir(&folder).unwrap();
        let (a, b) = (folder.join("a"), folder.join("b"));
        write_durably(&a, b"one").unwrap();
        write_durably(&a, b"two").unwrap();
        write_durably(&b, b"three").unwrap();
        let error = rename_noreplace(&a, &b).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&a).unwrap(), b"two");
        assert_eq!(fs::read(&b).unwrap(), b"three");
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "no temporary is left"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
