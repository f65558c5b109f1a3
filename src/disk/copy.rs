//! Independent copies of raw disks.

use std::fs::File;
use std::path::Path;

use super::convert::{Converter, absolute, draft, unwritable};
use super::gpt::{self, Gpt};
use super::image::Disk;
use crate::base::DiskFormat;
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, Silent};
use crate::sys::{self, Draft, Overwrite};

/// How a disk is copied.
#[derive(Clone, Copy)]
pub struct CopyOptions<'a> {
    /// Bytes that the copy has, at least as many as the original; as many, if none are said.
    pub size: Option<u64>,
    /// Whether a file that is in the way may be replaced.
    pub overwrite: Overwrite,
    /// Whether the backup of a partition table goes to the new end.
    pub fit_gpt: bool,
    /// Who is told how it goes.
    pub observer: &'a dyn Observer,
}

impl Default for CopyOptions<'_> {
    fn default() -> Self {
        Self {
            size: None,
            overwrite: Overwrite::No,
            fit_gpt: true,
            observer: &Silent,
        }
    }
}

impl std::fmt::Debug for CopyOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyOptions")
            .field("size", &self.size)
            .field("overwrite", &self.overwrite)
            .field("fit_gpt", &self.fit_gpt)
            .finish_non_exhaustive()
    }
}

/// Copies the raw disk at `source` to `target`: blocks are shared where the file system can; else
/// what is not a hole is copied. A copy that is larger ends in a hole, and its partition table is
/// told so. The name appears when the copy is whole; the original is only read. That a copy is there
/// already is success.
///
/// ```
/// use distro_fetch::disk::{CopyOptions, copy_disk};
///
/// # let folder = std::env::temp_dir().join(format!("df-doc-copy-{}", std::process::id()));
/// # std::fs::create_dir(&folder)?;
/// # let (source, target) = (folder.join("base.raw"), folder.join("vm.raw"));
/// # std::fs::write(&source, b"disk")?;
/// let size = Some(20 << 30);
/// copy_disk(&source, &target, CopyOptions { size, ..CopyOptions::default() })?;
/// assert_eq!(std::fs::metadata(&target)?.len(), 20 << 30);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Kind::Other`] if it would have to shrink: nothing was created then. [`Kind::Local`] if
/// something else has the name, or as the system says; [`Kind::Cancelled`].
pub fn copy_disk(source: &Path, target: &Path, options: CopyOptions<'_>) -> Result<Gpt> {
    let file =
        sys::open_regular(source).map_err(|error| Error::local("cannot read", source, error))?;
    let meta = file
        .metadata()
        .map_err(|error| Error::local("cannot read", source, error))?;
    let old = meta.len();
    let size = options.size.unwrap_or(old);
    if size < old {
        let message = format!(
            "{}: a disk of {old} bytes does not fit into {size}",
            source.display()
        );
        return Err(Error::new(Kind::Other, message).with_path(source));
    }
    let target = absolute(target)?;
    let is_there = options.overwrite == Overwrite::No && sys::exists(&target);
    if is_there && !has_length(&target, size) {
        return Err(Draft::in_the_way(&target));
    }
    let name = target.to_string_lossy();
    let disk = Disk::from_file(clone(&file, source)?, DiskFormat::Raw)?;
    let draft = draft(&target)?;
    if !sys::share(&file, draft.file()) {
        Converter::new(&name, options.observer).write(&disk, draft.file(), &target)?;
    }
    draft.file().set_len(size).map_err(unwritable)?;
    let gpt = if options.fit_gpt && size > old {
        gpt::fit_gpt(draft.file())?
    } else {
        Gpt::Fits
    };
    if is_there {
        let made = Disk::from_file(clone(draft.file(), &target)?, DiskFormat::Raw)?;
        if Converter::new(&name, options.observer).is_in(&made, &target)? {
            return Ok(gpt);
        }
    }
    draft.commit(options.overwrite)?;
    Ok(gpt)
}

/// Whether what is in the way could be the copy: before one is made to compare.
fn has_length(path: &Path, length: u64) -> bool {
    let meta = sys::open_regular(path).and_then(|file| file.metadata());
    meta.is_ok_and(|meta| meta.len() == length)
}

fn clone(file: &File, path: &Path) -> Result<File> {
    file.try_clone()
        .map_err(|error| Error::local("cannot read", path, error))
}
