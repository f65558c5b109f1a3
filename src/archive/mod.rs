//! Archives: compressed streams and the entries of a tar within.
//!
//! Two duties, one after the other. [`Decoder`] turns a stream in a declared format
//! into bytes, strictly: every member, every frame, every check, nothing behind the end. [`Reader`]
//! turns tar bytes into [`Entry`]s: every dialect, one name per entry, or a refusal. Nothing here
//! knows the file system; names are bytes as they stand in the archive, not yet paths to be
//! trusted.

mod acl;
mod block;
mod codec;
mod decode;
mod entry;
mod header;
mod input;
mod pax;
mod reader;
mod sparse;
mod thread;
mod xattr;
mod xz;

pub use self::decode::{Checks, Decoder, Format};
pub use self::entry::{Device, Entry, Extent, Kind, Limits, Time};
pub use self::input::error_of;
pub use self::reader::{Empty, Entries, Reader};
pub use self::thread::Threaded;
