//! The numbers of EROFS: Linux, `fs/erofs/erofs_fs.h`, and "EROFS core on-disk format" of its
//! documentation. Everything is little-endian.
#![allow(clippy::cast_possible_truncation)] // small constants, and numbers that were looked at

use crate::archive::Time;
use crate::fsimg::crc32c::crc32c;

/// Blocks of 4 KiB: what every kernel with EROFS can mount.
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
pub(super) const BLOCK_BITS: u32 = 12;
/// The same, as a size in memory.
pub(super) const PAGE: usize = 1 << BLOCK_BITS;

/// Where the superblock is.
pub(super) const SUPER: usize = 1024;
pub(super) const SUPER_SIZE: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;

/// The superblock has a checksum.
pub(super) const COMPAT_CHECKSUM: u32 = 1;
/// There are files in chunks.
pub(super) const CHUNKED: u32 = 4;
/// There are further devices.
pub(super) const DEVICES: u32 = 8;

/// Inodes are counted in these, from the block where they begin.
pub(super) const SLOT: u64 = 32;
pub(super) const COMPACT: u64 = 32;
pub(super) const EXTENDED: u64 = 64;

/// No block: a hole.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Bits of a chunk's format.
pub(super) const CHUNK_INDEXES: u16 = 0x20;
pub(super) const CHUNK_BITS: u16 = 0x1f;
/// Bytes of what is said of one chunk.
pub(super) const INDEX: u64 = 8;

/// Slots of the device table, which begins behind the superblock.
pub(super) const DEVICE: usize = 128;
pub(super) const DEVICE_AT: usize = SUPER + SUPER_SIZE;

/// Longest name.
pub(super) const NAME: usize = 255;
/// Longest text of a symbolic link that Linux can follow.
pub(super) const TEXT: usize = 4095;

/// The superblock, as far as we use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Super {
    pub(super) root: u16,
    pub(super) inodes: u64,
    /// Of all compact inodes.
    pub(super) epoch: Time,
    pub(super) blocks: u32,
    pub(super) meta_block: u32,
    pub(super) xattr_block: u32,
    pub(super) uuid: [u8; 16],
    pub(super) volume: [u8; 16],
    pub(super) incompatible: u32,
    pub(super) devices: u16,
}

impl Super {
    /// Puts it into the first block, and the checksum of all that follows it there.
    pub(super) fn seal(&self, block: &mut [u8; PAGE]) {
        let mut put = |at: usize, bytes: &[u8]| {
            block[SUPER + at..SUPER + at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC.to_le_bytes());
        put(4, &[0; 4]);
        put(8, &COMPAT_CHECKSUM.to_le_bytes());
        put(12, &[BLOCK_BITS as u8, 0]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.epoch.seconds.to_le_bytes());
        put(32, &self.epoch.nanos.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.meta_block.to_le_bytes());
        put(44, &self.xattr_block.to_le_bytes());
        put(48, &self.uuid);
        put(64, &self.volume);
        put(80, &self.incompatible.to_le_bytes());
        put(86, &self.devices.to_le_bytes());
        let table = if self.devices == 0 {
            0
        } else {
            (DEVICE_AT / DEVICE) as u16
        };
        put(88, &table.to_le_bytes());
        let sum = crc32c(!0, &block[SUPER..]);
        block[SUPER + 4..SUPER + 8].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads it out of the first block; why not, if it is not one that we understand to the bit.
    pub(super) fn open(block: &[u8; PAGE]) -> Result<Self, &'static str> {
        let at = &block[SUPER..SUPER + SUPER_SIZE];
        if u32_at(at, 0) != MAGIC {
            return Err("it is no EROFS image");
        }
        if u32_at(at, 8) & COMPAT_CHECKSUM == 0 {
            return Err("its superblock has no checksum");
        }
        let mut copy = *block;
        copy[SUPER + 4..SUPER + 8].fill(0);
        if crc32c(!0, &copy[SUPER..]) != u32_at(at, 4) {
            return Err("its superblock does not have its checksum");
        }
        if u32_at(at, 8) != COMPAT_CHECKSUM {
            return Err("it has features that this program does not write");
        }
        if u32::from(at[12]) != BLOCK_BITS || at[13] != 0 || at[90] != 0 {
            return Err("its blocks are not of 4 KiB");
        }
        let incompatible = u32_at(at, 80);
        if incompatible & !(CHUNKED | DEVICES) != 0 {
            return Err("it is compressed, or has other features that this program does not read");
        }
        let devices = u16_at(at, 86);
        let table = if devices == 0 { 0 } else { DEVICE_AT / DEVICE };
        if (incompatible & DEVICES != 0) != (devices != 0) || usize::from(u16_at(at, 88)) != table {
            return Err("its device table is not where it should be");
        }
        if u16_at(at, 84) != 0 || at[91..].iter().any(|&byte| byte != 0) {
            return Err("its superblock has something in fields that nobody uses");
        }
        let (mut uuid, mut volume) = ([0; 16], [0; 16]);
        uuid.copy_from_slice(&at[48..64]);
        volume.copy_from_slice(&at[64..80]);
        Ok(Self {
            root: u16_at(at, 14),
            inodes: u64_at(at, 16),
            epoch: Time {
                seconds: u64_at(at, 24).cast_signed(),
                nanos: u32_at(at, 32),
            },
            blocks: u32_at(at, 36),
            meta_block: u32_at(at, 40),
            xattr_block: u32_at(at, 44),
            uuid,
            volume,
            incompatible,
            devices,
        })
    }
}

/// Bytes in front of the attributes of an inode.
pub(super) const XATTR_HEADER: usize = 12;
/// Bytes of one attribute, beside its name and value.
pub(super) const XATTR_ENTRY: usize = 4;
/// What the count of an inode can say.
pub(super) const XATTRS: usize = XATTR_HEADER + 4 * (u16::MAX as usize - 1);

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Device numbers as the kernel keeps them: `new_encode_dev` of `include/linux/kdev_t.h`.
pub(super) fn device_code(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
}

/// The way back: major and minor number.
pub(super) fn device_of(code: u32) -> (u32, u32) {
    (code >> 8 & 0xfff, code & 0xff | code >> 12 & 0xfff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_come_back() {
        for (major, minor) in [(0, 0), (1, 3), (8, 255), (4095, 0xf_ffff), (259, 256)] {
            assert_eq!(device_of(device_code(major, minor)), (major, minor));
        }
        assert_eq!(device_code(1, 3), 0x103);
        assert_eq!(device_code(8, 0x12345), 0x1230_0845);
    }
}
