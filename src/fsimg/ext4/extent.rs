//! Where the blocks of a file are: extents, and the trees of them.
//!
//! Source: Linux, `Documentation/filesystems/ext4/ifork.rst`.

use super::format::{BLOCK, Seed, get16, get32, high32, low16, low32, put16, put32};
use super::geometry::Space;

/// A run of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first one's number in the file.
    pub(super) logical: u32,
    /// How many, at most [`LONGEST`].
    pub(super) length: u32,
    /// The first one's number in the file system.
    pub(super) physical: u64,
}

/// Gives space to runs of blocks of a file: first number and length of each, ascending.
pub(super) fn allocate(space: &mut Space<'_>, runs: impl Iterator<Item = (u32, u64)>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (logical, length) in runs {
        let mut logical = u64::from(logical);
        let end = logical + length;
        while logical < end {
            let run = space.some((end - logical).min(LONGEST));
            spans.push(Span {
                logical: low32(logical),
                length: low32(run.length),
                physical: run.start,
            });
            logical += run.length;
        }
    }
    spans
}

/// How many blocks a tree of so many extents has, beside what is in the inode.
pub(super) fn tree_blocks(extents: usize) -> u64 {
    let (mut total, mut level) = (0, extents);
    while level > IN_INODE {
        level = level.div_ceil(IN_BLOCK);
        total += level as u64;
    }
    total
}

/// Blocks of a tree, each with its place.
type Nodes = Vec<(u64, Box<[u8]>)>;

/// What is in the inode, and the blocks of the tree, which lie where `blocks` says.
pub(super) fn tree(spans: &[Span], blocks: &[u64], seed: Seed) -> ([u8; 60], Nodes) {
    let mut entries: Vec<(u32, [u8; ENTRY])> = spans.iter().map(leaf).collect();
    let mut made = Vec::new();
    let mut depth = 0;
    let mut free = blocks.iter().copied();
    while entries.len() > IN_INODE {
        let mut above = Vec::with_capacity(entries.len().div_ceil(IN_BLOCK));
        for (part, at) in entries.chunks(IN_BLOCK).zip(&mut free) {
            let mut block = vec![0; BLOCK].into_boxed_slice();
            fill(&mut block, part, IN_BLOCK, depth);
            let sum = seed.sum(&block[..TAIL]);
            put32(&mut block, TAIL, sum);
            above.push((part[0].0, index(part[0].0, at)));
            made.push((at, block));
        }
        entries = above;
        depth += 1;
    }
    let mut root = [0; 60];
    fill(&mut root, &entries, IN_INODE, depth);
    (root, made)
}

fn fill(node: &mut [u8], entries: &[(u32, [u8; ENTRY])], most: usize, depth: u16) {
    put16(node, 0, MAGIC);
    put16(node, 2, low16(entries.len() as u64));
    put16(node, 4, low16(most as u64));
    put16(node, 6, depth);
    let places = node[ENTRY..].chunks_exact_mut(ENTRY);
    for (place, (_, entry)) in places.zip(entries) {
        place.copy_from_slice(entry);
    }
}

fn leaf(span: &Span) -> (u32, [u8; ENTRY]) {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, span.logical);
    put16(&mut entry, 4, low16(span.length.into()));
    put16(&mut entry, 6, low16(span.physical >> 32));
    put32(&mut entry, 8, low32(span.physical));
    (span.logical, entry)
}

fn index(logical: u32, at: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, logical);
    put32(&mut entry, 4, low32(at));
    put16(&mut entry, 8, low16(high32(at).into()));
    entry
}

/// A node of a tree, as it is read: `None` if it is not one.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) depth: u16,
    entries: &'a [u8],
}

impl<'a> Node<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (count, most) = (get16(bytes, 2), get16(bytes, 4));
        let room = bytes.len().checked_sub(ENTRY)? / ENTRY;
        if get16(bytes, 0) != MAGIC || count > most || usize::from(most) > room {
            return None;
        }
        Some(Self {
            depth: get16(bytes, 6),
            entries: &bytes[ENTRY..ENTRY + usize::from(count) * ENTRY],
        })
    }

    /// Where the checksum of a block with this header is.
    pub(super) fn tail(bytes: &[u8]) -> usize {
        ENTRY + usize::from(get16(bytes, 4)) * ENTRY
    }

    /// Extents, and whether each is written. Unwritten ones are holes.
    pub(super) fn spans(&self) -> impl Iterator<Item = (Span, bool)> + use<'a> {
        self.entries.chunks_exact(ENTRY).map(|entry| {
            let length = u32::from(get16(entry, 4));
            let written = u64::from(length) <= LONGEST;
            let length = if written {
                length
            } else {
                length - low32(LONGEST)
            };
            let span = Span {
                logical: get32(entry, 0),
                length,
                physical: u64::from(get16(entry, 6)) << 32 | u64::from(get32(entry, 8)),
            };
            (span, written)
        })
    }

    /// First blocks, and where the nodes below are.
    pub(super) fn below(&self) -> impl Iterator<Item = (u32, u64)> + use<'a> {
        self.entries.chunks_exact(ENTRY).map(|entry| {
            let at = u64::from(get16(entry, 8)) << 32 | u64::from(get32(entry, 4));
            (get32(entry, 0), at)
        })
    }
}

/// Blocks of an extent, at most; longer ones mean that it is not written.
pub(super) const LONGEST: u64 = 32_768;

/// The deepest tree there can be (`EXT4_MAX_EXTENT_DEPTH`).
pub(super) const DEEPEST: u16 = 5;

const MAGIC: u16 = 0xf30a;

/// Bytes of a header and of an entry.
const ENTRY: usize = 12;

const IN_INODE: usize = 4;

const IN_BLOCK: usize = (BLOCK - ENTRY) / ENTRY;

const TAIL: usize = ENTRY + IN_BLOCK * ENTRY;
