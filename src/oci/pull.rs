//! A reference becomes an image in the cache.

use super::store::Store;
use super::task::{Depth, Work};
use super::{Credentials, ImageConfig, ImageManifest, ImageReference, Platform};
use crate::base::Digest;
use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::fetch;
use crate::net::Client;

/// When a registry is asked what a tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Where the cache has no image of that name for the platform.
    Missing,
    /// Each time; what is cached of the image is not fetched again.
    Always,
    /// Never, nor anything else: only what is cached.
    Never,
}

/// How a [`Puller`] works.
#[derive(Debug)]
pub struct PullOptions {
    /// Mirrors, patience, network.
    pub fetch: fetch::Options,
    /// Which of several images; without it, the one for this machine.
    pub platform: Option<Platform>,
    /// When a registry is asked what a tag means.
    pub policy: PullPolicy,
    /// How many layers are fetched at once.
    pub jobs: usize,
    /// Whether the registry of a reference is spoken to without TLS.
    pub plain: bool,
    /// Who we are to a registry that asks.
    pub credentials: Credentials,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            fetch: fetch::Options::default(),
            platform: None,
            policy: PullPolicy::Missing,
            jobs: 4,
            plain: false,
            credentials: Credentials::default(),
        }
    }
}

/// Brings container images into a cache.
///
/// ```no_run
/// use distro_fetch::cache::Cache;
/// use distro_fetch::event::Silent;
/// use distro_fetch::oci::{PullOptions, Puller};
///
/// let puller = Puller::new(&Cache::at("/var/cache/images")?, PullOptions::default());
/// let image = puller.pull(&"alpine:3.21".parse()?, &Silent)?;
/// println!("{} is for {}", image.reference, image.platform);
/// # Ok::<(), distro_fetch::Error>(())
/// ```
#[derive(Debug)]
pub struct Puller {
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) options: PullOptions,
}

/// An image, as a registry or the cache has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What was asked for, with the digest that it had, and without its tag: the pin.
    pub reference: ImageReference,
    /// What the manifest of the one image hashes to. The same as the reference's digest, unless
    /// that is an index of several.
    pub digest: Digest,
    /// Which machine it is for.
    pub platform: Platform,
    /// What it is made of.
    pub manifest: ImageManifest,
    /// How it is run.
    pub config: ImageConfig,
    /// What it is called in the cache's layout: the repository and the digest of the manifest.
    pub name: String,
    /// Whether nothing had to be fetched.
    pub cached: bool,
    /// Where the manifest came from, if that is known.
    pub source: Option<String>,
}

impl Puller {
    /// A puller into this cache. Opens nothing.
    pub fn new(cache: &Cache, options: PullOptions) -> Self {
        Self {
            client: Client::new(options.fetch.net.clone()),
            store: Store::of(cache),
            options,
        }
    }

    /// The images of the cache.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who decides how it works.
    pub fn options(&self) -> &PullOptions {
        &self.options
    }

    /// The image of a reference, with all its layers: from the cache, or else fetched, verified
    /// and cached.
    ///
    /// # Errors
    /// [`Kind::Unknown`] if there is no image for the platform; [`Kind::Format`] for what is no
    /// image; [`Kind::Offline`], [`Kind::Network`], [`Kind::Gone`] and [`Kind::Integrity`] as their
    /// names say; [`Kind::Local`] for this machine; [`Kind::Cancelled`] if the observer breaks.
    pub fn pull(&self, reference: &ImageReference, observer: &dyn Observer) -> Result<Pulled> {
        self.pull_for(reference, None, observer)
    }

    /// The same for an image of a catalog, by its name and for a platform of its own.
    ///
    /// # Errors
    /// As of [`pull`](Self::pull).
    pub fn pull_for(
        &self,
        reference: &ImageReference,
        pinned: Option<(&str, &Platform)>,
        observer: &dyn Observer,
    ) -> Result<Pulled> {
        self.work(reference, pinned, observer)?.run()
    }

    /// What an image says of itself, without its layers. Nothing is written.
    ///
    /// # Errors
    /// As of [`pull`](Self::pull).
    pub fn inspect(&self, reference: &ImageReference, observer: &dyn Observer) -> Result<Pulled> {
        let work = self.work(reference, None, observer)?;
        if let Some(pulled) = work.cached(Depth::Words)? {
            return Ok(pulled);
        }
        work.require_network()?;
        let registry = work.registry();
        let resolver = work.resolver(&registry)?;
        let image = resolver.image()?;
        let config = resolver.config(&image)?;
        work.pulled(image, config, false)
    }

    /// What a reference means now: its digest, by the registry's word or, if it has one, its own.
    ///
    /// # Errors
    /// As of [`pull`](Self::pull).
    pub fn resolve(&self, reference: &ImageReference, observer: &dyn Observer) -> Result<Digest> {
        if let Some(digest) = reference.digest {
            return Ok(digest);
        }
        let work = self.work(reference, None, observer)?;
        work.require_network()?;
        let registry = work.registry();
        Ok(work.resolver(&registry)?.top()?.digest)
    }

    fn work<'a>(
        &'a self,
        reference: &'a ImageReference,
        pinned: Option<(&'a str, &'a Platform)>,
        observer: &'a dyn Observer,
    ) -> Result<Work<'a>> {
        let wanted = pinned
            .map(|(_, platform)| platform.clone())
            .or_else(|| self.options.platform.clone());
        let explicit = wanted.is_some();
        let platform = wanted.or_else(Platform::host).ok_or_else(|| {
            let message = "this machine's architecture is not one of ours: name a platform";
            Error::new(Kind::Unknown, message)
        })?;
        Ok(Work {
            puller: self,
            reference,
            subject: reference.to_string(),
            platform,
            explicit,
            image: pinned.map(|(name, _)| name),
            observer,
        })
    }
}
