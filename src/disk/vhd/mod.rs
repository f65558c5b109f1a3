//! VHD: a disk as it is with a footer behind it, or blocks and a table of them (Microsoft,
//! "Virtual Hard Disk Image Format Specification", 2006). All numbers are big-endian.

mod footer;
mod map;

pub(super) use self::footer::{Footer, has_footer};
pub(super) use self::map::Map;
