//! The metadata: a table of items, and the items (MS-VHDX 2.6).

use super::super::source::{Source, le16, le32, le64, refuse};
use super::header::{MAX_ENTRIES, Region, guid};
use crate::error::Result;

/// What the metadata say that matters to a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata {
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Bytes of a sector of the disk.
    pub(super) sector: u64,
}

impl Metadata {
    /// Reads and judges them.
    pub(super) fn read(source: &Source, region: Region) -> Result<Self> {
        let mut bytes = vec![0; TABLE];
        source.read(region.offset, &mut bytes)?;
        let count = usize::from(le16(&bytes, 10));
        if !bytes.starts_with(b"metadata") || count > MAX_ENTRIES {
            return Err(refuse("its table of metadata is damaged"));
        }
        let (mut parameters, mut size, mut sector) = (None, None, None);
        for entry in bytes[32..].chunks_exact(32).take(count) {
            let mut id = [0; 16];
            id.copy_from_slice(&entry[..16]);
            let (slot, width) = match id {
                PARAMETERS => (&mut parameters, 8),
                SIZE => (&mut size, 8),
                SECTOR => (&mut sector, 4),
                PARENT => return Err(child()),
                PAGE_83 | PHYSICAL_SECTOR => continue,
                _ if le32(entry, 24) & REQUIRED != 0 => {
                    return Err(refuse("it needs metadata that are not known here"));
                }
                _ => continue,
            };
            let (offset, length) = (le32(entry, 16), le32(entry, 20));
            let end = u64::from(offset) + u64::from(length);
            if length != width || (offset as usize) < TABLE || end > region.length {
                return Err(refuse(format!(
                    "an item of its metadata has {length} bytes at {offset}"
                )));
            }
            let mut item = [0; 8];
            let item_bytes = &mut item[..width as usize];
            source.read(region.offset + u64::from(offset), item_bytes)?;
            if slot.replace(le64(&item, 0)).is_some() {
                return Err(refuse("an item of its metadata is there twice"));
            }
        }
        let (Some(parameters), Some(size), Some(sector)) = (parameters, size, sector) else {
            return Err(refuse(
                "its metadata lack the size of the disk, of its blocks or of its sectors",
            ));
        };
        let metadata = Self {
            size,
            block: parameters & 0xffff_ffff,
            sector,
        };
        metadata.check(parameters >> 32)?;
        Ok(metadata)
    }

    fn check(&self, flags: u64) -> Result<()> {
        if flags & HAS_PARENT != 0 {
            return Err(child());
        }
        if flags & !FIXED != 0 {
            return Err(refuse(format!("flags that are not known here: {flags:#x}")));
        }
        if !self.block.is_power_of_two() || !BLOCKS.contains(&self.block) {
            return Err(refuse(format!("blocks of {} bytes", self.block)));
        }
        if !matches!(self.sector, 512 | 4096) {
            return Err(refuse(format!("sectors of {} bytes", self.sector)));
        }
        if self.size > MAX_SIZE || !self.size.is_multiple_of(self.sector) {
            return Err(refuse(format!("a disk of {} bytes", self.size)));
        }
        Ok(())
    }
}

fn child() -> crate::error::Error {
    refuse("it is only the difference to a parent, which is never opened: flatten the image first")
}

/// Bytes of the table, items not counted.
const TABLE: usize = 64 << 10;
const REQUIRED: u32 = 1 << 2;
/// Blocks stay where they are: nothing to a reader.
const FIXED: u64 = 1;
const HAS_PARENT: u64 = 1 << 1;
const BLOCKS: std::ops::RangeInclusive<u64> = 1 << 20..=256 << 20;
/// 64 TiB, the limit of the format.
const MAX_SIZE: u64 = 64 << 40;

const PARAMETERS: [u8; 16] = guid(0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b);
const SIZE: [u8; 16] = guid(0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8);
const SECTOR: [u8; 16] = guid(0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f);
const PHYSICAL_SECTOR: [u8; 16] = guid(0xcda3_48c7_445d_4471_9cc9_e988_5251_c556);
const PAGE_83: [u8; 16] = guid(0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746);
const PARENT: [u8; 16] = guid(0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c);
