//! One reference at work: from the cache, or else from whoever has it.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::manifest::MAX_MANIFEST;
use super::parts::Parts;
use super::pull::{PullPolicy, Pulled, Puller};
use super::registry::Endpoint;
use super::resolve::{Image, Resolver, Wanted};
use super::store::StoredImage;
use super::{ImageConfig, ImageManifest, ImageReference, Platform, Registry};
use crate::base::{Digest, Url};
use crate::cache::{Blob, Rehash};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::fetch::{MirrorSpec, Reach};
use crate::sys;

/// How much of an image has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Manifest and configuration.
    Words,
    /// Everything.
    Layers,
}

/// One reference at work.
pub(super) struct Work<'a> {
    pub(super) puller: &'a Puller,
    pub(super) reference: &'a ImageReference,
    pub(super) subject: String,
    pub(super) platform: Platform,
    /// Whether the platform was named.
    pub(super) explicit: bool,
    /// The image of a catalog.
    pub(super) image: Option<&'a str>,
    pub(super) observer: &'a dyn Observer,
}

impl Work<'_> {
    pub(super) fn run(&self) -> Result<Pulled> {
        let (store, options) = (&self.puller.store, &self.puller.options);
        let moving = self.reference.digest.is_none();
        if !(moving && options.policy == PullPolicy::Always && self.may_ask())
            && let Some(pulled) = self.cached(Depth::Layers)?
        {
            // A read-only cache is no reason to fail.
            let _ = self.remember(&pulled, true);
            self.done(&pulled)?;
            return Ok(pulled);
        }
        self.require_network()?;
        // Until something refers to them, the blobs are held by this.
        let _held = store.cache().share_blobs()?;
        let registry = self.registry();
        let resolver = self.resolver(&registry)?;
        let image = resolver.image()?;
        let parts = Parts {
            registry: &registry,
            endpoints: &resolver.endpoints,
            store,
            options: &options.fetch,
            subject: &self.subject,
            observer: self.observer,
        };
        parts.check_space(&image.manifest)?;
        // The small one first: what is for another machine is not fetched.
        let mut fetched = parts.bring(&image.manifest.config)?;
        let config = parts.config(&image.manifest)?;
        self.check_platform(&config)?;
        fetched |= self.bring_all(&parts, &image.manifest)?;
        for document in &image.documents {
            store.cache().write_blob(document)?;
        }
        let cached = !fetched && !image.fetched;
        let pulled = self.pulled(image, config, cached)?;
        self.remember(&pulled, false)?;
        self.done(&pulled)?;
        Ok(pulled)
    }

    /// The layers, several at once; whether any had to be fetched. The first failure stops the
    /// ones that have not begun.
    fn bring_all(&self, parts: &Parts<'_>, manifest: &ImageManifest) -> Result<bool> {
        let mut layers: Vec<_> = manifest.layers.iter().collect();
        layers.sort_by_key(|layer| layer.digest);
        layers.dedup_by_key(|layer| layer.digest);
        // The largest first: it takes longest.
        layers.sort_by_key(|layer| std::cmp::Reverse(layer.size));
        let next = AtomicUsize::new(0);
        let outcome: Mutex<Result<bool>> = Mutex::new(Ok(false));
        let work = || {
            while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let brought = parts.bring(layer);
                let Ok(mut outcome) = outcome.lock() else {
                    return;
                };
                match (brought, &mut *outcome) {
                    (Ok(fetched), Ok(any)) => *any |= fetched,
                    (Err(error), Ok(_)) => {
                        next.store(layers.len(), Ordering::Relaxed);
                        *outcome = Err(error);
                    }
                    (_, Err(_)) => return,
                }
            }
        };
        let jobs = self.puller.options.jobs.clamp(1, layers.len().max(1));
        if jobs == 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..jobs {
                    scope.spawn(work);
                }
            });
        }
        let died = |_| Error::new(Kind::Other, "a worker died");
        outcome.into_inner().map_err(died)?
    }

    /// What the cache has of it: all, or nothing.
    pub(super) fn cached(&self, depth: Depth) -> Result<Option<Pulled>> {
        let store = &self.puller.store;
        let top = match self.reference.digest {
            Some(digest) => digest,
            None => match self.recorded()? {
                Some(image) => image.resolved.unwrap_or(image.digest),
                None => return Ok(None),
            },
        };
        let registry = self.registry();
        let resolver = Resolver {
            registry: &registry,
            endpoints: Vec::new(),
            work: self.resolving(),
        };
        let Some(image) = resolver.cached(&top)? else {
            return Ok(None);
        };
        let Some(bytes) = store
            .cache()
            .read_blob(&image.manifest.config.digest, MAX_MANIFEST)?
        else {
            return Ok(None);
        };
        let config = ImageConfig::parse(&bytes)?;
        image.manifest.check(&config)?;
        self.check_platform(&config)?;
        if depth == Depth::Layers {
            let rehash = self.puller.options.fetch.rehash;
            for part in image.manifest.parts() {
                if !self.is_sound(part.digest, part.size, rehash)? {
                    return Ok(None);
                }
            }
        }
        self.pulled(image, config, true).map(Some)
    }

    fn is_sound(&self, digest: Digest, size: Option<u64>, rehash: Rehash) -> Result<bool> {
        let blob = self.puller.store.cache().blob(&digest, size, rehash)?;
        Ok(matches!(blob, Blob::Sound { .. }))
    }

    /// What a tag meant for this platform when it was last asked for.
    fn recorded(&self) -> Result<Option<StoredImage>> {
        let images = self.puller.store.images()?;
        let mut named: Vec<_> = images
            .into_iter()
            .filter(|image| image.name == self.subject)
            .collect();
        let platforms: Vec<_> = named.iter().map(|it| it.platform.clone()).collect();
        let at = self
            .platform
            .choose(0..named.len(), |at| platforms.get(*at)?.as_ref());
        Ok(match at {
            Some(at) => Some(named.swap_remove(at)),
            // There was nothing to choose from.
            None if !self.explicit && named.len() == 1 => named.pop(),
            None => None,
        })
    }

    /// An image that was chosen by its platform says that it is for it. One that there was no
    /// choice about may be for any machine, unless one was named.
    fn check_platform(&self, config: &ImageConfig) -> Result<()> {
        let platform = config.platform();
        if !self.explicit || self.platform.accepts(&platform) {
            return Ok(());
        }
        let message = format!(
            "{}: there is no image for {}; it is for {platform}",
            self.subject, self.platform
        );
        Err(Error::new(Kind::Unknown, message).with_suggestions(vec![platform.to_string()]))
    }

    pub(super) fn pulled(&self, image: Image, config: ImageConfig, cached: bool) -> Result<Pulled> {
        image.manifest.check(&config)?;
        self.check_platform(&config)?;
        let repository = &self.reference.repository;
        let reference = ImageReference::pinned(repository.clone(), image.top);
        let name = ImageReference::pinned(repository.clone(), image.digest).to_string();
        Ok(Pulled {
            reference,
            digest: image.digest,
            platform: config.platform(),
            manifest: image.manifest,
            config,
            name,
            cached,
            source: image.source,
        })
    }

    /// Writes down what the reference means: under its tag, under the digest that it has, and
    /// under that of the image itself.
    fn remember(&self, pulled: &Pulled, again: bool) -> Result<()> {
        let store = &self.puller.store;
        let digest = &pulled.digest;
        let Blob::Sound { size } = store.cache().blob(digest, None, Rehash::IfTouched)? else {
            return Ok(());
        };
        let mut names = vec![pulled.name.clone(), pulled.reference.to_string()];
        if self.reference.digest.is_none() {
            // A tag beside a digest is a word: nobody has said that it means this.
            names.push(self.subject.clone());
        }
        names.sort();
        names.dedup();
        let there = store.images()?;
        let images: Vec<_> = names
            .into_iter()
            .map(|name| StoredImage {
                image: self.image.map(str::to_owned).or_else(|| {
                    // Who pulls an image of the catalog by hand does not take it from there.
                    let old = there.iter().find(|old| old.name == name)?;
                    old.image.clone()
                }),
                name,
                digest: *digest,
                media_type: pulled.manifest.media_type.clone(),
                size,
                platform: Some(pulled.platform.clone()),
                resolved: pulled.reference.digest,
                fetched_at: Some(sys::now()),
                source: pulled.source.clone(),
            })
            // What is there as it should be is left alone: a hit writes nothing.
            .filter(|new| {
                !again
                    || !there.iter().any(|old| {
                        (&old.name, &old.platform, old.digest, &old.image)
                            == (&new.name, &new.platform, new.digest, &new.image)
                    })
            })
            .collect();
        if images.is_empty() {
            return Ok(());
        }
        store.add(&images)
    }

    fn done(&self, pulled: &Pulled) -> Result<()> {
        self.tell(What::Done {
            cached: pulled.cached,
            size: pulled.manifest.size(),
        })
    }

    fn may_ask(&self) -> bool {
        let options = &self.puller.options;
        options.policy != PullPolicy::Never && options.fetch.reach == Reach::Network
    }

    pub(super) fn require_network(&self) -> Result<()> {
        if self.may_ask() {
            return Ok(());
        }
        let message = format!(
            "{}: not cached for {}, and the network may not be used",
            self.subject, self.platform
        );
        Err(Error::new(Kind::Offline, message))
    }

    pub(super) fn registry(&self) -> Registry<'_> {
        let options = &self.puller.options;
        let registry = Registry::new(&self.puller.client).with_credentials(&options.credentials);
        if options.plain {
            registry.without_tls_for(&self.reference.repository)
        } else {
            registry
        }
    }

    pub(super) fn resolver<'r>(&'r self, registry: &'r Registry<'r>) -> Result<Resolver<'r>> {
        Ok(Resolver {
            registry,
            endpoints: self.endpoints(registry)?,
            work: self.resolving(),
        })
    }

    fn resolving(&self) -> Wanted<'_> {
        Wanted {
            reference: self.reference,
            subject: &self.subject,
            platform: &self.platform,
            store: &self.puller.store,
            options: &self.puller.options.fetch,
            observer: self.observer,
        }
    }

    /// Who is asked, in order: the user's mirrors, then the registry itself.
    fn endpoints(&self, registry: &Registry<'_>) -> Result<Vec<Endpoint>> {
        let options = &self.puller.options.fetch;
        let repository = &self.reference.repository;
        let mut endpoints = Vec::new();
        for mirror in &options.mirrors {
            let api: Url = match mirror {
                MirrorSpec::Base(base) if base.authority().is_empty() => continue,
                MirrorSpec::Base(base) => {
                    let prefix = base.path().trim_matches('/');
                    let slash = if prefix.is_empty() { "" } else { "/" };
                    let text = format!("/v2/{prefix}{slash}{}/", repository.path());
                    base.with_path(&text)?
                }
                MirrorSpec::Template(template) => {
                    let filled = template
                        .replace("{host}", repository.host())
                        .replace("{path}", repository.path())
                        .replace("{name}", repository.path());
                    if filled.contains(['{', '}']) {
                        let message = format!(
                            "{}: the mirror {template:?} is not for a registry, whose template \
                             has {{host}} and {{path}}",
                            self.subject
                        );
                        return Err(Error::new(Kind::Format, message));
                    }
                    format!("{}/", filled.trim_end_matches('/')).parse()?
                }
                // The mirrors of the catalog have files.
                MirrorSpec::Preset(_) => continue,
            };
            endpoints.push(Endpoint::mirror(api));
        }
        if !options.mirrors_only {
            let own = registry.endpoint(repository);
            endpoints.push(own.map_err(|verdict| Error::new(Kind::Format, verdict.to_string()))?);
        }
        endpoints.dedup_by(|a, b| a.api == b.api);
        Ok(endpoints)
    }

    fn tell(&self, what: What<'_>) -> Result<()> {
        tell(self.observer, &self.subject, what)
    }
}

/// Tells an observer, who may stop us.
pub(super) fn tell(observer: &dyn Observer, subject: &str, what: What<'_>) -> Result<()> {
    match observer.on(Event { subject, what }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(
            Kind::Cancelled,
            format!("{subject}: stopped; what has arrived is kept"),
        )),
    }
}
