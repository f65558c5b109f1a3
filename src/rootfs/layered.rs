//! From the layers of a container image to an image of each, and one of them all.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::shelf::Shelf;
use super::source::{Opening, Source};
use crate::base::Digest;
use crate::error::{Error, Result};
use crate::fsimg::erofs;
use crate::oci::ImageLayer;
use crate::sys::{self, Before, Durable, Node, Staging};
use crate::tree::Layer;

impl Source {
    /// Leaves an image of each layer, that of what they make together, and a descriptor of all in a
    /// directory, which appears when all of it is there. Images of layers that have a digest are
    /// taken from the shelf, and go there.
    ///
    /// # Errors
    /// As [`to_image`](Self::to_image).
    pub fn to_layered(
        &self,
        target: &Path,
        options: &erofs::Options,
        kept: Option<&Shelf>,
        opening: Opening<'_>,
    ) -> Result<Vec<PathBuf>> {
        let target = std::path::absolute(target)
            .map_err(|error| Error::local("cannot write", target, error))?;
        let cannot = |error| Error::local("cannot write", &target, error);
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(cannot(io::ErrorKind::InvalidInput.into()));
        };
        let staging = Staging::beside(parent, name).map_err(cannot)?;
        let (layers, digests) = self.kept_layers(kept, opening)?;
        let subject = target.to_string_lossy();
        let folder = sys::own_path(staging.root());
        let observer = opening.observer;
        let leave = |at: usize, image: &erofs::Image<'_>, path: &Path| {
            if let (Some(kept), Some(Some(digest))) = (kept, digests.get(at)) {
                return kept.leave(digest, &layers[at], image, path, observer);
            }
            let file = sys::create_public(path).map_err(cannot)?;
            image.write(&file, observer, &subject).map(|_| ())
        };
        let made = erofs::layered_with(&layers, &folder, options, observer, &subject, &leave)?;
        Node::Open(staging.root()).set_mode(0o755).map_err(cannot)?;
        staging
            .place(OsStr::new(name), Before::Empty, Durable::Yes)
            .map_err(cannot)?;
        Ok(made.names.iter().map(|name| target.join(name)).collect())
    }

    /// The layers, each read out of its image if there is one, and the digests of what they unpack
    /// to, as far as somebody says them.
    fn kept_layers(
        &self,
        kept: Option<&Shelf>,
        opening: Opening<'_>,
    ) -> Result<(Vec<Layer>, Vec<Option<Digest>>)> {
        let (Self::Image(image, trust), Some(kept)) = (self, kept) else {
            return Ok((self.layers(opening)?, Vec::new()));
        };
        let mut digests = Vec::with_capacity(image.layers.len());
        let mut found = Vec::with_capacity(image.layers.len());
        let mut missing = (**image).clone();
        missing.layers.clear();
        for layer in &image.layers {
            let digest = match layer {
                ImageLayer::Blob { diff_id, .. } => *diff_id,
                ImageLayer::Folder(_) => None,
            };
            let read = match digest {
                Some(digest) => kept.layer(&digest, opening.limits)?,
                None => None,
            };
            if read.is_none() {
                missing.layers.push(layer.clone());
            }
            digests.push(digest);
            found.push(read);
        }
        let mut rest = Self::Image(missing.into(), *trust)
            .layers(opening)?
            .into_iter();
        let layers = found
            .into_iter()
            .filter_map(|it| it.or_else(|| rest.next()));
        Ok((layers.collect(), digests))
    }
}
