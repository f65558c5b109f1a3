//! Bitmaps, and the descriptors of groups.

use super::format::{BLOCK, BLOCK_SIZE, DESCRIPTOR, FIRST, Seed};
use super::geometry::Run;
use super::plan::Plan;
use super::superblock::Group;
use crate::error::Result;
use crate::fsimg::target::Target;

impl Plan<'_> {
    /// Writes the bitmaps. Gives all descriptors, as whole blocks, and how many blocks are free.
    pub(super) fn groups(
        &self,
        target: &mut Target<'_>,
        folders: &[u64],
        seed: Seed,
    ) -> Result<(Vec<u8>, u64)> {
        let geometry = &self.layout.geometry;
        let mut descriptors = Vec::with_capacity(geometry.groups as usize * DESCRIPTOR);
        let mut free = 0;
        let mut reserved = &geometry.reserved[..];
        for (number, (place, folders)) in (0..).zip(geometry.places.iter().zip(folders)) {
            let group = geometry.group(number);
            let mut group = Group {
                place: *place,
                free_blocks: group.length,
                free_inodes: geometry.inodes_per_group.into(),
                folders: *folders,
                untouched: geometry.inodes_per_group.into(),
                blocks_sum: None,
                inodes_sum: None,
            };
            if let Some(bitmap) = self.block_bitmap(number, &mut reserved, &mut group) {
                group.blocks_sum = Some(seed.sum(&bitmap));
                target.put(place.block_bitmap * BLOCK_SIZE, &bitmap)?;
            }
            if let Some(bitmap) = self.inode_bitmap(number, &mut group) {
                let counted = geometry.inodes_per_group as usize / 8;
                group.inodes_sum = Some(seed.sum(&bitmap[..counted]));
                target.put(place.inode_bitmap * BLOCK_SIZE, &bitmap)?;
            }
            free += group.free_blocks;
            descriptors.extend_from_slice(&group.encode(number, seed));
        }
        descriptors.resize(descriptors.len().next_multiple_of(BLOCK), 0);
        Ok((descriptors, free))
    }

    /// Which blocks of a group are used; `None` if that says itself, for there is at most its copy
    /// of the superblock.
    fn block_bitmap(
        &self,
        number: u32,
        reserved: &mut &[Run],
        group: &mut Group,
    ) -> Option<Vec<u8>> {
        let geometry = &self.layout.geometry;
        let Run { start, length } = geometry.group(number);
        let end = start + length;
        let mut used = vec![(0, self.layout.end.clamp(start, end) - start)];
        while let Some(run) = reserved.first().filter(|run| run.start < end) {
            used.push((run.start.max(start) - start, run.end().min(end) - start));
            if run.end() > end {
                break;
            }
            *reserved = &reserved[1..];
        }
        let mut bitmap = vec![0; BLOCK];
        let mut at = 0;
        for (from, to) in used {
            let from = from.max(at);
            if from < to {
                set(&mut bitmap, from, to);
                group.free_blocks -= to - from;
                at = to;
            }
        }
        let copy = if geometry.has_backup(number) {
            geometry.copy_blocks()
        } else {
            0
        };
        let is_last = number + 1 == geometry.groups;
        // Nothing but the copy, if any, can be as small as it.
        if !is_last && length - group.free_blocks == copy {
            return None;
        }
        set(&mut bitmap, length, 8 * BLOCK_SIZE);
        Some(bitmap)
    }

    /// Which inodes are used; `None` if none is.
    fn inode_bitmap(&self, number: u32, group: &mut Group) -> Option<Vec<u8>> {
        let per_group = u64::from(self.layout.geometry.inodes_per_group);
        let first = u64::from(number) * per_group + 1;
        let last = u64::from(self.survey.last_inode());
        let used = (last + 1).saturating_sub(first).min(per_group);
        if used == 0 {
            return None;
        }
        let mut bitmap = vec![0; BLOCK];
        set(&mut bitmap, 0, used);
        set(&mut bitmap, per_group, 8 * BLOCK_SIZE);
        group.untouched -= used;
        group.free_inodes -= used;
        if number == 0 && !self.survey.makes_lost_found() {
            let bit = usize::try_from(FIRST - 1).unwrap_or(0);
            bitmap[bit / 8] &= !(1 << (bit % 8));
            group.free_inodes += 1;
        }
        Some(bitmap)
    }

    /// Inodes that nothing has.
    pub(super) fn free_inodes(&self) -> u64 {
        let used = u64::from(self.survey.last_inode());
        self.layout.geometry.inodes() - used + u64::from(!self.survey.makes_lost_found())
    }
}

/// Sets the bits from one number to before another.
fn set(bitmap: &mut [u8], from: u64, to: u64) {
    let bits = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    for bit in bits {
        bitmap[bit / 8] |= 1 << (bit % 8);
    }
}
