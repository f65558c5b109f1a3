//! Inodes of an image, and where their contents are: everything is looked at twice.
#![allow(clippy::cast_possible_truncation)] // lengths of blocks and links, which were looked at

use super::format::{
    BLOCK, BLOCK_BITS, COMPACT, EXTENDED, INDEX, NOWHERE, SLOT, Super, u16_at, u32_at,
};
use super::inode::{Inode, Layout, Type};
use super::input::{Input, malformed};
use super::plan::index_start;
use super::reader::Part;
use super::xattr;
use crate::error::Result;
use crate::tree::{Dress, Piece};

/// An image, to look things up in.
pub(super) struct Lookup<'a> {
    pub(super) superblock: &'a Super,
    pub(super) devices: &'a [Part],
    pub(super) input: Input,
    /// Most pieces of one file.
    pub(super) extents: usize,
}

impl Lookup<'_> {
    /// Where an inode is.
    fn offset(&self, nid: u64) -> Result<u64> {
        let begin = u64::from(self.superblock.meta_block) * BLOCK;
        let at = nid.checked_mul(SLOT).and_then(|at| at.checked_add(begin));
        at.filter(|at| self.input.has(*at, COMPACT))
            .ok_or_else(|| malformed("an inode that is not in it"))
    }

    pub(super) fn inode(&mut self, nid: u64) -> Result<Inode> {
        let at = self.offset(nid)?;
        let extended = u16_at(self.input.read(at, COMPACT as usize)?, 0) & 1 == 1;
        let length = if extended { EXTENDED } else { COMPACT };
        let inode = Inode::read(self.input.read(at, length as usize)?).map_err(malformed)?;
        let wrong = |why| Err(malformed(why));
        if inode.links == 0 || inode.size > i64::MAX.cast_unsigned() {
            return wrong("an inode with a size or a number of names that cannot be");
        }
        match inode.kind {
            Type::File => {}
            Type::Folder | Type::Symlink => {
                let chunks = matches!(inode.layout, Layout::Chunks(_));
                if chunks || inode.size == 0 || !self.input.has(0, inode.size) {
                    return wrong("a directory or a link with a content that cannot be");
                }
            }
            _ => {
                let device = matches!(inode.kind, Type::Character | Type::Block);
                if inode.layout != Layout::Plain || inode.size != 0 || !device && inode.value != 0 {
                    return wrong("a device, pipe or socket with a content");
                }
            }
        }
        if inode.kind == Type::Symlink && inode.mode != 0o777 {
            return wrong("a link with a mode of its own");
        }
        Ok(inode)
    }

    /// Where what is behind an inode and its attributes begins.
    pub(super) fn behind(&self, nid: u64, inode: &Inode) -> Result<u64> {
        let length = if inode.mtime.is_some() {
            EXTENDED
        } else {
            COMPACT
        };
        let end = self.offset(nid)? + length + u64::from(inode.xattrs);
        if !self.input.has(0, end) {
            return Err(malformed("an inode that is not in it"));
        }
        Ok(end)
    }

    pub(super) fn dress(&mut self, nid: u64, inode: &Inode) -> Result<Dress> {
        let end = self.behind(nid, inode)?;
        let length = inode.xattrs as usize;
        let body = self.input.read(end - length as u64, length)?.to_vec();
        let input = &mut self.input;
        let mut shared = |at, length| Ok(input.read(at, length)?.to_vec());
        let block = self.superblock.xattr_block;
        let xattrs = xattr::read(&body, block, &mut shared)?.map_err(malformed)?;
        Ok(Dress {
            mode: inode.mode.into(),
            uid: inode.uid.into(),
            gid: inode.gid.into(),
            mtime: inode.mtime.unwrap_or(self.superblock.epoch),
            xattrs,
        })
    }

    /// Where a block of a directory is, or the text of a link.
    pub(super) fn block_of(
        &mut self,
        nid: u64,
        inode: &Inode,
        at: u64,
        length: u64,
    ) -> Result<u64> {
        let whole = inode.size / BLOCK;
        if inode.layout == Layout::Inline && at == whole {
            let behind = self.behind(nid, inode)?;
            if behind % BLOCK + length > BLOCK {
                return Err(malformed("an end of a content in two blocks"));
            }
            return Ok(behind);
        }
        let blocks = if inode.layout == Layout::Inline {
            whole * BLOCK
        } else {
            inode.size
        };
        let none = inode.value < self.superblock.meta_block;
        if none || !self.input.has(u64::from(inode.value) * BLOCK, blocks) {
            return Err(malformed("a content that is not in it"));
        }
        Ok((u64::from(inode.value) + at) * BLOCK)
    }

    /// Where the content of a file is: the number of its device, and its data there.
    pub(super) fn content(&mut self, nid: u64, inode: &Inode) -> Result<(usize, Vec<Piece>)> {
        let size = inode.size;
        let from = match inode.layout {
            _ if size == 0 => {
                if inode.layout != Layout::Plain || inode.value != NOWHERE {
                    return Err(malformed("an empty file with a content"));
                }
                return Ok((0, Vec::new()));
            }
            Layout::Inline if size >= BLOCK || inode.value != NOWHERE => {
                return Err(malformed("a large file that is cut in two"));
            }
            Layout::Plain | Layout::Inline => self.block_of(nid, inode, 0, size)?,
            Layout::Chunks(bits) => return self.chunks(nid, inode, bits),
        };
        let whole = Piece {
            offset: 0,
            length: size,
            from,
        };
        Ok((0, vec![whole]))
    }

    fn chunks(&mut self, nid: u64, inode: &Inode, bits: u8) -> Result<(usize, Vec<Piece>)> {
        let size = inode.size;
        let begin = index_start(self.behind(nid, inode)?);
        let count = size.div_ceil(1 << bits);
        let length = count.checked_mul(INDEX);
        if !length.is_some_and(|length| self.input.has(begin, length)) {
            return Err(malformed(
                "a file with chunks that nothing says where they are",
            ));
        }
        let mut pieces: Vec<Piece> = Vec::new();
        // Device, and block of the first chunk; bytes that the data has so far.
        let mut start: Option<(u16, u32)> = None;
        let mut data = 0_u64;
        for at in 0..count {
            let index = self.input.read(begin + at * INDEX, INDEX as usize)?;
            let (device, block) = (u16_at(index, 2), u32_at(index, 4));
            if u16_at(index, 0) != 0 || block == NOWHERE && device != 0 {
                return Err(malformed("a chunk of an unknown kind"));
            }
            if block == NOWHERE {
                continue;
            }
            let (first_device, first) = *start.get_or_insert((device, block));
            let expect = u64::from(first) + (data >> BLOCK_BITS);
            if device != first_device || u64::from(block) != expect {
                return Err(malformed("chunks of a file that do not follow each other"));
            }
            let offset = at << bits;
            let length = (size - offset).min(1 << bits);
            let from = u64::from(first) * BLOCK + data;
            data += length;
            let full = pieces.len() >= self.extents;
            match pieces.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ if full => {
                    let most = self.extents;
                    let message = format!("more pieces than the limit `extents` of {most}");
                    return Err(malformed(&message));
                }
                _ => pieces.push(Piece {
                    offset,
                    length,
                    from,
                }),
            }
        }
        let Some((device, block)) = start else {
            return Ok((0, pieces));
        };
        let (before, blocks, least) = match device.checked_sub(1) {
            None => (0, self.superblock.blocks, self.superblock.meta_block),
            Some(at) => {
                let part = self.devices.get(usize::from(at));
                let part =
                    part.ok_or_else(|| malformed("a chunk on a device that is not there"))?;
                (part.begin, part.blocks, 1)
            }
        };
        if block < least || u64::from(block) * BLOCK + data > u64::from(blocks) * BLOCK {
            return Err(malformed("a chunk that is not on its device"));
        }
        for piece in &mut pieces {
            piece.from += before;
        }
        Ok((device.into(), pieces))
    }
}
