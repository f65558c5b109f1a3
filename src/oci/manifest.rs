//! What an image is made of: OCI image manifest, Docker image manifest version 2, schema 2.
//!
//! OCI image specification 1.1, "Image Manifest"; Docker distribution, "Image Manifest Version 2,
//! Schema 2".

use std::collections::BTreeMap;

use super::fields::{self, Fields};
use super::{Descriptor, ImageConfig};
use crate::error::Result;

/// The parts of one image for one platform. Every value has been judged: a layer is of a known
/// type, has a SHA-256 and a size, and is to be had from the registry itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// What the document says that it is; OCI's type if it does not say.
    pub media_type: String,
    /// The image's configuration. Its size is known.
    pub config: Descriptor,
    /// From the lowest layer up. Their sizes are known.
    pub layers: Vec<Descriptor>,
    /// What else is said about the image.
    pub annotations: BTreeMap<String, String>,
}

/// How the tar of a layer is compressed, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

impl ImageManifest {
    /// Reads the document.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::Kind::Format): it is no manifest of an image, is an index at the
    /// same time, has a value of another type than the specification gives it, a layer that is to
    /// be fetched from elsewhere, or more than is sensible of anything.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let document = fields::parse(bytes, MAX_MANIFEST, DOCUMENT)?;
        let fields = Fields::of(&document, DOCUMENT)?;
        if fields.get("fsLayers").is_some() || fields.number("schemaVersion")? == Some(1) {
            return Err(fields.refuse("it is of Docker's schema 1, which hashes nothing well"));
        }
        if fields.number("schemaVersion")? != Some(2) {
            return Err(fields.refuse("schemaVersion is not 2"));
        }
        let media_type = fields.text("mediaType")?.unwrap_or(OCI_MANIFEST);
        if !is_manifest(media_type) {
            return Err(fields.refuse(&format!("it is {media_type:?}")));
        }
        // Read as the one here and as the other there, it would be two images of one digest
        // (CVE-2021-41190).
        if fields.get("manifests").is_some() {
            return Err(fields.refuse("a manifest has no \"manifests\""));
        }
        let Some(config) = fields.object("config")? else {
            return Err(fields.refuse("there is no config"));
        };
        let config = part(&config, |media_type| {
            matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
        })?;
        let Some(list) = fields.list("layers")? else {
            return Err(fields.refuse("there is no list of layers"));
        };
        if list.len() > MAX_LAYERS {
            return Err(fields.refuse(&format!(
                "{} layers where {MAX_LAYERS} are the most",
                list.len()
            )));
        }
        let mut layers = Vec::with_capacity(list.len());
        for (at, item) in list.iter().enumerate() {
            let layer = fields.inside(item, format!("layer {at}"))?;
            layers.push(part(&layer, |it| packing(it).is_some())?);
        }
        Ok(Self {
            media_type: media_type.to_owned(),
            config,
            layers,
            annotations: fields.map("annotations")?,
        })
    }

    /// Whether a configuration is for as many layers as there are.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::Kind::Format) if not.
    pub fn check(&self, config: &ImageConfig) -> Result<()> {
        let (layers, ids) = (self.layers.len(), config.diff_ids.len());
        if layers == ids {
            return Ok(());
        }
        let message =
            format!("malformed {DOCUMENT}: {layers} layers, and a configuration for {ids}");
        Err(crate::Error::new(crate::Kind::Format, message))
    }

    /// Bytes of configuration and layers, each counted once.
    pub fn size(&self) -> u64 {
        let parts = self.parts().map(|it| (it.digest, it.size.unwrap_or(0)));
        let parts: BTreeMap<_, _> = parts.collect();
        parts.into_values().fold(0, u64::saturating_add)
    }

    /// Configuration and layers.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Descriptor {
    /// How it is compressed, if it is a layer.
    pub fn packing(&self) -> Option<Packing> {
        packing(&self.media_type)
    }
}

/// Whether a media type is that of an image's manifest.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// One part: of a type that we know, and from here.
fn part(fields: &Fields<'_>, known: impl Fn(&str) -> bool) -> Result<Descriptor> {
    let descriptor = fields.descriptor()?;
    let media_type = &descriptor.media_type;
    // The addresses of a foreign layer are the image's word for where to send our credentials
    // (CVE-2020-15157).
    let elsewhere = fields.list("urls")?.is_some_and(|urls| !urls.is_empty());
    if elsewhere || media_type.contains("nondistributable") || media_type.contains(".foreign.") {
        return Err(fields.refuse("it is to be fetched from elsewhere, which is refused"));
    }
    if !known(media_type) {
        return Err(fields.refuse(&format!("{media_type:?} is none that an image is made of")));
    }
    match descriptor.size {
        None => Err(fields.refuse("no \"size\"")),
        Some(size) if size > MAX_BLOB => Err(fields.refuse(&format!("{size} bytes"))),
        Some(_) => Ok(descriptor),
    }
}

pub(super) fn packing(media_type: &str) -> Option<Packing> {
    Some(match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Packing::Plain,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Packing::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Packing::Zstd,
        _ => return None,
    })
}

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

const DOCUMENT: &str = "image manifest";

/// The specification's: registries take manifests of at least 4 MiB, and hardly one takes more.
pub(super) const MAX_MANIFEST: u64 = 4 << 20;

/// Eight times as many as Docker mounts; a manifest with more of them only means to keep us busy.
const MAX_LAYERS: usize = 1_000;

/// 1 TiB: no layer comes near it, and sums of sizes cannot overflow.
const MAX_BLOB: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Kind;

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn descriptor(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", "ab".repeat(32)), "size": 5 })
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG),
            "layers": [descriptor(LAYER), descriptor("application/vnd.oci.image.layer.v1.tar+zstd")],
            "annotations": { "a": "b" },
        })
    }

    fn parse(document: &Value) -> Result<ImageManifest> {
        ImageManifest::parse(document.to_string().as_bytes())
    }

    #[test]
    fn both_families_are_read() {
        let read = parse(&manifest()).unwrap();
        assert_eq!((read.layers.len(), read.size()), (2, 5));
        assert_eq!(read.layers[1].packing(), Some(Packing::Zstd));
        assert_eq!(read.annotations["a"], "b");
        let docker = json!({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": descriptor(DOCKER_CONFIG),
            "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
        });
        assert_eq!(parse(&docker).unwrap().layers.len(), 1);
        let mut silent = manifest();
        silent["mediaType"] = json!(null);
        assert_eq!(parse(&silent).unwrap().media_type, OCI_MANIFEST);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let top = |key: &str, value: Value| {
            let mut document = manifest();
            document[key] = value;
            document
        };
        let layer = |key: &str, value: Value| {
            let mut document = manifest();
            document["layers"][0][key] = value;
            document
        };
        assert!(parse(&top("layers", json!([]))).is_ok(), "FROM scratch");
        assert!(parse(&layer("urls", json!([]))).is_ok());
        assert!(parse(&layer("urls", json!(null))).is_ok());
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let unfree = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        for (lie, document) in [
            ("both", top("manifests", json!([]))),
            ("schema 1", top("schemaVersion", json!(1))),
            ("schema 1", top("fsLayers", json!([]))),
            ("schema", top("schemaVersion", json!(null))),
            (
                "an index",
                top("mediaType", json!(crate::oci::index::OCI_INDEX)),
            ),
            ("another type", top("mediaType", json!("text/html"))),
            ("type", top("mediaType", json!(2))),
            ("no config", top("config", json!(null))),
            ("no layers", top("layers", json!(null))),
            ("layers", top("layers", json!({}))),
            (
                "an artifact",
                top(
                    "config",
                    descriptor("application/vnd.cncf.helm.config.v1+json"),
                ),
            ),
            ("layer's type", layer("mediaType", json!("application/x"))),
            ("config as layer", layer("mediaType", json!(OCI_CONFIG))),
            ("foreign", layer("mediaType", json!(foreign))),
            ("foreign", layer("mediaType", json!(unfree))),
            ("urls", layer("urls", json!(["http://169.254.169.254/x"]))),
            ("urls", layer("urls", json!("http://h/"))),
            ("size", layer("size", json!(null))),
            ("size", layer("size", json!(-1))),
            ("size", layer("size", json!(1_u64 << 62))),
            ("digest", layer("digest", json!("sha256:../../x"))),
            ("digest", layer("digest", json!("md5:00"))),
            (
                "digest",
                layer("digest", json!(format!("sha512:{}", "ab".repeat(64)))),
            ),
            (
                "digest",
                layer("digest", json!(format!("sha256:{}", "AB".repeat(32)))),
            ),
            ("annotations", top("annotations", json!(["a"]))),
            (
                "layers",
                top("layers", json!(vec![descriptor(LAYER); MAX_LAYERS + 1])),
            ),
            ("no object", json!([])),
        ] {
            let error = parse(&document).unwrap_err();
            assert_eq!(error.kind(), Kind::Format, "{lie}: {error}");
        }
        assert!(parse(&top("layers", json!(vec![descriptor(LAYER); MAX_LAYERS]))).is_ok());
        let long = vec![b' '; usize::try_from(MAX_MANIFEST).unwrap() + 1];
        assert!(
            ImageManifest::parse(&long)
                .unwrap_err()
                .message()
                .contains("more than")
        );
    }

    #[test]
    fn a_configuration_is_for_its_layers() {
        let manifest = parse(&manifest()).unwrap();
        let id = format!("sha256:{}", "cd".repeat(32));
        for (ids, sound) in [(1, false), (2, true), (3, false)] {
            let config = json!({
                "os": "linux", "architecture": "amd64",
                "rootfs": { "type": "layers", "diff_ids": vec![&id; ids] },
            });
            let config = ImageConfig::parse(config.to_string().as_bytes()).unwrap();
            assert_eq!(manifest.check(&config).is_ok(), sound);
        }
    }
}
