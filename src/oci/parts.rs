//! Configuration and layers on their way into the cache.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::config::MAX_CONFIG;
use super::name::ALGORITHM;
use super::registry::Endpoint;
use super::store::Store;
use super::task::tell;
use super::{Descriptor, ImageConfig, ImageManifest, Registry};
use crate::base::{Digest, HumanBytes};
use crate::cache::{Blob, WriteLock};
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, What};
use crate::fetch::{self, Download, Source, Verdict};

/// The blobs of one image.
pub(super) struct Parts<'a> {
    pub(super) registry: &'a Registry<'a>,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) store: &'a Store,
    pub(super) options: &'a fetch::Options,
    pub(super) subject: &'a str,
    pub(super) observer: &'a dyn Observer,
}

impl Parts<'_> {
    /// Makes sure that the cache has a blob; whether it had to be fetched.
    pub(super) fn bring(&self, part: &Descriptor) -> Result<bool> {
        let subject = format!("{} {}", self.subject, part.digest.short());
        let size = part.size.unwrap_or(0);
        self.tell(
            &subject,
            What::Part {
                digest: &format!("{ALGORITHM}{}", part.digest),
                size,
            },
        )?;
        let fetched = self.fetch(part, &subject)?;
        let cached = !fetched;
        self.tell(&subject, What::Done { cached, size })?;
        Ok(fetched)
    }

    fn fetch(&self, part: &Descriptor, subject: &str) -> Result<bool> {
        if self.is_there(part, subject)? {
            return Ok(false);
        }
        let cache = self.store.cache();
        let lock = cache.lock(&part.digest, |waiting| {
            match waiting.tell(|what| self.tell(subject, what)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        if let WriteLock::Unsupported(reason) = &lock {
            self.tell(subject, What::Unlocked { reason })?;
        }
        // Somebody else may have fetched it while we waited.
        if self.is_there(part, subject)? {
            return Ok(false);
        }
        let mut partial = cache.partial(&part.digest, &lock)?;
        let sources = self.sources(&part.digest)?;
        let download = Download {
            subject,
            digest: part.digest,
            size: part.size,
            options: self.options,
            ask: &|url, range| {
                let owner = self
                    .endpoints
                    .iter()
                    .find(|endpoint| url.below(&endpoint.api).is_some());
                match owner {
                    Some(endpoint) => self.registry.get(endpoint, url, range, None),
                    None => Err(Verdict::Ours(format!("{url}: nobody's"))),
                }
            },
            tell: &|what| self.tell(subject, what),
            check_space: &|_| Ok(()),
        };
        match download.run(&sources, &mut partial) {
            Ok((verified, _)) => {
                cache.keep_blob(partial, &verified)?;
                drop(lock);
                Ok(true)
            }
            Err(error) => {
                // What was kept for a resume stays; nothing, and what nobody could find again,
                // goes; and half a layer on a full disk is in everybody's way.
                let full = matches!(
                    error.io_kind(),
                    Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
                );
                let lost = matches!(lock, WriteLock::Unsupported(_));
                if partial.length() == 0 || lost || full {
                    partial.discard();
                }
                Err(error)
            }
        }
    }

    /// Whether a blob is there and right; a damaged one goes aside.
    fn is_there(&self, part: &Descriptor, subject: &str) -> Result<bool> {
        let cache = self.store.cache();
        match cache.blob(&part.digest, part.size, self.options.rehash)? {
            Blob::Sound { .. } => Ok(true),
            Blob::Missing => Ok(false),
            Blob::Damaged(reason) => {
                if let Ok(Some(path)) = cache.set_blob_aside(&part.digest, part.size) {
                    let (path, reason) = (&*path.to_string_lossy(), &*reason);
                    self.tell(subject, What::Quarantined { path, reason })?;
                }
                Ok(false)
            }
        }
    }

    fn sources(&self, digest: &Digest) -> Result<Vec<Source>> {
        let sources = self.endpoints.iter().map(|endpoint| {
            let url = endpoint.blob(digest);
            Ok(Source {
                url: url.map_err(|verdict| Error::new(Kind::Format, verdict.to_string()))?,
                role: endpoint.role,
            })
        });
        sources.collect()
    }

    /// The configuration, which the cache has by now.
    pub(super) fn config(&self, manifest: &ImageManifest) -> Result<ImageConfig> {
        let digest = &manifest.config.digest;
        let bytes = self.store.cache().read_blob(digest, MAX_CONFIG)?;
        let bytes = bytes.ok_or_else(|| {
            let message = format!("{}: the configuration has vanished again", self.subject);
            Error::new(Kind::Local, message)
        })?;
        let config = ImageConfig::parse(&bytes).map_err(|error| error.about(self.subject))?;
        manifest
            .check(&config)
            .map_err(|error| error.about(self.subject))?;
        Ok(config)
    }

    /// Fails before the first byte if it is clear that the last one will not fit.
    pub(super) fn check_space(&self, manifest: &ImageManifest) -> Result<()> {
        let cache = self.store.cache();
        let parts = manifest.parts().map(|it| (it.digest, it.size.unwrap_or(0)));
        let mut need = 0_u64;
        for (digest, size) in parts.collect::<BTreeMap<_, _>>() {
            let rehash = crate::cache::Rehash::IfTouched;
            if cache.blob(&digest, Some(size), rehash)? == Blob::Missing {
                need = need.saturating_add(size);
            }
        }
        match cache.available_space() {
            Some(have) if have < need => Err(Error::new(
                Kind::Local,
                format!(
                    "{}: the disk is full: {} are needed in {} and {} are free",
                    self.subject,
                    HumanBytes(need),
                    cache.path().display(),
                    HumanBytes(have)
                ),
            )
            .with_path(cache.path())),
            _ => Ok(()),
        }
    }

    fn tell(&self, subject: &str, what: What<'_>) -> Result<()> {
        tell(self.observer, subject, what)
    }
}
