//! An upstream that is a table of documents, and a small catalog that follows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use distro_fetch::base::Timestamp;
use distro_fetch::catalog::Rules;
use distro_fetch::{Arch, Catalog, Digest};
use refresh::ask::{Answer, Ask, Hashes, Problem, Trouble};
use refresh::keys::Keys;
use refresh::report::Report;
use refresh::run::{Settings, run};
use refresh::upstream::Upstream;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// Documents and files by address.
#[derive(Default)]
pub(crate) struct Table {
    files: BTreeMap<String, Vec<u8>>,
    /// What was asked, in order.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Table {
    pub(crate) fn put(&mut self, url: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(url.to_owned(), bytes.into());
    }

    pub(crate) fn with(mut self, url: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.put(url, bytes);
        self
    }

    fn file(&self, url: &str) -> Result<&Vec<u8>, Trouble> {
        let gone = || Problem::Unlisted.because(format!("{url}: gone: HTTP 404"));
        self.files.get(url).ok_or_else(gone)
    }
}

impl Upstream for Table {
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble> {
        self.asked.lock().unwrap().push(ask.to_string());
        match ask {
            Ask::Document { url, .. } => Ok(Answer::Document(self.file(url.as_str())?.clone())),
            Ask::Size { url } => Ok(Answer::Size(Some(self.file(url.as_str())?.len() as u64))),
            Ask::Hashes { url, before, .. } => {
                let file = self.file(url.as_str())?;
                let combined = match before {
                    Some(before) => {
                        let metadata = self.file(before.as_str())?;
                        Some(sha256(&[metadata.as_slice(), file].concat()))
                    }
                    None => None,
                };
                Ok(Answer::Hashes(Hashes {
                    size: file.len() as u64,
                    sha256: sha256(file),
                    sha512: Sha512::digest(file).into(),
                    md5: md5::Md5::digest(file).into(),
                    combined,
                }))
            }
            Ask::Manifest {
                repository,
                reference,
            } => {
                let bytes = self.file(&format!("{repository}:{reference}"))?;
                Ok(Answer::Manifest(bytes.clone()))
            }
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// A catalog of one origin, `up`, with one mirror, that follows these sources.
pub(crate) fn catalog(retention: &Value, images: &[(&str, Value)]) -> Catalog {
    let images: serde_json::Map<_, _> = images
        .iter()
        .map(|(name, image)| ((*name).to_owned(), image.clone()))
        .collect();
    let document = json!({
        "schema": 1,
        "origins": { "up": {
            "url": "https://up.example/", "retention": retention,
            "mirrors": { "near": "https://near.example/up/" },
        } },
        "images": images,
    });
    Catalog::parse(&document.to_string(), Rules::Embedded).unwrap()
}

/// An image that follows `source`, without pins.
pub(crate) fn image(name: &str, arches: &[&str], source: &Value) -> (String, Value) {
    let mut parts = name.splitn(3, '-');
    let mut image = json!({
        "distro": parts.next(), "version": parts.next(), "kind": "rootfs",
        "arches": arches, "pins": {}, "source": source,
    });
    if let Some(variant) = parts.next() {
        image["variant"] = variant.into();
    }
    (name.to_owned(), image)
}

/// A run on a day, as `2026-01-29`.
pub(crate) fn settings(day: &str) -> Settings {
    let now: Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
    Settings {
        now,
        ..Settings::default()
    }
}

/// The keys of the repository.
pub(crate) fn keys() -> Keys {
    Keys::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("keys")).unwrap()
}

pub(crate) fn refresh(catalog: &Catalog, upstream: &dyn Upstream, settings: &Settings) -> Report {
    run(catalog, upstream, &keys(), settings).unwrap()
}

/// `image arch: snapshot` of every pin.
pub(crate) fn pins(catalog: &Catalog) -> Vec<String> {
    let images = catalog.images.iter();
    images
        .flat_map(|image| {
            let pins = image.pins.iter();
            pins.map(move |pin| format!("{} {}: {}", image.name, pin.arch, pin.snapshot))
        })
        .collect()
}

/// `image arch: kind` of everything that failed.
pub(crate) fn failures(report: &Report) -> Vec<String> {
    let failed = report.failures.iter();
    failed
        .map(|it| format!("{} {}: {}", it.image, it.arch, it.trouble.kind.as_str()))
        .collect()
}

pub(crate) fn pin<'a>(catalog: &'a Catalog, name: &str) -> &'a distro_fetch::catalog::Pin {
    catalog.get(name).unwrap().pin(Arch::Amd64).unwrap()
}
