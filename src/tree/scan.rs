//! A directory of this machine as a layer: metadata is read, files are only noted.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::builder::LayerBuilder;
use super::dress::trouble;
use super::layer::{Dialect, Layer};
use super::node::{Body, Tree, XattrSet};
use super::path::shown;
use super::record::counts;
use super::source::{Folder, Source};
use crate::archive::{Device, Entry, Extent, Kind as What, Limits, Time};
use crate::error::{Error, Kind, Result};
use crate::sys::{self, Beneath, FileKind, Node, Seen};

/// What a directory means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// A tree, as it is.
    Plain,
    /// The upper directory of a Linux overlay mount: character devices 0:0 are whiteouts, and
    /// attributes `trusted.overlay.*` or `user.overlay.*` say what is opaque.
    Overlay,
}

impl Tree {
    /// The tree in a directory. Attributes that do not count for a digest are left out.
    ///
    /// # Errors
    /// [`Kind::Local`] if something cannot be read; the error of `tell`.
    pub fn of_directory(
        path: &Path,
        limits: Limits,
        tell: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let layer = Layer::of_directory(path, Flavor::Plain, limits, tell)?;
        let whole = layer.into_tree();
        whole.ok_or_else(|| Error::new(Kind::Other, "a plain directory with whiteouts"))
    }
}

impl Layer {
    /// Looks at all of a directory. Nothing is followed, and files are opened again when their
    /// content is needed.
    ///
    /// # Errors
    /// [`Kind::Local`] if something cannot be read; [`Kind::Format`] for a limit, and for an
    /// attribute of an overlay that would have to be understood and is not; the error of `tell`.
    pub fn of_directory(
        path: &Path,
        flavor: Flavor,
        limits: Limits,
        mut tell: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let root =
            sys::open_folder(path).map_err(|error| Error::local("cannot open", path, error))?;
        let mut scan = Scan {
            builder: LayerBuilder::new(Dialect::Plain, limits),
            folder: Folder::new(root),
            flavor,
            links: HashMap::new(),
        };
        let node = Node::Open(scan.folder.root().as_fd());
        let cannot = |error| Error::local("cannot look at", path, error);
        let seen = node.seen().map_err(cannot)?;
        let (xattrs, opaque, _) = scan.xattrs(node, b"")?;
        scan.dress_folder(0, &seen, xattrs, opaque)?;
        let mut next = vec![(0, Folder::TOP, Vec::new())];
        while let Some((id, step, path)) = next.pop() {
            tell()?;
            scan.list(id, step, &path, &mut next, &mut tell)?;
        }
        Ok(scan.builder.finish(vec![Source::folder(scan.folder)]))
    }
}

struct Scan {
    builder: LayerBuilder,
    folder: Folder,
    flavor: Flavor,
    /// Things with several names, by what tells them from others.
    links: HashMap<(u64, u64), u32>,
}

/// A directory that was found and not listed: its number, its step, its path.
type Next = (u32, u32, Vec<u8>);

impl Scan {
    fn list(
        &mut self,
        id: u32,
        step: u32,
        path: &[u8],
        next: &mut Vec<Next>,
        tell: &mut impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let open = || {
            let fd = sys::open_beneath(self.folder.root(), path, Beneath::Folder)?;
            let mut names = sys::names_of(&fd)?;
            names.sort_unstable();
            Ok((fd, names))
        };
        let (fd, names) = open().map_err(|error| trouble("cannot list", path, error))?;
        for (at, name) in names.iter().enumerate() {
            if at % LOOKS == LOOKS - 1 {
                tell()?;
            }
            let mut path = path.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let below = self.one(fd.as_fd(), id, step, name, &path)?;
            next.extend(below.map(|(id, step)| (id, step, path)));
        }
        Ok(())
    }

    /// One name. If it is a directory: its number and its step.
    fn one(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: u32,
        step: u32,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<(u32, u32)>> {
        let cannot = |error| trouble("cannot look at", path, error);
        let node = Node::Named(dir, name);
        let seen = node.seen().map_err(cannot)?;
        if self.flavor == Flavor::Overlay
            && seen.kind == FileKind::Character
            && seen.device == (0, 0)
        {
            self.builder.hide(parent, name)?;
            return Ok(None);
        }
        if seen.kind != FileKind::Folder
            && seen.links > 1
            && let Some(id) = self.links.get(&seen.identity)
        {
            self.builder.bear(parent, name, *id, false)?;
            return Ok(None);
        }
        let (xattrs, opaque, whiteout) = self.xattrs(node, path)?;
        if whiteout {
            self.builder.hide(parent, name)?;
            return Ok(None);
        }
        if seen.kind == FileKind::Folder {
            let id = self.builder.step(parent, name, true)?;
            let id = id.ok_or_else(|| cannot(io::ErrorKind::AlreadyExists.into()))?;
            self.dress_folder(id, &seen, xattrs, opaque)?;
            return Ok(Some((id, self.note(step, name)?)));
        }
        let mut entry = entry(&seen, xattrs);
        let device = Device {
            major: seen.device.0,
            minor: seen.device.1,
        };
        let body = match seen.kind {
            FileKind::File => {
                entry.kind = What::File;
                entry.size = seen.size;
                entry.extents = holes(dir, name, &seen).map_err(cannot)?;
                let offset = if seen.size > 0 {
                    self.note(step, name)?.into()
                } else {
                    0
                };
                let tree = self.builder.tree_mut();
                Body::File {
                    source: 0,
                    map: tree.keep_map(entry.extents.as_deref()),
                    offset,
                    size: seen.size,
                }
            }
            FileKind::Symlink => {
                let text = sys::link_text(dir, name).map_err(cannot)?;
                let (at, length) = self.builder.tree_mut().keep(&text)?;
                Body::Symlink { at, length }
            }
            FileKind::Character => Body::Character(device),
            FileKind::Block => Body::Block(device),
            FileKind::Fifo => Body::Fifo,
            FileKind::Socket | FileKind::Folder => Body::Socket,
        };
        path.clone_into(&mut entry.path);
        self.builder.count(&entry)?;
        let id = self.builder.thing(body)?;
        self.builder.dress(id, &entry);
        self.builder.bear(parent, name, id, false)?;
        if seen.links > 1 {
            self.links.insert(seen.identity, id);
        }
        Ok(None)
    }

    fn dress_folder(&mut self, id: u32, seen: &Seen, xattrs: XattrSet, opaque: bool) -> Result<()> {
        let entry = entry(seen, xattrs);
        self.builder.count(&entry)?;
        self.builder.dress(id, &entry);
        self.builder.name_folder(id);
        if opaque {
            self.builder.make_opaque(id);
        }
        Ok(())
    }

    fn note(&mut self, step: u32, name: &[u8]) -> Result<u32> {
        let noted = self.folder.note(step, name);
        noted.ok_or_else(|| Error::new(Kind::Format, "more than 4 GiB of names"))
    }

    /// The attributes that count; whether they make the directory opaque, or the file a whiteout.
    fn xattrs(&self, node: Node<'_>, path: &[u8]) -> Result<(XattrSet, bool, bool)> {
        let cannot = |error| trouble("cannot read attributes of", path, error);
        let mut found = XattrSet::new();
        let (mut opaque, mut whiteout) = (false, false);
        for name in sys::xattr_names(node).map_err(cannot)? {
            let of_overlay = name
                .strip_prefix(b"trusted.overlay.")
                .or_else(|| name.strip_prefix(b"user.overlay."));
            match of_overlay.filter(|_| self.flavor == Flavor::Overlay) {
                None if counts(&name) => {
                    let value = sys::xattr_value(node, &name).map_err(cannot)?;
                    found.insert(name, value);
                }
                Some(b"opaque") => {
                    // `x` only says that there are whiteouts of the other kind in it.
                    opaque = sys::xattr_value(node, &name).map_err(cannot)? == b"y";
                }
                Some(b"whiteout") => whiteout = true,
                // Where a file was copied from, and how its names are counted: the kernel's own
                // bookkeeping, which says nothing of content.
                None | Some(b"origin" | b"impure" | b"nlink" | b"upper" | b"uuid" | b"index") => {}
                Some(_) => {
                    let message = format!(
                        "{}: the attribute {}: an overlay that renames directories or keeps \
                         metadata apart (redirect_dir, metacopy) is not supported",
                        shown(path),
                        shown(&name)
                    );
                    return Err(Error::new(Kind::Format, message));
                }
            }
        }
        Ok((found, opaque, whiteout))
    }
}

fn entry(seen: &Seen, xattrs: XattrSet) -> Entry {
    Entry {
        path: Vec::new(),
        kind: What::Directory,
        mode: seen.mode,
        uid: seen.uid.into(),
        gid: seen.gid.into(),
        mtime: Time {
            seconds: seen.mtime.0,
            nanos: seen.mtime.1,
        },
        size: 0,
        xattrs,
        extents: None,
    }
}

/// Where the data of a file is, if it has holes that are worth knowing.
fn holes(dir: BorrowedFd<'_>, name: &[u8], seen: &Seen) -> io::Result<Option<Vec<Extent>>> {
    if seen.size < SPARSE || sys::stored_bytes(dir, name)? >= seen.size {
        return Ok(None);
    }
    let fd = sys::open_beneath(dir, name, Beneath::File)?;
    let runs = sys::data_runs(&fd, seen.size)?;
    let extent = |(offset, length)| Extent { offset, length };
    let map: Vec<_> = runs.into_iter().map(extent).collect();
    let whole = map.len() == 1 && map[0].offset == 0 && map[0].length == seen.size;
    Ok((!whole).then_some(map))
}

/// How many names are looked at between two looks at whether somebody wants us to stop.
const LOOKS: usize = 256;

/// Smaller files are read whole.
const SPARSE: u64 = 64 << 10;
