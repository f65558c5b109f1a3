//! EROFS: the file system of the Linux kernel for images that nobody writes to.
//!
//! ```
//! use distro_fetch::archive::{Empty, Limits, Packer, Reader};
//! use distro_fetch::event::Silent;
//! use distro_fetch::fsimg::erofs;
//! use distro_fetch::tree::{Dialect, Keep, Layer, Spool};
//!
//! # let folder = std::env::temp_dir();
//! let tar = Packer::new(Vec::new()).finish()?;
//! let limits = Limits::default();
//! let reader = Reader::new(tar.as_slice(), limits).with_empty(Empty::Allow);
//! let spool = Keep::Spool(Spool::create(&folder)?);
//! let (layer, _) = Layer::read(reader, Dialect::Plain, spool, limits, || Ok(()))?;
//! let tree = layer.into_tree().unwrap();
//!
//! let image = distro_fetch::sys::unnamed_file(&folder)?;
//! let summary = erofs::write(&tree, &image, &erofs::Options::default(), &Silent, "empty")?;
//! assert_eq!(summary.inodes, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is written
//!
//! Blocks of 4 KiB: the superblock with its checksum, then, from the next block on, all inodes,
//! attributes that several of them have, directories, and last the content of files, each from a
//! block of its own on. Things of one directory are together, in the order of their names. An
//! inode is compact where what is to be said fits: the superblock has the time that most things
//! have, so that most inodes need not say it.
//!
//! The end of a directory, and the text of a link, lie behind their inodes where there is room.
//! So do files of less than a block ([`Small::Inline`]): kernels and `fsck.erofs` have always read
//! that, an image of many small files becomes smaller by half of each, and a small file costs one
//! read instead of two. Larger files are not cut in two for the sake of their last piece: all of
//! such a file can be mapped, shared and copied in whole blocks, and inodes stay close together.
//! Layers of a layered image have no such files, since other images could not point at them.
//!
//! A file with holes that are worth it is in chunks; those without data are nowhere. Nothing is
//! compressed: kernels take compressed images for what they are, but a well-kept encoder of
//! EROFS's fixed-size output in this language does not exist yet.
//!
//! # Layered images
//!
//! One image for each layer ([`Image::of_layer`]), which depends on nothing but the layer and can
//! be shared between images; one of the merged tree that has no content but says which block of
//! which layer has it ([`Image::of_layers`]); and a [descriptor](super::vmdk) that makes one disk
//! of them. The kernel mounts their concatenation.
//!
//! # Reading
//!
//! [`Reader`] takes what is written here, and nothing else: superblocks without a right checksum,
//! features and fields that we do not use, numbers and names in another order are refused, as are
//! directories with two parents and contents outside of the image. Nothing is allocated because an
//! image says so.

mod chunk;
mod dir;
mod format;
mod home;
mod inode;
mod input;
mod layered;
mod lookup;
mod out;
mod plan;
mod reader;
mod walk;
mod writer;
mod xattr;

use std::fs::File;

pub use self::layered::{Image, Layered, Placement, layered, layered_with};
pub use self::reader::Reader;
use crate::archive::Time;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::fsimg::Uuid;
use crate::tree::Tree;

/// What an image is like, beside its tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The name of the volume: at most 16 bytes.
    pub volume: String,
    /// Its UUID. Without one it is made of the tree's metadata.
    pub uuid: Option<Uuid>,
    /// The time in the superblock. Without one it is that which most things have. Things keep their
    /// own times in any case.
    pub epoch: Option<Time>,
    /// Where small files are.
    pub small: Small,
}

/// Where files of less than a block are in a flat image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Small {
    /// Behind their inodes, where there is room.
    #[default]
    Inline,
    /// In blocks of their own, as larger ones: for guests that map the image into their memory
    /// (`-o dax`), which maps whole blocks only.
    Blocks,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Bytes of the image.
    pub bytes: u64,
    /// Things in it.
    pub inodes: u64,
    /// Bytes of content that were copied.
    pub copied: u64,
    /// The UUID that it has.
    pub uuid: Uuid,
    /// Attributes of things that EROFS cannot say: `system.nfs4_acl` and the like.
    pub xattrs_left_out: u64,
}

impl Options {
    fn volume_bytes(&self) -> Result<[u8; 16]> {
        let mut bytes = [0; 16];
        let name = self.volume.as_bytes();
        if name.len() > bytes.len() || name.contains(&0) {
            let message = format!(
                "{:?} cannot be the name of a volume: at most 16 bytes, none of them NUL",
                self.volume
            );
            return Err(Error::new(Kind::Other, message));
        }
        bytes[..name.len()].copy_from_slice(name);
        Ok(bytes)
    }
}

/// Writes a tree as a flat image into an open file, in the place of what was in it.
///
/// # Errors
/// [`Kind::Format`] for what EROFS cannot say; [`Kind::Other`] if an option is none;
/// [`Kind::Local`] if a content cannot be read or the image not be written; [`Kind::Cancelled`].
pub fn write(
    tree: &Tree,
    output: &File,
    options: &Options,
    observer: &dyn Observer,
    subject: &str,
) -> Result<Summary> {
    Image::flat(tree, options)?.write(output, observer, subject)
}
