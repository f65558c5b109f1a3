//! Numbers and places of the format.
//!
//! Sources: Linux, `Documentation/filesystems/ext4/`; the names are those of `fs/ext4/ext4.h`.

use crate::fsimg::crc32c::crc32c;

/// Bytes of a block of what we write.
pub(super) const BLOCK: usize = 4096;

/// The same, to count with.
pub(super) const BLOCK_SIZE: u64 = BLOCK as u64;

/// Blocks of a group: as many as one block has bits.
pub(super) const GROUP_BLOCKS: u64 = 8 * BLOCK_SIZE;

/// The most inodes of a group, for the same reason.
pub(super) const GROUP_INODES: u64 = 8 * BLOCK_SIZE;

/// Bytes of an inode.
pub(super) const INODE: usize = 256;

/// Inodes in a block.
pub(super) const BLOCK_INODES: u64 = (BLOCK / INODE) as u64;

/// Bytes of a group descriptor, with the feature `64bit`.
pub(super) const DESCRIPTOR: usize = 64;

/// Base-2 logarithm of the groups whose metadata lies together.
pub(super) const FLEX: u8 = 4;

/// The root directory.
pub(super) const ROOT: u32 = 2;

/// The journal.
pub(super) const JOURNAL: u32 = 8;

/// The first inode that is not reserved: `lost+found`.
pub(super) const FIRST: u32 = 11;

/// Most names of one thing, and most directories in one that are counted.
pub(super) const LINKS: u32 = 65_000;

/// `s_feature_compat`.
pub(super) mod compat {
    pub(in crate::fsimg::ext4) const HAS_JOURNAL: u32 = 0x4;
    pub(in crate::fsimg::ext4) const EXT_ATTR: u32 = 0x8;
    pub(in crate::fsimg::ext4) const DIR_INDEX: u32 = 0x20;
    pub(in crate::fsimg::ext4) const SPARSE_SUPER2: u32 = 0x200;
}

/// `s_feature_incompat`.
pub(super) mod incompat {
    pub(in crate::fsimg::ext4) const FILETYPE: u32 = 0x2;
    pub(in crate::fsimg::ext4) const EXTENTS: u32 = 0x40;
    pub(in crate::fsimg::ext4) const BITS64: u32 = 0x80;
    pub(in crate::fsimg::ext4) const FLEX_BG: u32 = 0x200;
    pub(in crate::fsimg::ext4) const CSUM_SEED: u32 = 0x2000;
    pub(in crate::fsimg::ext4) const LARGEDIR: u32 = 0x4000;
}

/// `s_feature_ro_compat`.
pub(super) mod ro_compat {
    pub(in crate::fsimg::ext4) const SPARSE_SUPER: u32 = 0x1;
    pub(in crate::fsimg::ext4) const LARGE_FILE: u32 = 0x2;
    pub(in crate::fsimg::ext4) const HUGE_FILE: u32 = 0x8;
    pub(in crate::fsimg::ext4) const GDT_CSUM: u32 = 0x10;
    pub(in crate::fsimg::ext4) const DIR_NLINK: u32 = 0x20;
    pub(in crate::fsimg::ext4) const EXTRA_ISIZE: u32 = 0x40;
    pub(in crate::fsimg::ext4) const QUOTA: u32 = 0x100;
    pub(in crate::fsimg::ext4) const METADATA_CSUM: u32 = 0x400;
    pub(in crate::fsimg::ext4) const PROJECT: u32 = 0x2000;
}

/// `i_flags`.
pub(super) mod flag {
    pub(in crate::fsimg::ext4) const INDEX: u32 = 0x1000;
    pub(in crate::fsimg::ext4) const EXTENTS: u32 = 0x8_0000;
    pub(in crate::fsimg::ext4) const ENCRYPT: u32 = 0x800;
    pub(in crate::fsimg::ext4) const EA_INODE: u32 = 0x20_0000;
    pub(in crate::fsimg::ext4) const INLINE_DATA: u32 = 0x1000_0000;
}

/// The type of a file in the upper bits of `i_mode`, and in a directory.
pub(super) mod kind {
    pub(in crate::fsimg::ext4) const FIFO: (u16, u8) = (0x1000, 5);
    pub(in crate::fsimg::ext4) const CHARACTER: (u16, u8) = (0x2000, 3);
    pub(in crate::fsimg::ext4) const FOLDER: (u16, u8) = (0x4000, 2);
    pub(in crate::fsimg::ext4) const BLOCK: (u16, u8) = (0x6000, 4);
    pub(in crate::fsimg::ext4) const FILE: (u16, u8) = (0x8000, 1);
    pub(in crate::fsimg::ext4) const SYMLINK: (u16, u8) = (0xa000, 7);
    pub(in crate::fsimg::ext4) const SOCKET: (u16, u8) = (0xc000, 6);
}

/// What checksums of metadata begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(pub(super) u32);

impl Seed {
    /// That of a file system.
    pub(super) fn of(uuid: &[u8; 16]) -> Self {
        Self(crc32c(!0, uuid))
    }

    /// That of what belongs to an inode.
    pub(super) fn inode(self, number: u32, generation: u32) -> Self {
        self.and(&number.to_le_bytes())
            .and(&generation.to_le_bytes())
    }

    /// What comes first is part of it.
    pub(super) fn and(self, bytes: &[u8]) -> Self {
        Self(crc32c(self.0, bytes))
    }

    /// The checksum of bytes.
    pub(super) fn sum(self, bytes: &[u8]) -> u32 {
        self.and(bytes).0
    }
}

pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// 0 for what lies outside: readers check lengths first.
pub(super) fn get16(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |it| u16::from_le_bytes(*it))
}

/// As [`get16`].
pub(super) fn get32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |it| u32::from_le_bytes(*it))
}

/// The lower 16 bits.
pub(super) fn low16(value: u64) -> u16 {
    (value & 0xffff) as u16
}

/// The lower 32 bits.
pub(super) fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The upper 32 bits.
pub(super) fn high32(value: u64) -> u32 {
    (value >> 32) as u32
}
