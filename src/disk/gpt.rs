//! The partition table of a disk that has grown.
//!
//! A GUID partition table is there twice: behind the first sector, and at the very end of the disk
//! (UEFI specification 2.10, section 5.3). On a disk that became longer the second one is in the
//! middle, and guests that want to grow their root partition complain, or do not. It is moved.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::convert::unwritable;
use super::source::{le32, le64, unreadable};
use crate::error::Result;

/// What a disk has for a partition table, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpt {
    /// There was nothing to do: none, another kind, or its backup is at the end.
    Fits,
    /// The backup was moved to the end.
    Moved,
    /// It is damaged, and was left alone: why.
    Damaged(&'static str),
}

/// Moves the backup of a GUID partition table to the end of the disk, and has the table, and the
/// protective MBR before it, know of the new size. Everything but the sectors of the tables stays
/// as it is. Sectors of 512 and of 4096 bytes are known.
///
/// # Errors
/// As the system says.
pub fn fit_gpt(disk: &File) -> Result<Gpt> {
    let length = disk.metadata().map_err(unreadable)?.len();
    for sector in [512, 4096] {
        if length >= 6 * sector && read(disk, sector, 8)? == SIGNATURE {
            return Table { disk, sector }.fit(length / sector - 1);
        }
    }
    Ok(Gpt::Fits)
}

struct Table<'a> {
    disk: &'a File,
    /// Bytes of a sector.
    sector: u64,
}

impl Table<'_> {
    /// `last` is the number of the disk's last sector.
    fn fit(&self, last: u64) -> Result<Gpt> {
        let mut primary = read(self.disk, self.sector, self.sector)?;
        if let Some(why) = wrong(&primary) {
            return Ok(Gpt::Damaged(why));
        }
        let old = le64(&primary, BACKUP);
        if old == last {
            return Ok(Gpt::Fits);
        }
        let (count, size) = (
            u64::from(le32(&primary, COUNT)),
            u64::from(le32(&primary, SIZE)),
        );
        let bytes = count.saturating_mul(size);
        if count == 0 || !(128..=4096).contains(&size) || bytes > MAX_ENTRIES {
            return Ok(Gpt::Damaged("its number of entries is not possible"));
        }
        let sectors = bytes.div_ceil(self.sector);
        let first = le64(&primary, ENTRIES);
        if first < 2 || first.saturating_add(sectors) > last || old > last {
            return Ok(Gpt::Damaged("it names sectors that are not there"));
        }
        let entries = read(self.disk, first * self.sector, bytes)?;
        if u64::from(crc32(&entries)) != u64::from(le32(&primary, ENTRIES_SUM)) {
            return Ok(Gpt::Damaged("the checksum of its entries is wrong"));
        }
        let to = last - sectors;
        if to <= le64(&primary, LAST_USABLE) {
            return Ok(Gpt::Damaged("there is no room behind the last partition"));
        }
        self.clear_old(old, sectors)?;

        set(&mut primary, BACKUP, last, 8);
        set(&mut primary, LAST_USABLE, to - 1, 8);
        let mut backup = primary.clone();
        set(&mut backup, OWN, last, 8);
        set(&mut backup, BACKUP, 1, 8);
        set(&mut backup, ENTRIES, to, 8);
        sum(&mut primary);
        sum(&mut backup);
        self.write(to, &entries)?;
        self.write(last, &backup)?;
        self.write(1, &primary)?;
        self.fit_mbr(last)?;
        Ok(Gpt::Moved)
    }

    /// Takes the old backup away, if it is one: what finds it later would take it for the newest.
    fn clear_old(&self, header: u64, sectors: u64) -> Result<()> {
        let old = read(self.disk, header * self.sector, self.sector)?;
        if wrong(&old).is_some() || le64(&old, OWN) != header {
            return Ok(());
        }
        let nothing = vec![0; old.len()];
        let entries = le64(&old, ENTRIES);
        let is_before = entries
            .checked_add(sectors)
            .is_some_and(|end| end <= header);
        if is_before && entries > le64(&old, LAST_USABLE) {
            for sector in entries..entries + sectors {
                self.write(sector, &nothing)?;
            }
        }
        self.write(header, &nothing)
    }

    /// The partition that keeps old programs away from the disk covers it all, as far as its 32
    /// bits go.
    fn fit_mbr(&self, last: u64) -> Result<()> {
        let mut entry = read(self.disk, MBR_ENTRY, 16)?;
        let signature = read(self.disk, 510, 2)?;
        if signature == [0x55, 0xaa] && entry[4] == 0xee && u64::from(le32(&entry, 8)) == 1 {
            set(&mut entry, 12, last.min(u64::from(u32::MAX)), 4);
            self.disk
                .write_all_at(&entry, MBR_ENTRY)
                .map_err(unwritable)?;
        }
        Ok(())
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<()> {
        self.disk
            .write_all_at(bytes, sector * self.sector)
            .map_err(unwritable)
    }
}

/// What is wrong with a header, if anything.
fn wrong(header: &[u8]) -> Option<&'static str> {
    let length = u64::from(le32(header, LENGTH));
    if header[..8] != SIGNATURE {
        return Some("it has no signature");
    }
    let Some(part) = usize::try_from(length)
        .ok()
        .filter(|it| (92..=header.len()).contains(it))
    else {
        return Some("its header has an impossible length");
    };
    let mut bytes = header[..part].to_vec();
    set(&mut bytes, SUM, 0, 4);
    (u64::from(crc32(&bytes)) != u64::from(le32(header, SUM)))
        .then_some("the checksum of its header is wrong")
}

/// Makes the checksum of a header right.
fn sum(header: &mut [u8]) {
    let length = usize::try_from(u64::from(le32(header, LENGTH))).unwrap_or(0);
    set(header, SUM, 0, 4);
    let sum = crc32(&header[..length]);
    set(header, SUM, sum.into(), 4);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = libdeflater::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn read(disk: &File, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    disk.read_exact_at(&mut bytes, offset).map_err(unreadable)?;
    Ok(bytes)
}

fn set(bytes: &mut [u8], at: usize, value: u64, width: usize) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

// Where the fields of a header are (table 5.5).
const SIGNATURE: [u8; 8] = *b"EFI PART";
const LENGTH: usize = 12;
const SUM: usize = 16;
const OWN: usize = 24;
const BACKUP: usize = 32;
const LAST_USABLE: usize = 48;
const ENTRIES: usize = 72;
const COUNT: usize = 80;
const SIZE: usize = 84;
const ENTRIES_SUM: usize = 88;

/// The first of the four partitions of an MBR.
const MBR_ENTRY: u64 = 446;

/// Bytes: eight times what every disk has.
const MAX_ENTRIES: u64 = 128 << 10;
