//! An image becomes a tree again.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::extent::Span;
use super::format::{FIRST, ROOT, Seed, flag, get16, get32, kind};
use super::image::{Found, Image, refuse};
use super::inode::device_of;
use crate::archive::Limits;
use crate::error::Result;
use crate::fsimg::Uuid;
use crate::tree::{Dress, Grower, NodeId, Piece, Thing, Tree};

/// Reads images: those that are written here, and what `mke2fs` makes of extents.
///
/// Strict: what contradicts itself is refused, whatever a kernel would make of it, as is what was
/// not unmounted. An image cannot make it read outside, go round in circles, or keep more than the
/// limits allow.
#[derive(Debug)]
pub struct Reader {
    image: Image,
    limits: Limits,
}

impl Reader {
    /// Looks at the superblock.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) if it is none, or of a kind that is not read; [`Kind::Local`](crate::error::Kind::Local) if the file
    /// cannot be read.
    pub fn open(file: File, limits: Limits) -> Result<Self> {
        let image = Image::open(Arc::new(file), limits.extents)?;
        Ok(Self { image, limits })
    }

    /// Bytes of the file system: its file may have more.
    pub fn size(&self) -> u64 {
        self.image.blocks * self.image.block as u64
    }

    /// What it is told apart by.
    pub fn uuid(&self) -> Uuid {
        self.image.uuid
    }

    /// What it is called.
    pub fn label(&self) -> &[u8] {
        &self.image.label
    }

    /// The tree in the image, whose contents stay there. An empty `lost+found` is left out, if it
    /// is the one that every image has. `tell` is called now and then; its error stops the work.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) if anything is wrong with the image, or it has more than the limits allow;
    /// [`Kind::Local`](crate::error::Kind::Local) if it cannot be read; the error of `tell`.
    pub fn tree(self, mut tell: impl FnMut() -> Result<()>) -> Result<Tree> {
        let Self { image, limits } = self;
        let grower = Grower::new(image.file.clone(), limits);
        let mut reading = Reading {
            image,
            grower,
            seen: HashMap::new(),
            limits,
        };
        let root = reading.image.inode(ROOT)?;
        if root.kind() != kind::FOLDER.0 {
            return root.refuse("the root is no directory");
        }
        let dress = reading.dress(&root)?;
        reading.grower.dress_root(&dress);
        let mut next = vec![Folder {
            inode: root,
            parent: ROOT,
            id: NodeId::ROOT,
            depth: 0,
        }];
        while let Some(folder) = next.pop() {
            tell()?;
            reading.folder(&folder, &mut next)?;
        }
        for (number, seen) in &reading.seen {
            if seen.names != u32::from(seen.links) {
                return refuse(&format!("inode {number}: its names are not so many"));
            }
        }
        Ok(reading.grower.finish())
    }
}

struct Reading {
    image: Image,
    grower: Grower,
    /// What is no directory, by its inode.
    seen: HashMap<u32, Seen>,
    limits: Limits,
}

struct Seen {
    id: NodeId,
    links: u16,
    names: u32,
}

/// A directory that was found and not read.
struct Folder {
    inode: Found,
    parent: u32,
    id: NodeId,
    depth: usize,
}

impl Reading {
    fn dress(&self, inode: &Found) -> Result<Dress> {
        Ok(Dress {
            mode: u32::from(inode.mode & 0o7777),
            uid: inode.uid.into(),
            gid: inode.gid.into(),
            mtime: inode.time,
            xattrs: self.image.xattrs(inode)?,
        })
    }

    fn folder(&mut self, folder: &Folder, next: &mut Vec<Folder>) -> Result<()> {
        let inode = &folder.inode;
        if folder.depth > self.limits.depth {
            return inode.refuse("deeper than the limit `depth`");
        }
        let mut below = 0_u32;
        let mut left = inode.size;
        for (nth, number) in self.blocks(inode)?.enumerate() {
            let block = self.image.read_own(number)?;
            let own = self.image.own_seed(inode);
            let end = names_end(&block, own, nth == 0 && inode.flags & flag::INDEX != 0);
            let Some(end) = end else {
                return inode.refuse("a block of its names has a wrong checksum");
            };
            left = left.saturating_sub(block.len() as u64);
            let mut dots = if nth == 0 { &DOTS[..] } else { &[] };
            for name in names(&block[..end]) {
                let Some((number, code, name)) = name else {
                    return inode.refuse("a block of names is none");
                };
                if let [dot, rest @ ..] = dots {
                    dots = rest;
                    let expect = if rest.is_empty() {
                        folder.parent
                    } else {
                        inode.number
                    };
                    if name != *dot || number != expect {
                        return inode.refuse("it does not say what it is in");
                    }
                    continue;
                }
                if number != 0 {
                    below += u32::from(self.name(folder, number, code, name, next)?);
                }
            }
            if !dots.is_empty() {
                return inode.refuse("it does not say what it is in");
            }
        }
        let links = below + 2;
        // 1: too many to count.
        if left != 0 || !(inode.links == 1 || u32::from(inode.links) == links) {
            return inode.refuse("its names are not so many");
        }
        Ok(())
    }

    /// The blocks of a directory, which has no holes.
    fn blocks(&mut self, inode: &Found) -> Result<impl Iterator<Item = u64> + use<>> {
        let spans = self.image.spans(inode)?;
        let mut end = 0;
        for span in &spans {
            if span.logical != end {
                return inode.refuse("a directory with holes");
            }
            end = span.logical.saturating_add(span.length);
        }
        if u64::from(end) * self.image.block as u64 != inode.size || end == 0 {
            return inode.refuse("a directory of another size");
        }
        let numbers = |it: Span| it.physical..it.physical + u64::from(it.length);
        Ok(spans.into_iter().flat_map(numbers))
    }

    /// Adds what a name in a directory stands for. Says whether that is a directory.
    fn name(
        &mut self,
        folder: &Folder,
        number: u32,
        code: u8,
        name: &[u8],
        next: &mut Vec<Folder>,
    ) -> Result<bool> {
        if let Some(seen) = self.seen.get_mut(&number) {
            seen.names += 1;
            self.grower.link(folder.id, name, seen.id)?;
            return Ok(false);
        }
        let inode = self.image.inode(number)?;
        if Image::kind_in_folder(inode.kind()) != Some(code) || number < FIRST {
            return inode.refuse("it is of another type than its name says");
        }
        if inode.kind() == kind::FOLDER.0 {
            if folder.depth == 0
                && number == FIRST
                && name == b"lost+found"
                && self.is_bare(&inode)?
            {
                return Ok(true);
            }
            let dress = self.dress(&inode)?;
            let id = self
                .grower
                .add(folder.id, name, &dress, Thing::Folder, &[])?;
            next.push(Folder {
                parent: folder.inode.number,
                id,
                depth: folder.depth + 1,
                inode,
            });
            return Ok(true);
        }
        let dress = self.dress(&inode)?;
        let device = device_of(&inode.body);
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        let thing = match inode.kind() {
            it if it == kind::FILE.0 => {
                pieces = self.pieces(&inode)?;
                Thing::File { size: inode.size }
            }
            it if it == kind::SYMLINK.0 => {
                text = self.image.text(&inode)?;
                Thing::Symlink(&text)
            }
            it if it == kind::CHARACTER.0 => Thing::Character(device),
            it if it == kind::BLOCK.0 => Thing::Block(device),
            it if it == kind::FIFO.0 => Thing::Fifo,
            _ => Thing::Socket,
        };
        let id = self.grower.add(folder.id, name, &dress, thing, &pieces)?;
        drop(text);
        self.seen.insert(
            number,
            Seen {
                id,
                links: inode.links,
                names: 1,
            },
        );
        Ok(false)
    }

    /// Whether nothing is in a directory: that it is whole is checked, too.
    fn is_bare(&mut self, inode: &Found) -> Result<bool> {
        let usual = inode.links == 2 && inode.mode & 0o7777 == 0o700 && inode.uid == 0;
        if !usual || inode.gid != 0 || !self.image.xattrs(inode)?.is_empty() {
            return Ok(false);
        }
        for (nth, number) in self.blocks(inode)?.enumerate() {
            let block = self.image.read_block(number)?;
            let own = self.image.own_seed(inode);
            let end = names_end(&block, own, false).unwrap_or(0);
            let dots = if nth == 0 { 2 } else { 0 };
            let used = |it: &Option<Listed<'_>>| it.is_none_or(|(number, ..)| number != 0);
            if end == 0 || names(&block[..end]).filter(used).count() != dots {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where the data of a file is in the image.
    fn pieces(&mut self, inode: &Found) -> Result<Vec<Piece>> {
        let size = self.image.block as u64;
        let mut pieces: Vec<Piece> = Vec::new();
        for span in self.image.spans(inode)? {
            let offset = u64::from(span.logical) * size;
            // Blocks behind the end may have been kept for later.
            let length = (u64::from(span.length) * size).min(inode.size.saturating_sub(offset));
            let from = span.physical * size;
            match pieces.last_mut() {
                _ if length == 0 => {}
                Some(last)
                    if last.offset + last.length == offset && last.from + last.length == from =>
                {
                    last.length += length;
                }
                _ => pieces.push(Piece {
                    offset,
                    length,
                    from,
                }),
            }
        }
        Ok(pieces)
    }
}

/// Where the names of a block end: before its checksum, if it has one; `None` if that is wrong.
fn names_end(block: &[u8], seed: Option<Seed>, is_root: bool) -> Option<usize> {
    let Some(seed) = seed else {
        return Some(block.len());
    };
    let end = block.len();
    let room = end - 12;
    let tail = &block[room..];
    if !is_root && get32(tail, 0) == 0 && get32(tail, 4) == 0xde00_000c {
        return (seed.sum(&block[..room]) == get32(tail, 8)).then_some(room);
    }
    // A node of a tree: hashes behind what looks like names.
    let at = if is_root { 32 } else { 8 };
    let is_node = get32(block, 0) == 0 && usize::from(get16(block, 4)) == end;
    let (most, count) = (get16(block, at), get16(block, at + 2));
    let sum_at = at + usize::from(most) * 8;
    if !(is_root || is_node) || sum_at + 8 > end || count > most {
        return None;
    }
    let sum = seed.and(&block[..at + usize::from(count) * 8]);
    let sum = sum.and(&block[sum_at..sum_at + 4]).sum(&[0; 4]);
    (sum == get32(block, sum_at + 4)).then_some(end)
}

/// The names in a block: inode, type, name. `None` is what is no name, and the last.
fn names(block: &[u8]) -> impl Iterator<Item = Option<Listed<'_>>> {
    let mut left = block;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let next = one(left);
        left = next.map_or(&[], |(_, rest)| rest);
        Some(next.map(|(name, _)| name))
    })
}

/// A name in a directory: inode, type, text.
type Listed<'a> = (u32, u8, &'a [u8]);

/// A name, and what comes after it.
fn one(block: &[u8]) -> Option<(Listed<'_>, &[u8])> {
    let [.., length, code] = *block.first_chunk::<8>()?;
    let size = usize::from(get16(block, 4));
    let end = 8 + usize::from(length);
    let (this, rest) = block.split_at_checked(size)?;
    let sane = size >= end.max(12) && size.is_multiple_of(4);
    sane.then(|| ((get32(this, 0), code, &this[8..end]), rest))
}

const DOTS: [&[u8]; 2] = [b".", b".."];
