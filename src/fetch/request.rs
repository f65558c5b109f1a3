//! What is wanted.

use super::source::sources;
use super::{MirrorSpec, Source};
use crate::base::{Digest, Url};
use crate::cache::Key;
use crate::catalog::{Catalog, Image, Pin};
use crate::error::{Error, Kind, Result};

/// Bytes that are wanted, and where they may come from.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which bytes, and what they are called in the cache.
    pub key: Key,
    /// What people call it: `alpine-3.21 amd64 20260128_13:00`.
    pub subject: String,
    /// Where they were published.
    pub(super) url: Url,
    /// Other places with the same bytes.
    pub(super) alternates: Vec<Url>,
    /// Name and address at every mirror of the origin.
    pub(super) mirrors: Vec<(String, Url)>,
}

impl Request {
    /// The request for a pin of a catalog.
    ///
    /// # Errors
    /// [`Kind::Format`] for a container image: its digest names a manifest and not a file.
    pub fn pinned(catalog: &Catalog, image: &Image, pin: &Pin) -> Result<Self> {
        let (Some(url), Some(key)) = (pin.address.url(), Key::pinned(&image.name, pin)) else {
            return Err(Error::new(
                Kind::Format,
                format!(
                    "{}: container images cannot be fetched as a file",
                    image.name
                ),
            ));
        };
        let mut mirrors = Vec::new();
        if let Some(origin) = catalog.origin_of(image, pin) {
            let path = url.below(&origin.url).unwrap_or_default();
            for mirror in &*origin.mirrors {
                mirrors.push((mirror.name.to_string(), mirror.url.append(path)?));
            }
        }
        Ok(Self {
            key,
            subject: format!("{} {} {}", image.name, pin.arch, pin.snapshot),
            url: url.clone(),
            alternates: pin.alternates.to_vec(),
            mirrors,
        })
    }

    /// Every place to ask, in order: these mirrors, and unless `only` they are asked, upstream,
    /// alternates and the mirrors of the catalog.
    ///
    /// # Errors
    /// [`Kind::Format`] if a mirror makes a malformed address.
    pub fn sources(&self, mirrors: &[MirrorSpec], only: bool) -> Result<Vec<Source>> {
        sources(self, mirrors, only)
    }

    /// The request for bytes whose hash the caller knows.
    pub fn by_hash(url: &Url, sha256: Digest, size: Option<u64>) -> Self {
        Self {
            key: Key::by_hash(url, sha256, size),
            subject: format!("{url} {}", sha256.short()),
            url: url.clone(),
            alternates: Vec::new(),
            mirrors: Vec::new(),
        }
    }
}
