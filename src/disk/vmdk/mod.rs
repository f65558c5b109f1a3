//! VMDK: grains and two levels of tables, or a text that names files (VMware, "Virtual Disk
//! Format 5.0"). All numbers are little-endian, and most count sectors.

mod descriptor;
mod flat;
mod header;
mod map;

pub(super) use self::flat::{Flat, is_text};
pub(super) use self::map::Map;
