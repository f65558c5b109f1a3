//! A plan becomes an image.

use std::collections::HashMap;
use std::fs::File;

use super::dir::Folder;
use super::extent::{self, Span};
use super::format::{BLOCK, BLOCK_SIZE, FIRST, INODE, JOURNAL, ROOT, Seed, flag, kind, put32};
use super::geometry::Space;
use super::inode::{Clock as _, Inode, ROOM, device_body};
use super::options::{Options, Summary};
use super::plan::Plan;
use super::superblock::{Super, journal_block};
use super::survey::{FAST, LOST_FOUND, Laid, kind_of, shown};
use super::xattr::Packed;
use crate::archive::Time;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::fsimg::contents::{self, Progress};
use crate::fsimg::target::{Target, Trouble};
use crate::fsimg::{Uuid, listing};
use crate::tree::{Node, Piece, Thing, Tree};

/// Writes a tree as an image. The file becomes exactly that, whatever it was before.
///
/// # Errors
/// As [`Plan::new`] and [`Plan::write`].
pub fn write(
    tree: &Tree,
    output: &File,
    options: &Options,
    observer: &dyn Observer,
    subject: &str,
) -> Result<Summary> {
    Plan::new(tree, options)?.write(output, observer, subject)
}

impl Plan<'_> {
    /// Writes the image: contents as they come, then the metadata. The file becomes exactly that,
    /// whatever it was before.
    ///
    /// # Errors
    /// [`Kind::Local`] if a content cannot be read or the image not be written;
    /// [`Kind::Cancelled`] if the observer says so.
    pub fn write(&self, output: &File, observer: &dyn Observer, subject: &str) -> Result<Summary> {
        let mut target = Target::new(output, self.size())?;
        let progress = Progress::new(observer, subject, self.survey.bytes);
        self.contents(&target, &progress)?;
        let uuid = self.uuid();
        let seed = Seed::of(uuid.as_bytes());
        let geometry = &self.layout.geometry;
        let mut inodes = Inodes {
            plan: self,
            seed,
            target: target.another(),
            folders: vec![0; geometry.groups as usize],
            parents: HashMap::new(),
        };
        let journal = self.journal(&mut target, &mut inodes, uuid)?;
        self.lost_found(&mut target, &mut inodes)?;
        for at in 0..self.survey.items.len() {
            if at.is_multiple_of(ENTRIES) {
                progress.tell()?;
            }
            self.thing(at, &mut target, &mut inodes)?;
        }
        let folders = std::mem::take(&mut inodes.folders);
        inodes.target.finish()?;
        let (descriptors, free_blocks) = self.groups(&mut target, &folders, seed)?;
        let free_inodes = self.free_inodes();
        let superblock = Super {
            uuid,
            label: &self.options.label,
            hash_seed: self.survey.hash_seed,
            time: self.epoch(),
            free_blocks,
            reserved_blocks: self.reserved,
            free_inodes,
            journal,
        };
        for group in (0..geometry.groups).filter(|it| geometry.has_backup(*it)) {
            let start = geometry.group(group).start * BLOCK_SIZE;
            let skip = if group == 0 { 1024 } else { 0 };
            target.put(start + skip, &superblock.encode(geometry, group))?;
            target.put(start + BLOCK_SIZE, &descriptors)?;
        }
        target.finish()?;
        let mut report = self.survey.report.clone();
        report.bytes = self.survey.bytes;
        Ok(Summary {
            size: self.size(),
            uuid,
            used: (geometry.blocks - free_blocks) * BLOCK_SIZE,
            inodes: geometry.inodes(),
            free_inodes,
            report,
        })
    }

    /// Seconds since 1970, 40 bits of them.
    fn epoch(&self) -> u64 {
        let newest = u64::try_from(self.survey.newest.seconds).unwrap_or(0);
        self.options.epoch.unwrap_or(newest).min((1 << 40) - 1)
    }

    /// The one that was asked for, or one made of the tree but for what is in its files.
    fn uuid(&self) -> Uuid {
        self.options.uuid.unwrap_or_else(|| {
            let digest = listing::digest(self.survey.tree);
            Uuid::of_digest(UUID, &digest)
        })
    }

    /// Copies what is in files.
    fn contents(&self, target: &Target<'_>, progress: &Progress<'_>) -> Result<()> {
        let bytes = |at| match self.node(at).thing() {
            Thing::File { size } => size,
            _ => 0,
        };
        let things = self.survey.items.len();
        contents::copy_all(target, things, bytes, |at, target| {
            self.copy(at, target, progress)
        })
    }

    /// Copies what is in one thing, if it is a file.
    fn copy(&self, at: usize, target: &mut Target<'_>, progress: &Progress<'_>) -> Result<()> {
        if at.is_multiple_of(ENTRIES) {
            progress.tell()?;
        }
        let node = self.node(at);
        let Thing::File { size: 1.. } = node.thing() else {
            return Ok(());
        };
        let spans = self.laid(at).spans;
        let cannot = |why: String| {
            let path = self.survey.tree.walk().find(|it| it.node.id() == node.id());
            let path = path.map_or_else(String::new, |it| shown(&it.path));
            Error::new(Kind::Local, format!("{path}: {why}"))
        };
        let stored = node.open()?;
        let Some(file) = stored.file() else {
            return Ok(());
        };
        let mut spans = &spans[..];
        for mut piece in stored.pieces() {
            while piece.length > 0 {
                let (place, room) = seek(&mut spans, piece.offset)
                    .ok_or_else(|| cannot("its holes are not where they were".to_owned()))?;
                let length = piece.length.min(room).min(CHUNK);
                let part = Piece { length, ..piece };
                target
                    .copy(place, file, part)
                    .map_err(|trouble| match trouble {
                        Trouble::Input(error) => {
                            cannot("cannot read it".to_owned()).with_source(error)
                        }
                        Trouble::Output(error) => error,
                    })?;
                piece.offset += length;
                piece.from += length;
                piece.length -= length;
                progress.add(length)?;
            }
        }
        Ok(())
    }

    fn node(&self, at: usize) -> Node<'_> {
        self.survey.tree.node(self.survey.items[at].node)
    }

    /// The blocks of an item, as they were planned.
    fn laid(&self, at: usize) -> Laid {
        let reserved = &self.layout.geometry.reserved;
        let mut space = Space::new(reserved, self.survey.items[at].start);
        self.survey.lay(at, &mut space)
    }

    /// The inode of one thing, and all of its blocks that are not the content of a file.
    fn thing(&self, at: usize, target: &mut Target<'_>, inodes: &mut Inodes<'_>) -> Result<()> {
        let node = self.node(at);
        let number = self.survey.number(node.id());
        let laid = self.laid(at);
        let packed = if node.xattrs().is_empty() {
            Packed::default()
        } else {
            Packed::new(node.xattrs(), ROOM).map_err(|why| Error::new(Kind::Format, why))?
        };
        let shared = self.survey.shared(at);
        if let (Some(block), Some(at), Some(shared)) = (packed.block, laid.attributes, shared) {
            let mut block = block;
            put32(&mut block, 4, shared.uses);
            let sum = inodes.seed.and(&at.to_le_bytes()).sum(&block);
            put32(&mut block, 16, sum);
            target.put(at * BLOCK_SIZE, &block)?;
        }
        let own = inodes.seed.inode(number, 0);
        let (body, nodes) = extent::tree(&laid.spans, &laid.nodes, own);
        for (at, block) in &nodes {
            target.put(at * BLOCK_SIZE, block)?;
        }
        let data: u64 = laid.spans.iter().map(|it| u64::from(it.length)).sum();
        let (mode, _) = kind_of(node.thing());
        let permissions = if mode == kind::SYMLINK.0 {
            0o777
        } else {
            node.mode()
        };
        let mut inode = Inode {
            // 12 bits: what a tree has.
            mode: mode | (permissions & 0o7777) as u16,
            // 32 bits: see the survey.
            uid: u32::try_from(node.uid()).unwrap_or(0),
            gid: u32::try_from(node.gid()).unwrap_or(0),
            size: 0,
            links: self.survey.links(node),
            blocks: data + nodes.len() as u64 + u64::from(shared.is_some()),
            flags: flag::EXTENTS,
            body,
            attributes: shared.map_or(0, |it| it.at),
            time: node.mtime().clamped(),
            inline: &packed.inline,
        };
        match node.thing() {
            Thing::Folder => {
                let folder = self.survey.folder(node)?;
                inode.size = data * BLOCK_SIZE;
                if folder.is_hashed() {
                    inode.flags |= flag::INDEX;
                }
                let parent = inodes.parents.remove(&number).unwrap_or(number);
                let below = node.children().filter(|(_, child)| child.is_folder());
                let below = below.map(|(_, child)| (self.survey.number(child.id()), number));
                inodes.parents.extend(below);
                write_folder(&folder, (number, parent), own, &laid.spans, target)?;
            }
            Thing::File { size } => inode.size = size,
            Thing::Symlink(text) => {
                inode.size = text.len() as u64;
                if let Some(span) = laid.spans.first() {
                    let mut block = text.to_vec();
                    block.resize(BLOCK, 0);
                    target.put(span.physical * BLOCK_SIZE, &block)?;
                } else {
                    inode.flags = 0;
                    inode.body = [0; 60];
                    inode.body[..text.len().min(FAST)].copy_from_slice(text);
                }
            }
            Thing::Character(device) | Thing::Block(device) => {
                inode.flags = 0;
                inode.body = device_body(device);
            }
            Thing::Fifo | Thing::Socket => {
                inode.flags = 0;
                inode.body = [0; 60];
            }
        }
        inodes.put(number, &inode)
    }
}

impl Plan<'_> {
    /// An empty journal. Gives what the superblock says of it.
    fn journal(
        &self,
        target: &mut Target<'_>,
        inodes: &mut Inodes<'_>,
        uuid: Uuid,
    ) -> Result<Option<([u8; 60], u64)>> {
        let Some((start, blocks)) = self.layout.journal else {
            return Ok(None);
        };
        let mut space = Space::new(&self.layout.geometry.reserved, start);
        let spans = extent::allocate(&mut space, std::iter::once((0, blocks)));
        let count = extent::tree_blocks(spans.len());
        let places: Vec<u64> = (0..count).map(|_| space.some(1).start).collect();
        let own = inodes.seed.inode(JOURNAL, 0);
        let (body, nodes) = extent::tree(&spans, &places, own);
        for (at, block) in &nodes {
            target.put(at * BLOCK_SIZE, block)?;
        }
        if let Some(first) = spans.first() {
            target.put(first.physical * BLOCK_SIZE, &journal_block(blocks, uuid))?;
        }
        let size = blocks * BLOCK_SIZE;
        let inode = Inode {
            mode: kind::FILE.0 | 0o600,
            size,
            links: 1,
            blocks: blocks + count,
            body,
            ..self.own_inode()
        };
        inodes.put(JOURNAL, &inode)?;
        Ok(Some((body, size)))
    }

    /// An empty `lost+found`, if the tree has none.
    fn lost_found(&self, target: &mut Target<'_>, inodes: &mut Inodes<'_>) -> Result<()> {
        if !self.survey.makes_lost_found() {
            return Ok(());
        }
        let mut space = Space::new(&self.layout.geometry.reserved, self.layout.lost_found);
        let spans = extent::allocate(&mut space, std::iter::once((0, LOST_FOUND.into())));
        let folder = Folder::new(Vec::new(), self.survey.hash_seed, LOST_FOUND)?;
        let own = inodes.seed.inode(FIRST, 0);
        write_folder(&folder, (FIRST, ROOT), own, &spans, target)?;
        let inode = Inode {
            mode: kind::FOLDER.0 | 0o700,
            size: u64::from(LOST_FOUND) * BLOCK_SIZE,
            links: 2,
            blocks: LOST_FOUND.into(),
            body: extent::tree(&spans, &[], own).0,
            ..self.own_inode()
        };
        inodes.put(FIRST, &inode)
    }

    /// What has its content in extents, and is nobody's but root's.
    fn own_inode(&self) -> Inode<'static> {
        let seconds = i64::try_from(self.epoch()).unwrap_or(i64::MAX);
        Inode {
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            links: 0,
            blocks: 0,
            flags: flag::EXTENTS,
            body: [0; 60],
            attributes: 0,
            time: Time { seconds, nanos: 0 }.clamped(),
            inline: &[],
        }
    }
}

/// Inodes on their way to their tables.
struct Inodes<'a> {
    plan: &'a Plan<'a>,
    seed: Seed,
    target: Target<'a>,
    /// Directories of each group.
    folders: Vec<u64>,
    /// What directories that are still to come are in.
    parents: HashMap<u32, u32>,
}

impl Inodes<'_> {
    fn put(&mut self, number: u32, inode: &Inode<'_>) -> Result<()> {
        let geometry = &self.plan.layout.geometry;
        let per_group = geometry.inodes_per_group;
        let (group, nth) = ((number - 1) / per_group, (number - 1) % per_group);
        if inode.mode & 0xf000 == kind::FOLDER.0 {
            self.folders[group as usize] += 1;
        }
        let table = geometry.places[group as usize].inode_table * BLOCK_SIZE;
        let at = table + u64::from(nth) * INODE as u64;
        self.target.put(at, &inode.encode(number, self.seed))
    }
}

fn write_folder(
    folder: &Folder<'_>,
    numbers: (u32, u32),
    seed: Seed,
    spans: &[Span],
    target: &mut Target<'_>,
) -> Result<()> {
    let mut places = spans
        .iter()
        .flat_map(|span| span.physical..span.physical + u64::from(span.length));
    folder.write(numbers, seed, |block| match places.next() {
        Some(at) => target.put(at * BLOCK_SIZE, block),
        None => Err(Error::new(Kind::Other, "a directory outgrew its plan")),
    })
}

/// Where a byte of a file is in the image, and how many are there from it on. Spans before it are
/// done with.
fn seek(spans: &mut &[Span], offset: u64) -> Option<(u64, u64)> {
    loop {
        let span = spans.first()?;
        let start = u64::from(span.logical) * BLOCK_SIZE;
        let end = start + u64::from(span.length) * BLOCK_SIZE;
        if offset < end {
            let into = offset.checked_sub(start)?;
            return Some((span.physical * BLOCK_SIZE + into, end - offset));
        }
        *spans = &spans[1..];
    }
}

/// How many entries are written between two looks at whether somebody wants us to stop.
const ENTRIES: usize = 64;

/// Bytes that are copied at once.
const CHUNK: u64 = 16 << 20;

/// Changing it changes the UUIDs of all images.
const UUID: &str = "distro-fetch ext4 uuid 1\n";
