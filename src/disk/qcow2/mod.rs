//! qcow2, versions 2 and 3: a disk as two levels of tables (QEMU, `docs/interop/qcow2.rst`).

mod entry;
mod header;
mod map;

pub(super) use self::map::Map;
