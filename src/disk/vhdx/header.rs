//! The first megabyte: an identifier, two headers of which the newer one counts, and a table of
//! regions (MS-VHDX 2.2).

use super::super::source::{Source, le16, le32, le64, refuse};
use super::super::table::Areas;
use super::crc;
use crate::error::Result;

/// A part of the file: offset and length in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where the two regions are that a reader needs.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) table: Region,
    pub(super) metadata: Region,
    /// All that is not content.
    pub(super) areas: Areas,
}

impl Header {
    /// Reads and judges all of it.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let mut areas = Areas::default();
        areas.add(source, 0, MEGABYTE, "the header section")?;
        let (start, _) = source.start::<8>()?;
        if &start != b"vhdxfile" {
            return Err(refuse("it does not begin like a VHDX"));
        }
        let log = log(source)?;
        if log.length > 0 {
            check("the log", log)?;
            areas.add(source, log.offset, log.length, "the log")?;
        }
        let (mut table, mut metadata) = (None, None);
        for (id, region, is_required) in regions(source)? {
            let (what, slot) = match id {
                TABLE => ("the block table", Some(&mut table)),
                METADATA => ("the metadata", Some(&mut metadata)),
                _ if is_required => {
                    return Err(refuse("it needs a region that is not known here"));
                }
                _ => ("a region", None),
            };
            check(what, region)?;
            areas.add(source, region.offset, region.length, what)?;
            if slot.is_some_and(|slot| slot.replace(region).is_some()) {
                return Err(refuse(format!("{what} is there twice")));
            }
        }
        let missing = |what| refuse(format!("there is no region with {what}"));
        Ok(Self {
            table: table.ok_or_else(|| missing("the block table"))?,
            metadata: metadata.ok_or_else(|| missing("the metadata"))?,
            areas,
        })
    }
}

/// Where the log is, by the header that counts. There must be nothing in it.
fn log(source: &Source) -> Result<Region> {
    let (one, other) = (header(source, 64 << 10)?, header(source, 128 << 10)?);
    let sequence = |bytes: &[u8]| le64(bytes, 8);
    let bytes = match (one, other) {
        (None, None) => return Err(refuse("both of its headers are damaged")),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (Some(one), Some(other)) => {
            if sequence(&one) == sequence(&other) && one != other {
                return Err(refuse("its two headers differ, and none is newer"));
            }
            if sequence(&one) < sequence(&other) {
                other
            } else {
                one
            }
        }
    };
    let version = le16(&bytes, 66);
    if version != 1 {
        return Err(refuse(format!("VHDX version {version}: only 1 is known")));
    }
    if bytes[48..64] != [0; 16] {
        return Err(refuse(
            "its log was not replayed: open it once with what made it, or with `qemu-img check -r \
             all`",
        ));
    }
    Ok(Region {
        offset: le64(&bytes, 72),
        length: le32(&bytes, 68).into(),
    })
}

/// One of the two, if it is whole: a write may have been cut off in the other.
fn header(source: &Source, offset: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 4096];
    source.read(offset, &mut bytes)?;
    let is_whole = bytes.starts_with(b"head") && crc::is_right(&bytes, 4);
    Ok(is_whole.then_some(bytes))
}

/// What the table of regions lists: identifier, place, and whether a reader must know it.
fn regions(source: &Source) -> Result<Vec<([u8; 16], Region, bool)>> {
    let mut bytes = vec![0; 64 << 10];
    source.read(192 << 10, &mut bytes)?;
    if !bytes.starts_with(b"regi") || !crc::is_right(&bytes, 4) {
        return Err(refuse("its table of regions is damaged"));
    }
    let count = usize::try_from(le32(&bytes, 8)).unwrap_or(usize::MAX);
    if count > MAX_ENTRIES {
        return Err(refuse(format!("a table of {count} regions")));
    }
    let entries = bytes[16..].chunks_exact(32).take(count);
    Ok(entries
        .map(|entry| {
            let mut id = [0; 16];
            id.copy_from_slice(&entry[..16]);
            let region = Region {
                offset: le64(entry, 16),
                length: le32(entry, 24).into(),
            };
            (id, region, le32(entry, 28) & 1 == 1)
        })
        .collect())
}

fn check(what: &str, region: Region) -> Result<()> {
    let Region { offset, length } = region;
    if offset % MEGABYTE != 0 || length % MEGABYTE != 0 || length == 0 {
        return Err(refuse(format!(
            "{what} is not made of whole megabytes: {length} bytes at {offset}"
        )));
    }
    Ok(())
}

/// An identifier as it stands in a file: the first three groups are little-endian numbers.
pub(super) const fn guid(id: u128) -> [u8; 16] {
    let mut bytes = id.to_be_bytes();
    let mut at = 0;
    while at < 8 {
        bytes[at] = id.to_be_bytes()[[3, 2, 1, 0, 5, 4, 7, 6][at]];
        at += 1;
    }
    bytes
}

pub(super) const MEGABYTE: u64 = 1 << 20;
/// Of a table of 64 KiB, of regions as of metadata.
pub(super) const MAX_ENTRIES: usize = 2047;
const TABLE: [u8; 16] = guid(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08);
const METADATA: [u8; 16] = guid(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e);
