//! The map of a sparse file: a directory of tables of grains.

use super::super::extent::{Extent, Place};
use super::super::source::{Source, le32, le64, refuse};
use super::super::table::{Table, pieces};
use super::header::{ENTRIES, Header, SECTOR};
use crate::error::Result;

/// The header and the directory of a sparse file, both judged.
#[derive(Debug)]
pub(in super::super) struct Map {
    header: Header,
    /// The sectors of the grain tables, 0 for those that are not there.
    directory: Vec<u32>,
    /// The same, sorted: no grain may be there.
    taken: Vec<u32>,
}

impl Map {
    pub(in super::super) fn open(source: &Source) -> Result<Self> {
        let header = Header::read(source)?;
        let (offset, entries) = header.directory;
        let mut table = Table::new(source, offset, 4, entries);
        let mut directory = Vec::new();
        for index in 0..entries {
            directory.push(le32(table.entry(index)?, 0));
        }
        let mut taken: Vec<u32> = directory.iter().copied().filter(|it| *it != 0).collect();
        taken.sort_unstable();
        for sector in &taken {
            let offset = u64::from(*sector) * SECTOR;
            if !source.holds(offset, TABLE as u64) {
                return Err(refuse(format!(
                    "a grain table is outside of the file: at {offset}"
                )));
            }
            header
                .areas
                .check_clear(offset, TABLE as u64, "a grain table")?;
        }
        let overlap = |pair: &[u32]| u64::from(pair[1] - pair[0]) * SECTOR < TABLE as u64;
        if taken.windows(2).any(overlap) {
            return Err(refuse("two grain tables overlap, or are one"));
        }
        Ok(Self {
            header,
            directory,
            taken,
        })
    }

    pub(in super::super) fn size(&self) -> u64 {
        self.header.size
    }

    pub(in super::super) fn cluster(&self) -> usize {
        // At most 2 MiB.
        usize::try_from(self.header.grain).unwrap_or(0)
    }

    /// Every piece of the disk, in order.
    pub(in super::super) fn extents<'a>(
        &'a self,
        source: &'a Source,
    ) -> impl Iterator<Item = Result<Extent>> + Send + 'a {
        let reach = self.header.grain * ENTRIES;
        let mut tables = self.directory.iter().zip(0_u64..);
        pieces(move |ready| {
            let Some((sector, index)) = tables.next() else {
                return Ok(false);
            };
            let mut start = index * reach;
            let end = self.header.size.min(start + reach);
            if *sector == 0 {
                ready.push_back(Extent {
                    start,
                    length: end - start,
                    place: Place::Zero,
                });
                return Ok(true);
            }
            let mut table = [0; TABLE];
            source.read(u64::from(*sector) * SECTOR, &mut table)?;
            // What is beyond the disk is nobody's.
            for at in (0..table.len()).step_by(4) {
                if start >= end {
                    break;
                }
                let length = self.header.grain.min(end - start);
                let place = self.grain(source, le32(&table, at), start, length)?;
                ready.push_back(Extent {
                    start,
                    length,
                    place,
                });
                start += length;
            }
            Ok(true)
        })
    }

    /// Where the content of a grain is, by its entry.
    fn grain(&self, source: &Source, entry: u32, start: u64, length: u64) -> Result<Place> {
        if entry == 0 || entry == 1 && self.header.has_zeros {
            return Ok(Place::Zero);
        }
        let offset = u64::from(entry) * SECTOR;
        if offset < self.header.data {
            return Err(refuse(format!(
                "a grain overlaps the metadata: at {offset}"
            )));
        }
        if !self.header.is_compressed {
            self.check(source, offset, length)?;
            return Ok(Place::Data { file: 0, offset });
        }
        self.check(source, offset, MARKER as u64)?;
        let mut marker = [0; MARKER];
        source.read(offset, &mut marker)?;
        let (sector, length) = (le64(&marker, 0), u64::from(le32(&marker, 8)));
        if sector != start / SECTOR {
            return Err(refuse(format!(
                "the grain at {offset} says that it is sector {sector} of the disk, and the table \
                 that it is {}",
                start / SECTOR
            )));
        }
        // What does not compress grows a little.
        if length == 0 || length > self.header.grain * 2 {
            return Err(refuse(format!("a compressed grain of {length} bytes")));
        }
        self.check(source, offset, MARKER as u64 + length)?;
        Ok(Place::Compressed {
            offset: offset + MARKER as u64,
            length,
        })
    }

    /// Whether a grain is where content can be.
    fn check(&self, source: &Source, offset: u64, length: u64) -> Result<()> {
        if !source.holds(offset, length) {
            return Err(refuse(format!(
                "a grain is outside of the file: at {offset}"
            )));
        }
        self.header.areas.check_clear(offset, length, "a grain")?;
        // The last table that begins before the grain ends is the only one that can reach into it.
        let before = self
            .taken
            .partition_point(|sector| u64::from(*sector) * SECTOR < offset + length);
        let overlaps =
            before > 0 && u64::from(self.taken[before - 1]) * SECTOR + TABLE as u64 > offset;
        if overlaps {
            return Err(refuse(format!(
                "a grain overlaps a grain table: at {offset}"
            )));
        }
        Ok(())
    }
}

/// Bytes of a grain table.
const TABLE: usize = 512 * 4;
/// Bytes before a compressed grain: its sector of the disk in 64 bits, its length in 32.
const MARKER: usize = 12;
