//! Images in OCI layouts: directories and tars.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::blob::{BLOBS, Blob, Shelf};
use super::config::MAX_CONFIG;
use super::image::{Document, Image};
use super::manifest::MAX_MANIFEST;
use super::member::Members;
use super::{Descriptor, ImageConfig, ImageManifest, Index, Platform, is_index, is_manifest};
use crate::archive::Limits;
use crate::base::Digest;
use crate::error::{Error, Kind, Result};

/// A place with images that are described by an index: OCI image specification 1.1, "Image Layout".
///
/// ```no_run
/// # fn main() -> distro_fetch::Result<()> {
/// use distro_fetch::oci::Layout;
///
/// let layout = Layout::open("images".as_ref())?;
/// let image = layout.image(Some("latest"), None)?;
/// println!("{:?}", image.config.map(|it| it.value.cmd));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Layout {
    shelf: Shelf,
    index: Index,
}

impl Layout {
    /// Opens a directory.
    ///
    /// # Errors
    /// [`Kind::Format`] if it is no layout, or of another version; [`Kind::Local`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Shelf::folder(path, BLOBS)?)
    }

    /// Opens a tar of one (`oci-archive`), which is read in place if it is not compressed and
    /// decoded into a file without a name in `spool` otherwise.
    ///
    /// # Errors
    /// As [`open`](Self::open), and the error of `tell`.
    pub fn open_archive(
        path: &Path,
        spool: &Path,
        limits: Limits,
        tell: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        Self::of(Shelf::Tar(Members::open(path, spool, limits, tell)?))
    }

    pub(super) fn of(shelf: Shelf) -> Result<Self> {
        let mark = shelf.get("oci-layout")?.bytes(MAX_MARK)?;
        let mark: Option<Value> = serde_json::from_slice(&mark).ok();
        let version = mark.as_ref().and_then(|it| it.get("imageLayoutVersion"));
        if version.and_then(Value::as_str) != Some("1.0.0") {
            let message = format!("{} is not of version 1.0.0", shelf.name("oci-layout"));
            return Err(Error::new(Kind::Format, message));
        }
        let index = shelf.get("index.json")?;
        let name = index.name().to_owned();
        let index = Index::parse(&index.bytes(MAX_MANIFEST)?).map_err(|it| it.about(&name))?;
        Ok(Self { shelf, index })
    }

    /// The names of the images: tags, or whole references.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags: BTreeSet<_> = self.index.manifests.iter().filter_map(tag).collect();
        tags.into_iter()
    }

    /// The image with a name, or the only one; of those for several platforms the one for this
    /// machine, or for the one that is asked for.
    ///
    /// # Errors
    /// [`Kind::Unknown`] if there is none such, with what there is; [`Kind::Integrity`] if
    /// something has another hash than it should; [`Kind::Format`] if something is malformed.
    pub fn image(&self, name: Option<&str>, platform: Option<&Platform>) -> Result<Image> {
        let all = &self.index.manifests;
        let named: Vec<&Descriptor> = match name {
            Some(name) => all.iter().filter(|it| is_named(it, name)).collect(),
            None => all.iter().collect(),
        };
        let distinct: BTreeSet<_> = named.iter().map(|it| tag(it)).collect();
        if named.is_empty() || distinct.len() > 1 {
            let here = self.shelf.name("");
            let here = here.trim_end_matches(": ");
            let message = match name {
                Some(name) => format!("{here}: no image {name:?}"),
                None if named.is_empty() => format!("{here}: no image in it"),
                None => format!("{here}: several images; add the name of one"),
            };
            let there: Vec<_> = self.tags().map(str::to_owned).collect();
            let message = if there.is_empty() {
                message
            } else {
                format!("{message} (there are: {})", there.join(", "))
            };
            return Err(Error::new(Kind::Unknown, message).with_suggestions(there));
        }
        let descriptor = self.choose(&named, platform)?;
        self.load(&descriptor, platform)
    }

    /// The image with this manifest, or in this index, whatever the layout calls it.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn image_of(&self, digest: Digest, platform: Option<&Platform>) -> Result<Image> {
        let bytes = self.shelf.blob(digest)?.bytes(MAX_MANIFEST)?;
        let size = Some(bytes.len() as u64);
        let (media_type, _) = sniff(&bytes);
        let descriptor = Descriptor {
            media_type,
            digest,
            size,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let descriptor = self.choose(&[&descriptor], platform)?;
        self.load(&descriptor, platform)
    }

    /// One of several manifests and indexes.
    fn choose(&self, among: &[&Descriptor], platform: Option<&Platform>) -> Result<Descriptor> {
        if let [only] = among
            && !only.is_index()
        {
            return Ok((*only).clone());
        }
        let mut found = Vec::new();
        for descriptor in among {
            self.expand(descriptor, DEPTH, &mut found)?;
        }
        let host = Platform::host();
        let wanted = platform.or(host.as_ref());
        let chosen = wanted.and_then(|wanted| {
            let chosen = wanted.choose(found.iter(), |it| it.platform.as_ref());
            chosen.cloned()
        });
        chosen.ok_or_else(|| {
            let there = found.iter().map(|it| {
                let platform = it.platform.as_ref();
                platform.map_or_else(|| "one that says nothing".to_owned(), Platform::to_string)
            });
            let there: Vec<_> = there.collect::<BTreeSet<_>>().into_iter().collect();
            let wanted = wanted.map_or_else(|| "this machine".to_owned(), Platform::to_string);
            let message = format!(
                "{} no image for {wanted} (there are: {})",
                self.shelf.name(""),
                there.join(", ")
            );
            Error::new(Kind::Unknown, message).with_suggestions(there)
        })
    }

    /// The manifests of an index and of those in it.
    fn expand(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        found: &mut Vec<Descriptor>,
    ) -> Result<()> {
        if is_manifest(&descriptor.media_type) {
            found.push(descriptor.clone());
            return Ok(());
        }
        if !is_index(&descriptor.media_type) {
            // An artifact beside the images: not ours.
            return Ok(());
        }
        let blob = self.shelf.part(descriptor)?;
        if depth == 0 {
            let message = format!("{}: indexes within indexes, too deep", blob.name());
            return Err(Error::new(Kind::Format, message));
        }
        let index = Index::parse(&blob.bytes(MAX_MANIFEST)?);
        for descriptor in &index.map_err(|it| it.about(blob.name()))?.manifests {
            self.expand(descriptor, depth - 1, found)?;
        }
        if found.len() > MAX_MANIFESTS {
            let message = format!("{}: more than {MAX_MANIFESTS} manifests", blob.name());
            return Err(Error::new(Kind::Format, message));
        }
        Ok(())
    }

    fn load(&self, descriptor: &Descriptor, platform: Option<&Platform>) -> Result<Image> {
        let blob = self.shelf.part(descriptor)?;
        let manifest = parse_manifest(&blob, Some(&descriptor.media_type))?;
        let config = parse_config(&self.shelf.part(&manifest.value.config)?, &manifest)?;
        check_platform(blob.name(), &config.value, platform)?;
        let name = blob.name().to_owned();
        Image::of_manifest(name, manifest, config, |layer| self.shelf.part(layer))
    }
}

/// Opens what skopeo calls `dir:`: one manifest, and its parts by the hex of their digests.
///
/// # Errors
/// As [`Layout::image`].
pub fn open_skopeo_folder(path: &Path, platform: Option<&Platform>) -> Result<Image> {
    let shelf = Shelf::folder(path, "")?;
    let blob = shelf.get("manifest.json")?;
    let manifest = parse_manifest(&blob, None)?;
    let config = parse_config(&shelf.part(&manifest.value.config)?, &manifest)?;
    check_platform(blob.name(), &config.value, platform)?;
    let name = path.display().to_string();
    Image::of_manifest(name, manifest, config, |layer| shelf.part(layer))
}

pub(super) fn parse_manifest(blob: &Blob, said: Option<&str>) -> Result<Document<ImageManifest>> {
    let bytes = blob.bytes(MAX_MANIFEST)?;
    let value = ImageManifest::parse(&bytes).map_err(|it| it.about(blob.name()))?;
    if let Some(said) = said.filter(|said| *said != value.media_type) {
        let message = format!(
            "{}: it says that it is {:?}, and its descriptor that it is {said:?}",
            blob.name(),
            value.media_type
        );
        return Err(Error::new(Kind::Format, message));
    }
    Ok(Document {
        digest: Digest::from_bytes(Sha256::digest(&bytes).into()),
        media_type: value.media_type.clone(),
        bytes,
        value,
    })
}

fn parse_config(blob: &Blob, manifest: &Document<ImageManifest>) -> Result<Document<ImageConfig>> {
    let media_type = manifest.value.config.media_type.clone();
    config_of(blob, media_type)
}

pub(super) fn config_of(blob: &Blob, media_type: String) -> Result<Document<ImageConfig>> {
    let bytes = blob.bytes(MAX_CONFIG)?;
    let value = ImageConfig::parse(&bytes).map_err(|it| it.about(blob.name()))?;
    Ok(Document {
        digest: Digest::from_bytes(Sha256::digest(&bytes).into()),
        media_type,
        bytes,
        value,
    })
}

/// Refuses an image for another platform than was asked for. If none was, a lone image is taken
/// for what it is.
pub(super) fn check_platform(
    name: &str,
    config: &ImageConfig,
    platform: Option<&Platform>,
) -> Result<()> {
    let Some(wanted) = platform else {
        return Ok(());
    };
    let there = config.platform();
    if wanted.accepts(&there) {
        return Ok(());
    }
    let message = format!("{name}: no image for {wanted} (there is: {there})");
    Err(Error::new(Kind::Unknown, message).with_suggestions(vec![there.to_string()]))
}

/// What a document says that it is; whether it says so.
fn sniff(bytes: &[u8]) -> (String, bool) {
    let document: Option<Value> = serde_json::from_slice(bytes).ok();
    let said = document.as_ref().and_then(|it| it.get("mediaType"));
    if let Some(said) = said.and_then(Value::as_str) {
        return (said.to_owned(), true);
    }
    let is_index = document.is_some_and(|it| it.get("manifests").is_some());
    let default = if is_index {
        super::index::OCI_INDEX
    } else {
        super::manifest::OCI_MANIFEST
    };
    (default.to_owned(), false)
}

fn tag(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(REF_NAME).map(String::as_str)
}

/// By the whole name, by the tag of a whole reference, or by the digest.
fn is_named(descriptor: &Descriptor, name: &str) -> bool {
    let tag = tag(descriptor);
    tag == Some(name)
        || tag.is_some_and(|tag| !name.is_empty() && tag.ends_with(&format!(":{name}")))
        || name.strip_prefix("sha256:") == Some(descriptor.digest.to_string().as_str())
}

/// OCI image specification 1.1, "Annotations".
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Indexes within that of the layout.
const DEPTH: usize = 2;

/// Manifests that are looked at to find one: memory and time of a hostile index.
const MAX_MANIFESTS: usize = 10_000;

/// Bytes of the file that says that it is a layout.
const MAX_MARK: u64 = 4096;
