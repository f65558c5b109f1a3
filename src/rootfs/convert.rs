//! From a source to a directory, a tar, or an archive of an image.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::source::{Opening, Source, open};
use super::unpack::Unpacker;
use crate::error::{Error, Kind, Result};
use crate::oci::{Cargo, Carrier, ImageLayer, Platform};
use crate::sys::{Draft, Overwrite, exists};
use crate::tree::{Policy, Report, Writer};

impl Source {
    /// Leaves the tree at `target`, which appears when all of it is there.
    ///
    /// # Errors
    /// As [`Source::tree`] and [`Writer::create`]. Nothing is left at the target.
    pub fn to_dir(&self, target: &Path, policy: Policy, opening: Opening<'_>) -> Result<Report> {
        if let Self::Archive(path, format) = self {
            // As it comes: nothing has to be kept.
            let name = path.to_string_lossy();
            let file = open(path)?;
            let total = file.metadata().map_or(0, |meta| meta.len());
            return Unpacker::new(&name, *format, opening.observer)
                .with_limits(opening.limits)
                .with_total(total)
                .unpack(file, target, policy)
                .map_err(|error| error.about(&name));
        }
        // First, so that a target that cannot be is told at once.
        let writer = Writer::create(target, policy, opening.limits)?;
        let tree = self.tree(opening)?;
        let subject = target.to_string_lossy();
        tree.write_to(writer, || opening.tell(&subject, 0, None))
    }

    /// Leaves the tree as a tar at `target`: sorted, not compressed, and a function of the tree.
    /// The report says what a tar cannot have.
    ///
    /// # Errors
    /// As [`Source::tree`]; [`Kind::Local`] if something has the name and may not be replaced.
    pub fn to_tar(
        &self,
        target: &Path,
        overwrite: Overwrite,
        opening: Opening<'_>,
    ) -> Result<(PathBuf, Report)> {
        let mut report = Report::default();
        let path = create(target, overwrite, |out| {
            let tree = self.tree(opening)?;
            let subject = target.to_string_lossy();
            report = tree.pack(out, || opening.tell(&subject, 0, None))?.1;
            Ok(())
        })?;
        Ok((path, report))
    }

    /// Leaves the source as an image in one file at `target`. An image keeps its layers; of
    /// anything else one is made with one layer, for the platform of the opening or this machine's.
    ///
    /// # Errors
    /// As [`to_tar`](Self::to_tar) and [`Carrier::write`].
    pub fn to_archive(
        &self,
        target: &Path,
        carrier: Carrier,
        name: Option<&str>,
        overwrite: Overwrite,
        opening: Opening<'_>,
    ) -> Result<PathBuf> {
        let subject = target.to_string_lossy();
        let mut tell = || opening.tell(&subject, 0, None);
        create(target, overwrite, |out| {
            let is_tar = |layer: &ImageLayer| matches!(layer, ImageLayer::Blob { .. });
            if let Some(image) = self.image()
                && image.config.is_some()
                && image.layers.iter().all(is_tar)
            {
                let cargo = Cargo::Image(image);
                return carrier
                    .write(cargo, name, opening.limits, out, &mut tell)
                    .map(drop);
            }
            let host = Platform::host();
            let Some(platform) = opening.platform.or(host.as_ref()) else {
                let message = "an image is for a platform: say which one";
                return Err(Error::new(Kind::Unknown, message));
            };
            let tree = self.tree(opening)?;
            let cargo = Cargo::Tree(&tree, platform);
            carrier
                .write(cargo, name, opening.limits, out, &mut tell)
                .map(drop)
        })
    }
}

/// Makes a file that has its name when it is whole.
fn create(
    target: &Path,
    overwrite: Overwrite,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<PathBuf> {
    let cannot = |error| Error::local("cannot write", target, error);
    let target = std::path::absolute(target).map_err(cannot)?;
    let cannot = |error| Error::local("cannot write", &target, error);
    if overwrite == Overwrite::No && exists(&target) {
        return Err(Draft::in_the_way(&target));
    }
    let draft = Draft::beside(&target).map_err(cannot)?;
    let mut out = BufWriter::with_capacity(BUFFER, draft.file());
    fill(&mut out)?;
    out.flush().map_err(cannot)?;
    drop(out);
    draft.commit(overwrite)?;
    Ok(target)
}

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;
