//! The map: a table of blocks, with an entry for a bitmap after every so many (MS-VHDX 2.5).

use super::super::extent::{Extent, Place};
use super::super::source::{Source, le64, refuse};
use super::super::table::{Areas, Table, pieces};
use super::header::{Header, MEGABYTE, Region};
use super::metadata::Metadata;
use crate::error::Result;

/// What is in front of the blocks, judged.
#[derive(Debug)]
pub(in super::super) struct Map {
    metadata: Metadata,
    table: Region,
    areas: Areas,
}

impl Map {
    pub(in super::super) fn open(source: &Source) -> Result<Self> {
        let header = Header::read(source)?;
        let map = Self {
            metadata: Metadata::read(source, header.metadata)?,
            table: header.table,
            areas: header.areas,
        };
        let (needed, has) = (map.entries() * 8, map.table.length);
        if needed > has {
            return Err(refuse(format!(
                "its block table has {has} bytes; the disk needs {needed}"
            )));
        }
        Ok(map)
    }

    pub(in super::super) fn size(&self) -> u64 {
        self.metadata.size
    }

    /// Blocks that one bitmap would be for.
    fn chunk(&self) -> u64 {
        CHUNK_SECTORS * self.metadata.sector / self.metadata.block
    }

    /// Entries of the table. The last bitmap's is only there in an image that has a parent.
    fn entries(&self) -> u64 {
        let blocks = self.metadata.size.div_ceil(self.metadata.block);
        blocks + blocks.saturating_sub(1) / self.chunk()
    }

    /// Every piece of the disk, in order.
    pub(in super::super) fn extents<'a>(
        &'a self,
        source: &'a Source,
    ) -> impl Iterator<Item = Result<Extent>> + Send + 'a {
        let Metadata { size, block, .. } = self.metadata;
        let entries = self.entries();
        let mut table = Table::new(source, self.table.offset, 8, entries);
        let (mut index, mut start) = (0, 0);
        let period = self.chunk() + 1;
        pieces(move |ready| {
            if index >= entries {
                return Ok(false);
            }
            let entry = le64(table.entry(index)?, 0);
            let is_bitmap = index % period == period - 1;
            index += 1;
            if entry & RESERVED != 0 {
                return Err(refuse(format!(
                    "reserved bits in the block table: {entry:#018x}"
                )));
            }
            if is_bitmap {
                if entry & STATE != ABSENT {
                    return Err(refuse("a bitmap of sectors in an image without a parent"));
                }
                return Ok(true);
            }
            let length = block.min(size - start);
            let place = self.place(source, entry, length)?;
            ready.push_back(Extent {
                start,
                length,
                place,
            });
            start += length;
            Ok(true)
        })
    }

    /// Where the content of a block is, by its entry.
    fn place(&self, source: &Source, entry: u64, length: u64) -> Result<Place> {
        let offset = (entry >> 20) * MEGABYTE;
        match entry & STATE {
            // Not present, undefined, zero, unmapped: in an image without a parent all the same.
            ABSENT..=3 => Ok(Place::Zero),
            6 => {
                if !source.holds(offset, length) {
                    return Err(refuse(format!(
                        "a block is outside of the file: at {offset}"
                    )));
                }
                self.areas.check_clear(offset, length, "a block")?;
                Ok(Place::Data { file: 0, offset })
            }
            7 => Err(refuse("a block that is partly in a parent")),
            state => Err(refuse(format!("a block in state {state}"))),
        }
    }
}

/// Sectors of the disk that one bitmap would be for.
const CHUNK_SECTORS: u64 = 1 << 23;
const STATE: u64 = 7;
const ABSENT: u64 = 0;
/// Between the state and the offset, which counts megabytes.
const RESERVED: u64 = 0x000f_fff8;
