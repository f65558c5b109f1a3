//! An image is written, from its front to its back.
#![allow(clippy::cast_possible_truncation)] // of blocks, buffers, and what the plan has looked at

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Summary;
use super::chunk;
use super::dir;
use super::format::{BLOCK, BLOCK_BITS, DEVICE, DEVICE_AT, INDEX, NOWHERE, PAGE};
use super::inode::{Layout, Type};
use super::out::{Out, cannot_write};
use super::plan::{Plan, index_start, name_of, refuse};
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::fsimg::Uuid;
use crate::fsimg::contents::{self, Progress};
use crate::fsimg::target::{Target, Trouble};
use crate::tree::{NodeId, Piece, Stored, Thing, Tree};

/// Writes what was planned.
pub(super) fn write(
    tree: &Tree,
    plan: &Plan,
    uuid: Option<Uuid>,
    output: &File,
    observer: &dyn Observer,
    subject: &str,
) -> Result<Summary> {
    let mut writer = Writer {
        tree,
        plan,
        out: Out::new(output)?,
        progress: Progress::new(observer, subject, content(tree, plan)),
        steps: 0,
    };
    let front = writer.front();
    writer.out.put(&front[PAGE..])?;
    writer.inodes()?;
    writer.out.pad()?;
    writer.out.put(&plan.xattrs.shared)?;
    writer.out.pad()?;
    writer.folders()?;
    let made = writer.out.end_of_metadata()?;
    writer.files()?;
    output.set_len(plan.bytes()).map_err(cannot_write)?;
    // Last, so that what is cut off is no image.
    let mut superblock = plan.superblock.clone();
    let uuid = uuid.unwrap_or(made);
    superblock.uuid = *uuid.as_bytes();
    let mut block = [0; PAGE];
    block.copy_from_slice(&front[..PAGE]);
    superblock.seal(&mut block);
    output.write_all_at(&block, 0).map_err(cannot_write)?;
    writer.progress.tell()?;
    Ok(Summary {
        bytes: plan.bytes(),
        inodes: superblock.inodes,
        copied: writer.progress.written(),
        uuid,
        xattrs_left_out: plan.xattrs.left_out,
    })
}

/// Bytes of content that will be copied.
fn content(tree: &Tree, plan: &Plan) -> u64 {
    let sizes = plan.order.iter().map(|id| {
        let node = tree.node(*id);
        match (node.thing(), node.extents()) {
            _ if plan.slots[id.index()].device != 0 => 0,
            (Thing::File { .. }, Some(map)) => map.iter().map(|it| it.length).sum(),
            (Thing::File { size }, None) => size,
            _ => 0,
        }
    });
    sizes.sum()
}

struct Writer<'a> {
    tree: &'a Tree,
    plan: &'a Plan,
    out: Out<'a>,
    progress: Progress<'a>,
    steps: usize,
}

impl Writer<'_> {
    /// What is before the inodes, without the superblock: the table of devices.
    fn front(&self) -> Vec<u8> {
        let blocks = self.plan.superblock.meta_block as usize;
        let mut front = vec![0; blocks * PAGE];
        let mut mapped = self.plan.superblock.blocks;
        for (at, blocks) in self.plan.devices.iter().enumerate() {
            let slot = &mut front[DEVICE_AT + at * DEVICE..][..DEVICE];
            slot[0x40..0x44].copy_from_slice(&blocks.to_le_bytes());
            slot[0x44..0x48].copy_from_slice(&mapped.to_le_bytes());
            mapped += blocks;
        }
        front
    }

    fn inodes(&mut self) -> Result<()> {
        for (index, id) in self.plan.order.iter().enumerate() {
            self.step()?;
            let node = self.tree.node(*id);
            let mut inode = self
                .plan
                .inode(self.tree, *id)
                .map_err(|why| refuse(self.tree, *id, &why))?;
            // There are fewer things than numbers.
            inode.number = index as u32 + 1;
            self.out.skip_to(self.plan.offset(*id))?;
            self.out.put(&inode.bytes(self.plan.superblock.epoch))?;
            self.out.put(self.plan.xattrs.body(node.xattr_set()))?;
            match inode.layout {
                Layout::Plain => {}
                Layout::Inline => self.rest(*id)?,
                Layout::Chunks(bits) => self.index(*id, inode.size, bits)?,
            }
        }
        Ok(())
    }

    /// What lies behind an inode of its content.
    fn rest(&mut self, id: NodeId) -> Result<()> {
        let node = self.tree.node(id);
        match node.thing() {
            Thing::Symlink(text) => self.out.put(text),
            Thing::File { size } => {
                let begin = self.out.position();
                let stored = node.open()?;
                for piece in stored.pieces() {
                    let Some(file) = stored.file() else { break };
                    self.out.skip_to(begin + piece.offset)?;
                    let read = self.out.read(file, piece.from, piece.length);
                    read.map_err(|error| self.cannot_copy(id, error))?;
                    self.progress.add(piece.length)?;
                }
                self.out.skip_to(begin + size)
            }
            _ => self.blocks(
                id,
                |out, block, last| {
                    if last { out.put(block) } else { Ok(()) }
                },
            ),
        }
    }

    /// Where the chunks of a file are.
    fn index(&mut self, id: NodeId, size: u64, bits: u8) -> Result<()> {
        let slot = &self.plan.slots[id.index()];
        self.out.skip_to(index_start(self.out.position()))?;
        let mut put = |at: Option<u64>| {
            let block = at.map_or(NOWHERE, |at| {
                slot.block + (at << (u32::from(bits) - BLOCK_BITS)) as u32
            });
            let device = if at.is_some() { slot.device } else { 0 };
            let mut index = [0; INDEX as usize];
            index[2..4].copy_from_slice(&device.to_le_bytes());
            index[4..].copy_from_slice(&block.to_le_bytes());
            self.out.put(&index)
        };
        let count = chunk::count(size, bits);
        let Some(map) = self.tree.node(id).extents() else {
            return (0..count).try_for_each(|at| put(Some(at)));
        };
        let mut next = 0;
        for run in chunk::runs(map, bits) {
            (next..run.first).try_for_each(|_| put(None))?;
            (0..run.count).try_for_each(|at| put(Some(run.before + at)))?;
            next = run.first + run.count;
        }
        (next..count).try_for_each(|_| put(None))
    }

    /// Directories, and texts of links, that have blocks.
    fn folders(&mut self) -> Result<()> {
        for id in &self.plan.order {
            let slot = &self.plan.slots[id.index()];
            if slot.block == NOWHERE {
                continue;
            }
            match self.tree.node(*id).thing() {
                Thing::Symlink(text) => self.out.put(text)?,
                Thing::Folder => {
                    self.step()?;
                    let inline = slot.layout == Layout::Inline;
                    self.blocks(*id, |out, block, last| {
                        if last && inline {
                            Ok(())
                        } else {
                            out.put(block)
                        }
                    })?;
                }
                _ => continue,
            }
            self.out.pad()?;
        }
        Ok(())
    }

    fn blocks(
        &mut self,
        id: NodeId,
        mut each: impl FnMut(&mut Out<'_>, &[u8], bool) -> Result<()>,
    ) -> Result<()> {
        let node = self.tree.node(id);
        let slots = &self.plan.slots;
        let names = || dir::names(node, slots[id.index()].parent);
        let mut left = dir::size(names()).div_ceil(BLOCK);
        let nid = |id: NodeId| slots[id.index()].nid.into();
        dir::blocks(names(), nid, |block| {
            left -= 1;
            each(&mut self.out, block, left == 0)
        })
    }

    /// Contents that have blocks.
    fn files(&self) -> Result<()> {
        let order = &self.plan.order;
        let bytes = |at: usize| match self.tree.node(order[at]).thing() {
            Thing::File { size } if self.has_blocks(order[at]) => size,
            _ => 0,
        };
        contents::copy_all(&self.out.target(), order.len(), bytes, |at, target| {
            self.file(at, target)
        })
    }

    fn has_blocks(&self, id: NodeId) -> bool {
        let slot = &self.plan.slots[id.index()];
        slot.block != NOWHERE && slot.device == 0
    }

    /// Copies the content of one thing, if it is a file with blocks.
    fn file(&self, at: usize, target: &mut Target<'_>) -> Result<()> {
        if at.is_multiple_of(THINGS) {
            self.progress.tell()?;
        }
        let id = self.plan.order[at];
        let slot = self.plan.slots[id.index()];
        let node = self.tree.node(id);
        if !self.has_blocks(id) || dir::type_of(node.thing()) != Type::File {
            return Ok(());
        }
        let begin = u64::from(slot.block) * BLOCK;
        let stored = node.open()?;
        let Layout::Chunks(bits) = slot.layout else {
            return stored
                .pieces()
                .try_for_each(|piece| self.copy(&stored, piece, begin + piece.offset, id, target));
        };
        let mut runs = chunk::runs(node.extents().unwrap_or_default(), bits).peekable();
        for piece in stored.pieces() {
            // Every piece is in one run: they are made of the pieces.
            while let Some(run) = runs.peek()
                && (run.first + run.count) << bits <= piece.offset
            {
                runs.next();
            }
            let Some(run) = runs.peek() else { break };
            let within = piece.offset - (run.first << bits) + (run.before << bits);
            self.copy(&stored, piece, begin + within, id, target)?;
        }
        Ok(())
    }

    /// Copies a run of data.
    fn copy(
        &self,
        stored: &Stored<'_>,
        mut piece: Piece,
        mut to: u64,
        id: NodeId,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let Some(file) = stored.file() else {
            return Ok(());
        };
        while piece.length > 0 {
            let length = piece.length.min(STEP);
            let part = Piece { length, ..piece };
            target
                .copy(to, file, part)
                .map_err(|trouble| match trouble {
                    Trouble::Input(error) => self.cannot_copy(id, error),
                    Trouble::Output(error) => error,
                })?;
            piece.from += length;
            piece.length -= length;
            to += length;
            self.progress.add(length)?;
        }
        Ok(())
    }

    fn cannot_copy(&self, id: NodeId, error: std::io::Error) -> Error {
        let name = name_of(self.tree, id);
        let message = format!("cannot copy {name} into the image");
        Error::new(Kind::Local, message).with_source(error)
    }

    /// Looks now and then at whether somebody wants us to stop.
    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps.is_multiple_of(THINGS) {
            self.progress.tell()?;
        }
        Ok(())
    }
}

/// Bytes that are copied at once.
const STEP: u64 = 16 << 20;

/// How many things are written between two looks at whether somebody wants us to stop.
const THINGS: usize = 256;
