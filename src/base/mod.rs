//! The words of the project as types: parse, don't validate.
//!
//! Strings stop here. A [`Digest`] is 32 bytes, a [`Snapshot`] can always be made into a safe
//! file name, a [`Url`] has no user information that could leak into a log. Everything in this
//! room is a plain value: no I/O, no clock.
//!
//! The room is compiled twice: into the library, and into `build.rs`, which must judge the
//! catalog with the same eyes as the runtime.

mod arch;
mod date;
mod digest;
mod disk;
mod hex;
mod name;
mod size;
mod snapshot;
mod url;

pub use self::arch::Arch;
pub use self::date::{Date, Timestamp, parse_http_date};
pub use self::digest::Digest;
pub use self::disk::DiskFormat;
pub use self::hex::decode_hex;
pub use self::name::{ImageName, safe_file_name};
pub use self::size::{HumanBytes, parse_bytes};
pub use self::snapshot::{Snapshot, natural_order};
pub use self::url::{Scheme, Url, decode_percent, encode_path};
