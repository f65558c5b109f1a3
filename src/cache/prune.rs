//! What may go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Cache;
use super::entry::Rehash;
use super::key::BY_HASH;
use super::store::{POLL, TAG, WriteLock};
use super::survey::{Condition, Found};
use crate::base::{Digest, Timestamp, natural_order};
use crate::error::{Error, Kind, Result};
use crate::sys::{self, FileLock, Locked};

/// Which entries to remove.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// What must stay: image, architecture and digest of every pin. Bytes that are the caller's
    /// own business stay, too.
    pub pinned: BTreeSet<(String, String, Digest)>,
    /// Whether pinned entries and the caller's own may go as well.
    pub all: bool,
    /// How many of the newest snapshots of each image and architecture stay.
    pub keep: usize,
    /// Only what was fetched longer ago goes.
    pub older_than: Option<Duration>,
    /// Entries go, oldest first, only until so many bytes are left.
    pub max_size: Option<u64>,
    /// Tell, and do nothing.
    pub dry_run: bool,
}

/// One thing that was removed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: PrunedKind,
    /// Its size in bytes.
    pub size: u64,
}

/// What was removed, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrunedKind {
    /// An entry.
    Entry,
    /// An entry that stays because somebody reads it.
    InUse,
    /// An old unfinished download.
    Partial,
    /// What a killed program left behind.
    Leftover,
    /// A damaged entry that had been set aside.
    Quarantine,
    /// A name of a container image.
    Image,
    /// A blob that no container image refers to.
    Blob,
    /// The image of a layer.
    LayerImage,
}

impl Cache {
    /// Removes entries that nothing pins, and what is left of old downloads. Sorted by path: the
    /// same answer with `dry_run` and without, as long as nobody else works on the cache.
    ///
    /// # Errors
    /// [`Kind::Local`], also if locks do not work here: nobody can then know who reads.
    pub fn prune(&self, options: &PruneOptions) -> Result<Vec<Pruned>> {
        if !sys::exists(&self.images()) {
            return Ok(Vec::new());
        }
        let _alone = self.require_locks()?;
        let now = sys::now();
        let mut pruned = Vec::new();
        for (folder, size) in self.candidates(options, now)? {
            let kind = if options.dry_run {
                if in_use(&folder) {
                    PrunedKind::InUse
                } else {
                    PrunedKind::Entry
                }
            } else if self.remove(&folder)? {
                PrunedKind::Entry
            } else {
                PrunedKind::InUse
            };
            pruned.push(Pruned {
                path: folder,
                kind,
                size,
            });
        }
        self.sweep(options, now, &mut pruned)?;
        pruned.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(pruned)
    }

    /// The entries that have to go, oldest first.
    fn candidates(&self, options: &PruneOptions, now: Timestamp) -> Result<Vec<(PathBuf, u64)>> {
        let mut entries = Vec::new();
        let mut total = 0u64;
        for found in self.survey(Rehash::IfTouched)? {
            let Found { folder, condition } = found?;
            // Damaged ones are not ours to judge here; `verify` sets them aside.
            if let Condition::Sound(entry) = condition {
                total = total.saturating_add(entry.record().stamp.size);
                entries.push((folder, entry.record().clone()));
            }
        }
        // Newest first, by upstream's serial; serials of one upstream sort as they age.
        entries.sort_by(|a, b| natural_order(&b.1.snapshot, &a.1.snapshot));
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut doomed: Vec<_> = entries
            .into_iter()
            .filter(|(folder, record)| {
                let key = (record.image.clone(), record.arch.clone());
                let rank = seen.entry(key.clone()).or_insert(0);
                *rank += 1;
                let pinned = options.pinned.contains(&(key.0, key.1, record.sha256))
                    || is_by_hash(&self.images(), folder);
                let young = options
                    .older_than
                    .is_some_and(|limit| age(now, record.fetched_at) <= limit);
                (options.all || !pinned) && *rank > options.keep && !young
            })
            .collect();
        doomed.sort_by(|a, b| a.1.fetched_at.cmp(&b.1.fetched_at).then(a.0.cmp(&b.0)));
        let mut list = Vec::new();
        for (folder, record) in doomed {
            if options.max_size.is_some_and(|limit| total <= limit) {
                break;
            }
            total = total.saturating_sub(record.stamp.size);
            list.push((folder, record.stamp.size));
        }
        Ok(list)
    }

    /// Old partial downloads, leftovers and quarantined entries. Only names of our own making:
    /// a file that we do not know stays.
    fn sweep(
        &self,
        options: &PruneOptions,
        now: Timestamp,
        pruned: &mut Vec<Pruned>,
    ) -> Result<()> {
        let limit = if options.all { Duration::ZERO } else { STALE };
        let old = |path: &Path| modified(path).is_some_and(|then| age(now, then) >= limit);
        let mut take = |path: PathBuf, kind: PrunedKind, locked: Option<WriteLock>| {
            let size = size_of(&path);
            if !options.dry_run {
                sys::clear_away(&path)
                    .or_else(|_| sys::remove_file_if_any(&path))
                    .map_err(|error| Error::local("cannot remove", &path, error))?;
            }
            drop(locked);
            pruned.push(Pruned { path, kind, size });
            Ok::<(), Error>(())
        };
        let partials = self.partials();
        for name in list(&partials)? {
            let path = partials.join(&name);
            let Some(digest) = partial_of(&name).filter(|_| old(&path)) else {
                continue;
            };
            // Whoever is downloading it right now holds its lock.
            if let Some(lock) = self.try_lock(&digest)? {
                take(path, PrunedKind::Partial, Some(lock))?;
            }
        }
        // As long as somebody stages an entry, nobody can tell which folder is whose.
        if let Some(_alone) = self.claim_staging()? {
            let root = self.root();
            let tags = list(root)?.into_iter().filter(|name| is_torn_tag(name));
            let tags = tags.map(|name| root.join(name)).collect::<Vec<_>>();
            for path in self.staging_folders()?.into_iter().chain(tags) {
                if old(&path) {
                    take(path, PrunedKind::Leftover, None)?;
                }
            }
        }
        let quarantine = self.quarantine();
        for name in list(&quarantine)? {
            let path = quarantine.join(&name);
            let ours = name
                .rsplit_once('.')
                .is_some_and(|(_, it)| sys::is_unique_suffix(it));
            if ours && old(&path) {
                take(path, PrunedKind::Quarantine, None)?;
            }
        }
        Ok(())
    }

    fn try_lock(&self, digest: &Digest) -> Result<Option<WriteLock>> {
        // Twice: a child between fork and exec is no download.
        let outcome = self.lock(digest, |waiting| {
            if waiting.since < POLL {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match outcome {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == Kind::Cancelled => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Without working locks nobody can know who reads: nothing is removed then.
    fn require_locks(&self) -> Result<FileLock> {
        let path = self.locks().join("prune.lock");
        let open = || {
            sys::create_private(&self.locks())?;
            sys::open_append(&path)
        };
        let file =
            open().map_err(|error| Error::local("cannot open the lock file", &path, error))?;
        match FileLock::exclusive_in_a_moment(file) {
            Locked::Held(lock) => Ok(lock),
            Locked::Busy(_) => Err(Error::new(
                Kind::Local,
                format!("another prune is at work ({})", path.display()),
            )),
            Locked::Unsupported(_, error) => Err(Error::local(
                "locks do not work here, so that nothing is pruned:",
                path,
                error,
            )),
        }
    }
}

fn in_use(folder: &Path) -> bool {
    sys::open_regular(&folder.join(super::entry::RECORD))
        .is_ok_and(|file| matches!(FileLock::exclusive_in_a_moment(file), Locked::Busy(_)))
}

fn list(path: &Path) -> Result<Vec<String>> {
    sys::names(path).map_err(|error| Error::local("cannot list", path, error))
}

/// The digest of an unfinished download, or of its sidecar; `None` for any other name.
fn partial_of(name: &str) -> Option<Digest> {
    let stem = name
        .strip_suffix(".part")
        .or_else(|| name.strip_suffix(".json"))?;
    match stem.split_once('.') {
        None => stem.parse().ok(),
        Some((digest, suffix)) if sys::is_unique_suffix(suffix) => digest.parse().ok(),
        Some(_) => None,
    }
}

fn is_torn_tag(name: &str) -> bool {
    let middle = name
        .strip_prefix(TAG)
        .and_then(|rest| rest.strip_prefix('.'));
    middle
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .is_some_and(sys::is_unique_suffix)
}

fn is_by_hash(images: &Path, folder: &Path) -> bool {
    folder.starts_with(images.join(BY_HASH))
}

/// How long ago; a clock that went back makes things young, never old.
fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

fn modified(path: &Path) -> Option<Timestamp> {
    use std::os::unix::fs::MetadataExt;
    Some(Timestamp(std::fs::symlink_metadata(path).ok()?.mtime()))
}

fn size_of(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    let names = sys::names(path).unwrap_or_default();
    names.iter().map(|name| size_of(&path.join(name))).sum()
}

/// After a week nobody comes back for the rest of a download.
const STALE: Duration = Duration::from_hours(7 * 24);
