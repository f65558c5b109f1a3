//! A tree of what somebody else has listed: the image of a file system.

use std::fs::File;
use std::sync::Arc;

use super::builder::LayerBuilder;
use super::node::{Body, Marks, NodeId, Thing, Tree, XattrSet};
use super::path::shown;
use super::source::Source;
use super::writer::{check_device, check_text};
use crate::archive::{Entry, Extent, Kind as What, Limits, Time};
use crate::error::{Error, Kind, Result};

/// Puts a tree together, a thing at a time, directories before what is in them. Contents are runs
/// of bytes in files.
#[derive(Debug)]
pub struct Assembly {
    builder: LayerBuilder,
    sources: Vec<Source>,
    limits: Limits,
}

/// What all things have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with set-user-ID, set-group-ID and sticky: 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// When its content was changed.
    pub mtime: Time,
    /// Extended attributes by their full names.
    pub xattrs: XattrSet,
}

/// Where the content of a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Which of the assembly's files has it.
    pub file: usize,
    /// Where it begins there.
    pub offset: u64,
    /// Where data lies in a file with holes, in order; of it only the data is in that file.
    pub extents: Option<&'a [Extent]>,
}

impl Assembly {
    /// Begins with a root, whose contents are in these files.
    pub fn new(files: impl IntoIterator<Item = Arc<File>>, root: Metadata, limits: Limits) -> Self {
        let mut builder = LayerBuilder::new(super::Dialect::Plain, limits);
        builder.dress(0, &entry(b"", root, &Content::default(), 0));
        builder.name_folder(0);
        Self {
            builder,
            sources: files.into_iter().map(Source::file).collect(),
            limits,
        }
    }

    /// Adds a thing to a directory. Content counts for files only.
    ///
    /// # Errors
    /// [`Kind::Format`] if the name is none, is taken, or a limit is passed.
    pub fn add(
        &mut self,
        folder: NodeId,
        name: &[u8],
        thing: Thing<'_>,
        metadata: Metadata,
        content: Content<'_>,
    ) -> Result<NodeId> {
        self.check(folder, name)?;
        let size = match thing {
            Thing::File { size } => size,
            _ => 0,
        };
        if size > 0 && content.file >= self.sources.len() {
            let message = format!("{}: content of no file that is known", shown(name));
            return Err(Error::new(Kind::Format, message));
        }
        let entry = entry(name, metadata, &content, size);
        self.builder.count(&entry)?;
        let body = match thing {
            Thing::Folder => Body::Folder {
                first: 0,
                count: 0,
                marks: Marks {
                    named: true,
                    real: true,
                    opaque: false,
                },
            },
            Thing::File { size } => Body::File {
                source: u32::try_from(content.file).unwrap_or(u32::MAX),
                map: self.builder.tree_mut().keep_map(content.extents),
                offset: content.offset,
                size,
            },
            Thing::Symlink(text) => {
                check_text(name, text, &self.limits)?;
                let (at, length) = self.builder.tree_mut().keep(text)?;
                Body::Symlink { at, length }
            }
            Thing::Character(device) => {
                check_device(name, device)?;
                Body::Character(device)
            }
            Thing::Block(device) => {
                check_device(name, device)?;
                Body::Block(device)
            }
            Thing::Fifo => Body::Fifo,
            Thing::Socket => Body::Socket,
        };
        let id = self.builder.thing(body)?;
        self.builder.dress(id, &entry);
        self.builder.bear(folder.0, name, id, false)?;
        Ok(NodeId(id))
    }

    /// Adds another name of a thing that is no directory.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn link(&mut self, folder: NodeId, name: &[u8], to: NodeId) -> Result<()> {
        self.check(folder, name)?;
        let metadata = Metadata::default();
        let entry = entry(name, metadata, &Content::default(), 0);
        self.builder.count(&entry)?;
        self.builder.bear(folder.0, name, to.0, false)
    }

    /// The tree.
    pub fn finish(self) -> Tree {
        self.builder.finish(self.sources).tree
    }

    fn check(&self, folder: NodeId, name: &[u8]) -> Result<()> {
        let why = if name.is_empty() || name == b"." || name == b".." {
            "no name of anything"
        } else if name.contains(&0) || name.contains(&b'/') {
            "a name with a slash or a NUL in it"
        } else if self.builder.has(folder.0, name) {
            "two things with this name"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Format, format!("{}: {why}", shown(name))))
    }
}

fn entry(name: &[u8], metadata: Metadata, content: &Content<'_>, size: u64) -> Entry {
    Entry {
        path: name.to_vec(),
        kind: What::File,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: metadata.mtime,
        size,
        xattrs: metadata.xattrs,
        extents: content.extents.map(<[_]>::to_vec),
    }
}
