//! Entries of the two tables.

use super::super::extent::{Extent, Place};
use super::super::source::{Source, refuse};
use super::header::Header;
use crate::error::Result;

/// Where a second table is, by its entry in the first; none if everything there is zeros.
pub(super) fn table(entry: u64, header: &Header, source: &Source) -> Result<Option<u64>> {
    if entry & !(COPIED | OFFSET) != 0 {
        return Err(refuse(format!(
            "reserved bits in the first table: {entry:#018x}"
        )));
    }
    let offset = entry & OFFSET;
    if offset == 0 {
        return if entry == 0 {
            Ok(None)
        } else {
            Err(refuse("a second table overlaps the header"))
        };
    }
    if !offset.is_multiple_of(header.cluster()) {
        return Err(refuse(format!(
            "a second table is not aligned: at {offset}"
        )));
    }
    if !source.holds(offset, header.cluster()) {
        return Err(refuse(format!(
            "a second table is outside of the file: at {offset}"
        )));
    }
    Ok(Some(offset))
}

/// What one entry of a second table, with its bits for the parts of a cluster, says of `length`
/// bytes of the disk from `start` on.
pub(super) fn pieces(
    (entry, parts): (u64, u64),
    header: &Header,
    start: u64,
    length: u64,
    mut give: impl FnMut(Extent) -> Result<()>,
) -> Result<()> {
    let mut piece = |start, length, place| {
        give(Extent {
            start,
            length,
            place,
        })
    };
    if entry & COMPRESSED != 0 {
        if entry & COPIED != 0 || parts != 0 {
            return Err(refuse(format!(
                "reserved bits of a compressed cluster: {entry:#018x}"
            )));
        }
        return piece(start, length, compressed(entry, header));
    }
    let zero = u64::from(header.version > 2 && !header.extended);
    if entry & !(COPIED | OFFSET | zero) != 0 {
        return Err(refuse(format!(
            "reserved bits in a second table: {entry:#018x}"
        )));
    }
    let offset = entry & OFFSET;
    if !offset.is_multiple_of(header.cluster()) {
        return Err(refuse(format!("a cluster is not aligned: at {offset}")));
    }
    if offset == 0 && entry & COPIED != 0 {
        return Err(refuse("a cluster overlaps the header"));
    }
    let data = Place::Data { file: 0, offset };
    if !header.extended {
        let is_zero = entry & zero != 0 || offset == 0;
        return piece(start, length, if is_zero { Place::Zero } else { data });
    }
    // 32 bits that say which parts have data, and 32 that say which read as zeros.
    let (filled, zeroed) = (parts & 0xffff_ffff, parts >> 32);
    if filled & zeroed != 0 || offset == 0 && filled != 0 {
        return Err(refuse(format!(
            "the parts of a cluster contradict each other: {parts:#018x}"
        )));
    }
    let part = header.cluster() / PARTS;
    let mut at = 0;
    while at < length {
        let is_filled = filled >> (at / part) & 1 == 1;
        let place = if is_filled {
            Place::Data {
                file: 0,
                offset: offset + at,
            }
        } else {
            Place::Zero
        };
        piece(start + at, part.min(length - at), place)?;
        at += part;
    }
    Ok(())
}

/// Where a compressed cluster is: an offset, and how many sectors it goes into beyond the first.
fn compressed(entry: u64, header: &Header) -> Place {
    let bits = 62 - (header.cluster_bits - 8);
    let offset = entry & ((1 << bits) - 1);
    let more = (entry & !(COPIED | COMPRESSED)) >> bits;
    Place::Compressed {
        offset,
        length: (more + 1) * SECTOR - offset % SECTOR,
    }
}

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Bits 9 to 55.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const PARTS: u64 = 32;
const SECTOR: u64 = 512;
