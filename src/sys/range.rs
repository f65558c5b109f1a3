//! Files without a name, and runs of bytes in files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use super::place::unique_suffix;
use super::regular::{check, create_exclusive};

/// A file in `folder` that has no name: it is gone with its descriptor, however we end.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => return Ok(fd.into()),
        // Kernels say EISDIR, file systems EOPNOTSUPP, where they do not know such files.
        Err(Errno::ISDIR | Errno::OPNOTSUPP | Errno::NOENT | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let path = folder.join(format!(".{}.unnamed", unique_suffix()));
    let file = create_exclusive(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Copies bytes of one file into another one, both at places of their own: in the kernel where it
/// can, which shares blocks where the file system can.
pub fn copy_run(
    from: &File,
    mut at: u64,
    to: &File,
    mut offset: u64,
    mut length: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    // Small ones: a copy through us costs less than the kernel's machinery.
    if length > buffer.len() as u64 {
        while length > 0 {
            let want = usize::try_from(length).unwrap_or(usize::MAX);
            let copied =
                rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut offset), want);
            match copied {
                // Also what some file systems say that do not implement it.
                Ok(0) => break,
                Ok(copied) => length -= copied as u64,
                Err(Errno::INTR) => {}
                Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                    return Err(error.into());
                }
                // Two file systems, or none that knows it.
                Err(_) => break,
            }
        }
    }
    while length > 0 {
        let want = usize::try_from(length).map_or(buffer.len(), |it| it.min(buffer.len()));
        let got = match from.read_at(&mut buffer[..want], at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all_at(&buffer[..got], offset)?;
        at += got as u64;
        offset += got as u64;
        length -= got as u64;
    }
    Ok(())
}

/// Where data lies in a sparse file: offsets and lengths, ascending.
pub fn data_runs(file: impl AsFd, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole follows.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start))?.min(size);
        if end <= start {
            break;
        }
        runs.push((start, end - start));
        at = end;
    }
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(runs)
}

/// Opens a regular file below `root` to read it. Symbolic links are followed as long as they stay
/// below it.
pub fn open_within(root: impl AsFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut again = 8;
    let fd: OwnedFd = loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => break fd,
            // Something was renamed meanwhile, and the kernel cannot say whether it escaped.
            Err(Errno::AGAIN | Errno::INTR) if again > 0 => again -= 1,
            // Kernels before 5.6: no links at all.
            Err(Errno::NOSYS | Errno::PERM) => {
                let path = path.as_os_str().as_encoded_bytes();
                break super::open_by_steps(&root, path, super::Beneath::File)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    check(File::from(fd))
}
