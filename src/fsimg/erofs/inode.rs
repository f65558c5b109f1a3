//! Inodes: the short form where it has room for what is to be said, and the long one.
#![allow(clippy::cast_possible_truncation)] // small constants, and numbers that were looked at

use super::format::{
    BLOCK_BITS, CHUNK_BITS, CHUNK_INDEXES, COMPACT, EXTENDED, XATTR_HEADER, u16_at, u32_at, u64_at,
};
use crate::archive::Time;

/// An inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) layout: Layout,
    pub(super) kind: Type,
    /// 12 bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    /// Of the superblock if it is compact.
    pub(super) mtime: Option<Time>,
    /// First block, or device number.
    pub(super) value: u32,
    /// A number for programs that know 32 bits only.
    pub(super) number: u32,
    /// Bytes of attributes behind it.
    pub(super) xattrs: u32,
}

impl Inode {
    /// Bytes of the inode itself.
    pub(super) fn length(&self) -> u64 {
        let small = self.mtime.is_none()
            && self.uid <= 0xffff
            && self.gid <= 0xffff
            && self.links <= 0xffff
            && u32::try_from(self.size).is_ok();
        if small { COMPACT } else { EXTENDED }
    }

    /// Its bytes; `epoch` is the time of the superblock.
    pub(super) fn bytes(&self, epoch: Time) -> Vec<u8> {
        let extended = self.length() == EXTENDED;
        let format = u16::from(extended) | self.layout.code() << 1;
        let xattrs = match self.xattrs {
            0 => 0,
            // A header of 12 bytes counts as one, and the rest in fours.
            bytes => (bytes - XATTR_HEADER as u32) / 4 + 1,
        };
        let value = match self.layout {
            Layout::Chunks(bits) => {
                u32::from((u16::from(bits) - BLOCK_BITS as u16) | CHUNK_INDEXES)
            }
            _ => self.value,
        };
        let mut out = Vec::with_capacity(64);
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(&format.to_le_bytes());
        put(&(xattrs as u16).to_le_bytes());
        put(&(self.mode | self.kind.mode()).to_le_bytes());
        if extended {
            put(&[0; 2]);
            put(&self.size.to_le_bytes());
            put(&value.to_le_bytes());
            put(&self.number.to_le_bytes());
            put(&self.uid.to_le_bytes());
            put(&self.gid.to_le_bytes());
            let mtime = self.mtime.unwrap_or(epoch);
            put(&mtime.seconds.to_le_bytes());
            put(&mtime.nanos.to_le_bytes());
            put(&self.links.to_le_bytes());
            put(&[0; 16]);
        } else {
            put(&(self.links as u16).to_le_bytes());
            put(&(self.size as u32).to_le_bytes());
            put(&[0; 4]);
            put(&value.to_le_bytes());
            put(&self.number.to_le_bytes());
            put(&(self.uid as u16).to_le_bytes());
            put(&(self.gid as u16).to_le_bytes());
            put(&[0; 4]);
        }
        out
    }

    /// Reads one: of at least 32 bytes, of 64 if the first of them is odd.
    pub(super) fn read(at: &[u8]) -> Result<Self, &'static str> {
        let format = u16_at(at, 0);
        let kind = Type::of_mode(u16_at(at, 4)).ok_or("an inode of no type")?;
        let xattrs = match u32::from(u16_at(at, 2)) {
            0 => 0,
            count => XATTR_HEADER as u32 + (count - 1) * 4,
        };
        let extended = format & 1 == 1;
        let value = u32_at(at, 16);
        let layout = match format >> 1 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            4 => {
                let chunks = value as u16;
                if value >> 16 != 0 || chunks & !CHUNK_BITS != CHUNK_INDEXES {
                    return Err("chunks of an unknown format");
                }
                Layout::Chunks((chunks & CHUNK_BITS) as u8 + BLOCK_BITS as u8)
            }
            _ => return Err("content that is compressed, or kept in an unknown way"),
        };
        let zeros = |range: std::ops::Range<usize>| at[range].iter().all(|&byte| byte == 0);
        let mode = u16_at(at, 4) & 0o7777;
        let number = u32_at(at, 20);
        if !extended {
            if !zeros(12..16) || !zeros(28..32) {
                return Err("an inode with something in fields that nobody uses");
            }
            return Ok(Self {
                layout,
                kind,
                mode,
                uid: u16_at(at, 24).into(),
                gid: u16_at(at, 26).into(),
                links: u16_at(at, 6).into(),
                size: u32_at(at, 8).into(),
                mtime: None,
                value,
                number,
                xattrs,
            });
        }
        if !zeros(6..8) || !zeros(48..64) {
            return Err("an inode with something in fields that nobody uses");
        }
        Ok(Self {
            layout,
            kind,
            mode,
            uid: u32_at(at, 24),
            gid: u32_at(at, 28),
            links: u32_at(at, 44),
            size: u64_at(at, 8),
            mtime: Some(Time {
                seconds: u64_at(at, 32).cast_signed(),
                nanos: u32_at(at, 40),
            }),
            value,
            number,
            xattrs,
        })
    }
}

/// How the content of an inode is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// In blocks, one after the other.
    Plain,
    /// The same, with the last piece behind the inode.
    Inline,
    /// In chunks of 2 to the power of this; where they are stands behind the inode.
    Chunks(u8),
}

impl Layout {
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::Inline => 2,
            Self::Chunks(_) => 4,
        }
    }
}

/// What an inode is, in its mode and in the entries of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    File = 1,
    Folder = 2,
    Character = 3,
    Block = 4,
    Fifo = 5,
    Socket = 6,
    Symlink = 7,
}

impl Type {
    pub(super) fn mode(self) -> u16 {
        match self {
            Self::File => 0o100_000,
            Self::Folder => 0o040_000,
            Self::Character => 0o020_000,
            Self::Block => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
            Self::Symlink => 0o120_000,
        }
    }

    pub(super) fn of_mode(mode: u16) -> Option<Self> {
        let all = [
            Self::File,
            Self::Folder,
            Self::Character,
            Self::Block,
            Self::Fifo,
            Self::Socket,
            Self::Symlink,
        ];
        all.into_iter().find(|it| it.mode() == mode & 0o170_000)
    }
}
