//! Where a file lies below the root of a mirror.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::{Url, decode_percent};
use crate::error::{Error, Kind, Result};
use crate::simplestreams::relative_path;

/// A path below the root of a mirror: plain names, joined by slashes, none of them hidden, empty or
/// a step up.
///
/// It is made of what a catalog says, and a catalog may mean harm: whatever could lead elsewhere,
/// could be read as two paths, or would take a name of the mirror's own is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String);

impl Place {
    /// Where the file of this address goes: at its path, so that a client that puts the path behind
    /// the mirror's own address finds it.
    ///
    /// # Errors
    /// [`Kind::Format`] if no mirror can have a file there.
    pub(super) fn of_url(url: &Url) -> Result<Self> {
        let path = url.path();
        let place = Self::parse(path.strip_prefix('/').unwrap_or(path))?;
        let refuse = |why: &str| {
            Err(Error::new(
                Kind::Format,
                format!("the path {path:?}: {why}"),
            ))
        };
        let (folder, name) = place.split();
        let first = place.0.split('/').next().unwrap_or_default();
        if OURS.iter().any(|ours| first.eq_ignore_ascii_case(ours)) {
            return refuse("a name that the mirror has for itself");
        }
        if folder.starts_with("images/") && is_made(name) {
            return refuse("a name of files that are made for the index");
        }
        Ok(place)
    }

    /// A path in the words of a URL.
    ///
    /// # Errors
    /// As [`of_url`](Self::of_url).
    pub(super) fn parse(path: &str) -> Result<Self> {
        let encoded = relative_path(path)?;
        let refuse = |why: &str| Error::new(Kind::Format, format!("the path {path:?}: {why}"));
        let plain = String::from_utf8(decode_percent(&encoded)).map_err(|_| refuse("not UTF-8"))?;
        if plain.contains('%') {
            return Err(refuse("an escape within an escape"));
        }
        for name in plain.split('/') {
            if name.starts_with('.') {
                return Err(refuse("a hidden name"));
            }
            if name.len() > MAX_NAME {
                return Err(refuse("a name of more than 200 bytes"));
            }
        }
        Ok(Self(plain))
    }

    /// The same with a name behind it, which is one of ours.
    pub(super) fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// As it stands on disk, below the root.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// On disk.
    pub(super) fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The directory that it is in, empty for the root, and its name.
    pub(super) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// Every directory above it, the root left out, the nearest first.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a file of this name stands beside an image because a mirror or a publisher made it.
fn is_made(name: &str) -> bool {
    [METADATA, "lxd.tar.xz", SUMS]
        .iter()
        .any(|made| name.eq_ignore_ascii_case(made))
}

/// What makes a root file system an image of Incus.
pub(super) const METADATA: &str = "incus.tar.xz";

/// The hashes of a directory, as coreutils have them.
pub(super) const SUMS: &str = "SHA256SUMS";

/// The page for people.
pub(super) const PAGE: &str = "index.html";

/// Files by their hashes.
pub(super) const BLOBS: &str = "blobs/sha256";

/// The OCI image layout.
pub(super) const CONTAINERS: &str = "oci";

/// The first names of all that is not at an upstream path.
const OURS: [&str; 4] = ["blobs", CONTAINERS, "streams", PAGE];

/// Leaves room for what drafts of a file add to its name.
const MAX_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_mirror_and_out_of_its_own_rooms() {
        for (path, expect) in [
            (
                "images/a/1/amd64/default/20260128_13%3A00/rootfs.tar.xz",
                Some("images/a/1/amd64/default/20260128_13:00/rootfs.tar.xz"),
            ),
            (
                "alpine/v3.20/x.tar.gz?token=1",
                Some("alpine/v3.20/x.tar.gz"),
            ),
            ("with%20space/x", Some("with space/x")),
            ("streamsx/x", Some("streamsx/x")),
            ("SHA256SUMS", Some("SHA256SUMS")),
            ("", None),
            ("/etc/passwd", None),
            ("a/../../x", None),
            ("a/%2e%2e/x", None),
            ("a/%2E%2E/x", None),
            ("a/..%2fx", None),
            ("a%252e/x", None),
            ("a%5cx", None),
            ("a%00x", None),
            ("a%25x", None),
            ("a/", None),
            ("a//b", None),
            (".distro-fetch/mirror.json", None),
            ("a/.htaccess", None),
            ("streams/v1/index.json", None),
            ("STREAMS/v1/index.json", None),
            ("blobs/sha256/x", None),
            ("oci/index.json", None),
            ("index.html", None),
            ("Index.HTML", None),
            ("images/a/1/amd64/default/20260128_13:00/incus.tar.xz", None),
            ("images/a/1/amd64/default/20260128_13:00/SHA256SUMS", None),
        ] {
            let url: Url = format!("https://h/{path}").parse().unwrap();
            let place = Place::of_url(&url).ok();
            assert_eq!(place.as_ref().map(Place::as_str), expect, "{path:?}");
        }
        let long = format!("https://h/{}", "x".repeat(201));
        assert!(Place::of_url(&long.parse().unwrap()).is_err());
    }

    #[test]
    fn the_way_down_is_told_from_its_end() {
        let place = Place::parse("a/b/c").unwrap();
        assert_eq!(place.folders().collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(place.split(), ("a/b", "c"));
    }
}
