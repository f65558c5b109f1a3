//! The superblock and the descriptors of groups, as they are written.
//!
//! Sources: Linux, `Documentation/filesystems/ext4/super.rst` and `group_descr.rst`.

use super::format::{
    BLOCK, DESCRIPTOR, FIRST, FLEX, GROUP_BLOCKS, INODE, JOURNAL, Seed, compat, high32, incompat,
    low16, low32, put16, put32, ro_compat,
};
use super::geometry::{Backups, Geometry, Place};
use crate::fsimg::Uuid;
use crate::fsimg::crc32c::crc32c;

/// What a superblock says beyond the geometry.
#[derive(Clone, Debug)]
pub(super) struct Super<'a> {
    pub(super) uuid: Uuid,
    pub(super) label: &'a str,
    pub(super) hash_seed: [u32; 4],
    /// Seconds since 1970.
    pub(super) time: u64,
    pub(super) free_blocks: u64,
    pub(super) reserved_blocks: u64,
    pub(super) free_inodes: u64,
    /// What the journal's inode says: its body, and its size in bytes.
    pub(super) journal: Option<([u8; 60], u64)>,
}

impl Super<'_> {
    /// The 1024 bytes of the copy in a group.
    pub(super) fn encode(&self, geometry: &Geometry, group: u32) -> [u8; 1024] {
        let mut bytes = [0; 1024];
        let mut long = |at: usize, value: u32| put32(&mut bytes, at, value);
        let mut features = compat::EXT_ATTR | compat::DIR_INDEX;
        let mut read_only = ro_compat::LARGE_FILE
            | ro_compat::HUGE_FILE
            | ro_compat::DIR_NLINK
            | ro_compat::EXTRA_ISIZE
            | ro_compat::METADATA_CSUM;
        match geometry.backups {
            Backups::Powers => read_only |= ro_compat::SPARSE_SUPER,
            Backups::Only(one) => {
                features |= compat::SPARSE_SUPER2;
                long(0x24c, one);
            }
        }
        if let Some((body, size)) = &self.journal {
            features |= compat::HAS_JOURNAL;
            long(0xe0, JOURNAL);
            // A second record of where the journal is.
            let words = body.as_chunks::<4>().0.iter();
            let words = words.map(|it| u32::from_le_bytes(*it));
            for (nth, word) in words.chain([high32(*size), low32(*size)]).enumerate() {
                long(0x10c + nth * 4, word);
            }
        }
        long(0x00, low32(geometry.inodes()));
        long(0x04, low32(geometry.blocks));
        long(0x08, low32(self.reserved_blocks));
        long(0x0c, low32(self.free_blocks));
        long(0x10, low32(self.free_inodes));
        // Blocks, and clusters, which are the same, of 2^(10 + 2) bytes.
        long(0x18, 2);
        long(0x1c, 2);
        long(0x20, low32(GROUP_BLOCKS));
        long(0x24, low32(GROUP_BLOCKS));
        long(0x28, geometry.inodes_per_group);
        long(0x30, low32(self.time));
        long(0x40, low32(self.time));
        // Revision 1: what follows means something.
        long(0x4c, 1);
        long(0x54, FIRST);
        long(0x5c, features);
        long(
            0x60,
            incompat::FILETYPE | incompat::EXTENTS | incompat::BITS64 | incompat::FLEX_BG,
        );
        long(0x64, read_only);
        for (nth, word) in self.hash_seed.into_iter().enumerate() {
            long(0xec + nth * 4, word);
        }
        // `user_xattr` and `acl` are on when it is mounted.
        long(0x100, 0xc);
        long(0x108, low32(self.time));
        long(0x150, high32(geometry.blocks));
        long(0x154, high32(self.reserved_blocks));
        long(0x158, high32(self.free_blocks));
        // Bytes of an unsigned char are what the hash is of.
        long(0x160, 2);
        put16(&mut bytes, 0x36, u16::MAX);
        put16(&mut bytes, 0x38, MAGIC);
        // Clean; errors are noted and lived with.
        put16(&mut bytes, 0x3a, 1);
        put16(&mut bytes, 0x3c, 1);
        put16(&mut bytes, 0x58, low16(INODE as u64));
        put16(&mut bytes, 0x5a, low16(group.into()));
        bytes[0x68..0x78].copy_from_slice(self.uuid.as_bytes());
        let label = self.label.as_bytes();
        bytes[0x78..0x78 + label.len()].copy_from_slice(label);
        bytes[0xfc] = 1;
        bytes[0xfd] = u8::from(self.journal.is_some());
        put16(&mut bytes, 0xfe, low16(DESCRIPTOR as u64));
        put16(&mut bytes, 0x15c, 32);
        put16(&mut bytes, 0x15e, 32);
        bytes[0x174] = FLEX;
        // CRC-32C, the only one there is.
        bytes[0x175] = 1;
        let [high, ..] = high32(self.time).to_le_bytes();
        for at in [0x274, 0x276, 0x277] {
            bytes[at] = high;
        }
        let sum = crc32c(!0, &bytes[..0x3fc]);
        put32(&mut bytes, 0x3fc, sum);
        bytes
    }
}

/// What is in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) free_blocks: u64,
    pub(super) free_inodes: u64,
    pub(super) folders: u64,
    /// Inodes at the end that were never used.
    pub(super) untouched: u64,
    /// Checksums of the bitmaps, of those that are written.
    pub(super) blocks_sum: Option<u32>,
    pub(super) inodes_sum: Option<u32>,
}

impl Group {
    /// Its descriptor.
    pub(super) fn encode(&self, number: u32, seed: Seed) -> [u8; DESCRIPTOR] {
        let mut bytes = [0; DESCRIPTOR];
        let place = [
            self.place.block_bitmap,
            self.place.inode_bitmap,
            self.place.inode_table,
        ];
        for (nth, at) in place.into_iter().enumerate() {
            put32(&mut bytes, nth * 4, low32(at));
            put32(&mut bytes, 0x20 + nth * 4, high32(at));
        }
        let counts = [
            (0x0c, 0x2c, self.free_blocks),
            (0x0e, 0x2e, self.free_inodes),
            (0x10, 0x30, self.folders),
            (0x1c, 0x32, self.untouched),
            (0x18, 0x38, self.blocks_sum.unwrap_or(0).into()),
            (0x1a, 0x3a, self.inodes_sum.unwrap_or(0).into()),
        ];
        for (low, high, count) in counts {
            put16(&mut bytes, low, low16(count));
            put16(&mut bytes, high, low16(count >> 16));
        }
        // `INODE_UNINIT`, `BLOCK_UNINIT`, `INODE_ZEROED`.
        let flags = u16::from(self.inodes_sum.is_none())
            | u16::from(self.blocks_sum.is_none()) << 1
            | 1 << 2;
        put16(&mut bytes, 0x12, flags);
        let sum = seed.and(&number.to_le_bytes()).sum(&bytes);
        put16(&mut bytes, 0x1e, low16(sum.into()));
        bytes
    }
}

/// The first block of a journal (Linux, `Documentation/filesystems/ext4/journal.rst`): empty, with
/// no features yet, as `mke2fs` makes it. Its numbers are big-endian.
pub(super) fn journal_block(blocks: u64, uuid: Uuid) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut long = |at: usize, value: u32| {
        block[at..at + 4].copy_from_slice(&value.to_be_bytes());
    };
    long(0x00, 0xc03b_3998);
    // A superblock of version 2.
    long(0x04, 4);
    long(0x0c, low32(BLOCK as u64));
    long(0x10, low32(blocks));
    long(0x14, 1);
    long(0x18, 1);
    // One user.
    long(0x40, 1);
    block[0x30..0x40].copy_from_slice(uuid.as_bytes());
    block
}

pub(super) const MAGIC: u16 = 0xef53;
