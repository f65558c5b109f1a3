//! `ensure --as raw`, and what else is said about disks.

use std::path::{Path, PathBuf};

use anyhow::Result;
use distro_fetch::base::DiskFormat;
use distro_fetch::cache::{Cache, Entry, Overwrite};
use distro_fetch::catalog::{Image, Kind as Content};
use distro_fetch::disk::{Disk, Gpt};
use distro_fetch::rootfs::{DiskFile, Growth};
use distro_fetch::{Error, Kind, archive};
use serde_json::{Value, json};

use super::args::Grow;
use super::hints::Usage;
use super::output;
use super::progress::Reporter;

/// A raw disk, and what is said about it.
pub(crate) struct RawDisk {
    pub(crate) path: PathBuf,
    pub(crate) cached: bool,
    /// Bytes of the disk, and how many of them take space.
    pub(crate) sizes: Sizes,
}

/// Two sizes in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) disk: u64,
    pub(crate) allocated: u64,
}

impl Sizes {
    pub(crate) fn of_raw(path: &Path) -> Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta =
            std::fs::metadata(path).map_err(|error| Error::local("cannot read", path, error))?;
        Ok(Self {
            disk: meta.len(),
            allocated: meta.blocks() * 512,
        })
    }
}

/// Makes the raw disk of a verified file: in the cache, or where it was asked for.
pub(crate) fn prepare(
    cache: &Cache,
    entry: &Entry,
    declared: Option<DiskFormat>,
    grow: &Grow,
    target: Option<(&Path, Overwrite)>,
    reporter: &Reporter,
) -> Result<RawDisk> {
    let record = entry.record();
    let kind = DiskFile::of(&record.file, declared, &entry.open()?)?;
    let growth = growth(grow);
    let (path, cached, gpt) = match target {
        None => {
            let disk = entry.prepare_disk(cache, kind, growth, reporter);
            let disk = disk.map_err(shrinking)?;
            (disk.path, disk.cached, disk.gpt)
        }
        Some((target, overwrite)) => {
            let gpt = entry.disk_to(target, cache, kind, growth, overwrite, reporter);
            (std::path::absolute(target)?, false, gpt.map_err(shrinking)?)
        }
    };
    tell(&record.image, &gpt);
    Ok(RawDisk {
        sizes: Sizes::of_raw(&path)?,
        path,
        cached,
    })
}

/// That an image is no disk is said before it is fetched.
pub(crate) fn check_kind(image: &Image) -> Result<()> {
    if image.kind == Content::Disk {
        return Ok(());
    }
    let message = format!(
        "{} is not a disk ({}): --as raw is for disks",
        image.name, image.kind
    );
    Err(Usage(message).into())
}

pub(crate) fn growth(grow: &Grow) -> Growth {
    Growth {
        size: grow.size,
        fit_gpt: !grow.no_fix_gpt,
    }
}

/// To ask for less than there is is a mistake on the command line.
pub(crate) fn shrinking(error: Error) -> anyhow::Error {
    if error.kind() == Kind::Other {
        Usage(error.message().to_owned()).into()
    } else {
        error.into()
    }
}

/// What a user should know of the partition table.
pub(crate) fn tell(name: &str, gpt: &Gpt) {
    if let Gpt::Damaged(why) = gpt {
        output::note(&format!(
            "{name}: the partition table was left alone, for it is damaged: {why}"
        ));
    }
}

/// What is known of a cached disk without converting it: how it is kept, and its sizes.
pub(crate) fn about(image: &Image, entry: &Entry) -> Option<(DiskFile, Sizes)> {
    if image.kind != Content::Disk {
        return None;
    }
    let file = entry.open().ok()?;
    let kind = DiskFile::of(&entry.record().file, image.format, &file).ok()?;
    if kind.packed != archive::Format::Plain {
        return None;
    }
    let survey = Disk::from_file(file, kind.format).ok()?.survey().ok()?;
    let sizes = Sizes {
        disk: survey.size,
        allocated: survey.allocated(),
    };
    Some((kind, sizes))
}

pub(crate) fn document(kind: DiskFile, sizes: Sizes) -> Value {
    json!({
        "format": kind.format.as_str(),
        "virtual_size": sizes.disk,
        "allocated": sizes.allocated,
    })
}
