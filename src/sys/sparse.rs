//! Holes, and blocks that two files share.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// The next stretch of a file, from `from` on, that is not a hole: its start and end. `None` if
/// there is none. A file system that knows no holes has one stretch. Moves the file's position.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL) => {
            let length = file.metadata()?.len();
            return Ok((from < length).then_some((from, length)));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some((
        start,
        rustix::fs::seek(file, SeekFrom::Hole(start))?,
    )))
}

/// Makes `to` share every block of `from`, if their file system can: its whole content becomes
/// the other's.
pub fn share(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Whether blocks of `from` can be shared with `to`, which is empty and stays so.
pub fn shares_blocks(from: &File, to: &File) -> bool {
    share(from, to) && to.set_len(0).is_ok()
}

/// Moves bytes between places of two files without passing them through us; where their file
/// system shares blocks, it does that. How many were moved: 0 at the end of `from`.
pub fn copy_range(
    from: &File,
    mut at: u64,
    to: &File,
    mut to_at: u64,
    n: usize,
) -> io::Result<usize> {
    Ok(rustix::fs::copy_file_range(
        from,
        Some(&mut at),
        to,
        Some(&mut to_at),
        n,
    )?)
}
