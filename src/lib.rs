//! Cargo.lock for operating-system images: a pinned name becomes verified bytes.
//!
//! A catalog of dated upstream snapshots (URL, SHA-256, size) is compiled into a static table.
//! A small blocking runtime turns a name into a verified path in a cache: from upstream, from
//! mirrors, from a file; the hash decides, a URL is only a hint.
//!
//! The library prints nothing and reads no environment variable. `ARCHITECTURE.md` has the map of
//! the rooms.

#[cfg(feature = "unpack")]
pub mod archive;
#[cfg(feature = "fetch")]
pub mod audit;
pub mod base;
#[cfg(feature = "fetch")]
pub mod cache;
pub mod catalog;
#[cfg(feature = "disk")]
pub mod disk;
pub mod error;
pub mod event;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(feature = "fsimg")]
pub mod fsimg;
#[cfg(any(feature = "fetch", feature = "unpack"))]
pub mod io;
#[cfg(feature = "mirror")]
pub mod mirror;
#[cfg(feature = "fetch")]
pub mod net;
#[cfg(feature = "fetch")]
pub mod oci;
#[cfg(all(feature = "fetch", feature = "unpack"))]
pub mod rootfs;
#[cfg(feature = "simplestreams")]
pub mod simplestreams;
#[cfg(any(feature = "disk", feature = "fetch", feature = "unpack"))]
#[doc(hidden)]
pub mod sys;
#[cfg(feature = "unpack")]
pub mod tree;

pub use base::{Arch, Digest, ImageName, Snapshot, Url};
pub use catalog::Catalog;
pub use error::{Error, Kind, Result};

/// The README's example compiles.
#[cfg(all(doctest, feature = "fetch"))]
#[doc = include_str!("../README.md")]
struct Readme;
