//! What there is in a tree, as inodes and blocks: everything but where the blocks are.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::dir::{Folder, Name};
use super::extent::{self, Span};
use super::format::{BLOCK, BLOCK_SIZE, FIRST, LINKS, ROOT, kind, low32};
use super::geometry::Space;
use super::inode::{Clock as _, ROOM};
use super::xattr::{Packed, SHARERS};
use crate::archive::{Device, Time};
use crate::error::{Error, Kind, Result};
use crate::tree::{Loss, Node, NodeId, Report, Thing, Tree, Visit};

/// One inode of the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) node: NodeId,
    /// Blocks of a directory or of the text of a link. Those of files are in the tree.
    blocks: u32,
    /// Where its first block may be.
    pub(super) start: u64,
}

/// A block of attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    /// The item that comes first of those that have it.
    owner: usize,
    pub(super) uses: u32,
    /// Where it is.
    pub(super) at: u64,
}

/// Everything, in the order of inodes.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) tree: &'a Tree,
    /// The root is the first.
    pub(super) items: Vec<Item>,
    /// The inode of each thing.
    numbers: Vec<u32>,
    pub(super) hash_seed: [u32; 4],
    pub(super) shared: Vec<Shared>,
    /// Which of these an item has.
    sharers: HashMap<usize, usize>,
    /// The tree has a `lost+found` of its own.
    lost_found: Option<NodeId>,
    pub(super) newest: Time,
    /// Bytes of files, without holes.
    pub(super) bytes: u64,
    pub(super) report: Report,
}

/// What is known of a set of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// It fits into inodes.
    Inline,
    /// It needs a block; the last one made for it.
    Block(usize),
}

/// Where the blocks of an item are.
#[derive(Debug)]
pub(super) struct Laid {
    /// A block of attributes, if the item is the first that has it.
    pub(super) attributes: Option<u64>,
    pub(super) spans: Vec<Span>,
    /// The blocks of the tree of extents.
    pub(super) nodes: Vec<u64>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(tree: &'a Tree) -> Result<Self> {
        let mut survey = Self {
            tree,
            items: Vec::with_capacity(tree.len()),
            numbers: vec![0; tree.len()],
            hash_seed: [0; 4],
            shared: Vec::new(),
            sharers: HashMap::new(),
            lost_found: None,
            newest: Time::default(),
            bytes: 0,
            report: Report::default(),
        };
        let mut names = Sha256::new().chain_update(HASH_SEED);
        // For each set of attributes: whether it needs a block, and the last one that there is.
        let mut sets = vec![Known::Nothing; tree.xattr_sets().len()];
        for visit in tree.walk() {
            names.update(&visit.path);
            names.update([0]);
            if visit.first.is_none() {
                survey.add(&visit, &mut sets)?;
            }
            survey.report.entries += 1;
        }
        for (word, bytes) in survey
            .hash_seed
            .iter_mut()
            .zip(names.finalize().as_chunks::<4>().0)
        {
            *word = u32::from_le_bytes(*bytes);
        }
        for at in 0..survey.items.len() {
            let node = tree.node(survey.items[at].node);
            if node.is_folder() {
                survey.items[at].blocks = survey.folder(node)?.blocks();
            }
        }
        Ok(survey)
    }

    fn add(&mut self, visit: &Visit<'_>, sets: &mut [Known]) -> Result<()> {
        let node = visit.node;
        let path = &visit.path;
        let refuse = |why: String| {
            let message = format!("{}: {why}", shown(path));
            Err(Error::new(Kind::Format, message))
        };
        let at = self.items.len();
        let number = match u32::try_from(at) {
            Ok(0) => ROOT,
            Ok(at) if at < u32::MAX - FIRST => FIRST + at,
            _ => return refuse("more things than inodes".to_owned()),
        };
        if path == b"lost+found" {
            if !node.is_folder() {
                return refuse("ext4 needs this name for a directory".to_owned());
            }
            self.lost_found = Some(node.id());
        }
        if [node.uid(), node.gid()]
            .iter()
            .any(|id| *id >= u64::from(u32::MAX))
        {
            return refuse(format!(
                "the owner {}:{} has more than 32 bits",
                node.uid(),
                node.gid()
            ));
        }
        if node.names() > LINKS {
            return refuse(format!(
                "{} names, a file of ext4 has at most {LINKS}",
                node.names()
            ));
        }
        let mut blocks = 0;
        match node.thing() {
            Thing::File { size } if size > LARGEST => {
                return refuse(format!(
                    "{size} bytes, a file of ext4 has at most {LARGEST}"
                ));
            }
            Thing::File { size } => {
                let data = node
                    .extents()
                    .map(|map| map.iter().map(|it| it.length).sum());
                self.bytes += data.unwrap_or(size);
            }
            Thing::Symlink(text) if text.is_empty() || text.len() >= BLOCK || text.contains(&0) => {
                return refuse(format!("the text of a link has 1 to {} bytes", BLOCK - 1));
            }
            Thing::Symlink(text) => blocks = u32::from(text.len() >= FAST),
            Thing::Character(device) | Thing::Block(device) => {
                let Device { major, minor } = device;
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return refuse(format!("no device can be {major}:{minor}"));
                }
            }
            Thing::Folder | Thing::Fifo | Thing::Socket => {}
        }
        if node.mtime() != node.mtime().clamped() {
            let seconds = node.mtime().seconds;
            self.report.note(Loss::Time, path, || seconds.to_string());
        }
        // A time that is far off is a mark, not a moment; and tools distrust a superblock that was
        // written in the future.
        if node.mtime().seconds <= i64::from(i32::MAX) {
            self.newest = self.newest.max(node.mtime());
        }
        self.attributes(visit, at, sets)?;
        self.numbers[node.id().index()] = number;
        self.items.push(Item {
            node: node.id(),
            blocks,
            start: 0,
        });
        Ok(())
    }

    /// Shares blocks of attributes.
    fn attributes(&mut self, visit: &Visit<'_>, at: usize, sets: &mut [Known]) -> Result<()> {
        let set = visit.node.xattrs();
        if set.is_empty() {
            return Ok(());
        }
        let known = &mut sets[visit.node.xattr_set()];
        if *known == Known::Inline {
            return Ok(());
        }
        let full = |shared: &Shared| shared.uses >= SHARERS;
        if let Known::Block(last) = *known
            && !full(&self.shared[last])
        {
            self.shared[last].uses += 1;
            self.sharers.insert(at, last);
            return Ok(());
        }
        let packed = Packed::new(set, ROOM)
            .map_err(|why| Error::new(Kind::Format, format!("{}: {why}", shown(&visit.path))))?;
        for name in &packed.left_out {
            let detail = || name.escape_ascii().to_string();
            self.report.note(Loss::Xattr, &visit.path, detail);
        }
        if packed.block.is_none() {
            // What is left out is noted for each thing that has it.
            if packed.left_out.is_empty() {
                *known = Known::Inline;
            }
            return Ok(());
        }
        *known = Known::Block(self.shared.len());
        self.sharers.insert(at, self.shared.len());
        self.shared.push(Shared {
            owner: at,
            uses: 1,
            at: 0,
        });
        Ok(())
    }

    /// The number of the last inode.
    pub(super) fn last_inode(&self) -> u32 {
        FIRST + low32(self.items.len() as u64 - 1)
    }

    /// Whether `lost+found` is ours to make.
    pub(super) fn makes_lost_found(&self) -> bool {
        self.lost_found.is_none()
    }

    pub(super) fn number(&self, id: NodeId) -> u32 {
        self.numbers[id.index()]
    }

    /// The block of attributes of an item.
    pub(super) fn shared(&self, at: usize) -> Option<Shared> {
        self.sharers.get(&at).map(|it| self.shared[*it])
    }

    /// Gives an item its blocks, from where the space is.
    pub(super) fn lay(&self, at: usize, space: &mut Space<'_>) -> Laid {
        let item = self.items[at];
        let owns = self.shared(at).is_some_and(|it| it.owner == at);
        let attributes = owns.then(|| space.some(1).start);
        let node = self.tree.node(item.node);
        let spans = match node.thing() {
            Thing::File { size } => extent::allocate(space, runs(node, size)),
            _ => extent::allocate(
                space,
                (item.blocks > 0)
                    .then_some((0, item.blocks.into()))
                    .into_iter(),
            ),
        };
        let count = extent::tree_blocks(spans.len());
        let nodes = (0..count).map(|_| space.some(1).start).collect();
        Laid {
            attributes,
            spans,
            nodes,
        }
    }

    /// Gives all items their blocks; those that are not in the tree come behind the root.
    pub(super) fn lay_all(&mut self, space: &mut Space<'_>, extra: impl Fn(&mut Space<'_>)) {
        for at in 0..self.items.len() {
            self.items[at].start = space.at();
            let laid = self.lay(at, space);
            if let (Some(block), Some(shared)) = (laid.attributes, self.sharers.get(&at)) {
                self.shared[*shared].at = block;
            }
            if at == 0 {
                extra(space);
            }
        }
    }

    /// A directory as it is written.
    pub(super) fn folder(&self, node: Node<'a>) -> Result<Folder<'a>> {
        let mut names: Vec<_> = node
            .children()
            .map(|(text, child)| Name {
                text,
                inode: self.number(child.id()),
                kind: kind_of(child.thing()).1,
            })
            .collect();
        if node.id() == NodeId::ROOT && self.makes_lost_found() {
            let at = names.partition_point(|it| it.text < b"lost+found".as_slice());
            names.insert(
                at,
                Name {
                    text: b"lost+found",
                    inode: FIRST,
                    kind: kind::FOLDER.1,
                },
            );
        }
        let least = if self.lost_found == Some(node.id()) {
            LOST_FOUND
        } else {
            1
        };
        Folder::new(names, self.hash_seed, least)
    }

    /// Its number of links: 1 says that there are too many to count.
    pub(super) fn links(&self, node: Node<'a>) -> u16 {
        let links = if node.is_folder() {
            let below = node
                .children()
                .filter(|(_, child)| child.is_folder())
                .count();
            let ours = node.id() == NodeId::ROOT && self.makes_lost_found();
            2 + below + usize::from(ours)
        } else {
            node.names() as usize
        };
        match u16::try_from(links) {
            Ok(links) if u32::from(links) <= LINKS => links,
            _ => 1,
        }
    }
}

/// The runs of blocks that have data: first number and length.
pub(super) fn runs(node: Node<'_>, size: u64) -> impl Iterator<Item = (u32, u64)> {
    let whole = (node.extents().is_none() && size > 0).then_some((0, size));
    let map = node.extents().unwrap_or_default();
    let pieces = map.iter().map(|it| (it.offset, it.offset + it.length));
    let mut blocks = pieces
        .chain(whole)
        .map(|(start, end)| (start / BLOCK_SIZE, end.div_ceil(BLOCK_SIZE)))
        .peekable();
    std::iter::from_fn(move || {
        let (start, mut end) = blocks.next()?;
        // Pieces that meet in one block, or at its end.
        while let Some((_, next)) = blocks.next_if(|(next, _)| *next <= end) {
            end = next;
        }
        Some((low32(start), end - start))
    })
}

/// Type bits of the mode, and the type in a directory.
pub(super) fn kind_of(thing: Thing<'_>) -> (u16, u8) {
    match thing {
        Thing::Folder => kind::FOLDER,
        Thing::File { .. } => kind::FILE,
        Thing::Symlink(_) => kind::SYMLINK,
        Thing::Character(_) => kind::CHARACTER,
        Thing::Block(_) => kind::BLOCK,
        Thing::Fifo => kind::FIFO,
        Thing::Socket => kind::SOCKET,
    }
}

/// A path in a message.
pub(super) fn shown(path: &[u8]) -> String {
    match path {
        [] => "the root".to_owned(),
        path => path.escape_ascii().to_string(),
    }
}

/// Texts of links that are shorter are in the inode.
pub(super) const FAST: usize = 60;

/// Blocks of an empty `lost+found`.
pub(super) const LOST_FOUND: u32 = 4;

/// Bytes of the largest file: block numbers have 32 bits, and the last means none.
const LARGEST: u64 = (u32::MAX as u64) * BLOCK_SIZE;

/// Changing it changes the order of names in large directories.
const HASH_SEED: &str = "distro-fetch ext4 hash seed 1\n";
