//! Raw disks in the cache, beside the image that they were made of.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::disk::{DiskFile, Growth, LocalDisk};
use super::kept::Kept;
use super::prepare::FOLDER;
use crate::archive::{Checks, Format};
use crate::base::DiskFormat;
use crate::cache::{Cache, Entry};
use crate::disk::{Converter, CopyOptions, Disk, Gpt, copy_disk};
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::sys::{self, Draft, Overwrite};

/// A raw disk that can be read, and that nobody writes to.
#[derive(Debug)]
pub struct PreparedDisk {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before.
    pub cached: bool,
    /// The size of the disk in bytes.
    pub size: u64,
    /// Bytes that it takes.
    pub allocated: u64,
    /// What was done about its partition table, if it was made now.
    pub gpt: Gpt,
}

impl PreparedDisk {
    fn at(path: PathBuf, cached: bool, gpt: Gpt) -> Result<Self> {
        let meta =
            fs::metadata(&path).map_err(|error| Error::local("cannot read", &path, error))?;
        Ok(Self {
            path,
            cached,
            size: meta.len(),
            allocated: meta.blocks() * 512,
            gpt,
        })
    }
}

impl Entry {
    /// The raw disk of this entry in the cache, made now if it is not there. If the verified file
    /// is one, and is not to grow, that is it.
    ///
    /// # Errors
    /// As [`LocalDisk::to_file`]; [`Kind::Cancelled`](crate::error::Kind::Cancelled) while
    /// somebody else makes it.
    pub fn prepare_disk(
        &self,
        cache: &Cache,
        kind: DiskFile,
        growth: Growth,
        observer: &dyn Observer,
    ) -> Result<PreparedDisk> {
        let is_raw = kind.format == DiskFormat::Raw && kind.packed == Format::Plain;
        if is_raw && growth.size.is_none() {
            return PreparedDisk::at(self.path(), true, Gpt::Fits);
        }
        self.prepare_disk_by(cache, &DiskRecipe { kind, growth }, observer)
    }

    /// The raw disk of a recipe in the cache, made now if it is not there.
    ///
    /// # Errors
    /// As [`prepare_disk`](Self::prepare_disk).
    pub fn prepare_disk_by(
        &self,
        cache: &Cache,
        recipe: &DiskRecipe,
        observer: &dyn Observer,
    ) -> Result<PreparedDisk> {
        let kept = self.kept_disk(recipe);
        let asked = recipe.to_json();
        if kept.whole(&asked).is_some() {
            return PreparedDisk::at(kept.path(), true, Gpt::Fits);
        }
        let record = self.record();
        let disk = self.local(recipe.kind, observer)?;
        disk.check(recipe.growth)?;
        let lock = self.lock(cache, observer)?;
        if kept.whole(&asked).is_some() {
            return PreparedDisk::at(kept.path(), true, Gpt::Fits);
        }
        self.workshop()?;
        let gpt = kept
            .make(&asked, |file| {
                let gpt = disk.write(file, kept.folder(), recipe.growth)?;
                Ok((gpt, Value::Null))
            })
            .map_err(|error| error.about(&format!("{} {}", record.image, record.snapshot)))?;
        drop(lock);
        PreparedDisk::at(kept.path(), false, gpt)
    }

    /// Leaves an independent raw disk at `target`: see [`copy_disk`]. The one in the cache is made
    /// first, if it is not there, and is only read.
    ///
    /// # Errors
    /// As [`prepare_disk`](Self::prepare_disk) and [`copy_disk`].
    pub fn disk_to(
        &self,
        target: &Path,
        cache: &Cache,
        kind: DiskFile,
        growth: Growth,
        overwrite: Overwrite,
        observer: &dyn Observer,
    ) -> Result<Gpt> {
        self.local(kind, observer)?.check(growth)?;
        let base = self.prepare_disk(cache, kind, Growth::NONE, observer)?;
        let options = CopyOptions {
            size: growth.size,
            overwrite,
            fit_gpt: growth.fit_gpt,
            observer,
        };
        copy_disk(&base.path, target, options)
    }

    /// The prepared disks that are there, with what their notes say of them. One without a note
    /// that can be read is nobody's, and is made again when it is asked for.
    pub fn prepared_disks(&self) -> Vec<(DiskRecipe, PathBuf)> {
        let folder = self.folder().join(FOLDER);
        let names = sys::names(&folder).unwrap_or_default();
        let recipes = names.iter().filter_map(|name| {
            let kept = Kept::at(&folder, name, DISK);
            let recipe = DiskRecipe::of_json(&kept.recipe()?)?;
            (recipe.folder() == *name).then(|| (recipe, kept.path()))
        });
        recipes.collect()
    }

    /// Whether a prepared disk is what the verified file gives: it is made once more, and
    /// compared.
    ///
    /// # Errors
    /// As [`prepare_disk`](Self::prepare_disk).
    pub fn is_disk_prepared_well(
        &self,
        recipe: &DiskRecipe,
        observer: &dyn Observer,
    ) -> Result<bool> {
        let kept = self.kept_disk(recipe);
        if kept.whole(&recipe.to_json()).is_none() {
            return Ok(false);
        }
        let folder = kept.folder();
        let cannot = |error| Error::local("cannot write", folder, error);
        // Unnamed: nothing is left of it, whatever happens.
        let again = Draft::beside(folder).map_err(cannot)?;
        let disk = self.local(recipe.kind, observer)?;
        disk.write(again.file(), folder, recipe.growth)?;
        let again = again.file().try_clone().map_err(cannot)?;
        let again = Disk::from_file(again, DiskFormat::Raw)?;
        Converter::new(&self.record().image, observer).is_in(&again, &kept.path())
    }

    /// Removes a prepared disk, to be made again.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::error::Kind::Local).
    pub fn forget_disk(&self, recipe: &DiskRecipe) -> Result<()> {
        self.kept_disk(recipe).forget()
    }

    fn kept_disk(&self, recipe: &DiskRecipe) -> Kept {
        Kept::at(&self.folder().join(FOLDER), &recipe.folder(), DISK)
    }

    fn local<'a>(&'a self, kind: DiskFile, observer: &'a dyn Observer) -> Result<LocalDisk<'a>> {
        let disk = LocalDisk::new(&self.record().image, self.open()?, kind, observer);
        // Every byte of it was hashed.
        Ok(disk.with_checks(Checks::Ignore))
    }
}

/// Everything that decides about the bytes of a disk, besides the verified file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRecipe {
    kind: DiskFile,
    growth: Growth,
}

impl DiskRecipe {
    fn folder(self) -> String {
        match (self.growth.size, self.growth.fit_gpt) {
            (None, _) => RAW.to_owned(),
            (Some(size), true) => format!("{RAW}-{size}"),
            (Some(size), false) => format!("{RAW}-{size}-asis"),
        }
    }

    fn to_json(self) -> Value {
        json!({
            "format": self.kind.format.as_str(),
            "packed": self.kind.packed.as_str(),
            "grown_to": self.growth.size,
            "fit_gpt": self.growth.fit_gpt,
        })
    }

    fn of_json(note: &Value) -> Option<Self> {
        Some(Self {
            kind: DiskFile {
                format: note["format"].as_str()?.parse().ok()?,
                packed: note["packed"].as_str()?.parse().ok()?,
            },
            growth: Growth {
                size: note["grown_to"].as_u64(),
                fit_gpt: note["fit_gpt"].as_bool()?,
            },
        })
    }
}

/// Raw disks. The number goes up when the same image gives other bytes than before.
const RAW: &str = "raw-1";

/// The disk in such a directory.
const DISK: &str = "disk.raw";
