//! Trees in the cache, beside the file that they were made of.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::unpack::{Unpacker, format_of};
use crate::archive::Checks;
use crate::cache::{Cache, Entry};
use crate::error::{Error, Result};
use crate::event::{Event, Observer, What};
use crate::sys::{self, Durable};
use crate::tree::{Owners, Policy, Replace, Report, TreeDigest};

/// How a prepared tree was made, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// With everything that the archive has: by root.
    Everything,
    /// With what an ordinary user may keep.
    Rootless,
    /// With everything, by root of a user namespace: the owners on disk are that user's
    /// subordinate ids.
    Mapped,
}

impl Recipe {
    /// The recipe of a policy.
    pub fn of(policy: &Policy) -> Self {
        match policy.owners {
            Owners::Ours => Self::Rootless,
            Owners::Keep if sys::is_in_user_namespace() => Self::Mapped,
            Owners::Keep => Self::Everything,
            Owners::Shift { .. } => Self::Mapped,
        }
    }

    /// The name of the directory, below `prepared`.
    pub const fn folder(self) -> &'static str {
        // The number goes up when the same archive gives another tree than before.
        match self {
            Self::Everything => "dir-1",
            Self::Rootless => "dir-1-rootless",
            Self::Mapped => "dir-1-mapped",
        }
    }

    /// Whether we can make such a tree now.
    pub fn is_ours(self) -> bool {
        self == Self::of(&Policy::of_this_user())
    }

    const ALL: [Self; 3] = [Self::Everything, Self::Rootless, Self::Mapped];
}

/// A prepared tree.
#[derive(Debug)]
pub struct Prepared {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before.
    pub cached: bool,
    /// What could not be kept, if it was made now.
    pub report: Option<Report>,
}

impl Entry {
    /// Unpacks the verified file to `target`, as [`Unpacker::unpack`] does.
    ///
    /// # Errors
    /// As [`Unpacker::unpack`].
    pub fn unpack_to(
        &self,
        target: &Path,
        policy: Policy,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let record = self.record();
        let mut file = self.open()?;
        let format = format_of(&mut file, &record.file)?;
        Unpacker::new(&record.image, format, observer)
            // Every byte of it was hashed.
            .with_checks(Checks::Ignore)
            .with_total(record.stamp.size)
            .unpack(file, target, policy)
            .map_err(|error| error.about(&format!("{} {}", record.image, record.snapshot)))
    }

    /// The tree of this entry in the cache, made now if it is not there.
    ///
    /// # Errors
    /// As [`unpack_to`](Self::unpack_to); [`Kind::Cancelled`] while somebody else makes it.
    pub fn prepare(
        &self,
        cache: &Cache,
        policy: Policy,
        observer: &dyn Observer,
    ) -> Result<Prepared> {
        let path = self.prepared(Recipe::of(&policy));
        let hit = |path: &Path| Prepared {
            path: path.to_owned(),
            cached: true,
            report: None,
        };
        if path.is_dir() {
            return Ok(hit(&path));
        }
        let record = self.record();
        let lock = cache.lock(&record.sha256, |waiting| {
            let lock = waiting.lock.to_string_lossy();
            let what = What::Waiting {
                lock: &lock,
                holder: waiting.holder,
                since: waiting.since,
            };
            observer.on(Event {
                subject: &record.image,
                what,
            })
        })?;
        if path.is_dir() {
            return Ok(hit(&path));
        }
        let report = self.make(&path, policy, observer)?;
        drop(lock);
        Ok(Prepared {
            path,
            cached: false,
            report: Some(report),
        })
    }

    /// The prepared trees that are there.
    pub fn prepared_trees(&self) -> Vec<(Recipe, PathBuf)> {
        let all = Recipe::ALL.into_iter();
        all.map(|recipe| (recipe, self.prepared(recipe)))
            .filter(|(_, path)| path.is_dir())
            .collect()
    }

    /// Whether a prepared tree is what the verified file gives: both are read.
    ///
    /// # Errors
    /// As [`unpack_to`](Self::unpack_to), and if the tree cannot be read.
    pub fn is_prepared_well(&self, recipe: Recipe, observer: &dyn Observer) -> Result<bool> {
        let path = self.prepared(recipe);
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let found = TreeDigest::of_directory(&path, threads, observer)?;
        if recipe == Recipe::Everything {
            let record = self.record();
            let mut file = self.open()?;
            let format = format_of(&mut file, &record.file)?;
            let unpacker = Unpacker::new(&record.image, format, observer)
                .with_checks(Checks::Ignore)
                .with_total(record.stamp.size);
            return Ok(found == unpacker.digest(file)?);
        }
        // What a user may keep is what the writer keeps: it is made once more and compared.
        let again = path.with_extension(format!("{}.check", sys::unique_suffix()));
        self.unpack_to(&again, Policy::of_this_user(), observer)?;
        let expect = TreeDigest::of_directory(&again, threads, observer);
        remove(&again)?;
        Ok(found == expect?)
    }

    /// Removes a prepared tree, to be made again.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn forget_prepared(&self, recipe: Recipe) -> Result<()> {
        remove(&self.prepared(recipe))
    }

    fn prepared(&self, recipe: Recipe) -> PathBuf {
        self.folder().join(FOLDER).join(recipe.folder())
    }

    fn make(&self, path: &Path, policy: Policy, observer: &dyn Observer) -> Result<Report> {
        let folder = self.folder().join(FOLDER);
        sys::create_private(&folder)
            .map_err(|error| Error::local("cannot create", &folder, error))?;
        let policy = Policy {
            // Whoever finds the name believes it, after a power cut as well.
            durable: Durable::Yes,
            replace: Replace::No,
            keep_out_of: Vec::new(),
            ..policy
        };
        let report = self.unpack_to(path, policy, observer)?;
        let note = path.with_extension("json");
        let text = format!("{:#}\n", report.to_json());
        // The tree is whole without it.
        sys::write_durably(&note, text.as_bytes())
            .map_err(|error| Error::local("cannot write", &note, error))?;
        Ok(report)
    }
}

fn remove(path: &Path) -> Result<()> {
    let cannot = |error| Error::local("cannot remove", path, error);
    // Out of the way at once: a name that is there means a whole tree.
    let aside = path.with_extension(format!("{}.gone", sys::unique_suffix()));
    match sys::rename_noreplace(path, &aside) {
        Ok(()) => sys::clear_away(&aside).map_err(cannot),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot(error)),
    }
}

/// Where the trees of an entry are; the name of its file never is this.
const FOLDER: &str = "prepared";
