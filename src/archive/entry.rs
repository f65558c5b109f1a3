//! What an archive says of one file.

use std::collections::BTreeMap;

/// One entry, with all that its extension headers say folded in. Its data is read from the
/// [`Reader`](super::Reader) that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, verbatim but for trailing slashes of directories: not judged.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-user-ID, set-group-ID and sticky: 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When its content was changed.
    pub mtime: Time,
    /// Bytes of the file as it will be, holes included; 0 for what has no content.
    pub size: u64,
    /// Extended attributes by their full names (`security.capability`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// For a sparse file, where its data lies, ascending and without overlap; the rest of
    /// `size` is a hole. `None` is a file without holes.
    pub extents: Option<Vec<Extent>>,
}

impl Entry {
    /// Whether it is a regular file, which has data.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this text.
    Symlink(Vec<u8>),
    /// Another name of the file with this path, which came before.
    Hardlink(Vec<u8>),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// A moment: seconds since 1970, which may be negative, and nanoseconds after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A run of data in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Bytes, more than 0.
    pub length: u64,
}

/// What stops an archive that means harm. Each names the attack; all can be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Decompressed bytes in all, and those of one file with its holes: decompression bombs and
    /// sparse files that claim to be endless (tests 40 and 74 of the threat model).
    pub bytes: u64,
    /// Entries, global headers and labels: floods of empty files (75).
    pub entries: u64,
    /// Bytes of one extension header, long name or attribute block: allocation by header (76).
    pub header: u64,
    /// Bytes of one name or link text (46 to 48).
    pub name: usize,
    /// Components of one path: recursion (48).
    pub depth: usize,
    /// Pieces of one sparse map (74).
    pub extents: usize,
    /// Memory of the xz decoder, in bytes (39).
    pub xz_memory: u64,
    /// Base-2 logarithm of the largest zstd window (40).
    pub zstd_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
            header: 1 << 20,
            name: 4096,
            depth: 256,
            extents: 1 << 20,
            xz_memory: 256 << 20,
            zstd_window: 27,
        }
    }
}
