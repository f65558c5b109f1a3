//! The one that asks every source of every pin.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::life::{Failed, Finding, Life, Look, Report, judge};
use super::queue::Queue;
use super::{deep, glance};
use crate::base::Url;
use crate::cache::Key;
use crate::catalog::{Address, Catalog, Image, Pin};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::fetch::{self, Patience, Reach, Request, Verdict, wait};
use crate::net::Client;
use crate::oci::{Reference, Registry, Repository};

/// How closely a source is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Status, size and first bytes.
    Glance,
    /// Every byte, against the hash.
    Whole,
}

/// How an [`Auditor`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is asked, and how the network is talked to: as a [`Fetcher`](fetch::Fetcher) would.
    pub fetch: fetch::Options,
    /// How closely a source is looked at.
    pub depth: Depth,
    /// How many sources are asked at once.
    pub jobs: usize,
}

/// Asks the sources of pins what has become of them.
///
/// ```no_run
/// use distro_fetch::Catalog;
/// use distro_fetch::audit::{Auditor, Depth, Options};
/// use distro_fetch::event::Silent;
///
/// let catalog = Catalog::embedded();
/// let image = catalog.find("alpine-3.21")?;
/// let pins: Vec<_> = image.pins.iter().map(|pin| (image, pin)).collect();
/// let options = Options { fetch: Default::default(), depth: Depth::Glance, jobs: 4 };
/// for report in Auditor::new(options).audit(&catalog, &pins, &Silent)? {
///     println!("{} {}: {}", report.image.name, report.pin.arch, report.life().as_str());
/// }
/// # Ok::<(), distro_fetch::Error>(())
/// ```
#[derive(Debug)]
pub struct Auditor {
    client: Client,
    options: Options,
}

/// One place to ask for one pin.
struct Task {
    pin: usize,
    subject: String,
    place: Place,
    finding: Finding,
}

enum Place {
    File { key: Key, url: Url },
    Registry(Repository, Reference),
}

impl Auditor {
    /// An auditor. Opens nothing.
    pub fn new(options: Options) -> Self {
        Self {
            client: Client::new(options.fetch.net.clone()),
            options,
        }
    }

    /// What the sources of these pins say, in the order of the pins.
    ///
    /// # Errors
    /// [`Kind::Offline`] if the network may not be used; [`Kind::Local`] for this machine;
    /// [`Kind::Format`] for a mirror that makes a malformed address; [`Kind::Cancelled`] if the
    /// observer breaks. What sources say is a finding and never an error.
    pub fn audit<'a>(
        &self,
        catalog: &Catalog,
        pins: &[(&'a Image, &'a Pin)],
        observer: &dyn Observer,
    ) -> Result<Vec<Report<'a>>> {
        if self.options.fetch.reach == Reach::CacheOnly {
            return Err(Error::new(
                Kind::Offline,
                "an audit asks the sources, and the network may not be used",
            ));
        }
        let mut tasks = Vec::new();
        for (at, (image, pin)) in pins.iter().enumerate() {
            tasks.extend(self.tasks(catalog, at, image, pin)?);
        }
        let findings = self.work(&tasks, observer)?;
        let mut reports: Vec<_> = pins
            .iter()
            .map(|(image, pin)| Report {
                image,
                pin,
                sources: Vec::new(),
            })
            .collect();
        for (task, finding) in tasks.iter().zip(findings) {
            reports[task.pin].sources.push(finding);
        }
        Ok(reports)
    }

    /// Every place to ask for a pin, in the order in which `ensure` would.
    fn tasks(&self, catalog: &Catalog, at: usize, image: &Image, pin: &Pin) -> Result<Vec<Task>> {
        let subject = format!("{} {} {}", image.name, pin.arch, pin.snapshot);
        let task = |place, role, url: String, host: &str| Task {
            pin: at,
            subject: subject.clone(),
            place,
            finding: Finding {
                role,
                url,
                host: host.to_owned(),
                life: Life::Unreachable,
                detail: String::new(),
                size: None,
            },
        };
        let options = &self.options.fetch;
        match &pin.address {
            // A mirror of files has no manifests.
            Address::Repository(_) if options.mirrors_only => Ok(Vec::new()),
            Address::Repository(name) => {
                let repository: Repository = name.parse()?;
                let reference = Reference::Digest(pin.sha256);
                let (url, host) = (
                    format!("{repository}@{reference}"),
                    repository.host().to_owned(),
                );
                let place = Place::Registry(repository, reference);
                Ok(vec![task(place, "upstream", url, &host)])
            }
            Address::Url(_) => {
                let request = Request::pinned(catalog, image, pin)?;
                let sources = request.sources(&options.mirrors, options.mirrors_only)?;
                Ok(sources
                    .into_iter()
                    .map(|source| {
                        let (text, host) =
                            (source.url.to_string(), source.url.authority().to_owned());
                        let place = Place::File {
                            key: request.key.clone(),
                            url: source.url,
                        };
                        task(place, source.role, text, &host)
                    })
                    .collect())
            }
        }
    }

    fn work(&self, tasks: &[Task], observer: &dyn Observer) -> Result<Vec<Finding>> {
        let queue = Queue::new(tasks.iter().map(|it| it.finding.host.as_str()).collect());
        let round = Round {
            auditor: self,
            registry: Registry::new(&self.client),
            observer,
            weary: Mutex::default(),
        };
        let results: Vec<Mutex<Option<Result<Finding>>>> =
            tasks.iter().map(|_| Mutex::default()).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.options.jobs.clamp(1, tasks.len().max(1)) {
                scope.spawn(|| {
                    while let Some(turn) = queue.take() {
                        let finding = round.ask(&tasks[turn.at]);
                        if finding.is_err() {
                            queue.stop();
                        }
                        if let Ok(mut result) = results[turn.at].lock() {
                            *result = Some(finding);
                        }
                    }
                });
            }
        });
        let mut findings = Vec::new();
        let mut missing = false;
        for result in results {
            match result.into_inner().ok().flatten() {
                Some(finding) => findings.push(finding?),
                None => missing = true,
            }
        }
        if missing {
            // Only who fails stops the others, and that has been told above.
            return Err(Error::new(Kind::Other, "a worker died"));
        }
        Ok(findings)
    }
}

/// What the threads of one audit share.
struct Round<'a> {
    auditor: &'a Auditor,
    registry: Registry<'a>,
    observer: &'a dyn Observer,
    /// Hosts that have used up all their chances with one source: the next ones get a single one,
    /// or a dead server with a hundred pins would take an hour.
    weary: Mutex<BTreeSet<String>>,
}

impl Round<'_> {
    /// Asks one source until it has answered or has had its chances.
    fn ask(&self, task: &Task) -> Result<Finding> {
        let options = &self.auditor.options.fetch;
        let tell = |what: What<'_>| self.tell(task, what);
        let url = task.finding.url.as_str();
        let host = &task.finding.host;
        let mut patience = Patience::new(options.retries, options.backoff);
        let Failed { verdict, size } = loop {
            tell(What::Source {
                url,
                resumed: 0,
                total: task.place.size(),
            })?;
            let failed = match self.look(task)? {
                Ok(look) => {
                    self.weary().remove(host);
                    if self.auditor.options.depth == Depth::Whole {
                        tell(What::Done {
                            cached: false,
                            size: look.size.unwrap_or(0),
                        })?;
                    }
                    return Ok(Finding {
                        life: Life::Alive,
                        detail: look.agrees,
                        size: look.size,
                        ..task.finding.clone()
                    });
                }
                Err(failed) => failed,
            };
            let weary = self.weary().contains(host);
            let Some(pause) = patience.pause(&failed.verdict).filter(|_| !weary) else {
                break failed;
            };
            tell(What::Retry {
                url,
                verdict: &failed.verdict.to_string(),
                pause,
            })?;
            wait(pause, || {
                tell(What::Progress {
                    received: 0,
                    total: task.place.size(),
                })
            })?;
        };
        if let Verdict::Ours(why) = verdict {
            return Err(Error::new(Kind::Local, why));
        }
        if verdict.is_transient() {
            self.weary().insert(host.clone());
        } else {
            self.weary().remove(host);
        }
        tell(What::Failed {
            url,
            verdict: &verdict.to_string(),
            next: None,
        })?;
        let (life, detail) = judge(&verdict);
        Ok(Finding {
            life,
            detail,
            size,
            ..task.finding.clone()
        })
    }

    /// One attempt. The outer error is a cancellation.
    fn look(&self, task: &Task) -> Result<Result<Look, Failed>> {
        let Auditor { client, options } = self.auditor;
        match (&task.place, options.depth) {
            (Place::File { key, url }, Depth::Glance) => Ok(glance::look(client, key, url)),
            (Place::File { key, url }, Depth::Whole) => {
                let limit = options.fetch.unknown_size_limit;
                deep::read(client, key, url, limit, |received| {
                    let total = key.size;
                    self.tell(task, What::Progress { received, total })
                })
            }
            // A manifest is small: it is read whole either way.
            (Place::Registry(repository, reference), _) => {
                let found = self.registry.manifest(repository, reference);
                Ok(found.map_err(Failed::from).map(|manifest| Look {
                    agrees: "SHA-256 of the manifest".to_owned(),
                    size: Some(manifest.size),
                }))
            }
        }
    }

    fn tell(&self, task: &Task, what: What<'_>) -> Result<()> {
        let subject = &task.subject;
        match self.observer.on(Event { subject, what }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                Kind::Cancelled,
                "stopped; an audit starts from the beginning",
            )),
        }
    }

    fn weary(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.weary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn size(&self) -> Option<u64> {
        match self {
            Self::File { key, .. } => key.size,
            Self::Registry(..) => None,
        }
    }
}
