//! How large an image is, and where everything in it goes.

use super::extent;
use super::format::{BLOCK_SIZE, GROUP_BLOCKS, GROUP_INODES};
use super::geometry::{Geometry, Space};
use super::options::{Options, Reserved};
use super::survey::{LOST_FOUND, Survey};
use crate::error::{Error, Kind, Result};
use crate::tree::Tree;

/// An image that has only to be written: [`Plan::write`].
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) survey: Survey<'a>,
    pub(super) layout: Layout,
    pub(super) options: Options,
    /// Blocks for root alone.
    pub(super) reserved: u64,
}

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) geometry: Geometry,
    /// Where the space of the journal begins, and its blocks.
    pub(super) journal: Option<(u64, u64)>,
    /// Where that of `lost+found` begins.
    pub(super) lost_found: u64,
    /// Every block before this one is used.
    pub(super) end: u64,
}

impl<'a> Plan<'a> {
    /// Looks at all of a tree's metadata.
    ///
    /// # Errors
    /// [`Kind::Format`] if ext4 cannot have something that is in the tree, which is named;
    /// [`Kind::Other`] if the size is too small (the message says how many bytes it takes) or
    /// another option is none.
    pub fn new(tree: &'a Tree, options: &Options) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(Kind::Other, why));
        if options.label.len() > 16 || options.label.contains('\0') {
            return refuse(format!(
                "the label {:?} has more than 16 bytes",
                options.label
            ));
        }
        if let Some(size) = options.size
            && (size == 0 || size % BLOCK_SIZE != 0 || size / BLOCK_SIZE > MOST)
        {
            return refuse(format!(
                "a size of {size} bytes is no multiple of {BLOCK_SIZE}, or more than {}",
                MOST * BLOCK_SIZE
            ));
        }
        if options.inode_ratio < 1024 {
            return refuse("an inode for less than 1024 bytes".to_owned());
        }
        let mut survey = Survey::new(tree)?;
        let used = u64::from(survey.last_inode());
        let mut fitter = Fitter {
            survey: &mut survey,
            used,
            options,
        };
        let layout = if let Some(size) = options.size {
            let blocks = size / BLOCK_SIZE;
            let found = fitter.roomy(blocks);
            let Some(found) = found else {
                let needed = fitter.climb(blocks)?.geometry.blocks * BLOCK_SIZE;
                return refuse(format!(
                    "an image of {size} bytes is too small: it takes at least {needed}"
                ));
            };
            found
        } else {
            let least = fitter.climb(1)?.geometry.blocks;
            let blocks = least + least.div_ceil(10);
            match fitter.roomy(blocks) {
                Some(found) => found,
                None => fitter.climb(blocks)?,
            }
        };
        let blocks = layout.geometry.blocks;
        let reserved = match options.reserved {
            Reserved::Percent(percent) => blocks * u64::from(percent) / 100,
            Reserved::Blocks(blocks) => blocks,
        };
        if reserved > blocks / 2 {
            return refuse("more than half of the blocks for root alone".to_owned());
        }
        Ok(Self {
            survey,
            layout,
            options: options.clone(),
            reserved,
        })
    }

    /// Bytes of the image.
    pub fn size(&self) -> u64 {
        self.layout.geometry.blocks * BLOCK_SIZE
    }
}

struct Fitter<'a, 'b> {
    survey: &'b mut Survey<'a>,
    /// Inodes that there must be.
    used: u64,
    options: &'b Options,
}

impl Fitter<'_, '_> {
    /// With as many inodes as are wanted, or as there is room for.
    fn roomy(&mut self, blocks: u64) -> Option<Layout> {
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        let most = (groups * GROUP_INODES).min(u64::from(u32::MAX) - 16 * groups);
        let wanted =
            (blocks * BLOCK_SIZE / self.options.inode_ratio).max(self.used + self.used / 10);
        let mut more = wanted.min(most).saturating_sub(self.used);
        loop {
            match self.fit(blocks, self.used + more) {
                Ok(layout) => return Some(layout),
                Err(_) if more == 0 => return None,
                Err(_) => more /= 2,
            }
        }
    }

    /// The smallest that holds everything, of so many blocks at least. What is missing in one that
    /// is too small is missing in all that are not larger by that, so nothing is skipped.
    fn climb(&mut self, least: u64) -> Result<Layout> {
        let mut blocks = least;
        while blocks <= MOST {
            match self.fit(blocks, self.used) {
                Ok(layout) => return Ok(layout),
                Err(needed) => blocks = needed.max(blocks + 1),
            }
        }
        let message = format!("more than the {} bytes of an image", MOST * BLOCK_SIZE);
        Err(Error::new(Kind::Format, message))
    }

    /// Puts everything in its place, if there is room; how many blocks it takes at least, if not.
    fn fit(&mut self, blocks: u64, inodes: u64) -> Result<Layout, u64> {
        let geometry = Geometry::new(blocks, inodes)?;
        let mut space = Space::new(&geometry.reserved, 0);
        let journal = self.options.journal.then(|| {
            let (start, length) = (space.at(), journal_blocks(blocks));
            let spans = extent::allocate(&mut space, std::iter::once((0, length)));
            for _ in 0..extent::tree_blocks(spans.len()) {
                space.some(1);
            }
            (start, length)
        });
        let lost_found = std::cell::Cell::new(0);
        let ours = self.survey.makes_lost_found();
        self.survey.lay_all(&mut space, |space| {
            lost_found.set(space.at());
            if ours {
                extent::allocate(space, std::iter::once((0, LOST_FOUND.into())));
            }
        });
        let end = space.at();
        if end > blocks {
            return Err(end);
        }
        Ok(Layout {
            journal,
            lost_found: lost_found.get(),
            end,
            geometry,
        })
    }
}

/// As many as `mke2fs` gives a journal, about.
fn journal_blocks(blocks: u64) -> u64 {
    let steps = [
        (1 << 15, 1 << 10),
        (1 << 18, 1 << 12),
        (1 << 19, 1 << 13),
        (1 << 22, 1 << 14),
    ];
    let step = steps.into_iter().find(|(below, _)| blocks < *below);
    step.map_or(1 << 16, |(_, length)| length)
}

/// Blocks of the largest image: the descriptors of its groups fill half of one.
const MOST: u64 = GROUP_BLOCKS / 2 * (BLOCK_SIZE / 64) * GROUP_BLOCKS;
