//! The footer: the last sector of every VHD, and a copy at the beginning of most.

use super::super::source::{Source, be32, be64, refuse};
use crate::error::Result;

/// What the footer says that matters to a reader.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Footer {
    /// Bytes of the disk.
    pub(in super::super) size: u64,
    /// Where the header of a dynamic disk is; none for a fixed one, whose content begins at 0.
    pub(in super::super) header: Option<u64>,
}

impl Footer {
    /// Reads and judges it.
    pub(in super::super) fn read(source: &Source) -> Result<Self> {
        let Some(bytes) = last(source)?.filter(|bytes| bytes.starts_with(MAGIC)) else {
            return Err(refuse(
                "it does not end with the footer of a VHD: cut off, or something else",
            ));
        };
        if !is_sum_right(&bytes, CHECKSUM) {
            return Err(refuse("the checksum of its footer is wrong"));
        }
        let version = be32(&bytes, 12);
        if version != VERSION {
            return Err(refuse(format!(
                "VHD version {version:#x}: only 1.0 is known"
            )));
        }
        let size = size(&bytes)?;
        let content = source.length() - SECTOR;
        match be32(&bytes, 60) {
            2 => {
                let declared = be64(&bytes, 48);
                if declared != content {
                    return Err(refuse(format!(
                        "a fixed disk of {declared} bytes in a file with {content}"
                    )));
                }
                Ok(Self { size, header: None })
            }
            3 => {
                let (start, _) = source.start::<512>()?;
                if start != bytes {
                    return Err(refuse("its footer and the copy at the beginning differ"));
                }
                let header = Some(be64(&bytes, 16));
                Ok(Self { size, header })
            }
            4 => Err(refuse(
                "it is only the difference to a parent, which is never opened: flatten the image \
                 first",
            )),
            other => Err(refuse(format!("a VHD of type {other}"))),
        }
    }
}

/// Whether a file ends like a VHD.
pub(in super::super) fn has_footer(source: &Source) -> Result<bool> {
    Ok(last(source)?.is_some_and(|bytes| bytes.starts_with(MAGIC)))
}

/// Whether the complement of the sum of all bytes but its own four is in `at`.
pub(super) fn is_sum_right(bytes: &[u8], at: usize) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    !(sum(bytes) - sum(&bytes[at..at + 4])) == be32(bytes, at)
}

fn last(source: &Source) -> Result<Option<[u8; 512]>> {
    let Some(at) = source.length().checked_sub(SECTOR) else {
        return Ok(None);
    };
    let mut bytes = [0; 512];
    source.read(at, &mut bytes)?;
    Ok(Some(bytes))
}

/// The size of the disk is said twice, and not in the same way. The first programs made the disk
/// as large as its geometry, and the field larger; all others mean the field, and so do these once
/// the geometry is at its limit. As QEMU has it since version 10.
fn size(bytes: &[u8; 512]) -> Result<u64> {
    let field = be64(bytes, 48);
    let tracks = u64::from(be32(bytes, 56) >> 16) * u64::from(bytes[58]);
    let geometry = tracks * u64::from(bytes[59]) * SECTOR;
    let creator = &bytes[28..32];
    let is_old = creator == b"vpc " || creator == b"qemu";
    let size = if is_old && geometry != MAX_GEOMETRY {
        geometry
    } else {
        field
    };
    if !field.is_multiple_of(SECTOR) || size > field || field > MAX_SIZE {
        return Err(refuse(format!(
            "a disk of {size} bytes by its geometry, and of {field} by its footer"
        )));
    }
    Ok(size)
}

const MAGIC: &[u8] = b"conectix";
const VERSION: u32 = 0x0001_0000;
const CHECKSUM: usize = 64;
const SECTOR: u64 = 512;
/// 65535 cylinders, 16 heads, 255 sectors.
const MAX_GEOMETRY: u64 = 65_535 * 16 * 255 * SECTOR;
/// What the format can have: 2040 GiB.
const MAX_SIZE: u64 = 0xff00_0000 * SECTOR;
