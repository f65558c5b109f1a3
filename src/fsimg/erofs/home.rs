//! Where the content of one thing will be.

use super::Small;
use super::chunk;
use super::format::{BLOCK, NOWHERE};
use super::inode::{Layout, Type};
use super::plan::{refuse, too_large};
use crate::error::Result;
use crate::tree::{NodeId, Thing, Tree};

/// Where the content of a file lies in an image that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) layout: Layout,
    /// The first block of its data.
    pub(super) block: u32,
    /// The device that has it, counted from 1; 0 for this image.
    pub(super) device: u16,
}

/// Who has the content of files.
pub(super) enum Holder<'a> {
    /// The image itself; small files where [`Small`] says.
    Itself(Small),
    /// Other images, with so many blocks each. It is asked where a file lies.
    Others(&'a [u32], &'a dyn Fn(NodeId) -> Option<Placed>),
}

/// Where the content of a thing will be, whose inode is `head` bytes long and not before `at`.
pub(super) fn home(
    tree: &Tree,
    id: NodeId,
    size: u64,
    (at, head): (u64, u64),
    holder: &Holder<'_>,
) -> Result<Home> {
    let node = tree.node(id);
    let is_file = matches!(node.thing(), Thing::File { .. });
    if size == 0 {
        return Ok(Home::Blocks);
    }
    if let Holder::Others(_, placed) = holder
        && is_file
    {
        let nowhere = || refuse(tree, id, "no image of a layer has the content of this file");
        let mut placed = placed(id).ok_or_else(nowhere)?;
        if placed.layout == Layout::Plain {
            placed.layout = Layout::Chunks(chunk::whole(size));
        }
        return Ok(Home::Elsewhere(placed));
    }
    if let Some(map) = node.extents()
        && let Some(bits) = chunk::best(map, size)
    {
        return Ok(Home::Chunks(bits, chunk::cost(map, size, bits).0));
    }
    let inline = match holder {
        Holder::Itself(Small::Inline) => !is_file || size < BLOCK,
        _ => !is_file,
    };
    let start = inline_start(at, head, size % BLOCK).filter(|_| inline);
    Ok(start.map_or(Home::Blocks, Home::Behind))
}

/// Where the content of one thing will be.
pub(super) enum Home {
    /// In the image of a layer.
    Elsewhere(Placed),
    /// In chunks of this size, with so many bytes of data.
    Chunks(u8, u64),
    /// In blocks, with the rest of it behind the inode, which begins here for its sake.
    Behind(u64),
    /// In blocks.
    Blocks,
}

/// Blocks that were given away, of directories and links, and of files.
#[derive(Debug, Default)]
pub(super) struct Areas {
    pub(super) folders: u64,
    pub(super) files: u64,
}

impl Areas {
    /// Blocks for so many bytes of a thing of this type.
    pub(super) fn take(&mut self, kind: Type, bytes: u64) -> Result<u32> {
        let area = if kind == Type::File {
            &mut self.files
        } else {
            &mut self.folders
        };
        let here = u32::try_from(*area).ok().filter(|it| *it != NOWHERE);
        let here = here.ok_or_else(|| too_large("contents end at 16 TiB"))?;
        *area += bytes.div_ceil(BLOCK);
        Ok(if bytes == 0 { NOWHERE } else { here })
    }
}

/// Where an inode must begin so that its rest lies in the same block. `None` if there is no rest,
/// if that cannot be, or if a block of its own costs less than the gap.
fn inline_start(at: u64, head: u64, rest: u64) -> Option<u64> {
    if rest == 0 || head + rest > BLOCK {
        return None;
    }
    if at % BLOCK + head + rest <= BLOCK {
        return Some(at);
    }
    let start = at.next_multiple_of(BLOCK);
    (start - at + rest < BLOCK).then_some(start)
}
