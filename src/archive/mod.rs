//! Archives: compressed streams and the entries of a tar within.
//!
//! Two duties, one after the other. [`decode`](mod@decode) turns a stream in a declared format
//! into bytes, strictly: every member, every frame, every check, nothing behind the end. [`Reader`]
//! turns tar bytes into [`Entry`]s: every dialect, one name per entry, or a refusal. Nothing here
//! knows the file system; names are bytes as they stand in the archive, not yet paths to be
//! trusted.

pub mod decode;
mod entry;
mod reader;

pub use self::decode::{Decoder, Format};
pub use self::entry::{Device, Entry, Extent, Kind, Limits, Time};
pub use self::reader::Reader;
