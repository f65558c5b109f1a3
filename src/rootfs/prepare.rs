//! Trees in the cache, beside the file that they were made of.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::unpack::{Unpacker, format_of};
use crate::archive::{Checks, Limits};
use crate::base::Digest;
use crate::cache::{Cache, Entry, WriteLock};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::sys::{self, Durable};
use crate::tree::{Devices, IdMap, Owners, Policy, Replace, Report, TreeDigest};

/// How a prepared tree was made, as its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// With everything that the archive has: by root.
    Everything,
    /// With what an ordinary user may keep.
    Rootless,
    /// With everything, by root of a user namespace: the owners on disk are that user's
    /// subordinate ids. A digest of the namespace's map stands in the name: another map makes
    /// other owners.
    Mapped(String),
    /// With everything, the owners moved to other ranges: `INSIDE:OUTSIDE:COUNT` of each, and
    /// those of groups after a `+` if they are others.
    Shifted(String),
}

impl Recipe {
    /// The recipe of a policy.
    pub fn of(policy: &Policy) -> Self {
        match &policy.owners {
            Owners::Ours => Self::Rootless,
            Owners::Keep if sys::is_in_user_namespace() => Self::Mapped(namespace()),
            Owners::Keep => Self::Everything,
            Owners::Shift { users, groups } if users == groups => Self::Shifted(ranges(users)),
            Owners::Shift { users, groups } => {
                Self::Shifted(format!("{}+{}", ranges(users), ranges(groups)))
            }
        }
    }

    /// The name of the directory, below `prepared`.
    pub fn folder(&self) -> String {
        match self {
            Self::Everything => EVERYTHING.to_owned(),
            Self::Rootless => format!("{EVERYTHING}-rootless"),
            Self::Mapped(map) => format!("{EVERYTHING}-mapped-{map}"),
            Self::Shifted(ranges) => format!("{EVERYTHING}-shifted-{ranges}"),
        }
    }

    /// What [`folder`](Self::folder) was called for.
    fn of_folder(name: &str) -> Option<Self> {
        // A dot is in what is beside a tree, or on its way out.
        let kind = name
            .strip_prefix(EVERYTHING)
            .filter(|_| !name.contains('.'))?;
        match kind {
            "" => Some(Self::Everything),
            "-rootless" => Some(Self::Rootless),
            kind => match kind.strip_prefix("-mapped-") {
                Some(map) => Some(Self::Mapped(map.to_owned())),
                None => Some(Self::Shifted(kind.strip_prefix("-shifted-")?.to_owned())),
            },
        }
    }

    /// Whether we can make such a tree now.
    pub fn is_ours(&self) -> bool {
        *self == Self::of(&Policy::of_this_user())
    }
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
    /// The same as JSON, also of one that was there before; a run that was killed at the very end
    /// leaves a tree without it.
    pub lost: Option<Value>,
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
        limits: Limits,
        observer: &dyn Observer,
    ) -> Result<Report> {
        let record = self.record();
        let (file, unpacker) = self.unpacker(limits, observer)?;
        unpacker
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
        limits: Limits,
        observer: &dyn Observer,
    ) -> Result<Prepared> {
        let path = self.prepared(&Recipe::of(&policy));
        let refuse_devices = policy.devices == Devices::Refuse;
        let hit = |path: &Path| {
            let text = fs::read(note(path)).ok();
            let lost: Option<Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
            let devices = lost
                .as_ref()
                .and_then(|it| it.pointer("/lost/device/total"));
            if refuse_devices && devices.is_some() {
                let message = format!("{}: it has devices", self.record().image);
                return Err(Error::new(Kind::Format, message));
            }
            Ok(Prepared {
                path: path.to_owned(),
                cached: true,
                report: None,
                lost,
            })
        };
        if path.is_dir() {
            return hit(&path);
        }
        let lock = self.lock(cache, observer)?;
        if path.is_dir() {
            return hit(&path);
        }
        let report = self.make(&path, policy, limits, observer)?;
        drop(lock);
        Ok(Prepared {
            path,
            cached: false,
            lost: Some(report.to_json()),
            report: Some(report),
        })
    }

    /// The prepared trees that are there.
    pub fn prepared_trees(&self) -> Vec<(Recipe, PathBuf)> {
        // That there is none, or that it cannot be listed: nothing to be said of trees.
        let names = sys::names(&self.folder().join(FOLDER)).unwrap_or_default();
        let recipes = names.iter().filter_map(|name| Recipe::of_folder(name));
        recipes
            .map(|recipe| (recipe.clone(), self.prepared(&recipe)))
            .filter(|(_, path)| path.is_dir())
            .collect()
    }

    /// Whether a prepared tree is what the verified file gives: both are read.
    ///
    /// # Errors
    /// As [`unpack_to`](Self::unpack_to), and if the tree cannot be read.
    pub fn is_prepared_well(
        &self,
        recipe: &Recipe,
        limits: Limits,
        observer: &dyn Observer,
    ) -> Result<bool> {
        let path = self.prepared(recipe);
        let threads = sys::processors();
        if *recipe == Recipe::Everything {
            let found = TreeDigest::of_directory(&path, threads, observer)?;
            let (file, unpacker) = self.unpacker(limits, observer)?;
            return Ok(found == unpacker.digest(file)?);
        }
        // What a user may keep is what the writer keeps: it is made once more and compared, but
        // for what lies behind modes that lock out even its owner.
        let found = TreeDigest::of_what_is_open(&path, threads, observer)?;
        let again = path.with_extension(format!("{}.check", sys::unique_suffix()));
        self.unpack_to(&again, Policy::of_this_user(), limits, observer)?;
        let expect = TreeDigest::of_what_is_open(&again, threads, observer);
        remove(&again)?;
        Ok(found == expect?)
    }

    /// Removes a prepared tree, to be made again.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn forget_prepared(&self, recipe: &Recipe) -> Result<()> {
        remove(&self.prepared(recipe))
    }

    /// Waits until nobody else makes anything of this entry.
    pub(super) fn lock(&self, cache: &Cache, observer: &dyn Observer) -> Result<WriteLock> {
        let record = self.record();
        cache.lock(&record.sha256, |waiting| {
            let subject = &record.image;
            waiting.tell(|what| observer.on(Event { subject, what }))
        })
    }

    /// Where what is made of this entry goes, swept of what killed runs left.
    pub(super) fn workshop(&self) -> Result<PathBuf> {
        let folder = self.folder().join(FOLDER);
        sys::create_private(&folder)
            .map_err(|error| Error::local("cannot create", &folder, error))?;
        sweep(&folder);
        Ok(folder)
    }

    /// The verified file, and what unpacks it.
    fn unpacker<'a>(
        &'a self,
        limits: Limits,
        observer: &'a dyn Observer,
    ) -> Result<(fs::File, Unpacker<'a>)> {
        let record = self.record();
        let mut file = self.open()?;
        let format = format_of(&mut file, &record.file)?;
        let unpacker = Unpacker::new(&record.image, format, observer)
            // Every byte of it was hashed.
            .with_checks(Checks::Ignore)
            .with_limits(limits)
            .with_total(record.stamp.size);
        Ok((file, unpacker))
    }

    fn prepared(&self, recipe: &Recipe) -> PathBuf {
        self.folder().join(FOLDER).join(recipe.folder())
    }

    fn make(
        &self,
        path: &Path,
        policy: Policy,
        limits: Limits,
        observer: &dyn Observer,
    ) -> Result<Report> {
        self.workshop()?;
        let policy = Policy {
            // Whoever finds the name believes it, after a power cut as well.
            durable: Durable::Yes,
            replace: Replace::No,
            keep_out_of: Vec::new(),
            ..policy
        };
        let report = self.unpack_to(path, policy, limits, observer)?;
        let note = note(path);
        let text = format!("{:#}\n", report.to_json());
        // The tree is whole without it.
        sys::write_durably(&note, text.as_bytes())
            .map_err(|error| Error::local("cannot write", &note, error))?;
        Ok(report)
    }
}

/// What tells the map of our user namespace from others.
fn namespace() -> String {
    let digest = Sha256::digest(sys::user_namespace_map());
    Digest::from_bytes(digest.into()).short()
}

/// Where the report of a tree is.
fn note(path: &Path) -> PathBuf {
    path.with_extension("json")
}

fn ranges(map: &IdMap) -> String {
    let ranges = map.ranges().iter();
    let texts: Vec<_> = ranges
        .map(|it| format!("{}:{}:{}", it.inside, it.outside, it.count))
        .collect();
    texts.join(",")
}

/// Clears away what killed runs left: what was on its way out, and what was made to be compared and
/// has not been touched for a day.
pub(super) fn sweep(folder: &Path) {
    let now = sys::now().0;
    for name in sys::names(folder).unwrap_or_default() {
        let path = folder.join(&name);
        let forgotten = || fs::symlink_metadata(&path).is_ok_and(|meta| meta.ctime() < now - DAY);
        let last = name.rsplit_once('.').map(|(_, last)| last);
        if last == Some("gone") || last == Some("check") && forgotten() {
            // Whatever stays goes with its entry.
            let _ = sys::clear_away(&path);
        }
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    let cannot = |error| Error::local("cannot remove", path, error);
    // Out of the way at once: a name that is there means a whole tree.
    let aside = path.with_extension(format!("{}.gone", sys::unique_suffix()));
    match sys::rename_noreplace(path, &aside) {
        Ok(()) => sys::clear_away(&aside).map_err(cannot),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot(error)),
    }
}

/// Seconds.
const DAY: i64 = 86_400;

/// Where the trees of an entry are; the name of its file never is this.
pub(super) const FOLDER: &str = "prepared";

/// Trees with everything. The number goes up when the same archive gives another tree than before.
const EVERYTHING: &str = "dir-1";
