//! A container image on this machine.

use std::path::PathBuf;

use super::blob::Blob;
use super::{ImageConfig, ImageManifest, Packing};
use crate::archive::Format;
use crate::base::Digest;
use crate::error::{Error, Kind, Result};

/// An image whose parts are here: what is said of it, and where its layers are. Everything but the
/// layers has been checked against its digest; those are when they are read.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it is called in messages.
    pub name: String,
    /// Its manifest, if it has one: a `docker-archive` and overlay directories have none.
    pub manifest: Option<Document<ImageManifest>>,
    /// Its configuration: overlay directories have none.
    pub config: Option<Document<ImageConfig>>,
    /// What it is made of, the lowest first.
    pub layers: Vec<ImageLayer>,
}

/// A document with the bytes that it was read from.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The digest of the bytes.
    pub digest: Digest,
    /// What they are called, as OCI's media type of a manifest.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub value: T,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub enum ImageLayer {
    /// A tar, compressed or not.
    Blob {
        /// Where it is.
        blob: Blob,
        /// How it is compressed.
        format: Format,
        /// What the tar hashes to, if anybody says so.
        diff_id: Option<Digest>,
    },
    /// The upper directory of an overlay mount.
    Folder(PathBuf),
}

impl Image {
    /// The digest of its manifest, if it has one.
    pub fn digest(&self) -> Option<Digest> {
        self.manifest.as_ref().map(|it| it.digest)
    }

    /// Puts together what a manifest and a configuration say; `blob` finds a layer.
    pub(super) fn of_manifest(
        name: String,
        manifest: Document<ImageManifest>,
        config: Document<ImageConfig>,
        mut blob: impl FnMut(&super::Descriptor) -> Result<Blob>,
    ) -> Result<Self> {
        manifest.value.check(&config.value)?;
        let mut layers = Vec::with_capacity(manifest.value.layers.len());
        for (layer, diff_id) in manifest.value.layers.iter().zip(&config.value.diff_ids) {
            let format = match layer.packing() {
                Some(Packing::Plain) => Format::Plain,
                Some(Packing::Gzip) => Format::Gzip,
                Some(Packing::Zstd) => Format::Zstd,
                None => {
                    let message = format!("{name}: a layer of type {:?}", layer.media_type);
                    return Err(Error::new(Kind::Format, message));
                }
            };
            layers.push(ImageLayer::Blob {
                blob: blob(layer)?,
                format,
                diff_id: Some(*diff_id),
            });
        }
        Ok(Self {
            name,
            manifest: Some(manifest),
            config: Some(config),
            layers,
        })
    }
}
