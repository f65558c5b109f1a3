//! A tree that is made thing by thing, by who reads the image of a file system.

use std::fs::File;
use std::sync::Arc;

use super::builder::LayerBuilder;
use super::dress::Dress;
use super::layer::Dialect;
use super::node::{Body, NodeId, Thing, Tree};
use super::path::shown;
use super::source::{Piece, Pieces, Source};
use super::writer::{check_device, check_text};
use crate::archive::{Entry, Extent, Kind as What, Limits};
use crate::error::{Error, Kind, Result};

/// Takes things in any order in which directories come before what is in them. Contents are runs
/// of one file, or each of one of several, in any order and with gaps.
///
/// ```
/// use distro_fetch::archive::{Limits, Time};
/// use distro_fetch::tree::{Dress, Grower, NodeId, Piece, Thing};
///
/// # let path = std::env::temp_dir().join(format!("df-doc-grow-{}", std::process::id()));
/// std::fs::write(&path, b"world, hello ")?;
/// let file = std::fs::File::open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let dress = Dress { mode: 0o644, ..Dress::implied() };
/// let pieces = [
///     Piece { offset: 0, length: 6, from: 7 },
///     Piece { offset: 6, length: 5, from: 0 },
/// ];
/// let mut grower = Grower::new(file.into(), Limits::default());
/// grower.add(NodeId::ROOT, b"greeting", &dress, Thing::File { size: 11 }, &pieces)?;
/// let tree = grower.finish();
/// let stored = tree.find(b"greeting").unwrap().open()?;
/// let mut text = String::new();
/// std::io::Read::read_to_string(&mut stored.content(), &mut text)?;
/// assert_eq!(text, "hello world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Grower {
    builder: LayerBuilder,
    limits: Limits,
    /// Of each file.
    pieces: Vec<Pieces>,
}

impl Grower {
    /// A tree with nothing but its root.
    pub fn new(file: Arc<File>, limits: Limits) -> Self {
        Self::of_files([file], limits)
    }

    /// The same, for contents in several files.
    pub fn of_files(files: impl IntoIterator<Item = Arc<File>>, limits: Limits) -> Self {
        Self {
            builder: LayerBuilder::new(Dialect::Plain, limits),
            limits,
            pieces: files.into_iter().map(Pieces::new).collect(),
        }
    }

    /// Says what the root is like.
    pub fn dress_root(&mut self, dress: &Dress) {
        let entry = entry(b"", dress, Thing::Folder);
        self.builder.dress(0, &entry);
        self.builder.name_folder(0);
    }

    /// Adds a thing to a directory. `pieces` is where the data of a regular file is, ascending;
    /// what they do not cover is holes.
    ///
    /// # Errors
    /// [`Kind::Format`] if it cannot be: a name that is none or is taken, a thing that is no
    /// directory as parent, pieces that overlap, more than the limits allow.
    pub fn add(
        &mut self,
        parent: NodeId,
        name: &[u8],
        dress: &Dress,
        thing: Thing<'_>,
        pieces: &[Piece],
    ) -> Result<NodeId> {
        self.add_from(0, parent, name, dress, thing, pieces)
    }

    /// The same, with the data in one of several files.
    ///
    /// # Errors
    /// As [`add`](Self::add), and if there are not so many files.
    pub fn add_from(
        &mut self,
        file: usize,
        parent: NodeId,
        name: &[u8],
        dress: &Dress,
        thing: Thing<'_>,
        pieces: &[Piece],
    ) -> Result<NodeId> {
        self.check_name(parent, name)?;
        let mut entry = entry(name, dress, thing);
        if pieces.len() > self.limits.extents {
            let limit = self.limits.extents;
            let why = format!("more pieces than the limit `extents` of {limit}");
            return Err(refuse(name, &why));
        }
        let whole = match (thing, pieces) {
            (Thing::File { size: 0 }, []) => Some(0),
            (Thing::File { size }, [only]) if only.offset == 0 && only.length == size => {
                Some(only.from)
            }
            _ => None,
        };
        if whole.is_none() && entry.kind == What::File {
            entry.extents = holes(entry.size, pieces);
        }
        self.builder.count(&entry)?;
        let body = match thing {
            Thing::Folder => {
                let id = self.builder.step(parent.0, name, true)?;
                let id = id.ok_or_else(|| refuse(name, "it is something else, too"))?;
                self.builder.dress(id, &entry);
                self.builder.name_folder(id);
                return Ok(NodeId(id));
            }
            Thing::File { size } => {
                let Some(runs) = self.pieces.get_mut(file) else {
                    return Err(refuse(name, "its content is in a file that is not there"));
                };
                // Each file is two sources: as it is, and in pieces.
                let (odd, offset) = match whole {
                    Some(from) => (0, from),
                    None => (1, runs.note(pieces, size)?),
                };
                let source = u32::try_from(file * 2 + odd).unwrap_or(u32::MAX);
                let map = self.builder.tree_mut().keep_map(entry.extents.as_deref());
                Body::File {
                    source,
                    map,
                    offset,
                    size,
                }
            }
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
        self.builder.bear(parent.0, name, id, false)?;
        Ok(NodeId(id))
    }

    /// Gives a thing, which is no directory, one more name.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn link(&mut self, parent: NodeId, name: &[u8], to: NodeId) -> Result<()> {
        self.check_name(parent, name)?;
        if self.is_folder(to) {
            return Err(refuse(name, "another name of a directory"));
        }
        let mut counted = entry(name, &Dress::implied(), Thing::Fifo);
        counted.path = name.to_vec();
        self.builder.count(&counted)?;
        self.builder.bear(parent.0, name, to.0, false)
    }

    /// Everything.
    pub fn finish(self) -> Tree {
        let sources = self.pieces.into_iter().flat_map(|pieces| {
            let whole = Source::file(pieces.file().clone());
            [whole, Source::pieces(pieces)]
        });
        self.builder.finish(sources.collect()).tree
    }

    fn check_name(&mut self, parent: NodeId, name: &[u8]) -> Result<()> {
        let is_name = !matches!(name, b"" | b"." | b"..") && name.len() <= 255;
        if !is_name || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(refuse(name, "no name of a file"));
        }
        if !self.is_folder(parent) {
            return Err(refuse(name, "it is in what is no directory"));
        }
        if self.builder.has(parent.0, name) {
            return Err(refuse(name, "its directory has two of them"));
        }
        Ok(())
    }

    fn is_folder(&mut self, id: NodeId) -> bool {
        let record = self.builder.tree_mut().records.get(id.index());
        record.is_some_and(|it| matches!(it.body, Body::Folder { .. }))
    }
}

/// Where data is, if there are holes.
fn holes(size: u64, pieces: &[Piece]) -> Option<Vec<Extent>> {
    let mut map: Vec<Extent> = Vec::new();
    for Piece { offset, length, .. } in pieces {
        match map.last_mut() {
            Some(last) if last.offset.checked_add(last.length) == Some(*offset) => {
                last.length = last.length.saturating_add(*length);
            }
            _ => map.push(Extent {
                offset: *offset,
                length: *length,
            }),
        }
    }
    let whole = matches!(map[..], [Extent { offset: 0, length }] if length == size);
    (!whole).then_some(map)
}

fn entry(name: &[u8], dress: &Dress, thing: Thing<'_>) -> Entry {
    let (kind, size) = match thing {
        Thing::Folder => (What::Directory, 0),
        Thing::File { size } => (What::File, size),
        _ => (What::Fifo, 0),
    };
    Entry {
        path: name.to_vec(),
        kind,
        mode: dress.mode,
        uid: dress.uid,
        gid: dress.gid,
        mtime: dress.mtime,
        size,
        xattrs: dress.xattrs.clone(),
        extents: None,
    }
}

fn refuse(name: &[u8], why: &str) -> Error {
    Error::new(Kind::Format, format!("{}: {why}", shown(name)))
}
