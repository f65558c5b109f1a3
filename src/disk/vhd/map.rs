//! The map of a dynamic disk: a table of blocks, each with a bitmap of its sectors before it.

use std::collections::VecDeque;

use super::super::extent::{Extent, Place};
use super::super::source::{Source, be32, be64, refuse};
use super::super::sparse::is_zero;
use super::super::table::{Areas, Table, pieces};
use super::footer::is_sum_right;
use crate::error::Result;

/// The header of a dynamic disk, judged.
#[derive(Debug)]
pub(in super::super) struct Map {
    size: u64,
    /// Bytes of a block, and of the bitmap before each.
    block: u64,
    bitmap: u64,
    table: u64,
    entries: u64,
    areas: Areas,
}

impl Map {
    /// Reads what is at `header`, for a disk of `size` bytes.
    pub(in super::super) fn open(source: &Source, size: u64, header: u64) -> Result<Self> {
        let mut areas = Areas::default();
        areas.add(source, 0, SECTOR, "the copy of the footer")?;
        areas.add(source, source.length() - SECTOR, SECTOR, "the footer")?;
        areas.add(source, header, LENGTH as u64, "the header")?;
        let mut bytes = [0; LENGTH];
        source.read(header, &mut bytes)?;
        if !bytes.starts_with(b"cxsparse") {
            return Err(refuse(format!(
                "there is no header of a dynamic disk at {header}"
            )));
        }
        if !is_sum_right(&bytes, 36) {
            return Err(refuse("the checksum of its header is wrong"));
        }
        let version = be32(&bytes, 24);
        if version != VERSION {
            return Err(refuse(format!("a header of version {version:#x}")));
        }
        let block = u64::from(be32(&bytes, 32));
        if !block.is_power_of_two() || !BLOCKS.contains(&block) {
            return Err(refuse(format!("blocks of {block} bytes")));
        }
        let (table, entries) = (be64(&bytes, 16), u64::from(be32(&bytes, 28)));
        let needed = size.div_ceil(block);
        // Room to grow is allowed: what is beyond the disk is nobody's.
        if entries < needed {
            return Err(refuse(format!(
                "its table has {entries} entries; a disk of {size} bytes has {needed}"
            )));
        }
        if table % SECTOR != 0 {
            return Err(refuse(format!("its table is not aligned: at {table}")));
        }
        areas.add(source, table, entries * 4, "the table")?;
        Ok(Self {
            size,
            block,
            // One bit for each sector, in whole sectors.
            bitmap: (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR),
            table,
            entries,
            areas,
        })
    }

    /// Every piece of the disk, in order.
    pub(in super::super) fn extents<'a>(
        &'a self,
        source: &'a Source,
    ) -> impl Iterator<Item = Result<Extent>> + Send + 'a {
        let mut table = Table::new(source, self.table, 4, self.entries);
        let mut index = 0;
        pieces(move |ready| {
            let start = index * self.block;
            if start >= self.size {
                return Ok(false);
            }
            let length = self.block.min(self.size - start);
            let entry = be32(table.entry(index)?, 0);
            if entry == ABSENT {
                ready.push_back(Extent {
                    start,
                    length,
                    place: Place::Zero,
                });
            } else {
                let offset = u64::from(entry) * SECTOR;
                self.check(source, offset)?;
                self.sectors(source, offset, (start, length), ready)?;
            }
            index += 1;
            Ok(true)
        })
    }

    /// Whether a block, its bitmap included, is where content can be.
    fn check(&self, source: &Source, offset: u64) -> Result<()> {
        let whole = self.bitmap + self.block;
        if !source.holds(offset, whole) {
            return Err(refuse(format!(
                "a block is outside of the file: at {offset}"
            )));
        }
        self.areas.check_clear(offset, whole, "a block")
    }

    /// Takes a block apart by its bitmap.
    ///
    /// Readers do not agree on sectors that were never written: some give zeros, and QEMU what
    /// stands there. So there must be zeros: then all see the same disk.
    fn sectors(
        &self,
        source: &Source,
        offset: u64,
        (start, length): (u64, u64),
        ready: &mut VecDeque<Extent>,
    ) -> Result<()> {
        // At most 64 KiB, for blocks of 256 MiB.
        let mut bits = vec![0; usize::try_from(self.bitmap).unwrap_or(0)];
        source.read(offset, &mut bits)?;
        let is_written = |sector: u64| {
            let byte = usize::try_from(sector / 8).unwrap_or(0);
            bits[byte] << (sector % 8) & 0x80 != 0
        };
        let data = offset + self.bitmap;
        let sectors = length / SECTOR;
        let mut sector = 0;
        while sector < sectors {
            let written = is_written(sector);
            let end = (sector..sectors)
                .find(|it| is_written(*it) != written)
                .unwrap_or(sectors);
            let (from, length) = (sector * SECTOR, (end - sector) * SECTOR);
            let offset = data + from;
            if !written && !are_zeros(source, offset, length)? {
                return Err(refuse(format!(
                    "a bitmap says that nothing was written at {}, and something is there",
                    start + from
                )));
            }
            ready.push_back(Extent {
                start: start + from,
                length,
                place: if written {
                    Place::Data { file: 0, offset }
                } else {
                    Place::Zero
                },
            });
            sector = end;
        }
        Ok(())
    }
}

fn are_zeros(source: &Source, mut offset: u64, mut length: u64) -> Result<bool> {
    let mut buffer = [0; 4096];
    while length > 0 {
        let n = usize::try_from(length).map_or(buffer.len(), |n| n.min(buffer.len()));
        source.read(offset, &mut buffer[..n])?;
        if !is_zero(&buffer[..n]) {
            return Ok(false);
        }
        (offset, length) = (offset + n as u64, length - n as u64);
    }
    Ok(true)
}

const LENGTH: usize = 1024;
const VERSION: u32 = 0x0001_0000;
const SECTOR: u64 = 512;
/// The entry of a block that is not there.
const ABSENT: u32 = 0xffff_ffff;
/// 2 MiB nearly always. Smaller ones than these would make the table larger than it is worth;
/// larger ones, the bitmap.
const BLOCKS: std::ops::RangeInclusive<u64> = 4096..=256 << 20;
