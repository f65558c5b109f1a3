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
use crate::event::{Event, Observer, What};
use crate::fsimg::Uuid;
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
        copied: 0,
        total: content(tree, plan),
        told: 0,
        steps: 0,
        observer,
        subject,
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
    writer.out.flush()?;
    output.set_len(plan.bytes()).map_err(cannot_write)?;
    // Last, so that what is cut off is no image.
    let mut superblock = plan.superblock.clone();
    let uuid = uuid.unwrap_or(made);
    superblock.uuid = *uuid.as_bytes();
    let mut block = [0; PAGE];
    block.copy_from_slice(&front[..PAGE]);
    superblock.seal(&mut block);
    output.write_all_at(&block, 0).map_err(cannot_write)?;
    writer.tell()?;
    Ok(Summary {
        bytes: plan.bytes(),
        inodes: superblock.inodes,
        copied: writer.copied,
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
    copied: u64,
    total: u64,
    /// Bytes that were copied when the observer heard of it last.
    told: u64,
    steps: u64,
    observer: &'a dyn Observer,
    subject: &'a str,
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
                    self.out.skip_to(begin + piece.offset)?;
                    self.copy(&stored, piece, id)?;
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

    fn files(&mut self) -> Result<()> {
        for id in &self.plan.order {
            let slot = self.plan.slots[id.index()];
            let node = self.tree.node(*id);
            if slot.block == NOWHERE || slot.device != 0 || dir::type_of(node.thing()) != Type::File
            {
                continue;
            }
            self.step()?;
            let begin = u64::from(slot.block) * BLOCK;
            let stored = node.open()?;
            let Layout::Chunks(bits) = slot.layout else {
                for piece in stored.pieces() {
                    self.out.skip_to(begin + piece.offset)?;
                    self.copy(&stored, piece, *id)?;
                }
                continue;
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
                self.out.skip_to(begin + within)?;
                self.copy(&stored, piece, *id)?;
            }
        }
        Ok(())
    }

    /// Copies a run of data to where we are.
    fn copy(&mut self, stored: &Stored<'_>, mut piece: Piece, id: NodeId) -> Result<()> {
        let Some(file) = stored.file() else {
            return Ok(());
        };
        while piece.length > 0 {
            let step = piece.length.min(STEP);
            let done = if step <= LARGE {
                self.out.read(file, piece.from, step)
            } else {
                self.out.copy(file, piece.from, step)
            };
            done.map_err(|error| {
                let name = name_of(self.tree, id);
                let message = format!("cannot copy {name} into the image");
                Error::new(Kind::Local, message).with_source(error)
            })?;
            self.copied += step;
            piece.from += step;
            piece.length -= step;
            if step == STEP {
                self.tell()?;
            }
        }
        Ok(())
    }

    /// Looks now and then at whether somebody wants us to stop.
    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps.is_multiple_of(THINGS) || self.copied - self.told >= STEP {
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        self.told = self.copied;
        let what = What::Writing {
            written: self.copied,
            total: Some(self.total),
        };
        let subject = self.subject;
        if self.observer.on(Event { subject, what }).is_break() {
            let message = "stopped while an image was written";
            return Err(Error::new(Kind::Cancelled, message));
        }
        Ok(())
    }
}

/// Longer runs of data are copied by the kernel.
const LARGE: u64 = 64 << 10;

/// Bytes that are copied between two looks at whether somebody wants us to stop.
const STEP: u64 = 16 << 20;

/// How many things are written between them.
const THINGS: u64 = 256;
