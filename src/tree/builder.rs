//! A layer that grows, entry by entry.

use std::sync::Arc;

use super::content::Meter;
use super::layer::{Dialect, Layer};
use super::node::{Body, Marks, NOTHING, Name, Record, Tree};
use super::path::{SafePath, shown, split};
use super::shares::{Shares, Table};
use super::source::Source;
use super::whiteout::Mark;
use super::writer::{check_device, check_leaf, check_text, contradiction};
use crate::archive::{Entry, Kind as What, Limits, Time};
use crate::error::{Error, Kind, Result};

/// Takes the entries of one layer, in any order that tar programs write them in.
#[derive(Debug)]
pub(super) struct LayerBuilder {
    tree: Tree,
    /// Names in the order of their birth, each with the directory it is in.
    born: Vec<(u32, Name)>,
    table: Table,
    shares: Shares,
    dialect: Dialect,
    limits: Limits,
    meter: Meter,
    /// The directory of the last entry: archives list what is in one together.
    last: (Vec<u8>, u32),
    plain: bool,
    replaced: bool,
}

/// What a name stands for so far.
#[derive(Clone, Copy)]
struct Slot {
    birth: u32,
    node: u32,
}

impl LayerBuilder {
    pub(super) fn new(dialect: Dialect, limits: Limits) -> Self {
        let mut tree = Tree::bare();
        let mut shares = Shares::new(&mut tree);
        let root = folder_record(&mut tree, &mut shares);
        tree.records.push(root);
        Self {
            tree,
            born: Vec::new(),
            table: Table::default(),
            shares,
            dialect,
            limits,
            meter: Meter::new(limits),
            last: (Vec::new(), 0),
            plain: true,
            replaced: false,
        }
    }

    /// Whether the content of this entry will be asked for.
    pub(super) fn is_kept(&self, entry: &Entry) -> bool {
        let (_, name) = split(&entry.path);
        self.dialect == Dialect::Plain || !name.starts_with(Mark::PREFIX)
    }

    /// Takes an entry. Content, if it has any, is at an offset of a source.
    pub(super) fn add(&mut self, entry: &Entry, (source, offset): (u32, u64)) -> Result<()> {
        self.meter.count(entry)?;
        let path = SafePath::parse(&entry.path, &self.limits)?;
        if self.dialect == Dialect::Layer
            && let Some(mark) = Mark::of(&path)?
        {
            return self.mark(entry, &path, mark);
        }
        if entry.kind == What::Directory {
            let id = self.folder(path.as_bytes(), true)?;
            self.dress(id, entry);
            self.name_folder(id);
            return Ok(());
        }
        check_leaf(&entry.path, &path)?;
        let (parent, name) = path.split();
        let parent = self.folder(parent, true)?;
        let old = self.slot(parent, name);
        if let Some(old) = old.filter(|old| self.is_folder(old.node)) {
            if self.is_real(old.node) {
                return Err(contradiction(path.as_bytes(), "a directory"));
            }
            // There are only whiteouts in it: see `mark`.
            self.last = (Vec::new(), 0);
        }
        let path = path.as_bytes();
        let body = match &entry.kind {
            What::Hardlink(to) => match self.linked(path, to)? {
                Ok(id) => return self.put(parent, name, old, id),
                Err(lower) => lower,
            },
            What::File | What::Directory => Body::File {
                source,
                map: self.tree.keep_map(entry.extents.as_deref()),
                offset,
                size: entry.size,
            },
            What::Symlink(text) => {
                check_text(path, text, &self.limits)?;
                let (at, length) = self.tree.keep(text)?;
                Body::Symlink { at, length }
            }
            What::Character(device) => {
                check_device(path, *device)?;
                Body::Character(*device)
            }
            What::Block(device) => {
                check_device(path, *device)?;
                Body::Block(*device)
            }
            What::Fifo => Body::Fifo,
        };
        let id = self.thing(body)?;
        self.dress(id, entry);
        self.put(parent, name, old, id)
    }

    /// One more entry that is not added by [`add`](Self::add).
    pub(super) fn count(&mut self, entry: &Entry) -> Result<()> {
        self.meter.count(entry)
    }

    /// Notes that a directory has an entry of its own.
    pub(super) fn name_folder(&mut self, id: u32) {
        if let Body::Folder { marks, .. } = &mut self.tree.records[id as usize].body {
            marks.named = true;
        }
    }

    /// Adds a whiteout.
    pub(super) fn hide(&mut self, folder: u32, name: &[u8]) -> Result<()> {
        self.plain = false;
        match self.slot(folder, name) {
            Some(slot) => self.born[slot.birth as usize].1.hides = true,
            None => self.bear(folder, name, NOTHING, true)?,
        }
        Ok(())
    }

    /// Marks a directory as one that hides what is in it below.
    pub(super) fn make_opaque(&mut self, folder: u32) {
        self.plain = false;
        if let Body::Folder { marks, .. } = &mut self.tree.records[folder as usize].body {
            marks.opaque = true;
        }
    }

    fn mark(&mut self, entry: &Entry, path: &SafePath, mark: Mark<'_>) -> Result<()> {
        if entry.kind == What::Directory || entry.path.ends_with(b"/") {
            return Err(Mark::refuse(
                path.as_bytes(),
                "a whiteout that is a directory",
            ));
        }
        // umoci writes a whiteout for all that was in a directory which is something else now. It
        // hides nothing that this does not hide; nothing is followed.
        let Ok(folder) = self.find_or_make(path.split().0, false)? else {
            self.plain = false;
            return Ok(());
        };
        match mark {
            Mark::Opaque => self.make_opaque(folder),
            Mark::Hides(name) => self.hide(folder, name)?,
        }
        Ok(())
    }

    /// The thing that a hard link means: one of this layer, or a name in lower ones.
    fn linked(&mut self, path: &[u8], to: &[u8]) -> Result<Result<u32, Body>> {
        let refuse = |why: &str| {
            let message = format!("{}: hard link to {:?}: {why}", shown(path), shown(to));
            Err(Error::new(Kind::Format, message))
        };
        let to = SafePath::parse(to, &self.limits)?;
        if to.as_bytes() == path {
            return refuse("that is itself");
        }
        let (parent, name) = to.split();
        let here = self.find_folder(parent);
        match here.and_then(|parent| self.slot(parent, name)) {
            Some(slot) if self.is_thing(slot.node) => match self.tree.record(slot.node).body {
                Body::File { .. } | Body::Lower { .. } => Ok(Ok(slot.node)),
                _ => refuse("that is not a regular file"),
            },
            _ if to.is_root() => refuse("that is not a regular file"),
            _ if self.dialect == Dialect::Layer => {
                self.plain = false;
                let (at, length) = self.tree.keep(to.as_bytes())?;
                Ok(Err(Body::Lower { at, length }))
            }
            _ => refuse("no earlier entry has this name"),
        }
    }

    /// A directory, and what leads to it.
    fn folder(&mut self, path: &[u8], real: bool) -> Result<u32> {
        let found = self.find_or_make(path, real)?;
        found.map_err(|end| contradiction(&path[..end], "something else"))
    }

    /// The same, or how much of the path is something else. `real`: not only for the sake of a
    /// whiteout.
    fn find_or_make(&mut self, path: &[u8], real: bool) -> Result<Result<u32, usize>> {
        if self.last.0 == path && (!real || self.is_real(self.last.1)) {
            return Ok(Ok(self.last.1));
        }
        let mut here = 0;
        let mut end = 0;
        for name in path.split(|&byte| byte == b'/').filter(|it| !it.is_empty()) {
            end += name.len();
            here = match self.step(here, name, real)? {
                Some(id) => id,
                None => return Ok(Err(end)),
            };
            end += 1;
        }
        self.last.0.clear();
        self.last.0.extend_from_slice(path);
        self.last.1 = here;
        Ok(Ok(here))
    }

    /// A directory in a directory, made if it is not there; `None` if it is something else.
    pub(super) fn step(&mut self, parent: u32, name: &[u8], real: bool) -> Result<Option<u32>> {
        let old = self.slot(parent, name);
        let id = match old {
            Some(slot) if self.is_folder(slot.node) => slot.node,
            Some(slot) if slot.node != NOTHING => return Ok(None),
            _ => {
                let record = folder_record(&mut self.tree, &mut self.shares);
                let id = self.tree.next_id()?;
                self.tree.records.push(record);
                self.put(parent, name, old, id)?;
                id
            }
        };
        if real && let Body::Folder { marks, .. } = &mut self.tree.records[id as usize].body {
            marks.real = true;
        }
        Ok(Some(id))
    }

    fn find_folder(&self, path: &[u8]) -> Option<u32> {
        let mut here = 0;
        for name in path.split(|&byte| byte == b'/').filter(|it| !it.is_empty()) {
            here = self.slot(here, name)?.node;
            if here == NOTHING {
                return None;
            }
        }
        Some(here)
    }

    pub(super) fn thing(&mut self, body: Body) -> Result<u32> {
        let id = self.tree.next_id()?;
        self.tree.records.push(Record {
            body,
            mtime: Time::default(),
            owner: 0,
            xattrs: 0,
            links: 0,
            mode: 0,
        });
        Ok(id)
    }

    pub(super) fn dress(&mut self, id: u32, entry: &Entry) {
        let owner = self.shares.owner(&mut self.tree, (entry.uid, entry.gid));
        let xattrs = if entry.xattrs.is_empty() {
            0
        } else {
            self.shares
                .xattrs(&mut self.tree, &Arc::new(entry.xattrs.clone()))
        };
        let record = &mut self.tree.records[id as usize];
        record.owner = owner;
        record.xattrs = xattrs;
        record.mtime = entry.mtime;
        // 12 bits, whatever the header's field has room for.
        record.mode = (entry.mode & 0o7777) as u16;
    }

    /// The tree so far, for whoever looks at directories itself.
    pub(super) fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Gives a name to a thing, in the place of what had it.
    fn put(&mut self, parent: u32, name: &[u8], old: Option<Slot>, id: u32) -> Result<()> {
        match old {
            Some(old) => {
                self.replaced |= old.node != NOTHING;
                self.born[old.birth as usize].1.node = id;
                Ok(())
            }
            None => self.bear(parent, name, id, false),
        }
    }

    /// Gives a name to a thing in a directory that has no such name.
    pub(super) fn bear(&mut self, parent: u32, name: &[u8], node: u32, hides: bool) -> Result<()> {
        let Ok(length) = u8::try_from(name.len()) else {
            let message = format!("{}: a name of more than 255 bytes", shown(name));
            return Err(Error::new(Kind::Format, message));
        };
        let (at, _) = self.tree.keep(name)?;
        let birth = u32::try_from(self.born.len())
            .ok()
            .filter(|it| *it < NOTHING);
        let Some(birth) = birth else {
            return Err(Error::new(Kind::Format, "more names than a tree can have"));
        };
        self.born.push((
            parent,
            Name {
                at,
                node,
                length,
                hides,
            },
        ));
        let (born, tree) = (&self.born, &self.tree);
        self.table.insert(birth, |it| {
            let (parent, name) = &born[it as usize];
            (*parent, tree.name_of(name))
        });
        Ok(())
    }

    /// Whether a directory has such a name.
    pub(super) fn has(&self, parent: u32, name: &[u8]) -> bool {
        self.slot(parent, name).is_some()
    }

    fn slot(&self, parent: u32, name: &[u8]) -> Option<Slot> {
        let birth = self.table.find(parent, name, |it| {
            let (other, born) = &self.born[it as usize];
            *other == parent && self.tree.name_of(born) == name
        })?;
        let node = self.born[birth as usize].1.node;
        Some(Slot { birth, node })
    }

    fn is_folder(&self, id: u32) -> bool {
        id != NOTHING && matches!(self.tree.record(id).body, Body::Folder { .. })
    }

    /// Whether a name stands for more than whiteouts.
    fn is_thing(&self, id: u32) -> bool {
        id != NOTHING && (!self.is_folder(id) || self.is_real(id))
    }

    fn is_real(&self, id: u32) -> bool {
        match self.tree.record(id).body {
            Body::Folder { marks, .. } => marks.real,
            _ => false,
        }
    }

    /// Sorts everything.
    pub(super) fn finish(self, sources: Vec<Source>) -> Layer {
        let Self {
            mut tree, mut born, ..
        } = self;
        tree.sources = sources;
        born.sort_unstable_by(|(a, left), (b, right)| {
            let names = || tree.name_of(left).cmp(tree.name_of(right));
            a.cmp(b).then_with(names)
        });
        if self.replaced {
            forget_orphans(&mut tree, &mut born);
        }
        // There are fewer names than numbers: see `bear`.
        for (next, (parent, name)) in (0..).zip(&born) {
            if name.node != NOTHING {
                tree.records[name.node as usize].links += 1;
            }
            if let Body::Folder { first, count, .. } = &mut tree.records[*parent as usize].body {
                if *count == 0 {
                    *first = next;
                }
                *count += 1;
            }
        }
        tree.names = born.into_iter().map(|(_, name)| name).collect();
        tree.records[0].links = 1;
        Layer {
            tree,
            plain: self.plain,
        }
    }
}

/// A directory that is only implied.
pub(super) fn folder_record(tree: &mut Tree, shares: &mut Shares) -> Record {
    Record {
        body: Body::Folder {
            first: 0,
            count: 0,
            marks: Marks::default(),
        },
        mtime: Time::default(),
        owner: shares.owner(tree, (0, 0)),
        xattrs: 0,
        links: 0,
        mode: 0o755,
    }
}

/// Takes things out of a tree whose names others have now, with all that is in them. Names come
/// sorted by the numbers of their directories, which are larger than those of what they are in.
fn forget_orphans(tree: &mut Tree, born: &mut Vec<(u32, Name)>) {
    let mut kept = vec![false; tree.records.len()];
    kept[0] = true;
    born.retain(|(parent, name)| {
        let stays = kept[*parent as usize];
        if stays && name.node != NOTHING {
            kept[name.node as usize] = true;
        }
        stays
    });
    let mut next = 0;
    let new = kept.iter().map(|kept| {
        let number = if *kept { next } else { NOTHING };
        next += u32::from(*kept);
        number
    });
    let new: Vec<u32> = new.collect();
    let mut at = 0;
    tree.records.retain(|_| {
        at += 1;
        kept[at - 1]
    });
    for (parent, name) in born {
        *parent = new[*parent as usize];
        if name.node != NOTHING {
            name.node = new[name.node as usize];
        }
    }
}
