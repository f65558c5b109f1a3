//! One layer in memory: what it adds, and what of lower ones it hides.

use std::io::Read;

use super::builder::LayerBuilder;
use super::node::{NOTHING, Tree};
use super::source::{Source, Window};
use super::spool::Spool;
use crate::archive::{Limits, Reader};
use crate::error::{Error, Kind, Result};

/// What one layer says: a tree of its own, with whiteouts as such.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) tree: Tree,
    /// It says nothing of lower layers.
    pub(super) plain: bool,
}

/// What names with the prefix `.wh.` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing: an archive of a whole tree.
    Plain,
    /// They are the whiteouts of a layer: OCI image specification 1.1, "Whiteouts".
    Layer,
}

/// Where the content of files goes while an archive is read.
#[derive(Debug)]
pub enum Keep {
    /// It stays in the archive, which is not compressed and lies in this window.
    InPlace(Window),
    /// It is copied.
    Spool(Spool),
}

impl Layer {
    /// Reads an archive to its end, and gives back what it was read from. `tell` is called now and
    /// then; its error stops the work.
    ///
    /// # Errors
    /// [`Kind::Format`] if the archive is malformed, unsafe, contradicts itself or passes a limit;
    /// [`Kind::Local`] if its contents cannot be kept; the error of `tell`.
    pub fn read<R: Read>(
        mut reader: Reader<R>,
        dialect: Dialect,
        keep: Keep,
        limits: Limits,
        mut tell: impl FnMut() -> Result<()>,
    ) -> Result<(Self, R)> {
        let mut builder = LayerBuilder::new(dialect, limits);
        let (mut spool, base, window) = match keep {
            Keep::InPlace(window) => (None, window.offset(), Some(window)),
            Keep::Spool(spool) => (Some(spool), 0, None),
        };
        let mut steps = 0_u64;
        let mut left = STEP;
        while let Some(entry) = reader.next_entry()? {
            if steps.is_multiple_of(ENTRIES) {
                tell()?;
            }
            steps += 1;
            let Some(spool) = &mut spool else {
                builder.add(&entry, (0, base + reader.offset()))?;
                continue;
            };
            let kept = entry.is_file() && builder.is_kept(&entry);
            let offset = if kept { spool.begin(entry.size)? } else { 0 };
            builder.add(&entry, (0, offset))?;
            if !kept {
                continue;
            }
            loop {
                let block = reader.next_block()?;
                if block.is_empty() {
                    break;
                }
                spool.write(block)?;
                left = left.saturating_sub(block.len());
                if left == 0 {
                    left = STEP;
                    tell()?;
                }
            }
        }
        let rest = reader.finish()?;
        tell()?;
        let source = match (spool, window) {
            (Some(spool), _) => spool.finish()?,
            (None, Some(window)) => Source::file(window.file().clone()),
            (None, None) => return Err(Error::new(Kind::Other, "a layer without content")),
        };
        Ok((builder.finish(vec![source]), rest))
    }

    /// The layer as a whole tree, if it says nothing of lower ones.
    pub fn into_tree(self) -> Option<Tree> {
        self.plain.then_some(self.tree)
    }

    /// How many things and names it has, whiteouts included.
    pub fn name_count(&self) -> usize {
        self.tree.names.len()
    }

    /// The paths that are whiteouts, in the order of their bytes within each directory.
    pub fn whiteouts(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut next = vec![(0, Vec::new())];
        while let Some((folder, path)) = next.pop() {
            for name in self.tree.names_in(folder) {
                let path: Vec<u8> = [path.as_slice(), self.tree.name_of(name)].concat();
                if name.hides {
                    found.push(path.clone());
                }
                if name.node != NOTHING {
                    next.push((name.node, [&path, b"/".as_slice()].concat()));
                }
            }
        }
        found.sort();
        found
    }
}

/// How many entries are read between two looks at whether somebody wants us to stop.
const ENTRIES: u64 = 32;

/// How many bytes are.
const STEP: usize = 4 << 20;
