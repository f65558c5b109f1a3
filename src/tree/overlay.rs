//! A layer as the upper directory of an overlay mount says it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layer::Layer;
use super::node::{Body, NOTHING, Name, Record, Tree};
use super::path::shown;
use crate::archive::{Device, Time};
use crate::error::{Error, Kind, Result};

impl Layer {
    /// The layer as Linux's overlayfs wants an upper directory: a whiteout is a character device
    /// 0:0, one thing with as many names as there are whiteouts, and a directory that hides what is
    /// in it below has the attribute `trusted.overlay.opaque` with the value `y`. Things keep the
    /// numbers that [`Merged::origins`](super::Merged::origins) has of them.
    ///
    /// Other names of what only a lower layer has cannot be said and are left out.
    ///
    /// # Errors
    /// [`Kind::Format`] if there is more than a tree can hold.
    pub fn overlay(&self) -> Result<Tree> {
        let mut tree = self.tree.clone();
        let whiteout = tree.next_id()?;
        let owner = root_owner(&mut tree);
        tree.records.push(Record {
            body: Body::Character(WHITEOUT),
            mtime: Time::default(),
            owner,
            xattrs: 0,
            links: 0,
            mode: 0,
        });
        let mut names = Vec::with_capacity(tree.names.len());
        let mut opaque = Vec::new();
        for id in 0..whiteout {
            let here = names.len();
            for name in self.tree.names_in(id) {
                match self.tree.records.get(name.node as usize).map(|it| it.body) {
                    Some(Body::Lower { .. }) => continue,
                    Some(Body::Folder { .. }) if name.hides => opaque.push(name.node),
                    _ => {}
                }
                let node = if name.node == NOTHING {
                    tree.records[whiteout as usize].links += 1;
                    whiteout
                } else {
                    name.node
                };
                names.push(Name {
                    node,
                    hides: false,
                    ..*name
                });
            }
            let record = &mut tree.records[id as usize];
            if let Body::Folder {
                first,
                count,
                marks,
            } = &mut record.body
            {
                *first = cut(here)?;
                *count = cut(names.len() - here)?;
                if marks.opaque {
                    opaque.push(id);
                }
            }
        }
        tree.names = names;
        let mut sets = BTreeMap::new();
        opaque.sort_unstable();
        opaque.dedup();
        for id in opaque {
            let old = tree.records[id as usize].xattrs;
            let new = cut(tree.xattrs.len())?;
            let new = *sets.entry(old).or_insert_with(|| {
                let mut set = (*tree.xattrs[old as usize]).clone();
                set.insert(OPAQUE.to_vec(), b"y".to_vec());
                tree.xattrs.push(Arc::new(set));
                new
            });
            tree.records[id as usize].xattrs = new;
        }
        Ok(tree)
    }

    /// The directories of which [`overlay`](Self::overlay) does not say that nothing but their place
    /// is known, by their paths; `None` if it leaves out more than that.
    pub fn unsaid(&self) -> Option<Vec<Vec<u8>>> {
        let mut unsaid = Vec::new();
        let mut next = vec![(0, false, Vec::new())];
        while let Some((id, hides, path)) = next.pop() {
            match self.tree.record(id).body {
                Body::Folder { marks, .. } if marks.named => {}
                Body::Folder { marks, .. } if id == 0 || marks.real && !hides => {
                    unsaid.push(path.clone());
                }
                Body::Folder { .. } | Body::Lower { .. } => return None,
                body if is_whiteout(body) => return None,
                _ => continue,
            }
            for name in self.tree.names_in(id) {
                if name.node != NOTHING {
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    let path = [&path, slash, self.tree.name_of(name)].concat();
                    next.push((name.node, name.hides, path));
                }
            }
        }
        unsaid.sort();
        Some(unsaid)
    }

    /// The layer that [`overlay`](Self::overlay) gave the tree of, with what [`unsaid`](Self::unsaid)
    /// said of it.
    ///
    /// # Errors
    /// [`Kind::Format`] if a path is not that of a directory.
    pub fn of_overlay(mut tree: Tree, unsaid: &[Vec<u8>]) -> Result<Self> {
        let mut plain = true;
        for at in 0..tree.names.len() {
            if is_whiteout(tree.records[tree.names[at].node as usize].body) {
                tree.names[at].node = NOTHING;
                tree.names[at].hides = true;
                plain = false;
            }
        }
        let sets = 0..tree.xattrs.len();
        let without: Vec<Option<u32>> = sets
            .map(|at| {
                if !tree.xattrs[at].contains_key(OPAQUE) {
                    return Ok(None);
                }
                let mut set = (*tree.xattrs[at]).clone();
                set.remove(OPAQUE);
                let same = tree.xattrs.iter().position(|it| **it == set);
                let same = same.unwrap_or_else(|| {
                    tree.xattrs.push(Arc::new(set));
                    tree.xattrs.len() - 1
                });
                cut(same).map(Some)
            })
            .collect::<Result<_>>()?;
        for record in &mut tree.records {
            let Body::Folder { marks, .. } = &mut record.body else {
                continue;
            };
            (marks.named, marks.real) = (true, true);
            if let Some(set) = without.get(record.xattrs as usize).copied().flatten() {
                marks.opaque = true;
                record.xattrs = set;
                plain = false;
            }
        }
        for path in unsaid {
            let id = tree.find(path).map(|it| it.id().index());
            let body = id.map(|id| &mut tree.records[id].body);
            let Some(Body::Folder { marks, .. }) = body else {
                let message = format!("{}: no directory of the layer", shown(path));
                return Err(Error::new(Kind::Format, message));
            };
            marks.named = false;
        }
        Ok(Self { tree, plain })
    }
}

fn root_owner(tree: &mut Tree) -> u32 {
    let at = tree.owners.iter().position(|it| *it == (0, 0));
    let at = at.unwrap_or_else(|| {
        tree.owners.push((0, 0));
        tree.owners.len() - 1
    });
    u32::try_from(at).unwrap_or(NOTHING)
}

fn cut(index: usize) -> Result<u32> {
    let cut = u32::try_from(index).ok();
    cut.ok_or_else(|| Error::new(Kind::Format, "more names than a tree can have"))
}

fn is_whiteout(body: Body) -> bool {
    matches!(body, Body::Character(device) if device == WHITEOUT)
}

/// What stands for a name that hides what is below.
const WHITEOUT: Device = Device { major: 0, minor: 0 };

/// Kernel documentation, `filesystems/overlayfs.rst`, "whiteouts and opaque directories".
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
