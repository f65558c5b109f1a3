//! The short pipelines: a verified file, or any archive, becomes a directory; a disk image becomes
//! a raw disk.
//!
//! Nothing is decided here that a lower room could decide: an archive is decoded and read by
//! `archive`, on a thread of its own, while `tree` writes; what was verified is kept by `cache`.
//!
//! A [`Source`] is whatever somebody names: an archive, a directory, an image in any of its shapes.
//! It becomes a directory, a tar or an archive of an image, each of which has its name when it is
//! whole. Only the archive of a tree is unpacked as it comes; of all others there is a tree in memory
//! first, whose contents stay where they are.
//!
//! **Verified first, then unpacked.** An [`Entry`](crate::cache::Entry) was read and hashed to its
//! last byte before anything in it is parsed, so that an xz stream's own checks need not be
//! computed again. Of any other file they are.
//!
//! **Prepared trees** lie beside the verified file, under `prepared/<form>-<recipe>`: the number of
//! the recipe, and what differs by who unpacked. Such a name means a whole tree; what could not be
//! kept is in a `.json` beside it. They can be made again at any time, and are removed with their
//! entry.

mod convert;
#[cfg(feature = "disk")]
mod disk;
#[cfg(feature = "fsimg")]
mod fsimage;
#[cfg(feature = "fsimg")]
mod imageprepared;
#[cfg(any(feature = "disk", feature = "fsimg"))]
mod kept;
#[cfg(feature = "fsimg")]
mod layered;
mod prepare;
#[cfg(feature = "disk")]
mod raw;
#[cfg(feature = "fsimg")]
mod shelf;
mod source;
mod unpack;

#[cfg(feature = "disk")]
pub use self::disk::{DiskFile, Growth, LocalDisk};
#[cfg(feature = "fsimg")]
pub use self::fsimage::{FileSystem, Imaged, Imaging};
#[cfg(feature = "fsimg")]
pub use self::imageprepared::{ImageRecipe, PreparedImage};
pub use self::prepare::{Prepared, Recipe};
#[cfg(feature = "disk")]
pub use self::raw::{DiskRecipe, PreparedDisk};
#[cfg(feature = "fsimg")]
pub use self::shelf::{LayerImage, Shelf};
pub use self::source::{Opening, Shape, Source, Spelled};
pub use self::unpack::{Unpacker, format_of, unpack};
