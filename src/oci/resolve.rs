//! From a reference to the manifest of one image: what a tag says, and which of several images is
//! for a platform.

use super::config::MAX_CONFIG;
use super::manifest::MAX_MANIFEST;
use super::name::ALGORITHM;
use super::registry::{Endpoint, media_type, own_type, read};
use super::store::Store;
use super::task::tell;
use super::{
    Descriptor, ImageConfig, ImageManifest, ImageReference, Index, Platform, Reference, Registry,
    is_index, is_manifest,
};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, What};
use crate::fetch::{self, Patience, Verdict, exhausted, wait};
use crate::io::{Expect, VerifyingReader};

/// What is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a ImageReference,
    pub(super) subject: &'a str,
    pub(super) platform: &'a Platform,
    pub(super) store: &'a Store,
    pub(super) options: &'a fetch::Options,
    pub(super) observer: &'a dyn Observer,
}

/// Asks for manifests, from the cache where they are there.
pub(super) struct Resolver<'a> {
    pub(super) registry: &'a Registry<'a>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) work: Wanted<'a>,
}

/// The manifest of one image, and the way to it.
pub(super) struct Image {
    /// What the reference means.
    pub(super) top: Digest,
    /// The manifest's own digest.
    pub(super) digest: Digest,
    pub(super) manifest: ImageManifest,
    /// The indexes on the way, and the manifest.
    pub(super) documents: Vec<Vec<u8>>,
    /// Whether anybody was asked.
    pub(super) fetched: bool,
    /// Where the manifest came from, if not from the cache.
    pub(super) source: Option<String>,
}

/// A manifest or an index.
pub(super) struct Found {
    pub(super) digest: Digest,
    bytes: Vec<u8>,
    media_type: String,
    source: Option<String>,
}

/// What became of the search for a platform.
enum Search {
    /// The indexes on the way, and the manifest.
    Way(Vec<Found>),
    /// There is none.
    Nothing,
    /// Somebody would have to be asked.
    Missing,
}

impl Resolver<'_> {
    /// The image that is wanted, asked for where the cache has it not.
    pub(super) fn image(&self) -> Result<Image> {
        let top = self.top()?;
        let get = |reference: &Descriptor| self.document(&reference.digest).map(Some);
        let image = self.follow(top, &get)?;
        image.ok_or_else(|| self.error(Kind::Other, "it was there a moment ago"))
    }

    /// The image below a manifest or index, if the cache has all of it.
    pub(super) fn cached(&self, top: &Digest) -> Result<Option<Image>> {
        let get = |descriptor: &Descriptor| self.stored(&descriptor.digest);
        match self.stored(top)? {
            Some(top) => self.follow(top, &get),
            None => Ok(None),
        }
    }

    /// What the reference means now.
    pub(super) fn top(&self) -> Result<Found> {
        match self.work.reference.reference() {
            Reference::Digest(digest) => self.document(&digest),
            tag @ Reference::Tag(_) => self.ask(&tag),
        }
    }

    /// The configuration of an image, which may be in the cache and is not put there.
    pub(super) fn config(&self, image: &Image) -> Result<ImageConfig> {
        let Descriptor { digest, size, .. } = image.manifest.config;
        let about = |error: Error| error.about(self.work.subject);
        if let Some(bytes) = self.work.store.cache().read_blob(&digest, MAX_CONFIG)? {
            return ImageConfig::parse(&bytes).map_err(about);
        }
        let bytes = self.one_of_all(Some(digest), |endpoint| {
            let url = endpoint.blob(&digest)?;
            let response = self.registry.get(endpoint, &url, None, None)?;
            Verdict::check_status(&response)?;
            let bytes = read_from(self.registry, response)?;
            let expect = Expect {
                digest,
                size,
                limit: MAX_CONFIG,
            };
            match VerifyingReader::new(&*bytes, expect).drain() {
                Ok(_) => Ok(bytes),
                Err(_) => Err(Verdict::Wrong {
                    why: format!("a configuration that is not {digest}"),
                    actual: None,
                }),
            }
        })?;
        ImageConfig::parse(&bytes.0).map_err(about)
    }

    fn follow(
        &self,
        top: Found,
        get: &dyn Fn(&Descriptor) -> Result<Option<Found>>,
    ) -> Result<Option<Image>> {
        let top_digest = top.digest;
        let mut offers = Vec::new();
        let way = match self.search(top, 0, get, &mut offers)? {
            Search::Way(way) => way,
            Search::Missing => return Ok(None),
            Search::Nothing => return Err(self.nothing(offers)),
        };
        let fetched = way.iter().any(|found| found.source.is_some());
        let source = way.iter().find_map(|found| found.source.clone());
        let Some(last) = way.last() else {
            return Ok(None);
        };
        let manifest = ImageManifest::parse(&last.bytes);
        Ok(Some(Image {
            top: top_digest,
            digest: last.digest,
            manifest: manifest.map_err(|error| error.about(self.work.subject))?,
            fetched,
            source,
            documents: way.into_iter().map(|found| found.bytes).collect(),
        }))
    }

    fn search(
        &self,
        here: Found,
        depth: usize,
        get: &dyn Fn(&Descriptor) -> Result<Option<Found>>,
        offers: &mut Vec<Platform>,
    ) -> Result<Search> {
        if !is_index(&here.media_type) {
            return Ok(Search::Way(vec![here]));
        }
        if depth > MAX_NESTED {
            let why = format!("indexes within indexes, more than {MAX_NESTED} deep");
            return Err(self.error(Kind::Format, &why));
        }
        let index = Index::parse(&here.bytes).map_err(|error| error.about(self.work.subject))?;
        // Whatever is neither an image nor an index is for somebody else.
        let images = index
            .manifests
            .iter()
            .filter(|it| is_manifest(&it.media_type));
        let images: Vec<&Descriptor> = images.collect();
        offers.extend(images.iter().filter_map(|it| it.platform.clone()));
        let nested: Vec<_> = index
            .manifests
            .iter()
            .filter(|it| it.is_index())
            .filter(|it| {
                let platform = it.platform.as_ref();
                platform.is_none_or(|it| self.work.platform.accepts(it))
            })
            .take(MAX_SIBLINGS)
            .collect();
        let chosen = self
            .work
            .platform
            .choose(images.iter().copied(), |it| it.platform.as_ref())
            .or(match images[..] {
                // One of which nobody says what it is for, and nothing else: its configuration
                // does.
                [only] if only.platform.is_none() && nested.is_empty() => Some(only),
                _ => None,
            });
        if let Some(chosen) = chosen {
            return Ok(match get(chosen)? {
                Some(found) => Search::Way(vec![here, self.as_said(found, chosen)?]),
                None => Search::Missing,
            });
        }
        for descriptor in nested {
            let Some(found) = get(descriptor)? else {
                return Ok(Search::Missing);
            };
            let found = self.as_said(found, descriptor)?;
            match self.search(found, depth + 1, get, offers)? {
                Search::Way(mut way) => {
                    way.insert(0, here);
                    return Ok(Search::Way(way));
                }
                Search::Missing => return Ok(Search::Missing),
                Search::Nothing => {}
            }
        }
        Ok(Search::Nothing)
    }

    /// A document that is what its descriptor says, not only of its hash.
    fn as_said(&self, found: Found, said: &Descriptor) -> Result<Found> {
        let size = found.bytes.len() as u64;
        if let Some(expected) = said.size.filter(|it| *it != size) {
            let why = format!("a manifest of {size} bytes, where the index says {expected}");
            return Err(self.error(Kind::Integrity, &why));
        }
        if found.media_type != said.media_type {
            let (is, said) = (&found.media_type, &said.media_type);
            let why = format!("a manifest that is {is:?}, where the index says {said:?}");
            return Err(self.error(Kind::Format, &why));
        }
        Ok(found)
    }

    fn document(&self, digest: &Digest) -> Result<Found> {
        match self.stored(digest)? {
            Some(found) => Ok(found),
            None => self.ask(&Reference::Digest(*digest)),
        }
    }

    fn stored(&self, digest: &Digest) -> Result<Option<Found>> {
        let cache = self.work.store.cache();
        let Some(bytes) = cache.read_blob(digest, MAX_MANIFEST)? else {
            return Ok(None);
        };
        Ok(Some(Found {
            media_type: own_type(&bytes).map_err(|why| self.error(Kind::Format, &why))?,
            digest: *digest,
            bytes,
            source: None,
        }))
    }

    fn ask(&self, reference: &Reference) -> Result<Found> {
        let digest = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => None,
        };
        let (document, source) = self.one_of_all(digest, |endpoint| {
            self.registry.document(endpoint, reference)
        })?;
        let media_type = media_type(&document.bytes, document.content_type.as_deref());
        Ok(Found {
            media_type: media_type.map_err(|why| self.error(Kind::Format, &why))?,
            digest: document.digest,
            bytes: document.bytes,
            source: Some(source),
        })
    }

    /// Asks one endpoint after the other, each until it delivers or has had its chances.
    fn one_of_all<T>(
        &self,
        digest: Option<Digest>,
        get: impl Fn(&Endpoint) -> Result<T, Verdict>,
    ) -> Result<(T, String)> {
        let options = self.work.options;
        let mut verdicts = Vec::new();
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            let what = digest.map_or_else(
                || self.work.reference.reference().to_string(),
                |digest| format!("{ALGORITHM}{digest}"),
            );
            let url = endpoint.api.append(&format!("manifests/{what}"))?;
            let mut patience = Patience::new(options.retries, options.backoff);
            self.tell(What::Source {
                url: url.as_str(),
                resumed: 0,
                total: None,
            })?;
            let verdict = loop {
                let verdict = match get(endpoint) {
                    Ok(found) => return Ok((found, url.to_string())),
                    Err(Verdict::Ours(why)) => return Err(self.error(Kind::Local, &why)),
                    Err(verdict) => verdict,
                };
                let Some(pause) = patience.pause(&verdict) else {
                    break verdict;
                };
                self.tell(What::Retry {
                    url: url.as_str(),
                    verdict: &verdict.to_string(),
                    pause,
                })?;
                let (received, total) = (0, None);
                wait(pause, || self.tell(What::Progress { received, total }))?;
            };
            let next = self.endpoints.get(at + 1);
            self.tell(What::Failed {
                url: url.as_str(),
                verdict: &verdict.to_string(),
                next: next.map(|it| it.api.as_str()),
            })?;
            verdicts.push((url, verdict));
        }
        let strangers = !verdicts.is_empty()
            && verdicts
                .iter()
                .all(|(_, verdict)| *verdict == Verdict::Refused(401));
        let error = exhausted(self.work.subject, digest, &verdicts);
        Err(if strangers {
            let why = "the registry wants to know who asks: `docker login`, or --username";
            self.error(Kind::Network, why)
                .with_attempts(error.attempts().to_vec())
        } else {
            error
        })
    }

    fn nothing(&self, mut offers: Vec<Platform>) -> Error {
        offers.sort();
        offers.dedup();
        let names: Vec<String> = offers.iter().map(ToString::to_string).collect();
        let there = if names.is_empty() {
            "there is none for any platform".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        let why = format!("there is no image for {}; {there}", self.work.platform);
        self.error(Kind::Unknown, &why).with_suggestions(names)
    }

    fn error(&self, kind: Kind, why: &str) -> Error {
        Error::new(kind, format!("{}: {why}", self.work.subject))
    }

    fn tell(&self, what: What<'_>) -> Result<()> {
        tell(self.work.observer, self.work.subject, what)
    }
}

fn read_from(registry: &Registry<'_>, response: crate::net::Response) -> Result<Vec<u8>, Verdict> {
    read(registry.client(), response, MAX_CONFIG)
}

/// An index, in an index, in an index: nobody publishes more.
const MAX_NESTED: usize = 2;

/// So many indexes of one index are looked into; each is a request.
const MAX_SIBLINGS: usize = 16;
