//! The one that turns names into verified files.

use std::io;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::download::Download;
use super::{MirrorSpec, Request};
use crate::base::HumanBytes;
use crate::cache::{Cache, Entry, Lookup, Partial, Rehash, WriteLock};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::net::{self, Client};

/// Whether the network may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may.
    Network,
    /// Not one socket is opened, not one file of a mirror is looked at.
    CacheOnly,
}

/// How a [`Fetcher`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Asked before anyone else, in this order.
    pub mirrors: Vec<MirrorSpec>,
    /// Whether nobody but `mirrors` is asked.
    pub mirrors_only: bool,
    /// Whether the network may be used.
    pub reach: Reach,
    /// Whether hits are believed or read.
    pub rehash: Rehash,
    /// How many more chances a source gets that is busy or broken.
    pub retries: u32,
    /// The first pause between two chances; it doubles.
    pub backoff: Duration,
    /// Where a file of unknown size ends at the latest.
    pub unknown_size_limit: u64,
    /// How the network is talked to.
    pub net: net::Config,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            mirrors_only: false,
            reach: Reach::Network,
            rehash: Rehash::IfTouched,
            retries: 3,
            backoff: Duration::from_millis(500),
            unknown_size_limit: UNKNOWN_SIZE_LIMIT,
            net: net::Config::default(),
        }
    }
}

/// Turns requests into verified entries of a cache.
///
/// ```no_run
/// use distro_fetch::cache::Cache;
/// use distro_fetch::event::Silent;
/// use distro_fetch::fetch::{Fetcher, Options, Request};
/// use distro_fetch::{Arch, Catalog};
///
/// let catalog = Catalog::embedded();
/// let (image, pin) = catalog.resolve(&"alpine-3.21".parse()?, Arch::Amd64)?;
/// let fetcher = Fetcher::new(Cache::at("/var/cache/images")?, Options::default());
/// let outcome = fetcher.ensure(&Request::pinned(&catalog, image, pin)?, &Silent)?;
/// println!("{}", outcome.entry.path().display());
/// # Ok::<(), distro_fetch::Error>(())
/// ```
#[derive(Debug)]
pub struct Fetcher {
    cache: Cache,
    client: Client,
    options: Options,
}

/// A verified file, and how it came to be there.
#[derive(Debug)]
pub struct Outcome {
    /// The entry.
    pub entry: Entry,
    /// Whether nothing had to be fetched.
    pub cached: bool,
}

impl Fetcher {
    /// A fetcher into this cache. Opens nothing.
    pub fn new(cache: Cache, options: Options) -> Self {
        Self {
            client: Client::new(options.net.clone()),
            cache,
            options,
        }
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The entry of a request: from the cache, or else fetched, verified and cached.
    ///
    /// # Errors
    /// [`Kind::Offline`], [`Kind::Network`], [`Kind::Gone`] and [`Kind::Integrity`] as their
    /// names say; [`Kind::Local`] for this machine; [`Kind::Cancelled`] if the observer breaks.
    pub fn ensure(&self, request: &Request, observer: &dyn Observer) -> Result<Outcome> {
        let tell = |what: What<'_>| {
            let event = Event {
                subject: &request.subject,
                what,
            };
            match observer.on(event) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(cancelled(request)),
            }
        };
        let work = Work {
            fetcher: self,
            request,
            tell: &tell,
        };
        let outcome = work.run()?;
        tell(What::Done {
            cached: outcome.cached,
            size: outcome.entry.record().stamp.size,
        })?;
        Ok(outcome)
    }

    /// Ensures several requests, up to `jobs` of them at once. The answers come in the order of
    /// the requests; one failure does not stop the others.
    pub fn ensure_all(
        &self,
        requests: &[Request],
        jobs: usize,
        observer: &dyn Observer,
    ) -> Vec<Result<Outcome>> {
        let workers = jobs.clamp(1, requests.len().max(1));
        if workers == 1 {
            return requests
                .iter()
                .map(|request| self.ensure(request, observer))
                .collect();
        }
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<Result<Outcome>>>> =
            requests.iter().map(|_| Mutex::default()).collect();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed))
                        && let (Some(request), Some(result)) = (requests.get(at), results.get(at))
                    {
                        let outcome = self.ensure(request, observer);
                        if let Ok(mut result) = result.lock() {
                            *result = Some(outcome);
                        }
                    }
                });
            }
        });
        let taken = results
            .into_iter()
            .map(|result| result.into_inner().ok().flatten());
        taken
            .map(|result| result.unwrap_or_else(|| Err(Error::new(Kind::Other, "a worker died"))))
            .collect()
    }
}

/// What the cache has of a request.
enum Look {
    Found(Box<Outcome>),
    /// Nothing; and why, if there was something.
    Nothing(Option<String>),
}

/// One request at work.
struct Work<'a> {
    fetcher: &'a Fetcher,
    request: &'a Request,
    tell: &'a (dyn Fn(What<'_>) -> Result<()> + Sync),
}

impl Work<'_> {
    fn run(&self) -> Result<Outcome> {
        let (cache, options, request) = (&self.fetcher.cache, &self.fetcher.options, self.request);
        let damage = match self.look()? {
            Look::Found(outcome) => return Ok(*outcome),
            Look::Nothing(damage) => damage,
        };
        if options.reach == Reach::CacheOnly {
            let why = damage.map_or_else(
                || "not cached, and the network may not be used".to_owned(),
                |why| {
                    format!("the cached copy was damaged ({why}), and the network may not be used")
                },
            );
            return Err(Error::new(
                Kind::Offline,
                format!("{}: {why}", request.subject),
            ));
        }
        let lock = self.lock()?;
        // Somebody else may have fetched it while we waited, under this name or another.
        if let Look::Found(outcome) = self.look()? {
            return Ok(*outcome);
        }
        let mut partial = cache.partial(&request.key.sha256, &lock)?;
        let outcome = self.download(&mut partial);
        match outcome {
            Ok((verified, url)) => {
                let entry = cache.commit(&request.key, partial, &verified, &url)?;
                drop(lock);
                Ok(Outcome {
                    entry,
                    cached: false,
                })
            }
            Err(error) => {
                // What was kept for a resume stays; nothing, and what nobody could find again,
                // goes.
                if partial.length() == 0 || matches!(lock, WriteLock::Unsupported(_)) {
                    partial.discard();
                }
                Err(error)
            }
        }
    }

    /// Looks for the bytes under their own name and under others; a damaged copy goes aside.
    fn look(&self) -> Result<Look> {
        let (cache, rehash, key) = (
            &self.fetcher.cache,
            self.fetcher.options.rehash,
            &self.request.key,
        );
        let cached = |entry| {
            let cached = true;
            Ok(Look::Found(Box::new(Outcome { entry, cached })))
        };
        let damage = match cache.lookup(key, rehash)? {
            Lookup::Hit(entry) => return cached(entry),
            Lookup::Miss => None,
            Lookup::Damaged(why) => Some(why),
        };
        if let Some(why) = &damage {
            self.set_aside(why)?;
        }
        let Some(mut other) = cache.find(&key.sha256)? else {
            return Ok(Look::Nothing(damage));
        };
        if rehash == Rehash::Always && !other.is_sound()? {
            return Ok(Look::Nothing(damage));
        }
        // The same bytes under another name are as good as a download. A cache that cannot be
        // written cannot have a second name: the first one will do.
        if let Ok(entry) = cache.adopt(key, &other) {
            other = entry;
        }
        cached(other)
    }

    fn download(&self, partial: &mut Partial) -> Result<(crate::io::Verified, String)> {
        let (options, request) = (&self.fetcher.options, self.request);
        let sources = request.sources(&options.mirrors, options.mirrors_only)?;
        if let Some(size) = request.key.size {
            self.check_space(size.saturating_sub(partial.length()))?;
        }
        let download = Download {
            subject: &request.subject,
            digest: request.key.sha256,
            size: request.key.size,
            options,
            ask: &|url, range| Ok(self.fetcher.client.get(url, range)?),
            tell: self.tell,
            check_space: &|need| self.check_space(need),
        };
        let outcome = download.run(&sources, partial);
        let (verified, source) = match outcome {
            Ok(done) => done,
            Err(error) if is_disk_full(&error) => {
                // Half an image on a full disk is in everybody's way.
                partial.truncate(0)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        Ok((verified, source.url.to_string()))
    }

    /// Fails before the first byte if it is clear that the last one will not fit.
    fn check_space(&self, need: u64) -> Result<()> {
        match self.fetcher.cache.available_space() {
            Some(have) if have < need => Err(Error::new(
                Kind::Local,
                format!(
                    "{}: the disk is full: {} are needed in {} and {} are free",
                    self.request.subject,
                    HumanBytes(need),
                    self.fetcher.cache.path().display(),
                    HumanBytes(have)
                ),
            )
            .with_path(self.fetcher.cache.path())),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> Result<WriteLock> {
        let digest = &self.request.key.sha256;
        let lock = self
            .fetcher
            .cache
            .lock(digest, |waiting| match waiting.tell(self.tell) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
        let lock = lock.map_err(|error| match error.io_kind() {
            Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => {
                let message = format!(
                    "{}: not cached, and the cache cannot be written: {error}",
                    self.request.subject
                );
                Error::new(Kind::Local, message).with_path(self.fetcher.cache.path())
            }
            _ => error,
        })?;
        if let WriteLock::Unsupported(reason) = &lock {
            (self.tell)(What::Unlocked { reason })?;
        }
        Ok(lock)
    }

    /// Moves a damaged entry away. A read-only cache keeps it: fetching will then fail, too, and
    /// say so.
    fn set_aside(&self, reason: &str) -> Result<()> {
        let cache = &self.fetcher.cache;
        let folder = cache.folder_of(&self.request.key);
        let (digest, rehash) = (&self.request.key.sha256, self.fetcher.options.rehash);
        if let Ok(Some(path)) = cache.set_aside(&folder, Some(digest), rehash) {
            (self.tell)(What::Quarantined {
                path: &path.to_string_lossy(),
                reason,
            })?;
        }
        Ok(())
    }
}

fn cancelled(request: &Request) -> Error {
    Error::new(
        Kind::Cancelled,
        format!("{}: stopped; what has arrived is kept", request.subject),
    )
}

fn is_disk_full(error: &Error) -> bool {
    matches!(
        error.io_kind(),
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    )
}

/// 64 GiB: no published image comes near it, and no disk is filled by one that claims to.
const UNKNOWN_SIZE_LIMIT: u64 = 64 << 30;
