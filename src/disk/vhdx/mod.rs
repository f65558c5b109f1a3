//! VHDX: headers, regions, metadata, and a table of blocks (Microsoft, MS-VHDX). All numbers are
//! little-endian.

mod crc;
mod header;
mod map;
mod metadata;

pub(super) use self::map::Map;
