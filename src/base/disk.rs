//! Formats of disk images.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};

/// How a disk image keeps the content of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskFormat {
    /// As it is: byte for byte.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
    /// VMware's, one of its kinds.
    Vmdk,
    /// Connectix' and Microsoft's older one.
    Vhd,
    /// Microsoft's newer one.
    Vhdx,
}

impl DiskFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vhd, Self::Vhdx];

    /// The word for it: `raw`, `qcow2`, `vmdk`, `vhd`, `vhdx`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
        }
    }

    /// What a file name declares by its last extension, or by the one before that of a
    /// compression. `.img` declares nothing: half of the world means raw by it, and the other half
    /// qcow2.
    ///
    /// ```
    /// use distro_fetch::base::DiskFormat;
    /// assert_eq!(DiskFormat::of_file_name("a.QCOW2"), Some(DiskFormat::Qcow2));
    /// assert_eq!(DiskFormat::of_file_name("a.raw.xz"), Some(DiskFormat::Raw));
    /// assert_eq!(DiskFormat::of_file_name("noble-server-cloudimg-amd64.img"), None);
    /// ```
    pub fn of_file_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let packed = [".gz", ".xz", ".zst", ".bz2"];
        let name = packed
            .into_iter()
            .find_map(|it| name.strip_suffix(it))
            .unwrap_or(&name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "raw" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2),
            "vmdk" => Some(Self::Vmdk),
            "vhd" | "vpc" => Some(Self::Vhd),
            "vhdx" => Some(Self::Vhdx),
            _ => None,
        }
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DiskFormat {
    type Err = Error;

    /// Reads the word.
    ///
    /// # Errors
    /// [`Kind::Format`] with the words that there are.
    fn from_str(word: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|it| it.as_str() == word);
        named.ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            let message = format!("unknown disk format {word:?}: there are {words}");
            Error::new(Kind::Format, message)
        })
    }
}
