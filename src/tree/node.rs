//! A tree in memory: metadata in one arena, content by reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::{Source, Stored};
use crate::archive::{Device, Extent, Time};
use crate::error::Result;

/// Attributes by name.
pub type XattrSet = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file tree: what there is, and where the content of files can be read.
///
/// A name costs 12 bytes and its own; what it names costs 64, however many names it has. Owners
/// and sets of attributes are kept once. The content of files is not in memory at all, but in the
/// [`Source`]s.
///
/// ```no_run
/// # use distro_fetch::tree::{Thing, Tree};
/// # fn example(tree: &Tree) -> distro_fetch::Result<()> {
/// for visit in tree.walk() {
///     if let Thing::File { size } = visit.node.thing() {
///         println!("{} {size}", visit.path.escape_ascii());
///         let stored = visit.node.open()?;
///         for piece in stored.pieces() {
///             // `piece.length` bytes at `piece.from` of `stored.file()` belong at `piece.offset`.
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) records: Vec<Record>,
    /// Those of one directory are neighbours, in the order of their bytes.
    pub(super) names: Vec<Name>,
    /// Names and texts of links.
    pub(super) text: Vec<u8>,
    pub(super) owners: Vec<(u64, u64)>,
    pub(super) xattrs: Vec<Arc<XattrSet>>,
    pub(super) maps: Vec<Box<[Extent]>>,
    pub(super) sources: Vec<Source>,
}

/// The number of a thing in its tree. They are dense: an array with an element for each is
/// [`Tree::len`] long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The root of every tree.
    pub const ROOT: Self = Self(0);

    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing<'a> {
    /// A directory.
    Folder,
    /// A regular file.
    File {
        /// Bytes, holes included.
        size: u64,
    },
    /// A symbolic link to this text.
    Symlink(&'a [u8]),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// A socket: directories may have some, archives have none.
    Socket,
}

impl Tree {
    /// How many things there are; the root is one of them.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many names there are below the root: more than things, if some have several.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// The root.
    pub fn root(&self) -> Node<'_> {
        self.node(NodeId::ROOT)
    }

    /// A thing.
    ///
    /// # Panics
    /// If the number is not of this tree.
    pub fn node(&self, id: NodeId) -> Node<'_> {
        assert!(id.index() < self.records.len(), "a number of another tree");
        Node { tree: self, id }
    }

    /// What the path leads to, components joined by `/`; empty is the root. Nothing is followed.
    pub fn find(&self, path: &[u8]) -> Option<Node<'_>> {
        let mut here = self.root();
        for name in path.split(|&byte| byte == b'/') {
            if !name.is_empty() {
                here = here.child(name)?;
            }
        }
        Some(here)
    }

    /// The sets of attributes: [`Node::xattr_set`] is an index into them. The first is empty.
    pub fn xattr_sets(&self) -> impl ExactSizeIterator<Item = &XattrSet> {
        self.xattrs.iter().map(|set| &**set)
    }

    /// Bytes of all files, holes included; a file counts once.
    pub fn bytes(&self) -> u64 {
        let sizes = self.records.iter().map(|record| match record.body {
            Body::File { size, .. } => size,
            _ => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// One that has not even a root yet.
    pub(super) fn bare() -> Self {
        Self {
            records: Vec::new(),
            names: Vec::new(),
            text: Vec::new(),
            owners: Vec::new(),
            xattrs: Vec::new(),
            maps: Vec::new(),
            sources: Vec::new(),
        }
    }

    pub(super) fn text(&self, at: u32, length: u32) -> &[u8] {
        let at = at as usize;
        &self.text[at..at + length as usize]
    }

    pub(super) fn name_of(&self, name: &Name) -> &[u8] {
        self.text(name.at, name.length.into())
    }

    pub(super) fn record(&self, id: u32) -> &Record {
        &self.records[id as usize]
    }

    /// The names in a directory; of anything else there are none.
    pub(super) fn names_in(&self, id: u32) -> &[Name] {
        match self.record(id).body {
            Body::Folder { first, count, .. } => {
                &self.names[first as usize..first as usize + count as usize]
            }
            _ => &[],
        }
    }

    pub(super) fn name_in(&self, id: u32, name: &[u8]) -> Option<&Name> {
        let names = self.names_in(id);
        let at = names.binary_search_by(|it| self.name_of(it).cmp(name));
        at.ok().map(|at| &names[at])
    }
}

/// A thing in a tree.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a Tree,
    id: NodeId,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.id, self.thing())
    }
}

impl<'a> Node<'a> {
    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What it is.
    pub fn thing(&self) -> Thing<'a> {
        match self.record().body {
            Body::Folder { .. } => Thing::Folder,
            Body::File { size, .. } => Thing::File { size },
            Body::Symlink { at, length } | Body::Lower { at, length } => {
                Thing::Symlink(self.tree.text(at, length))
            }
            Body::Character(device) => Thing::Character(device),
            Body::Block(device) => Thing::Block(device),
            Body::Fifo => Thing::Fifo,
            Body::Socket => Thing::Socket,
        }
    }

    /// Whether it is a directory.
    pub fn is_folder(&self) -> bool {
        matches!(self.record().body, Body::Folder { .. })
    }

    /// Permission bits with set-user-ID, set-group-ID and sticky: 12 bits.
    pub fn mode(&self) -> u32 {
        self.record().mode.into()
    }

    /// Owner.
    pub fn uid(&self) -> u64 {
        self.tree.owners[self.record().owner as usize].0
    }

    /// Group.
    pub fn gid(&self) -> u64 {
        self.tree.owners[self.record().owner as usize].1
    }

    /// When its content was changed.
    pub fn mtime(&self) -> Time {
        self.record().mtime
    }

    /// Extended attributes by their full names.
    pub fn xattrs(&self) -> &'a XattrSet {
        &self.tree.xattrs[self.xattr_set()]
    }

    /// The number of its set of attributes: things with equal ones have the same.
    pub fn xattr_set(&self) -> usize {
        self.record().xattrs as usize
    }

    /// How many names it has. Directories have one.
    pub fn names(&self) -> u32 {
        self.record().links
    }

    /// What is in the directory, in the order of the names' bytes.
    pub fn children(&self) -> impl ExactSizeIterator<Item = (&'a [u8], Node<'a>)> + use<'a> {
        let tree = self.tree;
        tree.names_in(self.id.0).iter().map(move |name| {
            let id = NodeId(name.node);
            (tree.name_of(name), Node { tree, id })
        })
    }

    /// What has this name in the directory.
    pub fn child(&self, name: &[u8]) -> Option<Self> {
        let name = self.tree.name_in(self.id.0, name)?;
        Some(Self {
            tree: self.tree,
            id: NodeId(name.node),
        })
    }

    /// Where data lies in a file with holes, as the headers of its archive say; `None` if it has
    /// none.
    pub fn extents(&self) -> Option<&'a [Extent]> {
        match self.record().body {
            Body::File { map, .. } => self.tree.maps.get(map as usize).map(|map| &**map),
            _ => None,
        }
    }

    /// Opens the content of a regular file; of anything else there is none.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::error::Kind::Local) if it cannot be opened or is another file by now.
    pub fn open(&self) -> Result<Stored<'a>> {
        match self.record().body {
            Body::File {
                source,
                offset,
                size,
                ..
            } if size > 0 => {
                let source = &self.tree.sources[source as usize];
                source.open(offset, size, self.mtime(), self.extents())
            }
            _ => Ok(Stored::nothing()),
        }
    }

    pub(super) fn record(&self) -> &'a Record {
        self.tree.record(self.id.0)
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) at: u32,
    /// [`NOTHING`] for a whiteout without anything in its place.
    pub(super) node: u32,
    pub(super) length: u8,
    /// A whiteout: it hides what lower layers have of this name.
    pub(super) hides: bool,
}

/// A thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) body: Body,
    pub(super) mtime: Time,
    pub(super) owner: u32,
    pub(super) xattrs: u32,
    pub(super) links: u32,
    pub(super) mode: u16,
}

/// What a thing is, and where the rest of it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Folder {
        first: u32,
        count: u32,
        marks: Marks,
    },
    File {
        source: u32,
        /// [`NOTHING`] for a file without holes.
        map: u32,
        offset: u64,
        size: u64,
    },
    Symlink {
        at: u32,
        length: u32,
    },
    Character(Device),
    Block(Device),
    Fifo,
    Socket,
    /// In a layer: another name of what a lower layer has at this path.
    Lower {
        at: u32,
        length: u32,
    },
}

/// What a layer says of a directory, beyond its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It has an entry of its own.
    pub(super) named: bool,
    /// Something is in it, or it is named itself: it is not only there to hold whiteouts.
    pub(super) real: bool,
    /// It hides what lower layers have in it.
    pub(super) opaque: bool,
}

/// No node, no map.
pub(super) const NOTHING: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_small() {
        assert_eq!(size_of::<Record>(), 64);
        assert_eq!(size_of::<Name>(), 12);
    }
}
