//! ext4: written and read.
//!
//! ```no_run
//! use distro_fetch::event::Silent;
//! use distro_fetch::fsimg::ext4::{self, Options};
//! # fn example(tree: &distro_fetch::tree::Tree) -> distro_fetch::Result<()> {
//! let file = std::fs::File::create_new("root.ext4").map_err(|error| {
//!     distro_fetch::Error::local("cannot create", "root.ext4", error)
//! })?;
//! let options = Options {
//!     size: Some(128 << 20),
//!     ..Options::default()
//! };
//! let summary = ext4::write(tree, &file, &options, &Silent, "root")?;
//! assert_eq!(summary.size, 128 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//!
//! Blocks of 4 KiB, inodes of 256 bytes, 32,768 blocks to a group, and the features `ext_attr
//! dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize
//! metadata_csum`; `has_journal` if asked for. `resize_inode` is not there: to grow, kernels and
//! tools use `meta_bg` instead. Sizes whose last group is too small for the copy of the superblock
//! that belongs there have `sparse_super2` in the place of `sparse_super`.
//!
//! Bitmaps and inodes of 16 groups lie together at the start of these. Inodes are numbered in the
//! order of paths, and have their blocks in the same order, without a gap. A directory of more than
//! one block is sorted by hash. Everything has the time of its mtime four times over. Two equal sets
//! of attributes share their block. What was never used (inodes, bitmaps of empty groups) is a hole,
//! and marked as such, so that no kernel has to make it.
//!
//! `lost+found` is there, as `mke2fs` makes it: 16 KiB, mode 0700. A tree may bring its own.

mod dir;
mod extent;
mod format;
mod geometry;
mod groups;
mod hash;
mod image;
mod inode;
mod options;
mod plan;
mod read;
mod superblock;
mod survey;
mod write;
mod xattr;

pub use self::options::{Options, Reserved, Summary};
pub use self::plan::Plan;
pub use self::read::Reader;
pub use self::write::write;
