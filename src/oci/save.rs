//! An image as one file, to carry it: an OCI layout in a tar, or what `docker load` reads.
//!
//! What is written depends on the image alone: members are sorted, and nobody's clock or name is
//! in it. An OCI archive has the parts of the image as they are, so that its digest stays the same;
//! Docker's has its layers unpacked, since not every version of it knows every compression.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::blob::{Blob, mismatch};
use super::image::{Document, Image, ImageLayer};
use super::layout::REF_NAME;
use super::manifest::OCI_MANIFEST;
use super::{ImageConfig, Platform};
use crate::archive::{
    Checks, Decoder, Entry, Format, Kind as What, Limits, Packer, Time, error_of,
};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::tree::Tree;

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub enum Cargo<'a> {
    /// An image with its layers.
    Image(&'a Image),
    /// A tree, as the one layer of an image for this platform that says nothing else.
    Tree(&'a Tree, &'a Platform),
}

/// In what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A tar of an OCI image layout.
    Oci,
    /// What `docker save` writes.
    Docker,
}

impl Carrier {
    /// Writes an archive. `name` is what the image will be called there. `tell` is called now and
    /// then; its error stops the work.
    ///
    /// # Errors
    /// [`Kind::Integrity`] if a part is not what it should be; [`Kind::Format`] if one is
    /// malformed, or a name in a tree would be a whiteout in a layer; [`Kind::Local`]; the error
    /// of `tell`.
    pub fn write<W: Write>(
        self,
        cargo: Cargo<'_>,
        name: Option<&str>,
        limits: Limits,
        out: W,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<W> {
        let mut members: BTreeMap<String, Part<'_>> = BTreeMap::new();
        match self {
            Self::Oci => oci(cargo, name, tell, &mut members)?,
            Self::Docker => docker(cargo, name, &limits, tell, &mut members)?,
        }
        let mut packer = Packer::new(out);
        for (name, part) in &members {
            let entry = part.entry(name);
            packer.add(&entry)?;
            part.write(name, &limits, &mut packer, tell)?;
        }
        packer.finish()
    }
}

/// What goes into a member.
struct Part<'a> {
    size: u64,
    /// What it must hash to, if that is not certain.
    digest: Option<Digest>,
    content: Content<'a>,
}

enum Content<'a> {
    Folder,
    Bytes(Vec<u8>),
    Blob(&'a Blob),
    Decoded(&'a Blob, Format),
    Tree(&'a Tree),
}

impl Part<'_> {
    fn entry(&self, name: &str) -> Entry {
        let folder = matches!(self.content, Content::Folder);
        Entry {
            path: name.as_bytes().to_vec(),
            kind: if folder { What::Directory } else { What::File },
            mode: if folder { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: self.size,
            xattrs: BTreeMap::new(),
            extents: None,
        }
    }

    fn write<W: Write>(
        &self,
        name: &str,
        limits: &Limits,
        packer: &mut Packer<W>,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut sink = Hasher {
            hash: Sha256::new(),
            size: 0,
            next: |bytes: &[u8]| packer.write(bytes),
        };
        match &self.content {
            Content::Folder => return Ok(()),
            Content::Bytes(bytes) => return sink.take(bytes),
            Content::Blob(blob) => sink.copy(blob.open(), blob.name(), tell)?,
            Content::Decoded(blob, format) => {
                let decoder = Decoder::new(blob.open(), *format, limits, Checks::Verify)?;
                sink.copy(decoder.threaded(), blob.name(), tell)?;
            }
            Content::Tree(tree) => drop(tree.pack(Sink(&mut sink), &mut *tell)?),
        }
        let actual = Digest::from_bytes(sink.hash.finalize().into());
        match self.digest {
            Some(expected) if expected != actual => {
                Err(mismatch(name, "its SHA-256", expected, actual))
            }
            _ => Ok(()),
        }
    }
}

/// Hashes and counts what goes through it.
struct Hasher<F> {
    hash: Sha256,
    size: u64,
    next: F,
}

impl<F: FnMut(&[u8]) -> Result<()>> Hasher<F> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        (self.next)(bytes)
    }

    fn copy(
        &mut self,
        mut from: impl Read,
        name: &str,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            let read = from.read(&mut buffer);
            let n = read.map_err(|error| error_of(error).about(name))?;
            if n == 0 {
                return Ok(());
            }
            self.take(&buffer[..n])?;
            tell()?;
        }
    }
}

/// The same as an output.
struct Sink<'a, F>(&'a mut Hasher<F>);

impl<F: FnMut(&[u8]) -> Result<()>> Write for Sink<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.take(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hash and size of what a closure writes.
fn measure(
    write: impl FnOnce(&mut Hasher<fn(&[u8]) -> Result<()>>) -> Result<()>,
) -> Result<(Digest, u64)> {
    let mut sink = Hasher {
        hash: Sha256::new(),
        size: 0,
        next: (|_| Ok(())) as fn(&[u8]) -> Result<()>,
    };
    write(&mut sink)?;
    Ok((Digest::from_bytes(sink.hash.finalize().into()), sink.size))
}

fn measure_tree(tree: &Tree, tell: &mut dyn FnMut() -> Result<()>) -> Result<(Digest, u64)> {
    for visit in tree.walk() {
        let name = visit.path.rsplit(|&byte| byte == b'/').next();
        if name.is_some_and(|name| name.starts_with(b".wh.")) {
            let path = visit.path.escape_ascii();
            let message = format!("{path}: a file of this name cannot be in a layer");
            return Err(Error::new(Kind::Format, message));
        }
    }
    measure(|sink| tree.pack(Sink(sink), &mut *tell).map(drop))
}

type Members<'a> = BTreeMap<String, Part<'a>>;

fn bytes(bytes: Vec<u8>) -> Part<'static> {
    Part {
        size: bytes.len() as u64,
        digest: None,
        content: Content::Bytes(bytes),
    }
}

/// Puts bytes where their hash says.
fn put(members: &mut Members<'_>, content: Vec<u8>) -> Digest {
    let digest = Digest::from_bytes(Sha256::digest(&content).into());
    members.insert(format!("{}{digest}", super::blob::BLOBS), bytes(content));
    digest
}

fn oci<'a>(
    cargo: Cargo<'a>,
    name: Option<&str>,
    tell: &mut dyn FnMut() -> Result<()>,
    members: &mut Members<'a>,
) -> Result<()> {
    let mut layers = Vec::new();
    let (config, verbatim) = match cargo {
        Cargo::Tree(tree, platform) => {
            let (digest, size) = measure_tree(tree, tell)?;
            let path = format!("{}{digest}", super::blob::BLOBS);
            let part = Part {
                size,
                digest: Some(digest),
                content: Content::Tree(tree),
            };
            members.insert(path, part);
            layers.push(descriptor(layer_type(Format::Plain)?, digest, size));
            (plain_config(platform, digest), None)
        }
        Cargo::Image(image) => {
            for layer in &image.layers {
                let ImageLayer::Blob { blob, format, .. } = layer else {
                    return Err(Error::new(Kind::Other, "layers that are no tars"));
                };
                let digest = match blob.digest() {
                    Some(digest) => digest,
                    None => measure(|sink| sink.copy(blob.open(), blob.name(), tell))?.0,
                };
                let part = Part {
                    size: blob.size(),
                    digest: Some(digest),
                    content: Content::Blob(blob),
                };
                members.insert(format!("{}{digest}", super::blob::BLOBS), part);
                layers.push(descriptor(layer_type(*format)?, digest, blob.size()));
            }
            let manifest = image.manifest.as_ref();
            let verbatim = manifest.filter(|it| it.media_type == OCI_MANIFEST);
            (config_of(image)?.bytes.clone(), verbatim)
        }
    };
    let size = config.len() as u64;
    let config = put(members, config);
    let manifest = match verbatim {
        Some(manifest) => manifest.bytes.clone(),
        None => text(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, config, size),
            "layers": layers,
        })),
    };
    let size = manifest.len() as u64;
    let digest = put(members, manifest);
    let mut entry = descriptor(OCI_MANIFEST, digest, size);
    if let Some(name) = name {
        entry["annotations"] = json!({ REF_NAME: name });
    }
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    members.insert("index.json".to_owned(), bytes(text(&index)));
    let mark = json!({ "imageLayoutVersion": "1.0.0" });
    members.insert("oci-layout".to_owned(), bytes(text(&mark)));
    for folder in ["blobs", "blobs/sha256"] {
        let part = Part {
            size: 0,
            digest: None,
            content: Content::Folder,
        };
        members.insert(folder.to_owned(), part);
    }
    Ok(())
}

fn docker<'a>(
    cargo: Cargo<'a>,
    name: Option<&str>,
    limits: &Limits,
    tell: &mut dyn FnMut() -> Result<()>,
    members: &mut Members<'a>,
) -> Result<()> {
    let mut layers = Vec::new();
    let config = match cargo {
        Cargo::Tree(tree, platform) => {
            let (digest, size) = measure_tree(tree, tell)?;
            let part = Part {
                size,
                digest: Some(digest),
                content: Content::Tree(tree),
            };
            members.insert(format!("{digest}.tar"), part);
            layers.push(format!("{digest}.tar"));
            plain_config(platform, digest)
        }
        Cargo::Image(image) => {
            for layer in &image.layers {
                let ImageLayer::Blob {
                    blob,
                    format,
                    diff_id,
                } = layer
                else {
                    return Err(Error::new(Kind::Other, "layers that are no tars"));
                };
                // How large a member is stands before it: what is compressed is decoded twice.
                blob.check(|_| tell())?;
                let (digest, size) = measure(|sink| {
                    let decoder = Decoder::new(blob.open(), *format, limits, Checks::Verify)?;
                    sink.copy(decoder.threaded(), blob.name(), tell)
                })?;
                if let Some(expected) = diff_id.filter(|expected| *expected != digest) {
                    let what = "the SHA-256 of what it unpacks to";
                    return Err(mismatch(blob.name(), what, expected, digest));
                }
                let part = Part {
                    size,
                    digest: Some(digest),
                    content: Content::Decoded(blob, *format),
                };
                members.insert(format!("{digest}.tar"), part);
                layers.push(format!("{digest}.tar"));
            }
            config_of(image)?.bytes.clone()
        }
    };
    let digest = Digest::from_bytes(Sha256::digest(&config).into());
    members.insert(format!("{digest}.json"), bytes(config));
    let tags: Vec<String> = name.iter().map(|name| with_tag(name)).collect();
    let manifest = json!([{
        "Config": format!("{digest}.json"), "RepoTags": tags, "Layers": layers,
    }]);
    members.insert("manifest.json".to_owned(), bytes(text(&manifest)));
    Ok(())
}

fn config_of(image: &Image) -> Result<&Document<ImageConfig>> {
    let config = image.config.as_ref();
    config.ok_or_else(|| Error::new(Kind::Other, "an image without a configuration"))
}

/// What is said of a tree: for which platform it is.
fn plain_config(platform: &Platform, diff_id: Digest) -> Vec<u8> {
    let mut config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    if let Some(variant) = &platform.variant {
        config["variant"] = variant.as_str().into();
    }
    text(&config)
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

fn layer_type(format: Format) -> Result<&'static str> {
    Ok(match format {
        Format::Plain => "application/vnd.oci.image.layer.v1.tar",
        Format::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Format::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        format => {
            let message = format!("a layer compressed by {format}, which OCI does not know");
            return Err(Error::new(Kind::Format, message));
        }
    })
}

/// A name that Docker takes: one without a tag has that of the latest.
fn with_tag(name: &str) -> String {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    if last.contains(':') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// Keys are sorted: the same document has the same bytes.
fn text(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Bytes that are read and hashed at once.
const BLOCK: usize = 256 << 10;
