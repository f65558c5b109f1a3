//! Directories: one block as it is, more of them sorted by a hash and found by a tree.
//!
//! Source: Linux, `Documentation/filesystems/ext4/directory.rst`.

use super::format::{BLOCK, Seed, kind, low16, low32, put16, put32};
use super::hash::half_md4;
use crate::error::{Error, Kind, Result};

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) text: &'a [u8],
    pub(super) inode: u32,
    /// As in [`kind`].
    pub(super) kind: u8,
}

impl Name<'_> {
    fn size(&self) -> usize {
        size(self.text.len())
    }
}

/// A directory whose blocks are known to be so many.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    names: Vec<Name<'a>>,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// So many blocks, the first with everything in it.
    Plain(u32),
    Hashed(Vec<Leaf>),
}

/// Names that are in one block, and the lowest of their hashes.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    hash: u32,
    first: usize,
    end: usize,
}

impl<'a> Folder<'a> {
    /// Puts names in order. `least` is how many blocks a small one has.
    ///
    /// # Errors
    /// [`Kind::Format`] if there are more than two levels of a tree can hold.
    pub(super) fn new(names: Vec<Name<'a>>, seed: [u32; 4], least: u32) -> Result<Self> {
        let total: usize = names.iter().map(Name::size).sum();
        if total + DOTS <= ROOM {
            let shape = Shape::Plain(least);
            return Ok(Self { names, shape });
        }
        let mut hashed: Vec<_> = names
            .iter()
            .map(|it| (half_md4(seed, it.text), *it))
            .collect();
        hashed.sort_unstable_by(|(a, left), (b, right)| {
            a.cmp(b).then_with(|| left.text.cmp(right.text))
        });
        let (mut leaves, mut used, mut before) = (Vec::<Leaf>::new(), ROOM, None);
        for (at, ((hash, _), name)) in hashed.iter().enumerate() {
            used += name.size();
            match leaves.last_mut() {
                Some(leaf) if used <= ROOM => leaf.end = at + 1,
                _ => {
                    used = name.size();
                    // The lowest bit says that the block before has the same hash, too.
                    let hash = hash | u32::from(before == Some(*hash));
                    let (first, end) = (at, at + 1);
                    leaves.push(Leaf { hash, first, end });
                }
            }
            before = Some(*hash);
        }
        if leaves.len() > IN_ROOT * IN_NODE {
            let message = format!(
                "{} names are more than a directory of ext4 holds",
                names.len()
            );
            return Err(Error::new(Kind::Format, message));
        }
        Ok(Self {
            names: hashed.into_iter().map(|(_, name)| name).collect(),
            shape: Shape::Hashed(leaves),
        })
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> u32 {
        match &self.shape {
            Shape::Plain(blocks) => *blocks,
            Shape::Hashed(leaves) => low32((1 + nodes(leaves) + leaves.len()) as u64),
        }
    }

    /// Whether there is a tree.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(self.shape, Shape::Hashed(_))
    }

    /// Gives its blocks, in order.
    pub(super) fn write(
        &self,
        (own, parent): (u32, u32),
        seed: Seed,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut block = vec![0; BLOCK];
        let dots = [(own, &b"."[..]), (parent, b"..")].map(|(inode, name)| Name {
            text: name,
            inode,
            kind: kind::FOLDER.1,
        });
        match &self.shape {
            Shape::Plain(blocks) => {
                fill(&mut block, dots.iter().chain(&self.names), seed);
                take(&block)?;
                for _ in 1..*blocks {
                    fill(&mut block, std::iter::empty(), seed);
                    take(&block)?;
                }
            }
            Shape::Hashed(leaves) => {
                let nodes = nodes(leaves);
                root(&mut block, &dots, leaves, nodes, seed);
                take(&block)?;
                let starts = (0..nodes).map(|nth| nth * IN_NODE);
                for start in starts {
                    let part = &leaves[start..leaves.len().min(start + IN_NODE)];
                    block.fill(0);
                    put16(&mut block, 4, low16(BLOCK as u64));
                    let first = 1 + nodes + start;
                    let entries = part.iter().map(|leaf| leaf.hash).zip(first..);
                    index(&mut block, NODE, IN_NODE, entries, seed);
                    take(&block)?;
                }
                for leaf in leaves {
                    fill(&mut block, &self.names[leaf.first..leaf.end], seed);
                    take(&block)?;
                }
            }
        }
        Ok(())
    }
}

/// Nodes between the root and the leaves.
fn nodes(leaves: &[Leaf]) -> usize {
    if leaves.len() > IN_ROOT {
        leaves.len().div_ceil(IN_NODE)
    } else {
        0
    }
}

/// The first block: what looks like two names, and the tree's root behind them.
fn root(block: &mut [u8], dots: &[Name<'_>; 2], leaves: &[Leaf], nodes: usize, seed: Seed) {
    entry(block, 0, 12, &dots[0]);
    entry(block, 12, BLOCK - 12, &dots[1]);
    block[28] = HALF_MD4;
    block[29] = 8;
    block[30] = u8::from(nodes > 0);
    if nodes > 0 {
        let hashes = leaves.iter().step_by(IN_NODE).map(|leaf| leaf.hash);
        index(block, INFO, IN_ROOT, hashes.zip(1..), seed);
    } else {
        let hashes = leaves.iter().map(|leaf| leaf.hash);
        index(block, INFO, IN_ROOT, hashes.zip(1..), seed);
    }
}

/// Hashes and numbers of blocks; the first has room for two counts where its hash would be.
fn index(
    block: &mut [u8],
    at: usize,
    most: usize,
    entries: impl Iterator<Item = (u32, usize)>,
    seed: Seed,
) {
    let mut count = 0;
    for (hash, to) in entries {
        put32(block, at + count * 8, hash);
        put32(block, at + count * 8 + 4, low32(to as u64));
        count += 1;
    }
    put16(block, at, low16(most as u64));
    put16(block, at + 2, low16(count as u64));
    // What follows the entries is not part of it, but for the reserved half of the tail.
    let sum = seed.and(&block[..at + count * 8]).sum(&[0; 8]);
    put32(block, BLOCK - 4, sum);
}

/// A block of names, with its checksum.
fn fill<'a>(block: &mut [u8], names: impl IntoIterator<Item = &'a Name<'a>>, seed: Seed) {
    block.fill(0);
    let (mut at, mut last) = (0, None);
    for name in names {
        entry(block, at, name.size(), name);
        last = Some(at);
        at += name.size();
    }
    // The last one, or one that is not there, has the rest.
    let last = last.unwrap_or(0);
    put16(block, last + 4, low16((ROOM - last) as u64));
    put16(block, ROOM + 4, low16(TAIL as u64));
    block[ROOM + 7] = CHECKSUM;
    let sum = seed.sum(&block[..ROOM]);
    put32(block, ROOM + 8, sum);
}

fn entry(block: &mut [u8], at: usize, size: usize, name: &Name<'_>) {
    put32(block, at, name.inode);
    put16(block, at + 4, low16(size as u64));
    block[at + 6] = u8::try_from(name.text.len()).unwrap_or(u8::MAX);
    block[at + 7] = name.kind;
    block[at + 8..at + 8 + name.text.len()].copy_from_slice(name.text);
}

const fn size(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

/// Bytes of the entry that has the checksum, and what its type says.
const TAIL: usize = 12;
const CHECKSUM: u8 = 0xde;

/// Bytes of a block without it.
const ROOM: usize = BLOCK - TAIL;

/// Bytes of `.` and `..`.
const DOTS: usize = size(1) + size(2);

/// Where the tree begins in the first block, and in the others.
const INFO: usize = 32;
const NODE: usize = 8;

/// How many entries there are room for, beside a checksum of 8 bytes.
const IN_ROOT: usize = (BLOCK - INFO) / 8 - 1;
const IN_NODE: usize = (BLOCK - NODE) / 8 - 1;

/// `DX_HASH_HALF_MD4`; the superblock says that bytes are unsigned.
const HALF_MD4: u8 = 1;
