//! Container images of a mirror: one OCI image layout for all of them.
//!
//! OCI image specification 1.1, "Image Layout". An image is called by its name in the catalog, for
//! the newest snapshot, and by `NAME:SNAPSHOT` for each one. Where an image is here for several
//! platforms, the name is that of an index of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ledger::{Container, Row, key};
use super::place::{CONTAINERS, Place};
use super::plan::NO_DAY;
use super::shelf::Bytes;
use super::stock::{Need, Stock, Tell};
use crate::base::{Digest, natural_order, safe_file_name};
use crate::cache::Cache;
use crate::catalog::{Image, Kind as Content, Pin};
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::oci::{ImageManifest, ImageReference, Platform, Puller};
use crate::sys;

/// Brings a container image into the layout; its row, and whether nothing had to be done.
pub(super) fn bring(
    stock: &mut Stock<'_>,
    puller: &Puller,
    (image, pin, repository): (&Image, &Pin, &str),
    observer: &dyn Observer,
    tell: &mut Tell<'_>,
) -> Result<(Row, bool)> {
    let known = key(image.name.as_str(), pin.arch, pin.snapshot.as_str());
    let known = stock.ledger.rows.get(&known).cloned();
    if let Some(row) = known.filter(|row| row.source == source(repository, pin.sha256))
        && is_whole(stock, row.sha256)?
    {
        return Ok((row, true));
    }
    let reference = ImageReference::pinned(repository.parse()?, pin.sha256);
    let platform = Platform::of(pin.arch);
    let brought = puller.pull_for(&reference, Some((image.name.as_str(), &platform)), observer)?;
    let cache = puller.store().cache();
    // Nobody sweeps away what is being copied.
    let _held = cache.share_blobs()?;
    let parts = brought
        .manifest
        .parts()
        .map(|part| (part.digest, part.size));
    for (digest, size) in parts.chain([(brought.digest, None)]) {
        copy(stock, cache, digest, size, tell)?;
    }
    let Platform {
        os,
        architecture,
        variant,
    } = brought.platform;
    let row = Row {
        image: image.name.to_string(),
        arch: pin.arch,
        snapshot: pin.snapshot.to_string(),
        kind: Content::Oci,
        sha256: brought.digest,
        size: brought.manifest.size(),
        source: source(repository, pin.sha256),
        place: CONTAINERS.to_owned(),
        indexed: Err("a container image: it is in the OCI layout".to_owned()),
        container: Some(Container {
            media_type: brought.manifest.media_type,
            platform: (os, architecture, variant),
        }),
    };
    Ok((row, false))
}

fn source(repository: &str, sha256: Digest) -> String {
    format!("docker://{repository}@sha256:{sha256}")
}

/// Whether a manifest and all that it names are here.
fn is_whole(stock: &mut Stock<'_>, manifest: Digest) -> Result<bool> {
    let place = blob(manifest)?;
    if stock.need(&place, bytes(manifest, None))? != Need::Nothing {
        return Ok(false);
    }
    let text = stock.shelf.start(&place, MAX_MANIFEST)?;
    for part in ImageManifest::parse(&text)?.parts() {
        let need = stock.need(&blob(part.digest)?, bytes(part.digest, part.size))?;
        if need != Need::Nothing {
            return Ok(false);
        }
    }
    Ok(true)
}

fn copy(
    stock: &mut Stock<'_>,
    cache: &Cache,
    digest: Digest,
    size: Option<u64>,
    tell: &mut Tell<'_>,
) -> Result<()> {
    let (place, bytes) = (blob(digest)?, bytes(digest, size));
    let need = stock.need(&place, bytes)?;
    if need == Need::Nothing {
        return Ok(());
    }
    let path = cache.blob_path(&digest);
    let file: Result<File> =
        sys::open_regular(&path).map_err(|error| Error::local("cannot open", path, error));
    stock.put(&place, need, &mut file?, bytes, tell)
}

/// Writes the documents of the layout, if there are images in it. The blobs come first.
pub(super) fn write_index(stock: &mut Stock<'_>) -> Result<()> {
    let documents = Documents::of(stock)?;
    let index = Place::parse(&format!("{CONTAINERS}/index.json"))?;
    if documents.entries.is_empty() && !sys::exists(&stock.shelf.path(&index)) {
        return Ok(());
    }
    for (digest, text) in documents.indexes {
        stock.make(&blob(digest)?, NO_DAY, || Ok(text))?;
    }
    let mark = json!({ "imageLayoutVersion": "1.0.0" });
    let place = Place::parse(&format!("{CONTAINERS}/oci-layout"))?;
    stock.shelf.write(&place, mark.to_string().as_bytes())?;
    let entries = documents.entries.into_iter().map(|(name, mut entry)| {
        entry["annotations"] = json!({ REF_NAME: name });
        entry
    });
    let document = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": entries.collect::<Vec<_>>(),
    });
    stock
        .shelf
        .write(&index, format!("{document}\n").as_bytes())?;
    Ok(())
}

/// The blobs that the layout names, by their paths.
pub(super) fn named(stock: &Stock<'_>) -> Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for (digest, _) in Documents::of(stock)?.indexes {
        named.insert(blob(digest)?.to_string());
    }
    for row in stock.ledger.rows.values() {
        if row.container.is_some() {
            let place = blob(row.sha256)?;
            let text = stock.shelf.start(&place, MAX_MANIFEST)?;
            for part in ImageManifest::parse(&text)?.parts() {
                named.insert(blob(part.digest)?.to_string());
            }
            named.insert(place.to_string());
        }
    }
    Ok(named)
}

/// What the layout says, made of the ledger alone.
struct Documents {
    /// Its entries by their names, without these.
    entries: BTreeMap<String, Value>,
    /// Indexes of images for several platforms.
    indexes: Vec<(Digest, Vec<u8>)>,
}

impl Documents {
    fn of(stock: &Stock<'_>) -> Result<Self> {
        let mut images: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
        for row in stock.ledger.rows.values() {
            if row.container.is_some() {
                let image = (row.image.as_str(), row.snapshot.as_str());
                images.entry(image).or_default().push(row);
            }
        }
        let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
        for (image, snapshot) in images.keys() {
            let best = newest.entry(image).or_insert(snapshot);
            if natural_order(best, snapshot).is_lt() {
                *best = snapshot;
            }
        }
        let mut documents = Self {
            entries: BTreeMap::new(),
            indexes: Vec::new(),
        };
        for ((image, snapshot), rows) in &images {
            let manifests = rows.iter().map(|row| descriptor(row, stock));
            let entry = documents.entry(manifests.collect::<Result<_>>()?);
            let stamp = safe_file_name(&snapshot.replace(':', ""));
            let entries = &mut documents.entries;
            entries.insert(format!("{image}:{stamp}"), entry.clone());
            if newest.get(image) == Some(snapshot) {
                entries.insert((*image).to_owned(), entry);
            }
        }
        Ok(documents)
    }

    /// What stands for one image: its only manifest, or an index of them.
    fn entry(&mut self, mut manifests: Vec<Value>) -> Value {
        if let [only] = &mut manifests[..] {
            return only.take();
        }
        let text = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let text = text.to_string().into_bytes();
        let digest = Digest::from_bytes(Sha256::digest(&text).into());
        let entry = json!({
            "mediaType": INDEX, "digest": format!("sha256:{digest}"), "size": text.len(),
        });
        self.indexes.push((digest, text));
        entry
    }
}

fn descriptor(row: &Row, stock: &Stock<'_>) -> Result<Value> {
    let place = blob(row.sha256)?;
    let size = match stock.ledger.files.get(place.as_str()) {
        Some(kept) => kept.size,
        None => stock.shelf.size(&place)?,
    };
    let mut entry = json!({ "digest": format!("sha256:{}", row.sha256), "size": size });
    if let Some(container) = &row.container {
        let (os, architecture, variant) = &container.platform;
        entry["mediaType"] = json!(container.media_type);
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        if let Some(variant) = variant {
            entry["platform"]["variant"] = json!(variant);
        }
    }
    Ok(entry)
}

pub(super) fn blob(digest: Digest) -> Result<Place> {
    Place::parse(&format!("{CONTAINERS}/blobs/sha256/{digest}"))
}

fn bytes(sha256: Digest, size: Option<u64>) -> Bytes {
    Bytes {
        sha256,
        size,
        time: NO_DAY,
    }
}

/// OCI image specification 1.1, "Media Types" and "Pre-Defined Annotation Keys".
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Bytes of a manifest: what the oci room reads of one.
const MAX_MANIFEST: usize = 4 << 20;
