//! Where the metadata of a file system of some size lies, and what is left for data.

use super::format::{
    BLOCK_INODES, BLOCK_SIZE, DESCRIPTOR, FIRST, FLEX, GROUP_BLOCKS, GROUP_INODES,
};

/// A run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Run {
    pub(super) fn end(self) -> u64 {
        self.start + self.length
    }
}

/// Which groups begin with a copy of the superblock and the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backups {
    /// `sparse_super`: 0, 1, and powers of 3, 5 and 7.
    Powers,
    /// `sparse_super2`: 0 and this one; 0 if no other. For the few sizes whose last group would
    /// have a copy and is too small for it: such a file system cannot grow while it is mounted.
    Only(u32),
}

/// The metadata of one group: the first blocks of each part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
}

/// A file system without anything in it.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) blocks: u64,
    pub(super) groups: u32,
    pub(super) inodes_per_group: u32,
    /// Blocks of all group descriptors.
    pub(super) descriptor_blocks: u64,
    pub(super) backups: Backups,
    pub(super) places: Vec<Place>,
    /// All of it, ascending.
    pub(super) reserved: Vec<Run>,
}

impl Geometry {
    /// So many blocks, with room for at least so many inodes in all; or how many blocks it takes
    /// at least.
    pub(super) fn new(blocks: u64, inodes: u64) -> Result<Self, u64> {
        let inodes = inodes.max(u64::from(FIRST));
        let least = (inodes.div_ceil(GROUP_INODES) - 1) * GROUP_BLOCKS + 1;
        let count = blocks.div_ceil(GROUP_BLOCKS);
        let groups = u32::try_from(count).unwrap_or(u32::MAX);
        if blocks < least {
            return Err(least);
        }
        let per_group = inodes.div_ceil(count).next_multiple_of(BLOCK_INODES);
        let descriptor_blocks = (count * DESCRIPTOR as u64).div_ceil(BLOCK_SIZE);
        let mut geometry = Self {
            blocks,
            groups,
            inodes_per_group: u32::try_from(per_group).unwrap_or(u32::MAX),
            descriptor_blocks,
            backups: Backups::Powers,
            places: Vec::with_capacity(groups as usize),
            reserved: Vec::new(),
        };
        let tail = groups - 1;
        let room = blocks - u64::from(tail) * GROUP_BLOCKS;
        if geometry.has_backup(tail) && room < geometry.copy_blocks() {
            if tail == 0 {
                return Err(geometry.copy_blocks());
            }
            geometry.backups = Backups::Only(u32::from(tail > 1));
        }
        geometry.place()?;
        Ok(geometry)
    }

    /// Whether a group begins with a copy of the superblock.
    pub(super) fn has_backup(&self, group: u32) -> bool {
        let power = |of: u32| {
            let mut power = of;
            while power < group {
                power = power.saturating_mul(of);
            }
            power == group
        };
        match self.backups {
            Backups::Powers => group <= 1 || power(3) || power(5) || power(7),
            Backups::Only(one) => group == 0 || group == one,
        }
    }

    /// Blocks of a superblock and the descriptors.
    pub(super) fn copy_blocks(&self) -> u64 {
        1 + self.descriptor_blocks
    }

    /// Blocks of a group's inodes.
    pub(super) fn table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group) / BLOCK_INODES
    }

    pub(super) fn inodes(&self) -> u64 {
        u64::from(self.inodes_per_group) * u64::from(self.groups)
    }

    /// The blocks of a group.
    pub(super) fn group(&self, group: u32) -> Run {
        let start = u64::from(group) * GROUP_BLOCKS;
        let length = GROUP_BLOCKS.min(self.blocks - start);
        Run { start, length }
    }

    /// Bitmaps and inodes of groups that belong together, at the start of the first of them.
    fn place(&mut self) -> Result<(), u64> {
        let copies: Vec<Run> = (0..self.groups)
            .filter(|group| self.has_backup(*group))
            .map(|group| Run {
                start: self.group(group).start,
                length: self.copy_blocks(),
            })
            .collect();
        let mut runs = copies.clone();
        let step = 1_u32 << FLEX;
        let mut first = 0;
        while first < self.groups {
            let mut count = step.min(self.groups - first);
            let left = self.groups - first - count;
            let tail = self.group(self.groups - 1).end() - self.group(first + count - 1).end();
            // A remainder that cannot hold its own metadata goes with those before it.
            let needed = u64::from(left) * (2 + self.table_blocks()) + 2 * self.copy_blocks();
            if left > 0 && left < step && tail < needed {
                count += left;
            }
            let mut from = Space::new(&copies, self.group(first).start);
            let bitmaps: Vec<u64> = (0..2 * count).map(|_| from.whole(1).start).collect();
            for nth in 0..count as usize {
                self.places.push(Place {
                    block_bitmap: bitmaps[nth],
                    inode_bitmap: bitmaps[count as usize + nth],
                    inode_table: from.whole(self.table_blocks()).start,
                });
            }
            if from.at() > self.blocks {
                return Err(from.at());
            }
            runs.extend(bitmaps.iter().map(|start| Run {
                start: *start,
                length: 1,
            }));
            let tables = &self.places[first as usize..];
            runs.extend(tables.iter().map(|place| Run {
                start: place.inode_table,
                length: self.table_blocks(),
            }));
            first += count;
        }
        runs.sort_unstable();
        for run in runs {
            match self.reserved.last_mut() {
                Some(last) if last.end() == run.start => last.length += run.length,
                _ => self.reserved.push(run),
            }
        }
        Ok(())
    }
}

/// Gives blocks out, in order, around those that are taken.
#[derive(Clone, Debug)]
pub(super) struct Space<'a> {
    taken: &'a [Run],
    at: u64,
}

impl<'a> Space<'a> {
    /// From a block on. `taken` is ascending.
    pub(super) fn new(taken: &'a [Run], at: u64) -> Self {
        let passed = taken.partition_point(|run| run.end() <= at);
        let taken = &taken[passed..];
        let mut space = Self { taken, at };
        space.step();
        space
    }

    /// The next block that is free. It may be past the end: that is for the caller to see.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// At most so many blocks, at least one.
    pub(super) fn some(&mut self, most: u64) -> Run {
        let room = self.taken.first().map_or(u64::MAX, |it| it.start) - self.at;
        let run = Run {
            start: self.at,
            length: most.min(room),
        };
        self.at = run.end();
        self.step();
        run
    }

    /// So many blocks in one run; smaller gaps are left.
    fn whole(&mut self, length: u64) -> Run {
        while let Some(next) = self.taken.first()
            && next.start - self.at < length
        {
            self.at = next.end();
            self.step();
        }
        self.some(length)
    }

    fn step(&mut self) {
        while let Some(next) = self.taken.first()
            && next.start <= self.at
        {
            self.at = self.at.max(next.end());
            self.taken = &self.taken[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_place_for_everything() {
        let mib = 256;
        let sizes = [8 * mib, 100 * mib, 127 * mib, 128 * mib, 129 * mib];
        let odd = (1..40).flat_map(|group: u64| [0, 1, 2, 3, 300].map(|it| group * 32_768 + it));
        for blocks in sizes
            .into_iter()
            .chain(odd)
            .chain([1 << 32, (1 << 32) + 77])
        {
            let geometry = Geometry::new(blocks, blocks / 4).unwrap();
            assert_eq!(geometry.places.len(), geometry.groups as usize);
            let total: u64 = geometry.reserved.iter().map(|run| run.length).sum();
            let copies = (0..geometry.groups).filter(|it| geometry.has_backup(*it));
            let expect = copies.count() as u64 * geometry.copy_blocks()
                + u64::from(geometry.groups) * (2 + geometry.table_blocks());
            assert_eq!(total, expect, "{blocks}: nothing overlaps");
            let ends = geometry.reserved.windows(2);
            assert!(ends.into_iter().all(|pair| pair[0].end() < pair[1].start));
            assert!(
                geometry.reserved.last().unwrap().end() <= blocks,
                "{blocks}"
            );
        }
        assert!(Geometry::new(3, 16).is_err());
    }
}
