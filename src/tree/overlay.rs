//! A layer as the upper directory of an overlay mount says it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layer::Layer;
use super::node::{Body, NOTHING, Name, Record, Tree};
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
            body: Body::Character(Device { major: 0, minor: 0 }),
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

/// Kernel documentation, `filesystems/overlayfs.rst`, "whiteouts and opaque directories".
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
