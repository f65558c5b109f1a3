//! Schema 1 of `catalog.json`: the types, the reader that judges, the canonical writer.
//!
//! This file (with the folder beside it) is compiled three times: into the library, into
//! `build.rs` by `#[path]`, and through the library into the refresher. A rule about catalogs is
//! written here or nowhere.

// Spelt out, because `build.rs` comes here by `#[path]` and would look elsewhere.
#[path = "schema/node.rs"]
mod node;
#[path = "schema/read.rs"]
mod read;
#[path = "schema/write.rs"]
mod write;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::base::{Arch, Date, Digest, DiskFormat, ImageName, Snapshot, Url};
use crate::error::{Error, Kind as ErrorKind};

/// The schema that this program reads and writes.
pub const SCHEMA: u64 = 1;

/// A catalog: where images come from, and which bytes each name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Upstream servers, sorted by name.
    pub origins: Cow<'static, [Origin]>,
    /// Images, sorted by name.
    pub images: Cow<'static, [Image]>,
}

/// An upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the catalog: `linuxcontainers`.
    pub name: Cow<'static, str>,
    /// Base address; it ends in a slash.
    pub url: Url,
    /// How long it keeps a snapshot.
    pub retention: Retention,
    /// Servers with the same layout below their base, sorted by name.
    pub mirrors: Cow<'static, [Mirror]>,
    /// What people call it.
    pub title: Option<Cow<'static, str>>,
}

/// A server that carries the same files as an origin, at the same paths below its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The preset name that `--mirror` takes: `tuna`.
    pub name: Cow<'static, str>,
    /// Base address; it ends in a slash.
    pub url: Url,
}

/// How long an origin keeps a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For good.
    Permanent,
    /// The newest so many builds of each product.
    Builds(u64),
    /// About so many days.
    Days(u64),
}

impl Retention {
    /// For about how many days a snapshot is kept; `None` is for good. Whoever keeps so many
    /// builds makes one a day.
    pub const fn days(self) -> Option<u64> {
        match self {
            Self::Permanent => None,
            Self::Days(days) | Self::Builds(days) => Some(days),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permanent => f.write_str("permanent"),
            Self::Builds(1) => f.write_str("the newest build"),
            Self::Builds(n) => write!(f, "the newest {n} builds"),
            Self::Days(n) => write!(f, "about {n} days"),
        }
    }
}

/// What a pinned file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tarball of a root file system.
    Rootfs,
    /// A disk image, qcow2 or raw.
    Disk,
    /// A container image, pinned by its manifest's digest.
    Oci,
}

impl Kind {
    /// The word of the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rootfs => "rootfs",
            Self::Disk => "disk",
            Self::Oci => "oci",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        one_of(
            text,
            "kind",
            &[Self::Rootfs, Self::Disk, Self::Oci],
            Self::as_str,
        )
    }
}

/// How the refresher finds the newest snapshot of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceType {
    /// `streams/v1` of any simplestreams server.
    Simplestreams,
    /// Alpine's `latest-releases.yaml`.
    AlpineReleases,
    /// Dated directories with a checksum file each.
    Checksums,
    /// A tag of a registry.
    Oci,
    /// Nothing to follow: pinned by review only.
    Fixed,
}

impl SourceType {
    /// The word of the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simplestreams => "simplestreams",
            Self::AlpineReleases => "alpine-releases",
            Self::Checksums => "checksums",
            Self::Oci => "oci",
            Self::Fixed => "fixed",
        }
    }

    /// The fields that a source of this type must have, besides `type`.
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Simplestreams => &["index", "item", "origin", "product"],
            Self::AlpineReleases => &["branch", "flavor", "origin"],
            Self::Checksums => &["directory", "file", "origin", "sums"],
            Self::Oci => &["repository", "tag"],
            Self::Fixed => &["origin"],
        }
    }

    /// The fields that a source of this type may have.
    ///
    /// `signature` is the file beside `sums` with its detached signature (without it, a signed
    /// document signs itself), `point` what a point release begins with, where `{point}` stands
    /// in `directory`, and `alternate` another place of the same file, `ORIGIN:PATH`.
    pub const fn optional_fields(self) -> &'static [&'static str] {
        match self {
            Self::Checksums => &["alternate", "point", "signature"],
            Self::AlpineReleases => &["alternate"],
            Self::Simplestreams | Self::Oci | Self::Fixed => &[],
        }
    }

    /// Whether a field may be another one for an architecture that upstream keeps elsewhere:
    /// `directory@ppc64el`.
    const fn is_by_arch(self) -> bool {
        matches!(
            self,
            Self::Simplestreams | Self::AlpineReleases | Self::Checksums
        )
    }
}

impl FromStr for SourceType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        one_of(
            text,
            "source type",
            &[
                Self::Simplestreams,
                Self::AlpineReleases,
                Self::Checksums,
                Self::Oci,
                Self::Fixed,
            ],
            Self::as_str,
        )
    }
}

/// What the refresher relies on when it reads a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A signature by a pinned key.
    Signature,
    /// The upstream's TLS certificate.
    Https,
}

impl Trust {
    /// The word of the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Https => "https",
        }
    }
}

impl FromStr for Trust {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        one_of(text, "trust", &[Self::Signature, Self::Https], Self::as_str)
    }
}

/// Where the pins of an image come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How to follow it.
    pub kind: SourceType,
    /// The origin it lies on; none for registries.
    pub origin: Option<Cow<'static, str>>,
    /// What the refresher relies on.
    pub trust: Option<Trust>,
    /// The other fields of this type, sorted by name; `FIELD@ARCH` stands for `FIELD` where
    /// that architecture is looked for. Only the refresher needs them: the table that is
    /// compiled into the library leaves them out.
    pub fields: Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>,
}

impl Source {
    /// A field as it is for one architecture.
    pub fn field(&self, name: &str, arch: Arch) -> Option<&str> {
        let value = |wanted: &str| {
            let mut fields = self.fields.iter();
            fields.find_map(|(name, value)| (name == wanted).then_some(&**value))
        };
        value(&format!("{name}@{arch}")).or_else(|| value(name))
    }

    /// The origin of one architecture.
    pub fn origin_of(&self, arch: Arch) -> Option<&str> {
        self.field("origin", arch).or(self.origin.as_deref())
    }

    /// What the refresher relies on for one architecture: `https` where nothing is said.
    pub fn trust_of(&self, arch: Arch) -> Trust {
        let own = self.field("trust", arch).and_then(|it| it.parse().ok());
        own.or(self.trust).unwrap_or(Trust::Https)
    }
}

/// A named thing of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `distro-version[-variant]`.
    pub name: ImageName,
    /// `alpine`.
    pub distro: Cow<'static, str>,
    /// As people say it: `3.21`, `24.04`, `9-stream`.
    pub version: Cow<'static, str>,
    /// What tells it from other images of the same version: `cloud`, `minirootfs`.
    pub variant: Option<Cow<'static, str>>,
    /// Upstream's own word for the version: `noble`.
    pub codename: Option<Cow<'static, str>>,
    /// Whether the bare distro name stands for this image.
    pub default: bool,
    /// What people call it.
    pub title: Option<Cow<'static, str>>,
    /// Whether its only source forgets soon, and that is accepted.
    pub ephemeral: bool,
    /// What the pinned files are.
    pub kind: Kind,
    /// How a disk is kept, where its file's name does not tell: `.img` is anything.
    pub format: Option<DiskFormat>,
    /// Where pins come from. Always there in the embedded catalog; a catalog that nobody
    /// refreshes may leave it out.
    pub source: Option<Source>,
    /// Architectures that upstream builds, sorted by name.
    pub arches: Cow<'static, [Arch]>,
    /// One pin per architecture that is pinned, sorted by name.
    pub pins: Cow<'static, [Pin]>,
}

impl Image {
    /// The other names that this image answers to: `distro-codename[-variant]`.
    pub fn alias(&self) -> Option<String> {
        let codename = self.codename.as_ref()?.to_ascii_lowercase();
        Some(match &self.variant {
            Some(variant) => format!("{}-{codename}-{variant}", self.distro),
            None => format!("{}-{codename}", self.distro),
        })
    }

    /// The pin of one architecture.
    pub fn pin(&self, arch: Arch) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.arch == arch)
    }
}

/// For one image and one architecture: which bytes, and where they were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The architecture.
    pub arch: Arch,
    /// Upstream's dated serial.
    pub snapshot: Snapshot,
    /// Where upstream published the bytes.
    pub address: Address,
    /// Other places with the same bytes.
    pub alternates: Cow<'static, [Url]>,
    /// SHA-256 of the file; of the manifest for [`Kind::Oci`].
    pub sha256: Digest,
    /// Size of the file in bytes, where a source tells it.
    pub size: Option<u64>,
    /// When this pin was last moved.
    pub bumped_at: Option<Date>,
}

/// Where pinned bytes were published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Url(Url),
    /// A repository of a registry, `docker.io/library/alpine`: the digest names the manifest.
    Repository(Cow<'static, str>),
}

impl Address {
    /// The address of a file; `None` for a repository.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Url(url) => Some(url),
            Self::Repository(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Repository(name) => f.pad(name),
        }
    }
}

/// How strictly a catalog is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The catalog of the project: everything that a reviewed table may not hold is refused.
    Embedded,
    /// A catalog that a user names at run time: `http://` and `file://` are allowed, and any
    /// host and path, for the hash decides.
    Overlay,
}

/// Where and why a catalog is refused. It prints as `LINE:COLUMN: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

impl Catalog {
    /// Reads and judges a catalog.
    ///
    /// # Errors
    /// The first [`Fault`] in the order of the file.
    pub fn parse(text: &str, rules: Rules) -> Result<Self, Fault> {
        read::catalog(text, rules)
    }

    /// The canonical form: keys sorted, two spaces, newline at the end, nothing that changes
    /// while the pins do not.
    pub fn to_json(&self) -> String {
        write::catalog(self)
    }
}

fn one_of<T: Copy>(
    text: &str,
    what: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Error> {
    all.iter()
        .copied()
        .find(|item| name(*item) == text)
        .ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|item| name(*item)).collect();
            Error::new(
                ErrorKind::Format,
                format!("unknown {what} {text:?} (one of: {})", names.join(", ")),
            )
        })
}
