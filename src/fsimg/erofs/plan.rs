//! Where everything will be: a first look at the tree.
#![allow(clippy::cast_possible_truncation)] // modes of 12 bits, and attributes that fit

use super::Options;
use super::chunk;
use super::dir;
use super::format::{
    BLOCK, CHUNKED, DEVICE, DEVICE_AT, DEVICES, INDEX, NOWHERE, SLOT, Super, TEXT, device_code,
};
use super::home::{Areas, Holder, Home, Placed, home};
use super::inode::{Inode, Layout, Type};
use super::xattr::Xattrs;
use crate::archive::Time;
use crate::error::{Error, Kind, Result};
use crate::tree::{NodeId, Thing, Tree};

/// What becomes of one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Bytes from the first inode to this one, in units of 32.
    pub(super) nid: u32,
    /// The first block of its data, in the image or device that has it; [`NOWHERE`] if it has none.
    pub(super) block: u32,
    /// Of a directory: the one it is in.
    pub(super) parent: NodeId,
    pub(super) device: u16,
    pub(super) layout: Layout,
}

/// Where everything will be.
#[derive(Debug)]
pub(super) struct Plan {
    /// Things in the order of their inodes.
    pub(super) order: Vec<NodeId>,
    /// By number.
    pub(super) slots: Vec<Slot>,
    pub(super) xattrs: Xattrs,
    pub(super) superblock: Super,
    /// Blocks of each further device.
    pub(super) devices: Vec<u32>,
}

impl Plan {
    pub(super) fn new(tree: &Tree, holder: &Holder<'_>, options: &Options) -> Result<Self> {
        let mut plan = Self::ordered(tree);
        plan.superblock.volume = options.volume_bytes()?;
        plan.superblock.epoch = match options.epoch {
            Some(epoch) => epoch,
            None => usual_time(tree, &plan.order),
        };
        let mut uses = vec![0; tree.xattr_sets().len()];
        for id in &plan.order {
            uses[tree.node(*id).xattr_set()] += 1;
        }
        plan.xattrs = Xattrs::plan(tree, &uses).map_err(|(set, why)| {
            let found = plan
                .order
                .iter()
                .find(|id| tree.node(**id).xattr_set() == set);
            refuse(tree, found.copied().unwrap_or(NodeId::ROOT), &why)
        })?;
        if let Holder::Others(devices, _) = holder {
            plan.devices = devices.to_vec();
            if !devices.is_empty() {
                plan.superblock.incompatible = CHUNKED | DEVICES;
            }
            let count = u16::try_from(devices.len());
            plan.superblock.devices = count.map_err(|_| {
                let message = "more than 65535 layers: EROFS cannot say more devices";
                Error::new(Kind::Format, message)
            })?;
        }
        plan.place(tree, holder)?;
        Ok(plan)
    }

    /// Things by directories: what is in one is together, and a directory's before those of the
    /// directories that follow it.
    fn ordered(tree: &Tree) -> Self {
        let none = Slot {
            nid: NOWHERE,
            block: NOWHERE,
            parent: NodeId::ROOT,
            device: 0,
            layout: Layout::Plain,
        };
        let mut slots = vec![none; tree.len()];
        let mut order = vec![NodeId::ROOT];
        slots[NodeId::ROOT.index()].nid = 0;
        let mut next = vec![NodeId::ROOT];
        while let Some(folder) = next.pop() {
            let first = next.len();
            for (_, child) in tree.node(folder).children() {
                let slot = &mut slots[child.id().index()];
                if slot.nid != NOWHERE {
                    continue;
                }
                slot.nid = 0;
                slot.parent = folder;
                order.push(child.id());
                if child.is_folder() {
                    next.push(child.id());
                }
            }
            next[first..].reverse();
        }
        Self {
            order,
            slots,
            xattrs: Xattrs::default(),
            superblock: Super::default(),
            devices: Vec::new(),
        }
    }

    fn place(&mut self, tree: &Tree, holder: &Holder<'_>) -> Result<()> {
        // A root with the number 0 is one that some programs take for nothing.
        let mut at = SLOT;
        let mut areas = Areas::default();
        for index in 0..self.order.len() {
            let id = self.order[index];
            let inode = self.inode(tree, id).map_err(|it| refuse(tree, id, &it))?;
            let (core, size) = (inode.length(), inode.size);
            // An inode lies in one block.
            if at % BLOCK + core > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            let head = core + u64::from(inode.xattrs);
            let home = home(tree, id, size, (at, head), holder)?;
            let slot = &mut self.slots[id.index()];
            let mut behind = 0;
            match home {
                Home::Elsewhere(placed) => {
                    slot.layout = placed.layout;
                    (slot.block, slot.device) = (placed.block, placed.device);
                }
                Home::Chunks(bits, data) => {
                    slot.layout = Layout::Chunks(bits);
                    slot.block = areas.take(inode.kind, data)?;
                    self.superblock.incompatible |= CHUNKED;
                }
                Home::Behind(start) => {
                    at = start;
                    behind = size % BLOCK;
                    slot.layout = Layout::Inline;
                    slot.block = areas.take(inode.kind, size - behind)?;
                }
                Home::Blocks => slot.block = areas.take(inode.kind, size)?,
            }
            if let Layout::Chunks(bits) = slot.layout {
                behind = index_start(at + head) - (at + head) + chunk::count(size, bits) * INDEX;
            }
            let nid = u32::try_from(at / SLOT).ok().filter(|nid| *nid != NOWHERE);
            slot.nid = nid.ok_or_else(|| too_large("inodes end at 128 GiB"))?;
            at = (at + head + behind).next_multiple_of(SLOT);
        }
        self.blocks(tree, at, &areas)
    }

    /// What begins where, now that it is known how much there is.
    fn blocks(&mut self, tree: &Tree, inodes: u64, areas: &Areas) -> Result<()> {
        let table = DEVICE_AT + DEVICE * self.devices.len();
        let mut next = (table as u64).div_ceil(BLOCK);
        let mut begin = |blocks: u64| {
            let here = u32::try_from(next).ok();
            next += blocks;
            let here = here.filter(|_| next < NOWHERE.into());
            here.ok_or_else(|| too_large("images end at 16 TiB without the extension for 48 bits"))
        };
        let meta = begin(inodes.div_ceil(BLOCK))?;
        let shared = begin((self.xattrs.shared.len() as u64).div_ceil(BLOCK))?;
        let folders = begin(areas.folders)?;
        let files = begin(areas.files)?;
        let end = begin(0)?;
        let layers: u64 = self.devices.iter().map(|it| u64::from(*it)).sum();
        if layers + u64::from(end) >= NOWHERE.into() {
            return Err(too_large("layers end at 16 TiB, all together"));
        }
        for id in &self.order {
            let slot = &mut self.slots[id.index()];
            if slot.block != NOWHERE && slot.device == 0 {
                let kind = dir::type_of(tree.node(*id).thing());
                slot.block += if kind == Type::File { files } else { folders };
            }
        }
        let root = self.slots[NodeId::ROOT.index()].nid;
        let superblock = &mut self.superblock;
        superblock.root = u16::try_from(root).map_err(|_| too_large("no root is that far away"))?;
        superblock.inodes = self.order.len() as u64;
        superblock.blocks = end;
        superblock.meta_block = meta;
        let none = self.xattrs.shared.is_empty();
        superblock.xattr_block = if none { 0 } else { shared };
        Ok(())
    }

    /// The inode of a thing, as far as it is known by now; or why there can be none.
    pub(super) fn inode(&self, tree: &Tree, id: NodeId) -> Result<Inode, String> {
        let node = tree.node(id);
        let slot = &self.slots[id.index()];
        let kind = dir::type_of(node.thing());
        let (size, value) = match node.thing() {
            Thing::Folder => (dir::size(dir::names(node, slot.parent)), slot.block),
            Thing::File { size } => (size, slot.block),
            Thing::Symlink(text) => (text.len() as u64, slot.block),
            Thing::Character(device) | Thing::Block(device) => {
                if device.major >= 1 << 12 || device.minor >= 1 << 20 {
                    return Err(format!("no device is {}:{}", device.major, device.minor));
                }
                (0, device_code(device.major, device.minor))
            }
            Thing::Fifo | Thing::Socket => (0, 0),
        };
        let most = if kind == Type::Symlink {
            TEXT as u64
        } else {
            i64::MAX.cast_unsigned()
        };
        if size > most {
            return Err(format!("{size} bytes, and Linux reads {most} of them"));
        }
        let owner = |id: u64| {
            u32::try_from(id).map_err(|_| format!("owners are numbers of 32 bits, and not {id}"))
        };
        let links = match kind {
            Type::Folder => 2 + node.children().filter(|(_, it)| it.is_folder()).count(),
            _ => node.names() as usize,
        };
        let mode = if kind == Type::Symlink {
            0o777
        } else {
            node.mode()
        };
        let epoch = self.superblock.epoch;
        Ok(Inode {
            layout: slot.layout,
            kind,
            mode: (mode & 0o7777) as u16,
            uid: owner(node.uid())?,
            gid: owner(node.gid())?,
            links: u32::try_from(links).map_err(|_| format!("{links} links"))?,
            size,
            mtime: Some(node.mtime()).filter(|it| *it != epoch),
            value,
            number: 0,
            xattrs: self.xattrs.body(node.xattr_set()).len() as u32,
        })
    }

    /// Bytes of the image.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK
    }

    /// Where an inode is in the image.
    pub(super) fn offset(&self, id: NodeId) -> u64 {
        let meta = u64::from(self.superblock.meta_block) * BLOCK;
        meta + u64::from(self.slots[id.index()].nid) * SLOT
    }

    /// Where the content of a file is; of one without blocks there is none.
    pub(super) fn placed(&self, index: usize) -> Option<Placed> {
        let slot = self.slots.get(index)?;
        let plain = slot.block != NOWHERE || slot.layout != Layout::Plain;
        plain.then_some(Placed {
            layout: slot.layout,
            block: slot.block,
            device: slot.device,
        })
    }
}

/// Where the chunks of a file are told, behind what its inode ends with.
pub(super) fn index_start(end: u64) -> u64 {
    end.next_multiple_of(INDEX)
}

/// The time that most things have, and of several the earliest: their inodes need not say it.
fn usual_time(tree: &Tree, order: &[NodeId]) -> Time {
    let mut times: Vec<_> = order.iter().map(|id| tree.node(*id).mtime()).collect();
    times.sort_unstable();
    let runs = times.chunk_by(|a, b| a == b);
    let most = runs.rev().max_by_key(|run| run.len());
    most.map_or_else(Time::default, |run| run[0])
}

/// An error about a thing.
pub(super) fn refuse(tree: &Tree, id: NodeId, why: &str) -> Error {
    Error::new(Kind::Format, format!("{}: {why}", name_of(tree, id)))
}

/// How a thing is called in messages.
pub(super) fn name_of(tree: &Tree, id: NodeId) -> String {
    let found = tree.walk().find(|it| it.node.id() == id);
    match found {
        Some(visit) if !visit.path.is_empty() => visit.path.escape_ascii().to_string(),
        _ => ".".to_owned(),
    }
}

pub(super) fn too_large(why: &str) -> Error {
    Error::new(Kind::Format, format!("too much for an EROFS image: {why}"))
}
