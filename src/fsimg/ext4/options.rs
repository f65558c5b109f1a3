//! What a caller may choose, and what comes of it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::fsimg::Uuid;
use crate::tree::Report;

/// How an image is made. The default is the smallest one with a tenth to spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the image, a multiple of 4096; `None` is the smallest that holds the tree, and a
    /// tenth more.
    pub size: Option<u64>,
    /// What the file system is called: at most 16 bytes.
    pub label: String,
    /// What it is told apart by. Without one it is made of the tree's metadata.
    pub uuid: Option<Uuid>,
    /// One inode for so many bytes of the image, as far as there is room beside the tree. There
    /// are never less than the tree needs, and a tenth more if there is room.
    pub inode_ratio: u64,
    /// Blocks that only root may use.
    pub reserved: Reserved,
    /// Whether there is a journal. It takes at least 4 MiB.
    pub journal: bool,
    /// When the image was made, in seconds since 1970; `None` is the newest time in the
    /// tree before 2038.
    pub epoch: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: None,
            label: String::new(),
            uuid: None,
            inode_ratio: 16_384,
            reserved: Reserved::Percent(0),
            journal: false,
            epoch: None,
        }
    }
}

/// How much is for root alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// So many hundredths of all blocks, at most 50.
    Percent(u8),
    /// So many blocks of 4 KiB, at most half of them.
    Blocks(u64),
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Blocks(blocks) => write!(f, "{blocks}"),
        }
    }
}

impl FromStr for Reserved {
    type Err = Error;

    /// `5%`, or a number of blocks.
    ///
    /// # Errors
    /// [`Kind::Format`].
    fn from_str(text: &str) -> Result<Self> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => text.parse().ok().map(Self::Blocks),
        };
        parsed.ok_or_else(|| {
            let message = format!("{text:?}: a percentage as in 5%, or a number of blocks");
            Error::new(Kind::Format, message)
        })
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the image.
    pub size: u64,
    /// What it is told apart by.
    pub uuid: Uuid,
    /// Bytes that are not free, those of the file system itself included.
    pub used: u64,
    /// Inodes there are.
    pub inodes: u64,
    /// Those that are not used.
    pub free_inodes: u64,
    /// What of the tree could not be kept: attributes of name spaces that ext4 does not know, and
    /// times before 1901 or after 2446.
    pub report: Report,
}
