//! What many things of a tree have in common, kept once: owners, attributes, texts.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::node::{NOTHING, Tree, XattrSet};
use crate::archive::Extent;
use crate::error::{Error, Kind, Result};

/// Finds what a growing tree has already.
#[derive(Debug, Default)]
pub(super) struct Shares {
    owners: HashMap<(u64, u64), u32>,
    xattrs: HashMap<Arc<XattrSet>, u32>,
}

impl Shares {
    /// Also gives the tree the empty set of attributes, which is the first.
    pub(super) fn new(tree: &mut Tree) -> Self {
        let mut shares = Self::default();
        shares.xattrs(tree, &Arc::default());
        shares
    }

    pub(super) fn owner(&mut self, tree: &mut Tree, owner: (u64, u64)) -> u32 {
        *self.owners.entry(owner).or_insert_with(|| {
            tree.owners.push(owner);
            number(tree.owners.len() - 1)
        })
    }

    pub(super) fn xattrs(&mut self, tree: &mut Tree, set: &Arc<XattrSet>) -> u32 {
        if let Some(number) = self.xattrs.get(set) {
            return *number;
        }
        let new = number(tree.xattrs.len());
        tree.xattrs.push(set.clone());
        self.xattrs.insert(set.clone(), new);
        new
    }
}

impl Tree {
    /// Keeps a name or the text of a link.
    pub(super) fn keep(&mut self, text: &[u8]) -> Result<(u32, u32)> {
        let at = u32::try_from(self.text.len());
        let end = u32::try_from(self.text.len() + text.len());
        let (Ok(at), Ok(_)) = (at, end) else {
            return Err(Error::new(Kind::Format, "more than 4 GiB of names"));
        };
        self.text.extend_from_slice(text);
        Ok((at, number(text.len())))
    }

    /// Keeps a map of holes.
    pub(super) fn keep_map(&mut self, map: Option<&[Extent]>) -> u32 {
        let Some(map) = map else { return NOTHING };
        self.maps.push(map.into());
        number(self.maps.len() - 1)
    }

    /// The number of the next thing.
    pub(super) fn next_id(&self) -> Result<u32> {
        let next = u32::try_from(self.records.len()).ok();
        next.filter(|next| *next < NOTHING)
            .ok_or_else(|| Error::new(Kind::Format, "more things than a tree can have"))
    }
}

/// Finds names of a tree that grows, by directory and name: a table of numbers, since a map with
/// its own copies of the names would be larger than the tree.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// A power of two; at least half of them empty.
    slots: Vec<u32>,
    used: usize,
    /// Seeded by chance, so that nobody can make an archive of names that collide.
    state: RandomState,
}

impl Table {
    pub(super) fn find(&self, parent: u32, name: &[u8], is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.start(parent, name)?;
        loop {
            match self.slots[at] {
                NOTHING => return None,
                number if is(number) => return Some(number),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Adds a name that is not there. `key` says parent and name of a number.
    pub(super) fn insert<'a>(&mut self, number: u32, key: impl Fn(u32) -> (u32, &'a [u8])) {
        if (self.used + 1) * 2 > self.slots.len() {
            let larger = (self.slots.len() * 2).max(64);
            let old = std::mem::replace(&mut self.slots, vec![NOTHING; larger]);
            for number in old.into_iter().filter(|it| *it != NOTHING) {
                self.put(number, key(number));
            }
        }
        self.put(number, key(number));
        self.used += 1;
    }

    fn put(&mut self, number: u32, (parent, name): (u32, &[u8])) {
        let Some(mut at) = self.start(parent, name) else {
            return;
        };
        while self.slots[at] != NOTHING {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = number;
    }

    fn start(&self, parent: u32, name: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        #[allow(clippy::cast_possible_truncation)] // a hash, cut to the size of the table
        let hash = self.state.hash_one((parent, name)) as usize;
        Some(hash & mask)
    }
}

/// An index that is known to be small: there is one for each thing at most.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NOTHING)
}
