//! A run: everything is resolved before anything is decided, and decided before anything is
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use distro_fetch::Arch;
use distro_fetch::base::{Date, Timestamp};
use distro_fetch::catalog::{
    Address, Catalog, Image, Pin, Retention, SourceType, Trust, matches_glob,
};

use crate::ask::{Answer, Answers, Ask, Problem, Stop, Trouble};
use crate::keys::Keys;
use crate::report::{Changed, Failed, Forgetful, Frozen, Report};
use crate::rules::{self, Change, Older};
use crate::source::{self, Candidate, Desk, Unit};
use crate::upstream::Upstream;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Patterns of image names; none means all.
    pub only: Vec<String>,
    /// The origins that may be asked; `None` means all. Registries go by their host.
    pub asked: Option<BTreeSet<String>>,
    /// Whether pins may move back.
    pub older: Older,
    /// After how many days without a new snapshot an upstream is frozen.
    pub max_age: Option<u64>,
    /// How many days lie between two runs.
    pub interval: u64,
    /// Whether the bytes of every new pin are read and hashed.
    pub deep: bool,
    /// Whether the mirrors of an origin are asked for the same documents.
    pub cross_check: bool,
    /// The time of the run.
    pub now: Timestamp,
    /// How many questions are asked at once.
    pub jobs: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            asked: None,
            older: Older::Refused,
            max_age: None,
            interval: DEFAULT_INTERVAL,
            deep: false,
            cross_check: false,
            now: Timestamp(0),
            jobs: NonZeroUsize::MIN,
        }
    }
}

/// Resolves the images of a catalog.
///
/// # Errors
/// A glob that matches nothing. What goes wrong with single images is in the report.
pub fn run(
    catalog: &Catalog,
    upstream: &dyn Upstream,
    keys: &Keys,
    settings: &Settings,
) -> Result<Report, String> {
    let mut report = Report::default();
    let units = select(catalog, settings, &mut report)?;
    let today = settings.now.date().ok_or("the clock is out of range")?;
    let run = Run {
        catalog,
        upstream,
        settings,
        today,
        desk: Desk {
            keys,
            catalog,
            now: settings.now,
        },
    };
    let mut candidates = run.resolve(&units);
    if settings.cross_check {
        run.cross_check(&units, &mut candidates);
    }
    let changes = run.judge(&units, &mut candidates);
    run.complete(&units, &mut candidates, &changes);
    run.decide(&units, &candidates, &changes, &mut report);
    Ok(report)
}

/// One unit per image and architecture that is to be followed.
fn select<'a>(
    catalog: &'a Catalog,
    settings: &Settings,
    report: &mut Report,
) -> Result<Vec<Unit<'a>>, String> {
    for glob in &settings.only {
        if !catalog
            .images
            .iter()
            .any(|image| matches_glob(glob, image.name.as_str()))
        {
            return Err(format!("no image is called {glob:?}"));
        }
    }
    let wanted = |image: &Image| {
        let mut globs = settings.only.iter();
        settings.only.is_empty() || globs.any(|glob| matches_glob(glob, image.name.as_str()))
    };
    let mut units = Vec::new();
    let mut not_asked: BTreeMap<String, usize> = BTreeMap::new();
    for image in catalog.images.iter().filter(|image| wanted(image)) {
        let Some(source) = &image.source else {
            report.fixed += 1;
            continue;
        };
        if source.kind == SourceType::Fixed {
            report.fixed += 1;
            continue;
        }
        let mut left_out = BTreeSet::new();
        for arch in image.arches.iter().copied() {
            let origin = match source.kind {
                SourceType::Oci => source
                    .field("repository", arch)
                    .and_then(|it| it.split('/').next()),
                _ => source.origin_of(arch),
            };
            let origin = origin.unwrap_or_default();
            if let Some(asked) = &settings.asked
                && !asked.contains(origin)
            {
                left_out.insert(origin);
                continue;
            }
            units.push(Unit {
                image,
                source,
                arch,
                origin,
                base: catalog.origin(origin).map(|it| &it.url),
            });
        }
        for origin in left_out {
            *not_asked.entry(origin.to_owned()).or_default() += 1;
        }
    }
    report.not_asked = not_asked.into_iter().collect();
    Ok(units)
}

struct Run<'a> {
    catalog: &'a Catalog,
    upstream: &'a dyn Upstream,
    settings: &'a Settings,
    today: Date,
    desk: Desk<'a>,
}

type Candidates = Vec<Result<Candidate, Trouble>>;
type Changes = Vec<Option<Change>>;

impl Run<'_> {
    /// Asks, round by round, until every unit has a candidate or a reason why not.
    fn resolve(&self, units: &[Unit<'_>]) -> Candidates {
        let mut answers = Answers::default();
        let mut outcomes: Vec<Option<Result<Candidate, Trouble>>> = Vec::new();
        outcomes.resize_with(units.len(), || None);
        let mut open: Vec<usize> = (0..units.len()).collect();
        for _ in 0..MAX_ROUNDS {
            let of_round: Vec<_> = open.iter().map(|at| units[*at]).collect();
            let mut needs = BTreeSet::new();
            let mut still_open = Vec::new();
            let results = source::follow(&of_round, &answers, &self.desk);
            for (at, result) in open.into_iter().zip(results) {
                match result {
                    Ok(candidate) => outcomes[at] = Some(Ok(candidate)),
                    Err(Stop::Trouble(trouble)) => outcomes[at] = Some(Err(trouble)),
                    Err(Stop::Need(asks)) => {
                        needs.extend(asks);
                        still_open.push(at);
                    }
                }
            }
            open = still_open;
            if open.is_empty() {
                break;
            }
            for (ask, answer) in self.ask_all(needs) {
                answers.put(ask, answer);
            }
        }
        let endless = || Problem::Malformed.because("upstream leads from document to document");
        let outcomes = outcomes.into_iter();
        outcomes
            .map(|outcome| outcome.unwrap_or_else(|| Err(endless())))
            .collect()
    }

    fn ask_all(&self, asks: BTreeSet<Ask>) -> Vec<(Ask, Result<Answer, Trouble>)> {
        let jobs = self.settings.jobs.get().min(asks.len());
        let queue = Mutex::new(asks.into_iter());
        let done = Mutex::new(Vec::new());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(ask) = next() {
                        let answer = self.upstream.answer(&ask);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((ask, answer));
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks every mirror of an origin for what it says of the same units.
    fn cross_check(&self, units: &[Unit<'_>], candidates: &mut Candidates) {
        for origin in &*self.catalog.origins {
            for mirror in &*origin.mirrors {
                let places: Vec<usize> = (0..units.len())
                    .filter(|at| units[*at].origin == origin.name && candidates[*at].is_ok())
                    .collect();
                let there: Vec<_> = places
                    .iter()
                    .map(|at| Unit {
                        base: Some(&mirror.url),
                        ..units[*at]
                    })
                    .collect();
                let others = self.resolve(&there);
                for (at, other) in places.into_iter().zip(others) {
                    // A mirror that does not answer, or lags behind, contradicts nobody.
                    let (Ok(own), Ok(other)) = (&candidates[at], other) else {
                        continue;
                    };
                    if let Err(trouble) = rules::agree(own, &other, &mirror.name) {
                        candidates[at] = Err(trouble);
                    }
                }
            }
        }
    }

    fn judge(&self, units: &[Unit<'_>], candidates: &mut Candidates) -> Changes {
        let mut changes = Vec::with_capacity(units.len());
        for (unit, slot) in units.iter().zip(candidates) {
            let Ok(candidate) = &*slot else {
                changes.push(None);
                continue;
            };
            let old = unit.image.pin(unit.arch);
            match rules::judge(old, candidate, self.today, self.settings.older) {
                Ok(change) => changes.push(Some(change)),
                Err(trouble) => {
                    *slot = Err(trouble);
                    changes.push(None);
                }
            }
        }
        changes
    }

    /// Learns what documents did not say of the pins that change: a size, a SHA-256.
    fn complete(&self, units: &[Unit<'_>], candidates: &mut Candidates, changes: &Changes) {
        let mut asks: BTreeMap<Ask, Vec<usize>> = BTreeMap::new();
        for (at, change) in changes.iter().enumerate() {
            let (Some(Change::New), Ok(candidate)) = (change, &candidates[at]) else {
                continue;
            };
            let Address::Url(url) = &candidate.address else {
                continue;
            };
            let old = units[at].image.pin(units[at].arch);
            if self.forgets(units[at].image, old, candidate).is_some() {
                continue;
            }
            let ask = if self.settings.deep || candidate.sums.sha256.is_none() {
                Ask::Hashes {
                    url: url.clone(),
                    before: candidate.combined.as_ref().map(|(url, _)| url.clone()),
                    limit: limit(old.and_then(|it| it.size), candidate.size),
                }
            } else if candidate.size.is_none() {
                Ask::Size { url: url.clone() }
            } else {
                continue;
            };
            asks.entry(ask).or_default().push(at);
        }
        let answers = self.ask_all(asks.keys().cloned().collect());
        for (ask, answer) in answers {
            for at in asks.remove(&ask).unwrap_or_default() {
                let Ok(candidate) = &mut candidates[at] else {
                    continue;
                };
                let outcome = match answer.clone() {
                    Ok(Answer::Size(size)) => {
                        candidate.size = size.filter(|size| *size > 0);
                        Ok(())
                    }
                    Ok(Answer::Hashes(hashes)) => {
                        rules::check_bytes(candidate, &hashes).map(|it| {
                            candidate.sums.sha256 = Some(it);
                            candidate.size = Some(hashes.size);
                        })
                    }
                    Ok(_) => Err(Problem::Malformed.because("another answer than was asked for")),
                    // What is listed and is not there is no pin for anybody.
                    Err(trouble) => Err(trouble),
                };
                if let Err(trouble) = outcome {
                    candidates[at] = Err(trouble);
                }
            }
        }
    }

    /// For how many days upstream keeps what would be added, if that is too few.
    fn forgets(&self, image: &Image, old: Option<&Pin>, candidate: &Candidate) -> Option<u64> {
        if old.is_some() || image.ephemeral {
            return None;
        }
        // Registries keep what is pinned by its digest.
        let address = candidate.address.url()?;
        let mut longest = Some(0);
        for url in std::iter::once(address).chain(&candidate.alternates) {
            let days = self
                .catalog
                .origin_at(url)
                .and_then(|it| it.retention.days());
            longest = longest.zip(days).map(|(x, y): (u64, u64)| x.max(y));
        }
        longest.filter(|days| *days < self.settings.interval)
    }

    fn decide(
        &self,
        units: &[Unit<'_>],
        candidates: &Candidates,
        changes: &Changes,
        report: &mut Report,
    ) {
        let mut pins: BTreeMap<(&str, Arch), Pin> = BTreeMap::new();
        for ((unit, candidate), change) in units.iter().zip(candidates).zip(changes) {
            let (image, arch) = (unit.image, unit.arch);
            let old = image.pin(arch);
            let candidate = match candidate {
                Ok(candidate) => candidate,
                Err(trouble) => {
                    let failed = Failed {
                        image: image.name.clone(),
                        arch,
                        kept: old.map(|it| it.snapshot.clone()),
                        trouble: trouble.clone(),
                    };
                    if old.is_none() && trouble.kind == Problem::Unlisted {
                        report.unpinned.push(failed);
                    } else {
                        report.failures.push(failed);
                    }
                    continue;
                }
            };
            if let Some(days) = self.forgets(image, old, candidate) {
                report.forgetful.push(Forgetful {
                    image: image.name.clone(),
                    arch,
                    address: candidate.address.clone(),
                    days,
                });
                continue;
            }
            self.look_for_frost(image, arch, candidate, report);
            let new = match (change, old) {
                (Some(Change::None), Some(old)) => Some(rules::kept(old, candidate)),
                _ => rules::made(arch, candidate, self.today),
            };
            let Some(new) = new else { continue };
            if old == Some(&new) {
                report.unchanged += 1;
                continue;
            }
            pins.insert((image.name.as_str(), arch), new.clone());
            report.changes.push(self.changed(unit, candidate, old, new));
        }
        report.catalog = with_pins(self.catalog, &pins);
    }

    fn look_for_frost(
        &self,
        image: &Image,
        arch: Arch,
        candidate: &Candidate,
        report: &mut Report,
    ) {
        let end = self
            .settings
            .max_age
            .zip(candidate.snapshot.date())
            .and_then(|(days, date)| date.plus_days(days));
        if end.is_some_and(|end| end < self.today) {
            report.frozen.push(Frozen {
                image: image.name.clone(),
                arch,
                snapshot: candidate.snapshot.clone(),
            });
        }
    }

    fn changed(
        &self,
        unit: &Unit<'_>,
        candidate: &Candidate,
        old: Option<&Pin>,
        new: Pin,
    ) -> Changed {
        let origin = new
            .address
            .url()
            .and_then(|url| self.catalog.origin_at(url));
        Changed {
            image: unit.image.name.clone(),
            origin: origin.map_or_else(|| unit.origin.to_owned(), |it| it.name.to_string()),
            // Registries keep what has a tag, and pins are by digest.
            retention: origin.map_or(Retention::Permanent, |it| it.retention),
            trust: candidate.trust,
            signer: candidate
                .signer
                .clone()
                .filter(|_| candidate.trust == Trust::Signature),
            other_place: old.is_some_and(|it| rules::is_other_place(&it.address, &new.address)),
            other_size: old.is_some_and(|it| rules::is_other_size(it.size, new.size)),
            old: old.cloned(),
            new,
        }
    }
}

/// The catalog with some pins replaced.
fn with_pins(catalog: &Catalog, pins: &BTreeMap<(&str, Arch), Pin>) -> Catalog {
    let images = catalog.images.iter().map(|image| {
        let mut list = image.pins.to_vec();
        for arch in image.arches.iter().copied() {
            if let Some(pin) = pins.get(&(image.name.as_str(), arch)) {
                list.retain(|it| it.arch != arch);
                list.push(pin.clone());
            }
        }
        list.sort_by_key(|pin| pin.arch.as_str());
        Image {
            pins: list.into(),
            ..image.clone()
        }
    });
    Catalog {
        origins: catalog.origins.clone(),
        images: images.collect(),
    }
}

/// How much of a file is streamed at most: three times what it was, or what upstream says, or
/// more than any image.
fn limit(old: Option<u64>, announced: Option<u64>) -> u64 {
    announced
        .or(old.map(|size| size.saturating_mul(3)))
        .unwrap_or(MAX_FILE)
        .min(MAX_FILE)
}

const MAX_FILE: u64 = 64 << 30;
/// Index, products, a few dated directories: more rounds are a loop.
const MAX_ROUNDS: usize = 24;
/// Days between two scheduled runs.
pub const DEFAULT_INTERVAL: u64 = 7;
