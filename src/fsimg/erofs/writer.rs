//! An image is written, from its front to its back.
#![allow(clippy::cast_possible_truncation)] // of blocks, buffers, and what the plan has looked at

use std::fs::File;
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use super::Summary;
use super::chunk;
use super::dir;
use super::format::{BLOCK, BLOCK_BITS, DEVICE, DEVICE_AT, INDEX, Layout, NOWHERE, PAGE, Type};
use super::plan::{Plan, index_start, name_of, refuse};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys;
use crate::tree::{NodeId, Piece, Stored, Thing, Tree};

/// Writes what was planned.
pub(super) fn write(
    tree: &Tree,
    plan: &Plan,
    uuid: Option<[u8; 16]>,
    output: &File,
    observer: &dyn Observer,
    subject: &str,
) -> Result<Summary> {
    output.set_len(0).map_err(cannot_write)?;
    let mut writer = Writer {
        tree,
        plan,
        out: Out {
            file: output,
            at: 0,
            buffer: Vec::with_capacity(BUFFER),
            hash: Some(Sha256::new()),
        },
        copied: 0,
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
    superblock.uuid = uuid.unwrap_or(made);
    let mut block = [0; PAGE];
    block.copy_from_slice(&front[..PAGE]);
    superblock.seal(&mut block);
    output.write_all_at(&block, 0).map_err(cannot_write)?;
    writer.tell(plan.bytes())?;
    Ok(Summary {
        bytes: plan.bytes(),
        inodes: superblock.inodes,
        copied: writer.copied,
        uuid: superblock.uuid,
        xattrs_left_out: plan.xattrs.left_out,
    })
}

struct Writer<'a> {
    tree: &'a Tree,
    plan: &'a Plan,
    out: Out<'a>,
    copied: u64,
    /// Bytes that were written when the observer heard of it last.
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
        self.copied += piece.length;
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
            piece.from += step;
            piece.length -= step;
            if step == STEP {
                self.tell(self.out.position())?;
            }
        }
        Ok(())
    }

    /// Looks now and then at whether somebody wants us to stop.
    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        let here = self.out.position();
        if self.steps.is_multiple_of(THINGS) || here - self.told >= STEP {
            self.tell(here)?;
        }
        Ok(())
    }

    fn tell(&mut self, read: u64) -> Result<()> {
        self.told = read;
        let what = What::Unpacking {
            read,
            total: Some(self.plan.bytes()),
        };
        let subject = self.subject;
        if self.observer.on(Event { subject, what }).is_break() {
            let message = "stopped while an image was written";
            return Err(Error::new(Kind::Cancelled, message));
        }
        Ok(())
    }
}

/// The image, written in large pieces, each once.
struct Out<'a> {
    file: &'a File,
    /// Where the buffer begins.
    at: u64,
    buffer: Vec<u8>,
    /// Of everything so far that is not the content of files with blocks.
    hash: Option<Sha256>,
}

impl Out<'_> {
    fn position(&self) -> u64 {
        // The first block comes last.
        PAGE as u64 + self.at + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Zeros up to here, or a hole.
    fn skip_to(&mut self, offset: u64) -> Result<()> {
        let gap = offset.saturating_sub(self.position());
        if gap == 0 {
            return Ok(());
        }
        let zeros = usize::try_from(gap).ok().filter(|gap| *gap < PAGE);
        if let Some(gap) = zeros {
            return self.put(&[0; PAGE][..gap]);
        }
        self.flush()?;
        self.at += gap;
        Ok(())
    }

    fn pad(&mut self) -> Result<()> {
        self.skip_to(self.position().next_multiple_of(BLOCK))
    }

    /// Reads a short run through the buffer.
    fn read(&mut self, file: &File, from: u64, length: u64) -> std::io::Result<()> {
        let length = length as usize;
        if self.buffer.len() + length > BUFFER {
            self.flush_bytes()?;
        }
        let here = self.buffer.len();
        self.buffer.resize(here + length, 0);
        file.read_exact_at(&mut self.buffer[here..], from)
    }

    /// Copies a long run past it.
    fn copy(&mut self, file: &File, from: u64, length: u64) -> std::io::Result<()> {
        self.flush_bytes()?;
        self.buffer.resize(BUFFER, 0);
        let to = self.position() - BUFFER as u64;
        let done = sys::copy_run(file, from, self.file, to, length, &mut self.buffer);
        self.buffer.clear();
        self.at += length;
        done
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_bytes().map_err(cannot_write)
    }

    fn flush_bytes(&mut self) -> std::io::Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer);
        }
        let mut at = PAGE as u64 + self.at;
        let mut rest = self.buffer.as_slice();
        // Blocks of zeros stay holes.
        while !rest.is_empty() {
            let zeros = cut(rest, at, is_zero);
            at += zeros as u64;
            rest = &rest[zeros..];
            let data = cut(rest, at, |block| !is_zero(block));
            self.file.write_all_at(&rest[..data], at)?;
            at += data as u64;
            rest = &rest[data..];
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// What all that was written so far makes of a UUID (RFC 9562, version 8).
    fn end_of_metadata(&mut self) -> Result<[u8; 16]> {
        self.flush()?;
        let hash = self.hash.take().unwrap_or_default().finalize();
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&hash[..16]);
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Ok(uuid)
    }
}

/// How many bytes, which begin at an offset of the image, are in blocks that are of this kind.
fn cut(bytes: &[u8], at: u64, is: impl Fn(&[u8]) -> bool) -> usize {
    let mut end = 0;
    while end < bytes.len() {
        let within = ((at + end as u64) % BLOCK) as usize;
        let next = (end + PAGE - within).min(bytes.len());
        if !is(&bytes[end..next]) {
            break;
        }
        end = next;
    }
    end
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|it| *it == [0; 16]) && rest.iter().all(|it| *it == 0)
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::new(Kind::Local, "cannot write the image").with_source(error)
}

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// Longer runs of data are copied by the kernel.
const LARGE: u64 = 64 << 10;

/// Bytes that are copied between two looks at whether somebody wants us to stop.
const STEP: u64 = 16 << 20;

/// How many things are written between them.
const THINGS: u64 = 256;
