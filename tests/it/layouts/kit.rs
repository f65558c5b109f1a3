//! Images made by code.

use std::fs;
use std::path::{Path, PathBuf};

use distro_fetch::event::Silent;
use distro_fetch::oci::{Image, Loader, Platform};
use distro_fetch::rootfs::{Source, Spelled};
use distro_fetch::tree::Tree;
use distro_fetch::{Error, Result, sys};
use serde_json::{Value, json};

pub(super) use crate::fsimg::kit::opening;
pub(super) use crate::harness::sha256;
pub(super) use crate::layers::kit::{tar, words};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A directory that goes with its value.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let name = format!("df-layouts-{}", sys::unique_suffix());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is in it, by name.
    pub(super) fn names(&self) -> Vec<String> {
        sys::names(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::clear_away(&self.0);
    }
}

/// A layer as it is: its type, its bytes, and what they unpack to if that is something else.
pub(super) type Packed<'a> = (&'a str, Vec<u8>, Option<Vec<u8>>);

/// An OCI layout under construction.
pub(crate) struct Maker {
    pub(crate) path: PathBuf,
    entries: Vec<Value>,
}

impl Maker {
    pub(super) fn new(path: &Path) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self {
            path: path.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Puts bytes where their hash says; their descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes).to_string();
        fs::write(self.path.join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({
            "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len(),
        })
    }

    /// An image of plain layers; the descriptor of its manifest.
    pub(super) fn image(&self, platform: &str, layers: &[&[&str]]) -> Value {
        let layers: Vec<_> = layers.iter().map(|it| (LAYER, tar(it), None)).collect();
        self.image_of(platform, &layers)
    }

    /// An image of layers as they are: type, bytes, and what they unpack to if that is not it.
    pub(super) fn image_of(&self, platform: &str, layers: &[Packed<'_>]) -> Value {
        let ids: Vec<_> = layers
            .iter()
            .map(|(_, bytes, plain)| format!("sha256:{}", sha256(plain.as_ref().unwrap_or(bytes))))
            .collect();
        let config = config(platform, &json!(ids));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.to_string().as_bytes()),
            "layers": layers.iter().map(|(kind, bytes, _)| self.blob(kind, bytes)).collect::<Vec<_>>(),
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// An index of these.
    pub(super) fn index(&self, entries: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        self.blob(INDEX, index.to_string().as_bytes())
    }

    /// Adds something to the index of the layout.
    pub(super) fn add(&mut self, mut descriptor: Value, name: Option<&str>) {
        if let Some(name) = name {
            descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        self.entries.push(descriptor);
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }

    /// A layout with one image.
    pub(crate) fn one(path: &Path, layers: &[&[&str]]) -> Self {
        let mut maker = Self::new(path);
        maker.add(maker.image(&host(), layers), None);
        maker
    }
}

/// A tar with one file.
pub(super) fn entry_of(name: &str, content: &[u8]) -> Vec<u8> {
    let (mut entry, _) = crate::layers::kit::entry(&format!("f {name}"));
    entry.size = content.len() as u64;
    let mut packer = distro_fetch::archive::Packer::new(Vec::new());
    packer.add(&entry).unwrap();
    packer.write(content).unwrap();
    packer.finish().unwrap()
}

pub(super) fn config(platform: &str, ids: &Value) -> Value {
    let mut words = platform.split('/');
    json!({
        "os": words.next().unwrap(), "architecture": words.next().unwrap(),
        "variant": words.next().unwrap_or_default(),
        "config": { "Cmd": ["/bin/sh"] }, "rootfs": { "type": "layers", "diff_ids": ids },
    })
}

/// A descriptor for a platform.
pub(super) fn with_platform(mut descriptor: Value, platform: &str) -> Value {
    let mut words = platform.split('/');
    let mut value = json!({ "os": words.next().unwrap(), "architecture": words.next().unwrap() });
    if let Some(variant) = words.next() {
        value["variant"] = variant.into();
    }
    descriptor["platform"] = value;
    descriptor
}

pub(super) fn host() -> String {
    Platform::host().unwrap().to_string()
}

/// The layers of an image as one tree.
pub(super) fn tree_of(image: &Image) -> Result<Tree> {
    let spool = std::env::temp_dir();
    Ok(Loader::new(&spool, &Silent).tree(image)?.tree)
}

/// Opens a source as a user spells it.
pub(super) fn open(text: &str) -> Result<Source> {
    let spool = std::env::temp_dir();
    Source::open(&Spelled::parse(text)?, opening(&spool))
}

/// What is in a source, in words.
pub(super) fn list(text: &str) -> Result<Vec<String>> {
    let spool = std::env::temp_dir();
    Ok(words(&open(text)?.tree(opening(&spool))?))
}

/// Why a source is refused.
pub(super) fn refusal(text: &str) -> Error {
    list(text).unwrap_err()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
