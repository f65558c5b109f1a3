//! One run of a keeper.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::keeper::{Keeper, stopped};
use super::ledger::{Indexed, Row, key};
use super::place::{BLOBS, METADATA, Place};
use super::plan::Item;
use super::report::{Failure, Mirrored, Report, State};
use super::root::root_name;
use super::shelf::Bytes;
use super::stock::{Need, Stock};
use super::{containers, metadata, page, retain, sums};
use crate::archive::Format;
use crate::base::Timestamp;
use crate::cache::Rehash;
use crate::catalog::{Image, Pin};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::simplestreams::publish::{self, Publisher};

/// A run.
pub(super) struct Run<'a> {
    pub(super) keeper: &'a Keeper<'a>,
    pub(super) stock: Stock<'a>,
    pub(super) report: Report,
    pub(super) observer: &'a dyn Observer,
}

impl Run<'_> {
    /// Files, then what is said of them: at each moment, what is named is there.
    pub(super) fn steps(
        &mut self,
        files: &[Item<'_>],
        containers: &[(&Image, &Pin, &str)],
    ) -> Result<()> {
        for batch in files.chunks(BATCH) {
            self.files(batch)?;
            self.save()?;
        }
        for (image, pin, repository) in containers {
            self.container(image, pin, repository)?;
        }
        containers::write_index(&mut self.stock)?;
        if self.keeper.options.rehash == Rehash::Always {
            self.look_at_the_rest()?;
        }
        self.blobs()?;
        sums::write(&self.stock)?;
        self.save()?;
        self.publish()?;
        if let Some(retain) = self.keeper.options.retain {
            let asked: Vec<String> = containers
                .iter()
                .map(|(image, pin, _)| key(image.name.as_str(), pin.arch, pin.snapshot.as_str()))
                .collect();
            let removed = retain::sweep(&mut self.stock, retain, &asked)?;
            self.report.removed.extend(removed);
            self.report.removed.sort();
            self.report.removed.dedup();
        }
        page::write(&self.stock, self.keeper.options.url.as_ref())
    }

    /// Brings files that are not there, several at once.
    fn files(&mut self, batch: &[Item<'_>]) -> Result<()> {
        let mut wanted = Vec::new();
        for item in batch {
            match self.stock.need(&item.place, bytes_of(item)) {
                Ok(Need::Nothing) => self.enter(item, State::Present)?,
                Ok(_) => wanted.push(item),
                Err(error) => self.fail(item.image, item.pin, error)?,
            }
        }
        let requests: Vec<_> = wanted.iter().map(|item| item.request.clone()).collect();
        let (fetcher, jobs) = (self.keeper.fetcher, self.keeper.options.jobs.get());
        let outcomes = fetcher.ensure_all(&requests, jobs, self.observer);
        for (item, outcome) in wanted.into_iter().zip(outcomes) {
            let brought = outcome.and_then(|outcome| {
                let mut file = outcome.entry.open()?;
                let total = outcome.entry.record().stamp.size;
                self.bring(item, &mut file, total)
            });
            match brought {
                Ok(state) => self.enter(item, state)?,
                Err(error) => self.fail(item.image, item.pin, error)?,
            }
        }
        Ok(())
    }

    fn bring(&mut self, item: &Item<'_>, file: &mut std::fs::File, total: u64) -> Result<State> {
        let bytes = bytes_of(item);
        // Another image of this batch may have been the same file.
        let need = self.stock.need(&item.place, bytes)?;
        let subject = &item.request.subject;
        match need {
            Need::Nothing => return Ok(State::Present),
            Need::File | Need::Repair => {
                let mut tell = telling(self.observer, subject, Some(total));
                self.stock.put(&item.place, need, file, bytes, &mut tell)?;
            }
        }
        Ok(if need == Need::Repair {
            State::Repaired
        } else {
            State::Added
        })
    }

    /// Makes a file that is there a version of the index, and takes it down.
    fn enter(&mut self, item: &Item<'_>, state: State) -> Result<()> {
        let indexed = match self.index(item) {
            Ok(indexed) => indexed,
            Err(error) => return self.fail(item.image, item.pin, error),
        };
        let row = Row {
            image: item.image.name.to_string(),
            arch: item.pin.arch,
            snapshot: item.pin.snapshot.to_string(),
            kind: item.image.kind,
            sha256: item.pin.sha256,
            size: self.stock.shelf.size(&item.place)?,
            source: item.pin.address.to_string(),
            place: item.place.as_str().to_owned(),
            indexed,
            container: None,
        };
        self.take_down(row, state);
        Ok(())
    }

    fn index(&mut self, item: &Item<'_>) -> Result<Result<Indexed, String>> {
        let version = match &item.version {
            Ok(version) => version,
            Err(why) => return Ok(Err(why.clone())),
        };
        let start = self.stock.shelf.start(&item.place, Format::MAGIC)?;
        let name = match root_name(item.image, &start) {
            Ok(name) => name,
            Err(why) => return Ok(Err(why)),
        };
        let (folder, own) = item.place.split();
        let is_there = folder == version.folder.as_str();
        let name = if is_there { own } else { name };
        if !is_there && let Some(other) = self.stock.ledger.other_in(version.folder.as_str(), item)
        {
            let why = format!("{other} has the same serial, {}", version.serial);
            return Ok(Err(why));
        }
        let made = version.folder.join(METADATA);
        let content = || metadata::tarball(version, item.image, item.pin);
        self.stock.make(&made, version.time(), content)?;
        if !is_there {
            let target = version.folder.join(name);
            let subject = &item.request.subject;
            let mut tell = telling(self.observer, subject, item.pin.size);
            self.stock
                .link(&item.place, &target, bytes_of(item), &mut tell)?;
        }
        Ok(Ok(Indexed {
            folder: version.folder.as_str().to_owned(),
            file: name.to_owned(),
            alias: version.alias(),
        }))
    }

    fn container(&mut self, image: &Image, pin: &Pin, repository: &str) -> Result<()> {
        let subject = format!("{} {} {}", image.name, pin.arch, pin.snapshot);
        let mut tell = telling(self.observer, &subject, None);
        let asked = (image, pin, repository);
        let puller = self.keeper.puller;
        let brought = containers::bring(&mut self.stock, puller, asked, self.observer, &mut tell);
        match brought {
            Ok((row, present)) => {
                let state = if present {
                    State::Present
                } else {
                    State::Added
                };
                self.take_down(row, state);
                Ok(())
            }
            Err(error) => self.fail(image, pin, error),
        }
    }

    fn take_down(&mut self, row: Row, state: State) {
        let indexed = row.indexed.as_ref();
        let mut path = self.stock.shelf.root().join(&row.place);
        if row.container.is_some() {
            path.as_mut_os_string().push(format!(":{}", row.image));
        }
        self.report.mirrored.push(Mirrored {
            image: row.image.clone(),
            arch: row.arch,
            snapshot: row.snapshot.clone(),
            kind: row.kind,
            sha256: row.sha256,
            size: row.size,
            path,
            state,
            indexed: indexed.map(|it| it.folder.clone()).map_err(Clone::clone),
        });
        self.stock.ledger.rows.insert(row.key(), row);
    }

    /// One pin fails alone; whoever interrupts us stops all.
    fn fail(&mut self, image: &Image, pin: &Pin, error: Error) -> Result<()> {
        if error.kind() == Kind::Cancelled {
            return Err(error);
        }
        self.report.failures.push(Failure::of(image, pin, error));
        Ok(())
    }

    /// Reads what this catalog does not pin any more. Who could bring it again is not known, so that
    /// damage is told and no more.
    fn look_at_the_rest(&mut self) -> Result<()> {
        let done = self.report.mirrored.iter();
        let done: BTreeSet<String> = done
            .map(|it| key(&it.image, it.arch, &it.snapshot))
            .collect();
        let rows: Vec<Row> = self.stock.ledger.rows.values().cloned().collect();
        for row in rows {
            let is_file = row.container.is_none();
            if !is_file || done.contains(&row.key()) {
                continue;
            }
            let place = Place::parse(&row.place)?;
            if let Some(why) = self.stock.fault(&place)? {
                let path = self.stock.shelf.path(&place);
                let message = format!(
                    "{}: {} is damaged ({why}), and this catalog does not pin it: name one that \
                     does with --catalog",
                    row.key(),
                    path.display()
                );
                self.report.failures.push(Failure {
                    image: row.image,
                    arch: row.arch,
                    snapshot: row.snapshot,
                    error: Error::new(Kind::Integrity, message).with_path(path),
                });
            }
        }
        Ok(())
    }

    /// A second name by its hash for each file, those of earlier runs as well.
    fn blobs(&mut self) -> Result<()> {
        if !self.keeper.options.blobs {
            return Ok(());
        }
        let rows = self.stock.ledger.rows.values();
        let files: Vec<_> = rows
            .filter(|row| row.container.is_none())
            .map(|row| (row.place.clone(), row.sha256, row.size))
            .collect();
        for (path, sha256, size) in files {
            let from = Place::parse(&path)?;
            let Some(kept) = self.stock.ledger.files.get(from.as_str()) else {
                continue;
            };
            let bytes = Bytes {
                sha256,
                size: Some(size),
                time: Timestamp(kept.mtime),
            };
            let to = Place::parse(&format!("{BLOBS}/{sha256}"))?;
            let mut tell = telling(self.observer, &path, Some(size));
            self.stock.link(&from, &to, bytes, &mut tell)?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        let images = self.stock.shelf.root().join("images");
        std::fs::create_dir_all(&images)
            .map_err(|error| Error::local("cannot create", images, error))?;
        let options = &self.keeper.options;
        let publisher = Publisher::open(self.stock.shelf.root())?;
        let mut report = publisher.publish(
            &publish::Options {
                dry_run: false,
                retain: options.retain,
                jobs: options.jobs,
                now: options.now,
            },
            self.observer,
        )?;
        self.report.removed.extend(report.removed.iter().cloned());
        report.problems.retain(|it| !self.is_upstreams(&it.path));
        self.report.index = Some(report);
        Ok(())
    }

    /// Whether a directory below `images/` is one of an upstream path, and no version is meant to be
    /// there: cloud.debian.org keeps its disks in `images/cloud/trixie/20260712-2537/`.
    fn is_upstreams(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let ledger = &self.stock.ledger;
        let is_version = ledger.rows.values().any(|row| {
            let folder = row.indexed.as_ref().map(|it| it.folder.as_str());
            folder.is_ok_and(|it| it == path || it.starts_with(&below))
        });
        let first = ledger.files.range(below.clone()..).next();
        !is_version && first.is_some_and(|(file, _)| file.starts_with(&below))
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.stock.shelf.write_ledger(&self.stock.ledger)
    }
}

fn bytes_of(item: &Item<'_>) -> Bytes {
    Bytes {
        sha256: item.pin.sha256,
        size: item.pin.size,
        time: item.time,
    }
}

/// Tells an observer what is written, and is an error if that wants it to stop.
fn telling(
    observer: &dyn Observer,
    subject: &str,
    total: Option<u64>,
) -> impl FnMut(u64) -> Result<()> {
    move |written| {
        let what = What::Writing { written, total };
        match observer.on(Event { subject, what }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(stopped(subject)),
        }
    }
}

/// How many files are asked for before those that came are put away: each is open meanwhile.
const BATCH: usize = 32;
