//! Disk images: what is on the disk that a file describes, and how it becomes a raw file.
//!
//! A [`Disk`] is a map: [`Extent`]s of zeros, of data that stands in the file as it is, and of
//! compressed clusters. It is read strictly, and whole, before anything is written: whatever does
//! not add up is refused ([`Kind::Format`](crate::error::Kind::Format)) with the reason.
//! [`convert`] decodes on several threads into a new sparse file; [`copy_disk`] makes an
//! independent copy of a raw one, larger if asked.
//!
//! # What is read
//!
//! | format | of it |
//! |---|---|
//! | raw | all |
//! | qcow2 | versions 2 and 3; zlib and zstd; extended second tables |
//! | VMDK | monolithicSparse, streamOptimized, monolithicFlat, twoGbMaxExtentFlat |
//! | VHD | fixed and dynamic |
//! | VHDX | fixed and dynamic, with an empty log |
//!
//! Disks have the size that QEMU gives them. Of a VHD that its oldest programs made, or an old
//! QEMU, that is the geometry; of all others what the footer says.
//!
//! # What is refused
//!
//! - **Anything that would have us open something else.** An image can name a backing file, a
//!   parent, or an external data file, by path, URL or JSON. No such name is ever used, nor even
//!   read; an image that is only a difference is refused. The only names that are followed are
//!   those of the flat extents of a VMDK descriptor: plain names in its own directory, of regular
//!   files, never through a link, and only if that directory is known ([`Disk::open`],
//!   [`Disk::from_file_in`]).
//! - **A format that was guessed.** The caller says what a file is; its first bytes must agree. A
//!   raw disk may hold anything, other formats' magic too: whoever controls its first sector does
//!   not get to choose how it is read.
//! - **Tables that lie**: outside of the file, unaligned, on top of each other or of the header, of
//!   another size than the disk needs; reserved bits; more data than the file has; compressed
//!   clusters that are not exactly one cluster; files that were cut off; wrong checksums. Where
//!   readers are known to see different disks, as in a VHD whose bitmap says of what is there that
//!   it is not, nobody is believed.
//! - **What needs a key or a repair**: encryption, images that are marked corrupt, a VMDK that was
//!   not closed, a VHDX whose log was not replayed. A qcow2 that is marked dirty is read: only its
//!   reference counts may be wrong, and these are not needed. Internal snapshots are not looked
//!   at: the disk is the active one.
//!
//! # Memory
//!
//! A table of addresses for the first level (at most 32 MiB, as qemu has it; two kilobytes for a
//! disk of 100 GB), one table of the second, and for each of at most twelve threads the input and
//! output of a cluster. The tables of VHD and VHDX, which have one level, are read in pieces of
//! 64 KiB.

mod convert;
mod copy;
mod decode;
mod extent;
mod gpt;
mod image;
mod qcow2;
mod source;
mod sparse;
mod table;
mod vhd;
mod vhdx;
mod vmdk;
mod worker;

pub use self::convert::{Converter, convert};
pub use self::copy::{CopyOptions, copy_disk};
pub use self::extent::{Extent, Place, Survey};
pub use self::gpt::{Gpt, fit_gpt};
pub use self::image::Disk;
pub use self::sparse::SparseWriter;
pub use crate::base::DiskFormat;
