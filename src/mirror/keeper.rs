//! The one that makes a mirror and keeps it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::plan::Plan;
use super::report::{Mirrored, Report};
use super::run::Run;
use super::shelf::Shelf;
use super::stock::Stock;
use crate::base::Url;
use crate::cache::{Rehash, Waiting};
use crate::catalog::{Catalog, Image, Pin};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::fetch::Fetcher;
use crate::oci::Puller;
use crate::sys::{self, FileLock, Locked};

/// How a mirror is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many files are fetched, or hashed, at once.
    pub jobs: NonZeroUsize,
    /// Whether every file has a second name by its hash, for mirrors that are asked by `{sha256}`.
    pub blobs: bool,
    /// Keep so many of the newest versions of each product; `None` keeps all.
    pub retain: Option<NonZeroUsize>,
    /// Whether what is there is believed or read.
    pub rehash: Rehash,
    /// The address under which the mirror is served, for the commands on its page.
    pub url: Option<Url>,
    /// The time of this run: what an index named less than an hour ago is not removed.
    pub now: SystemTime,
}

/// Makes a directory into a mirror of pins: each file at its upstream path, an index for Incus and
/// LXD, an OCI layout, a page.
///
/// ```no_run
/// use std::num::NonZeroUsize;
///
/// use distro_fetch::cache::{Cache, Rehash};
/// use distro_fetch::event::Silent;
/// use distro_fetch::fetch::{self, Fetcher};
/// use distro_fetch::mirror::{Keeper, Options};
/// use distro_fetch::oci::{PullOptions, Puller};
/// use distro_fetch::{Arch, Catalog};
///
/// let cache = Cache::at("/var/cache/images")?;
/// let options = Options {
///     jobs: NonZeroUsize::MIN,
///     blobs: false,
///     retain: None,
///     rehash: Rehash::IfTouched,
///     url: None,
///     now: std::time::SystemTime::now(),
/// };
/// let fetcher = Fetcher::new(cache.clone(), fetch::Options::default());
/// let puller = Puller::new(&cache, PullOptions::default());
/// let catalog = Catalog::embedded();
/// let pins = [catalog.resolve(&"alpine-3.21".parse()?, Arch::Amd64)?];
/// let keeper = Keeper::new("/srv/mirror", &fetcher, &puller, options);
/// let report = keeper.run(&catalog, &pins, &Silent)?;
/// assert!(report.failures.is_empty());
/// # Ok::<(), distro_fetch::Error>(())
/// ```
#[derive(Debug)]
pub struct Keeper<'a> {
    root: PathBuf,
    pub(super) fetcher: &'a Fetcher,
    pub(super) puller: &'a Puller,
    pub(super) options: Options,
}

impl<'a> Keeper<'a> {
    /// The keeper of the mirror in a directory, whether it is there or not. Opens nothing.
    pub fn new(
        root: impl AsRef<Path>,
        fetcher: &'a Fetcher,
        puller: &'a Puller,
        options: Options,
    ) -> Self {
        Self {
            root: root.as_ref().to_owned(),
            fetcher,
            puller,
            options,
        }
    }

    /// Brings these pins of a catalog into the mirror. What is there already, of this catalog or an
    /// earlier one, stays.
    ///
    /// # Errors
    /// [`Kind::Local`] if the directory cannot be used; [`Kind::Format`] if its record cannot be
    /// understood; [`Kind::Cancelled`] if the observer breaks while another run is waited for. What
    /// is wrong with single pins, and what stops the run later, is in the report.
    pub fn run(
        &self,
        catalog: &Catalog,
        pins: &[(&Image, &Pin)],
        observer: &dyn Observer,
    ) -> Result<Report> {
        self.check_root()?;
        let files = Shelf::open(&self.root)?;
        let _lock = lock(&files, observer)?;
        let ledger = files.read_ledger()?;
        let plan = Plan::new(catalog, pins, &ledger)?;
        let stock = Stock {
            shelf: &files,
            ledger,
            rehash: self.options.rehash,
        };
        let mut run = Run {
            keeper: self,
            stock,
            report: Report::default(),
            observer,
        };
        run.report.failures = plan.failures;
        let outcome = run.steps(&plan.files, &plan.containers);
        // What was proven is known next time, however this one ended.
        let saved = run.save();
        run.report.stopped = outcome.and(saved).err();
        let place = |it: &Mirrored| (it.image.clone(), it.arch.as_str());
        run.report.mirrored.sort_by_cached_key(place);
        Ok(run.report)
    }

    /// A mirror in the cache would be swept, and a cache in a mirror be served.
    fn check_root(&self) -> Result<()> {
        let real = |path: &Path| {
            let there = path.ancestors().find_map(|it| {
                let real = std::fs::canonicalize(it).ok()?;
                Some(real.join(path.strip_prefix(it).ok()?))
            });
            there.unwrap_or_else(|| path.to_owned())
        };
        let root = std::path::absolute(&self.root)
            .map_err(|error| Error::local("cannot use", &self.root, error))?;
        let (root, cache) = (real(&root), real(self.fetcher.cache().path()));
        if root.starts_with(&cache) || cache.starts_with(&root) {
            let message = format!(
                "{}: a mirror and the cache ({}) cannot be in each other",
                root.display(),
                cache.display()
            );
            return Err(Error::new(Kind::Local, message).with_path(root));
        }
        Ok(())
    }
}

pub(super) fn stopped(subject: &str) -> Error {
    let message = format!("{subject}: stopped; what is in the mirror stays");
    Error::new(Kind::Cancelled, message)
}

/// Waits for the right to change the mirror. `None` where locks do not work: every file is still
/// whole or not there.
fn lock(shelf: &Shelf, observer: &dyn Observer) -> Result<Option<FileLock>> {
    let path = shelf.lock_path()?;
    let cannot = |error| Error::local("cannot open the lock file", &path, error);
    let mut file = sys::open_append(&path).map_err(cannot)?;
    let (start, subject) = (Instant::now(), shelf.root().to_string_lossy());
    loop {
        match FileLock::try_exclusive(file) {
            Locked::Held(lock) => return Ok(Some(lock)),
            Locked::Unsupported(..) => return Ok(None),
            Locked::Busy(back) => file = back,
        }
        let waiting = Waiting {
            lock: &path,
            holder: None,
            since: start.elapsed(),
        };
        let subject = &*subject;
        if waiting
            .tell(|what| observer.on(Event { subject, what }))
            .is_break()
        {
            return Err(stopped(subject));
        }
        std::thread::sleep(POLL);
    }
}

/// How often a busy lock is looked at.
const POLL: Duration = Duration::from_millis(100);
