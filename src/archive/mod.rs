//! Archives: compressed streams and the entries of a tar within.
//!
//! Two duties, one after the other, and a third one for the way back: a [`Packer`] writes a tar.
//! [`Decoder`] turns a stream in a declared format into bytes,
//! strictly: every member, every frame, every check, nothing behind the end. [`Reader`] turns tar
//! bytes into [`Entry`]s: every dialect, one name per entry, or a refusal. Nothing here knows the
//! file system; names are bytes as they stand in the archive, not yet paths to be trusted.
//!
//! # What is refused
//!
//! An archive that two programs read differently holds whatever its maker wants each of them to
//! see, so ambiguity is an error ([`Kind::Format`](crate::error::Kind::Format)) and never a guess:
//!
//! - two systems for one thing: a POSIX name and a GNU one, an extended header before another, a
//!   record twice, an attribute with two values;
//! - a name, size, link text or attribute for all entries that follow, and a header for all
//!   between an entry and what was said of it;
//! - records whose lengths do not end at a newline, numbers with signs, NULs in names, bytes behind
//!   the NUL of a name field, a prefix in a header that has no room for one;
//! - negative sizes and those of more than 63 bits, wrong checksums, unknown types, data behind
//!   what is no file;
//! - sparse maps out of order, beyond their file, of another length than the data, or with pieces
//!   that do not fill their blocks;
//! - an end without an end marker (unless [`End::Anywhere`]), a lone block of zeros before anything else, an archive without
//!   entries (unless [`Empty::Allow`]); what is behind the marker is nobody's, but is read to the
//!   end of the stream, for the sake of its checks.
//!
//! Names that are not UTF-8 or hold control characters are kept to the byte; messages escape them.
//! A trailing slash makes a directory of a file. Hard and symbolic links, devices and directories
//! have no data. Owners are numbers. ACLs become the attributes in which Linux keeps them.
//!
//! # Memory
//!
//! What is only claimed is not allocated. A reader holds 128 KiB and the headers of one entry; a
//! decoder 128 KiB, the dictionary or window of its stream, and a mebibyte of blocks if it has a
//! thread of its own. xz streams in blocks that say their sizes are decoded on several threads in
//! at most 192 MiB.

mod acl;
mod block;
mod codec;
mod decode;
mod entry;
mod header;
mod input;
mod packer;
mod pax;
mod reader;
mod sparse;
mod thread;
mod xattr;
mod xz;

pub use self::decode::{Checks, Decoder, Format};
pub use self::entry::{Device, Entry, Extent, Kind, Limits, Time};
pub use self::input::error_of;
pub use self::packer::Packer;
pub use self::reader::{Empty, End, Entries, Reader};
pub use self::thread::Threaded;
pub use self::xz::pack_xz;
