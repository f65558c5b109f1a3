//! What `docker save` writes: a tar with a list of images, without descriptors.
//!
//! Docker's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format". A file
//! is named by its hash, mostly; what a layer must hash to is in the configuration.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::blob::{Blob, Shelf};
use super::image::{Image, ImageLayer};
use super::layout::{check_platform, config_of};
use super::manifest::MAX_MANIFEST;
use super::member::Members;
use super::{Layout, Platform};
use crate::archive::{Format, Limits};
use crate::error::{Error, Kind, Result};

/// Images in a tar of either kind: an OCI layout (`oci-archive`) or what `docker save` writes. New
/// versions of that write both at once; then the layout counts, whose parts all have digests.
#[derive(Debug)]
pub enum ImageArchive {
    /// An OCI layout.
    Layout(Layout),
    /// Docker's own.
    Docker(DockerArchive),
}

/// The images of a `docker-archive`.
#[derive(Debug)]
pub struct DockerArchive {
    shelf: Shelf,
    images: Vec<Saved>,
}

#[derive(Debug)]
struct Saved {
    config: String,
    tags: Vec<String>,
    layers: Vec<String>,
}

impl ImageArchive {
    /// Opens a tar; `None` if there are no images in it.
    ///
    /// # Errors
    /// As [`Layout::open_archive`].
    pub fn open(
        path: &Path,
        spool: &Path,
        limits: Limits,
        tell: impl FnMut() -> Result<()>,
    ) -> Result<Option<Self>> {
        let shelf = Shelf::Tar(Members::open(path, spool, limits, tell)?);
        if shelf.find("oci-layout")?.is_some() && shelf.find("index.json")?.is_some() {
            return Ok(Some(Self::Layout(Layout::of(shelf)?)));
        }
        if shelf.find("manifest.json")?.is_some() {
            return Ok(Some(Self::Docker(DockerArchive::of(shelf)?)));
        }
        Ok(None)
    }

    /// An image, as [`Layout::image`] chooses it.
    ///
    /// # Errors
    /// As [`Layout::image`].
    pub fn image(&self, name: Option<&str>, platform: Option<&Platform>) -> Result<Image> {
        match self {
            Self::Layout(layout) => layout.image(name, platform),
            Self::Docker(archive) => archive.image(name, platform),
        }
    }
}

impl DockerArchive {
    /// Opens a tar.
    ///
    /// # Errors
    /// As [`Layout::open_archive`].
    pub fn open(
        path: &Path,
        spool: &Path,
        limits: Limits,
        tell: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        Self::of(Shelf::Tar(Members::open(path, spool, limits, tell)?))
    }

    fn of(shelf: Shelf) -> Result<Self> {
        let blob = shelf.get("manifest.json")?;
        let refuse = |why: &str| {
            let message = format!("{}: {why}", blob.name());
            Error::new(Kind::Format, message)
        };
        let document: Value = serde_json::from_slice(&blob.bytes(MAX_MANIFEST)?)
            .map_err(|error| refuse("malformed").with_source(error))?;
        let list = document.as_array().ok_or_else(|| refuse("not a list"))?;
        let text = |it: &Value| it.as_str().map(str::to_owned);
        let texts = |it: Option<&Value>| match it {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(list) => list.as_array()?.iter().map(text).collect(),
        };
        let mut images = Vec::new();
        for item in list {
            let saved = || {
                Some(Saved {
                    config: text(item.get("Config")?)?,
                    tags: texts(item.get("RepoTags"))?,
                    layers: texts(item.get("Layers"))?,
                })
            };
            images.push(saved().ok_or_else(|| refuse("an image without its parts"))?);
        }
        Ok(Self { shelf, images })
    }

    /// The names of the images.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.images.iter().flat_map(|it| &it.tags);
        tags.map(String::as_str)
    }

    /// The image with a name or tag, or the only one.
    ///
    /// # Errors
    /// As [`Layout::image`].
    pub fn image(&self, name: Option<&str>, platform: Option<&Platform>) -> Result<Image> {
        let is_named = |saved: &&Saved| {
            name.is_none_or(|name| {
                let same = |tag: &String| tag == name || tag.ends_with(&format!(":{name}"));
                saved.tags.iter().any(same)
            })
        };
        let found: Vec<&Saved> = self.images.iter().filter(is_named).collect();
        let [saved] = found.as_slice() else {
            let there: Vec<_> = self.tags().map(str::to_owned).collect();
            let what = match name {
                Some(name) if found.is_empty() => format!("no image {name:?}"),
                None if found.is_empty() => "no image in it".to_owned(),
                _ => "several images; add the name of one".to_owned(),
            };
            let message = format!(
                "{}{what} (there are: {})",
                self.shelf.name(""),
                there.join(", ")
            );
            return Err(Error::new(Kind::Unknown, message).with_suggestions(there));
        };
        let blob = named_by_hash(self.shelf.get(&saved.config)?, &saved.config);
        let config = config_of(&blob, CONFIG.to_owned())?;
        check_platform(blob.name(), &config.value, platform)?;
        let ids = &config.value.diff_ids;
        if ids.len() != saved.layers.len() {
            let message = format!(
                "{}: {} layers, and a configuration for {}",
                blob.name(),
                saved.layers.len(),
                ids.len()
            );
            return Err(Error::new(Kind::Format, message));
        }
        let mut layers = Vec::new();
        for (layer, diff_id) in saved.layers.iter().zip(ids) {
            let blob = self.shelf.get(layer)?;
            let mut start = Vec::new();
            let look = blob.open().take(Format::MAGIC as u64);
            let mut look = look;
            look.read_to_end(&mut start)
                .map_err(|error| Error::local("cannot read", blob.name(), error))?;
            // Nobody says how it is compressed; what comes out must have the hash that somebody
            // does say.
            layers.push(ImageLayer::Blob {
                format: Format::of_magic(&start).unwrap_or(Format::Plain),
                blob,
                diff_id: Some(*diff_id),
            });
        }
        let name = match saved.tags.first() {
            Some(tag) => self.shelf.name(tag),
            None => self.shelf.name(&saved.config),
        };
        Ok(Image {
            name,
            manifest: None,
            config: Some(config),
            layers,
        })
    }
}

/// A file whose name is its hash must have it.
fn named_by_hash(blob: Blob, inner: &str) -> Blob {
    let name = inner.rsplit_once('/').map_or(inner, |(_, name)| name);
    let digest = name.strip_suffix(".json").unwrap_or(name).parse().ok();
    blob.expecting(digest)
}

/// What Docker calls a configuration where it is called anything.
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
