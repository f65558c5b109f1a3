//! The folder, and what is done with it.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::about::About;
use super::build::Build;
use super::document;
use super::hash::{Progress, each};
use super::lock::Lock;
use super::metadata::{Extent, Metadata};
use super::product::{self, Product};
use super::retain;
use super::scan::{self, Scan};
use super::state::State;
use super::{Problem, Report};
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::sys::{self, Beneath};

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Write and remove nothing: only tell.
    pub dry_run: bool,
    /// Keep so many of the newest versions of each product; `None` keeps all.
    pub retain: Option<NonZeroUsize>,
    /// How many files are hashed at once.
    pub jobs: NonZeroUsize,
    /// The time of this run: what an index named less than an hour ago is not removed.
    pub now: SystemTime,
}

impl Default for Options {
    /// Write, keep everything, a thread for each processor, and the time is now.
    fn default() -> Self {
        Self {
            dry_run: false,
            retain: None,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            now: SystemTime::now(),
        }
    }
}

/// A folder with images in it that becomes a simplestreams server.
#[derive(Debug)]
pub struct Publisher {
    pub(super) root: PathBuf,
    pub(super) folder: OwnedFd,
}

impl Publisher {
    /// Takes a folder that exists.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be opened.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let cannot = |error| Error::local("cannot open", root, error);
        Ok(Self {
            root: std::path::absolute(root).map_err(cannot)?,
            folder: sys::open_folder(root).map_err(cannot)?,
        })
    }

    /// The same; what does not exist is made.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be made or opened.
    pub fn create(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        std::fs::create_dir_all(root)
            .map_err(|error| Error::local("cannot create", root, error))?;
        Self::open(root)
    }

    /// Where it is: an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the index is, or will be.
    pub fn index(&self) -> PathBuf {
        self.root.join(product::INDEX)
    }

    /// Brings the index up to date with the images that are there.
    ///
    /// What was hashed before, and was not touched since, is not read again. Readers see the old
    /// documents or the new ones, each whole, and no index names a product that the images do not
    /// have. Where nothing has changed, nothing is written.
    ///
    /// # Errors
    /// [`Kind::Local`] if the root has no images folder, or the index cannot be written;
    /// [`Kind::Cancelled`] if the observer stops it. What is wrong with single images is no error
    /// but in the report.
    pub fn publish(&self, options: &Options, observer: &dyn Observer) -> Result<Report> {
        let lock = || Lock::of(self, observer);
        let _lock = (!options.dry_run).then(lock).transpose()?;
        let mut state = State::load(&self.folder);
        let mut scan = Scan::of(&self.folder, &self.root)?;
        let mut report = Report {
            problems: std::mem::take(&mut scan.problems),
            ..Report::default()
        };
        let litter = std::mem::take(&mut scan.litter);
        let mut products = self.hash(scan, &mut state, options, observer, &mut report)?;
        for product in &mut products {
            self.look_into(product, &mut report.warnings);
        }
        product::name(&mut products, &mut report.warnings);
        let named = self.named(&state)?;
        let now = seconds(options.now);
        let plan = retain::plan(&mut products, options.retain, &named, &state.retired, now);
        report.products = products.len();
        report.versions = products.iter().map(|product| product.listed().len()).sum();
        report.removed.clone_from(&plan.removed);
        if options.dry_run {
            let new = document::measure(|out| product::write_images(&products, out));
            let new = new.map_err(|error| Error::new(Kind::Other, error.to_string()))?;
            report.changed = self.differs(product::IMAGES, &new)? || !self.index().exists();
        } else {
            report.changed = self.write(products, plan, &state)?;
            self.remove(&report.removed, &litter, &mut report.problems);
        }
        let by_path = |a: &Problem, b: &Problem| a.path.cmp(&b.path);
        report.problems.sort_by(by_path);
        report.warnings.sort_by(by_path);
        Ok(report)
    }

    /// Hashes what is not known, and makes products of what could be read. What is hashed is
    /// remembered also if somebody stops us.
    fn hash(
        &self,
        scan: Scan,
        state: &mut State,
        options: &Options,
        observer: &dyn Observer,
        report: &mut Report,
    ) -> Result<Vec<Product>> {
        let mut found = scan.products;
        let taken: Vec<_> = found
            .iter_mut()
            .map(|product| std::mem::take(&mut product.versions))
            .collect();
        let versions: Vec<_> = taken.iter().flatten().collect();
        let known = |version: &scan::Version| {
            let folder = state.folders.get(&version.path);
            folder.map_or(&[][..], |folder| &folder.files)
        };
        let weights = versions
            .iter()
            .map(|version| version.unknown(known(version)));
        let subject = self.root.to_string_lossy();
        let progress = Progress::new(observer, &subject, weights.sum());
        let jobs = options.jobs;
        let weigh = |version: &&scan::Version| version.unknown(known(version));
        let builds = each(&versions, jobs, weigh, |version, buffer| {
            version.build(&self.folder, known(version), buffer, &progress)
        });
        let stopped = builds.iter().find_map(|build| {
            let error = build.as_ref().err()?;
            (error.kind() == Kind::Cancelled).then(|| error.message().to_owned())
        });
        if let Some(message) = stopped {
            for build in builds.into_iter().flatten() {
                let folder = state.folders.entry(build.path).or_default();
                folder.files = build.files;
            }
            if !options.dry_run {
                self.remember(state)?;
            }
            return Err(Error::new(Kind::Cancelled, message));
        }
        // What was known is in the builds now; for many versions it is the largest thing in memory.
        for folder in state.folders.values_mut() {
            folder.files = Vec::new();
        }
        let mut builds = versions.iter().zip(builds);
        let mut products = Vec::new();
        for (found, versions) in found.into_iter().zip(&taken) {
            let mut good: Vec<Build> = Vec::new();
            for (version, build) in builds.by_ref().take(versions.len()) {
                match build {
                    Ok(build) => {
                        report.hashed += build.hashed;
                        report.reused += build.files.len().saturating_sub(build.hashed);
                        good.push(build);
                    }
                    Err(error) => report.problems.push(Problem {
                        path: version.path.clone(),
                        message: error.to_string(),
                    }),
                }
            }
            if !good.is_empty() {
                products.push(Product {
                    about: found.settings.about.clone(),
                    found,
                    builds: good,
                    hidden: 0,
                    aliases: Vec::new(),
                });
            }
        }
        Ok(products)
    }

    /// What the metadata of the newest build says of its product.
    fn look_into(&self, product: &mut Product, warnings: &mut Vec<Problem>) {
        let Some(build) = product.builds.last_mut() else {
            return;
        };
        let extents = [(super::item::Role::Incus, Extent::Whole)]
            .into_iter()
            .chain([(super::item::Role::Lxd, Extent::Whole)])
            .chain([(super::item::Role::Unified, Extent::Start)]);
        for (role, extent) in extents {
            let Some(file) = build.files.iter_mut().find(|file| file.role == role) else {
                continue;
            };
            if file.about.is_none() {
                let path = format!("{}/{}", build.path, file.name);
                let read = document::open(&self.folder, &path)
                    .map_err(|error| Error::new(Kind::Local, "cannot open it").with_source(error))
                    .and_then(|file| Metadata::of_tarball(file, extent));
                match read {
                    Ok(metadata) => file.about = Some(Box::new(About::of_image(&metadata))),
                    Err(error) => warnings.push(Problem {
                        path,
                        message: format!("its metadata cannot be read: {error}"),
                    }),
                }
            }
            if let Some(about) = &file.about {
                product.about = product.about.clone().or((**about).clone());
            }
            return;
        }
    }

    /// A folder below the root, made if it is not there.
    pub(super) fn folder_at(&self, path: &str) -> Result<OwnedFd> {
        let cannot = |error| Error::local("cannot create", self.root.join(path), error);
        let mut here = self.folder.try_clone().map_err(cannot)?;
        for name in path.split('/') {
            match sys::make_public_folder(&here, name.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.map_err(cannot)?,
            }
            here = sys::open_beneath(&here, name.as_bytes(), Beneath::Folder).map_err(cannot)?;
        }
        Ok(here)
    }
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |it| -it),
    }
}
