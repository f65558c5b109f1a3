//! The product version that a pin becomes.

use super::place::Place;
use super::serial::Serial;
use crate::base::{Arch, Timestamp};
use crate::catalog::{Image, Pin};
use crate::error::Result;

/// One build of one product, and its directory: `images/<os>/<release>/<arch>/<variant>/<serial>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) os: String,
    pub(super) release: String,
    pub(super) arch: Arch,
    pub(super) variant: String,
    pub(super) serial: Serial,
    pub(super) folder: Place,
}

impl Version {
    /// The version that an upstream path already is, for this architecture.
    pub(super) fn of_place(place: &Place, arch: Arch) -> Option<Self> {
        let parts: Vec<&str> = place.as_str().split('/').collect();
        let [IMAGES, os, release, said, variant, serial, file] = parts[..] else {
            return None;
        };
        if said != arch.as_str() || !ROOTS.contains(&file) {
            return None;
        }
        Some(Self {
            os: os.to_owned(),
            release: release.to_owned(),
            arch,
            variant: variant.to_owned(),
            serial: Serial::parse(serial)?,
            folder: Place::parse(place.split().0).ok()?,
        })
    }

    /// The version that a pin becomes in the words of its catalog.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::Kind::Format) if the words make no path.
    pub(super) fn of_pin(image: &Image, pin: &Pin, serial: Serial) -> Result<Self> {
        let (os, release) = (&image.distro, &image.version);
        let variant = image.variant.as_deref().unwrap_or(DEFAULT);
        let arch = pin.arch;
        let word = word(arch);
        let folder = format!("{IMAGES}/{os}/{release}/{word}/{variant}/{serial}");
        Ok(Self {
            os: os.to_string(),
            release: release.to_string(),
            arch,
            variant: variant.to_owned(),
            serial,
            folder: Place::parse(&folder)?,
        })
    }

    /// The name by which Incus finds it on machines of its architecture: `alpine/3.21`,
    /// `alpine/3.21/minirootfs`.
    pub(super) fn alias(&self) -> String {
        let (os, release) = (&self.os, &self.release);
        if self.variant == DEFAULT {
            format!("{os}/{release}")
        } else {
            format!("{os}/{release}/{}", self.variant)
        }
    }

    /// The moment that its serial names.
    pub(super) fn time(&self) -> Timestamp {
        self.serial.time()
    }
}

/// What Incus calls an architecture: as Debian does, which has no word for one of them.
pub(super) const fn word(arch: Arch) -> &'static str {
    match arch {
        Arch::Armv6 => arch.uname(),
        arch => arch.as_str(),
    }
}

/// Where all versions are.
const IMAGES: &str = "images";

/// The variant of what has none.
const DEFAULT: &str = "default";

/// The names under which a publisher looks for the root of an image.
const ROOTS: [&str; 11] = [
    "rootfs.tar.xz",
    "rootfs.tar.gz",
    "rootfs.tar.zst",
    "rootfs.tar.bz2",
    "root.tar.xz",
    "root.tar.gz",
    "root.tar.zst",
    "root.tar.bz2",
    "rootfs.squashfs",
    "root.squashfs",
    "disk.qcow2",
];
