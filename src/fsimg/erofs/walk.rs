//! The directories of an image, one after the other.
#![allow(clippy::cast_possible_truncation)] // lengths of blocks and links, which were looked at

use std::collections::HashMap;

use super::dir;
use super::format::{BLOCK, NAME, TEXT, device_of};
use super::inode::{Inode, Type};
use super::input::malformed;
use super::lookup::Lookup;
use crate::archive::{Device, Limits};
use crate::error::Result;
use crate::tree::{Grower, NodeId, Thing};

/// A directory to be listed.
pub(super) struct Folder {
    pub(super) id: NodeId,
    pub(super) nid: u64,
    pub(super) above: u64,
    pub(super) depth: usize,
}

/// An inode that has come up.
pub(super) struct Seen {
    pub(super) id: NodeId,
    kind: Type,
    pub(super) links: u32,
    pub(super) names: u32,
}

impl Seen {
    pub(super) fn of(id: NodeId, inode: &Inode) -> Self {
        Self {
            id,
            kind: inode.kind,
            links: inode.links,
            // Of a directory: its own name, and `.` in itself.
            names: if inode.kind == Type::Folder { 2 } else { 1 },
        }
    }
}

/// Goes through all directories of an image.
pub(super) struct Walk<'a> {
    pub(super) lookup: Lookup<'a>,
    pub(super) seen: HashMap<u64, Seen>,
    pub(super) limits: Limits,
}

impl Walk<'_> {
    pub(super) fn list(
        &mut self,
        folder: &Folder,
        grower: &mut Grower,
        next: &mut Vec<Folder>,
    ) -> Result<()> {
        if folder.depth > self.limits.depth {
            let message = format!("deeper than the limit `depth` of {}", self.limits.depth);
            return Err(malformed(&message));
        }
        let inode = self.lookup.inode(folder.nid)?;
        let size = inode.size;
        let blocks = size.div_ceil(BLOCK);
        let (mut last, mut dots) = (Vec::new(), 0);
        let mut begun = false;
        for at in 0..blocks {
            let length = (size - at * BLOCK).min(BLOCK);
            let from = self.lookup.block_of(folder.nid, &inode, at, length)?;
            let block = self.lookup.input.read(from, length as usize)?.to_vec();
            for entry in dir::read(&block, at + 1 == blocks).map_err(malformed)? {
                if begun && entry.name <= last.as_slice() {
                    return Err(malformed("names that are not in their order"));
                }
                begun = true;
                last.clear();
                last.extend_from_slice(entry.name);
                let home = match entry.name {
                    b"." => Some(folder.nid),
                    b".." => Some(folder.above),
                    _ => None,
                };
                if let Some(home) = home {
                    dots += 1;
                    if entry.nid != home || entry.kind != Type::Folder as u8 {
                        return Err(malformed("a directory that is not where it says"));
                    }
                    continue;
                }
                self.entry(folder, &entry, grower, next)?;
            }
        }
        if dots != 2 {
            return Err(malformed("a directory without `.` and `..`"));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &Folder,
        entry: &dir::Entry<'_>,
        grower: &mut Grower,
        next: &mut Vec<Folder>,
    ) -> Result<()> {
        if entry.name.len() > NAME {
            return Err(malformed("a name of more than 255 bytes"));
        }
        if let Some(seen) = self.seen.get_mut(&entry.nid) {
            if seen.kind == Type::Folder || entry.kind != seen.kind as u8 {
                return Err(malformed(
                    "a directory with two names, or a name of another type",
                ));
            }
            seen.names = seen.names.saturating_add(1);
            return grower.link(folder.id, entry.name, seen.id);
        }
        let inode = self.lookup.inode(entry.nid)?;
        if entry.kind != inode.kind as u8 {
            return Err(malformed("a name of another type"));
        }
        let dress = self.lookup.dress(entry.nid, &inode)?;
        let (mut file, mut pieces) = (0, Vec::new());
        let text;
        let (major, minor) = device_of(inode.value);
        let device = Device { major, minor };
        let thing = match inode.kind {
            Type::Folder => Thing::Folder,
            Type::File => {
                (file, pieces) = self.lookup.content(entry.nid, &inode)?;
                Thing::File { size: inode.size }
            }
            Type::Symlink => {
                if inode.size > TEXT as u64 {
                    return Err(malformed("a link longer than any"));
                }
                let from = self.lookup.block_of(entry.nid, &inode, 0, inode.size)?;
                text = self.lookup.input.read(from, inode.size as usize)?.to_vec();
                Thing::Symlink(&text)
            }
            Type::Character => Thing::Character(device),
            Type::Block => Thing::Block(device),
            Type::Fifo => Thing::Fifo,
            Type::Socket => Thing::Socket,
        };
        let id = grower.add_from(file, folder.id, entry.name, &dress, thing, &pieces)?;
        self.seen.insert(entry.nid, Seen::of(id, &inode));
        if inode.kind == Type::Folder {
            if let Some(above) = self.seen.get_mut(&folder.nid) {
                above.names = above.names.saturating_add(1);
            }
            next.push(Folder {
                id,
                nid: entry.nid,
                above: folder.nid,
                depth: folder.depth + 1,
            });
        }
        Ok(())
    }
}
