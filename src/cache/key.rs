//! What an entry is called.

use crate::base::{Digest, ImageName, Url, safe_file_name};
use crate::catalog::Pin;

/// Which bytes, and under which name they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The image, or the address for bytes that are the caller's own business.
    pub image: String,
    /// Debian's name of the architecture; `any` for the caller's own bytes.
    pub arch: String,
    /// Upstream's serial.
    pub snapshot: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Size of the file in bytes, if known.
    pub size: Option<u64>,
    /// Base name of the file.
    pub file: String,
    folder: String,
}

impl Key {
    /// The key of a pin; `None` for a container image, whose digest names a manifest and not a file.
    pub fn pinned(image: &ImageName, pin: &Pin) -> Option<Self> {
        let Pin {
            arch,
            snapshot,
            sha256,
            size,
            ..
        } = pin;
        Some(Self {
            image: image.to_string(),
            arch: arch.to_string(),
            snapshot: snapshot.to_string(),
            sha256: *sha256,
            size: *size,
            file: file_name(pin.address.url()?),
            folder: format!("{image}/{arch}/{}-{}", snapshot.stamp(), sha256.short()),
        })
    }

    /// The key of bytes whose hash the caller knows, wherever they come from.
    pub fn by_hash(url: &Url, sha256: Digest, size: Option<u64>) -> Self {
        Self {
            image: url.to_string(),
            arch: "any".to_owned(),
            snapshot: sha256.short(),
            sha256,
            size,
            file: file_name(url),
            // An underscore, which no image name starts with.
            folder: format!("{BY_HASH}/any/url-{}", sha256.short()),
        }
    }

    /// The entry's directory, below `images/`.
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

fn file_name(url: &Url) -> String {
    let name = safe_file_name(&url.file_name());
    // The two names that an entry has for itself.
    if name == "entry.json" || name == "prepared" {
        format!("-{name}")
    } else {
        name
    }
}

/// Where bytes are kept that no image of a catalog stands for.
pub(super) const BY_HASH: &str = "_url";

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::base::Arch;
    use crate::catalog::Address;

    #[test]
    fn a_folder_tells_snapshot_and_hash() {
        let url: Url = "https://h/20260128_13:00/rootfs.tar.xz".parse().unwrap();
        let digest = Digest::from_bytes([0xab; 32]);
        let pin = Pin {
            arch: Arch::Amd64,
            snapshot: "20260128_13:00".parse().unwrap(),
            address: Address::Url(url),
            alternates: Cow::Borrowed(&[]),
            sha256: digest,
            size: Some(1),
            bumped_at: None,
        };
        let key = Key::pinned(&"alpine-3.21".parse().unwrap(), &pin).unwrap();
        assert_eq!(key.folder(), "alpine-3.21/amd64/20260128_1300-abababababab");
        assert_eq!(key.file, "rootfs.tar.xz");
        let own: Url = "https://h/%2e%2e%2fentry.json".parse().unwrap();
        assert_eq!(Key::by_hash(&own, digest, None).file, "-.-entry.json");
        let own: Url = "https://h/entry.json".parse().unwrap();
        assert_eq!(Key::by_hash(&own, digest, None).file, "-entry.json");
    }
}
