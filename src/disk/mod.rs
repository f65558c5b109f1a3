//! Disk images: what is on the disk that a file describes, and how it becomes a raw file.
//!
//! A [`Disk`] is a map: [`Extent`]s of zeros, of data that stands in the file as it is, and of
//! compressed clusters. It is read strictly, and whole, before anything is written: whatever does
//! not add up is refused ([`Kind::Format`](crate::error::Kind::Format)) with the reason.
//! [`convert`] decodes on several threads into a new sparse file; [`copy_disk`] makes an
//! independent copy of a raw one, larger if asked.
//!
//! # What is refused
//!
//! - **Anything that would have us open something else.** The header of a qcow2 image can name a
//!   backing file or an external data file, by path, URL or JSON. No such name is ever used, nor
//!   even read.
//! - **A format that was guessed.** The caller says what a file is; its first bytes must agree. A
//!   raw disk may hold anything, other formats' magic too: whoever controls its first sector does
//!   not get to choose how it is read.
//! - **Tables that lie**: outside of the file, unaligned, on top of each other or of the header, of
//!   another size than the disk needs; reserved bits; more data than the file has; compressed
//!   clusters that are not exactly one cluster; files that were cut off.
//! - **What needs a key or a repair**: encryption, and images that are marked corrupt. One that is
//!   marked dirty is read: only its reference counts may be wrong, and these are not needed.
//!   Internal snapshots are not looked at: the disk is the active one.
//!
//! # Memory
//!
//! A table of addresses for the first level (at most 32 MiB, as qemu has it; two kilobytes for a
//! disk of 100 GB), one table of the second, and for each of at most twelve threads the input and
//! output of a cluster.

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
