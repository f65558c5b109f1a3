//! Images of layers in the cache, each by the digest of what its layer unpacks to: whatever images
//! of containers have the layer, its image is made once.

use std::fs::{File, FileTimes};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::fsimage::hash;
use super::kept::Kept;
use super::prepare::sweep;
use crate::archive::Limits;
use crate::base::{Digest, Timestamp};
use crate::cache::{Cache, PruneOptions, Pruned, PrunedKind};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::fsimg::erofs;
use crate::sys;
use crate::tree::Layer;

/// The images of layers of a cache. Making one touches nothing on disk.
#[derive(Clone, Debug)]
pub struct Shelf {
    cache: Cache,
}

/// The image of one layer.
#[derive(Clone, Debug)]
pub struct LayerImage {
    /// What the layer unpacks to.
    pub diff_id: Digest,
    /// Where the image is.
    pub path: PathBuf,
    /// Bytes of it.
    pub size: u64,
    /// When it was last of use.
    pub used_at: Timestamp,
}

impl Shelf {
    /// The images of layers of this cache.
    pub fn of(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
        }
    }

    /// A layer, read out of its image; `None` if there is no image, or one that does not say all of
    /// the layer. One that nobody can read goes.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if it cannot be removed.
    pub(super) fn layer(&self, diff_id: &Digest, limits: Limits) -> Result<Option<Layer>> {
        let kept = self.kept(diff_id);
        let Some(made) = kept.whole(&recipe(diff_id)) else {
            return Ok(None);
        };
        // When it was last of use: see `prune`. A cache that cannot be written to is as good.
        let now = FileTimes::new().set_modified(SystemTime::now());
        let _ = File::open(kept.folder()).and_then(|folder| folder.set_times(now));
        let Some(unsaid) = paths_of(&made["unsaid"]) else {
            return Ok(None);
        };
        let read = || {
            let file = sys::open_regular(&kept.path())
                .map_err(|error| Error::local("cannot read", kept.path(), error))?;
            let tree = erofs::Reader::open(file, Vec::new(), limits)?.tree()?;
            Layer::of_overlay(tree, &unsaid)
        };
        match read() {
            Ok(layer) => Ok(Some(layer)),
            // The layer itself is at hand.
            Err(_) => kept.forget().map(|()| None),
        }
    }

    /// Leaves the image of a layer at a path where nothing is: the one that is here, made now if
    /// there is none. Both are one file where they are on one file system.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local); [`Kind::Cancelled`](crate::Kind::Cancelled); as [`erofs::write`](erofs::write()).
    pub(super) fn leave(
        &self,
        diff_id: &Digest,
        layer: &Layer,
        image: &erofs::Image<'_>,
        target: &Path,
        observer: &dyn Observer,
    ) -> Result<()> {
        let kept = self.kept(diff_id);
        let asked = recipe(diff_id);
        let is_there = || {
            kept.whole(&asked)
                .is_some_and(|it| it["size"] == image.bytes())
        };
        if !is_there() {
            let subject = &format!("sha256:{diff_id}");
            let lock = self.cache.lock(diff_id, |waiting| {
                waiting.tell(|what| observer.on(Event { subject, what }))
            })?;
            if !is_there() {
                self.make(&kept, diff_id, layer, image, observer)?;
            }
            drop(lock);
        }
        let cannot = |error| Error::local("cannot write", target, error);
        if sys::link(&kept.path(), target).is_ok() {
            return Ok(());
        }
        let mut from = sys::open_regular(&kept.path()).map_err(cannot)?;
        let to = sys::create_public(target).map_err(cannot)?;
        sys::copy_or_reflink(&mut from, &to, |_| Ok(())).map_err(cannot)
    }

    fn make(
        &self,
        kept: &Kept,
        diff_id: &Digest,
        layer: &Layer,
        image: &erofs::Image<'_>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let workshop = self.folder().join(diff_id.to_string());
        sys::create_private(&workshop)
            .map_err(|error| Error::local("cannot create", &workshop, error))?;
        sweep(&workshop);
        let subject = format!("sha256:{diff_id}");
        kept.make(&recipe(diff_id), |file| {
            let made = image.write(file, observer, &subject)?;
            // What EROFS cannot say is not in the image.
            let unsaid = layer.unsaid().filter(|_| made.xattrs_left_out == 0);
            let note = json!({
                "size": made.bytes,
                "uuid": made.uuid.to_string(),
                "sha256": hash(file, || Ok(()))?.to_string(),
                "unsaid": unsaid.and_then(words_of),
            });
            Ok(((), note))
        })
    }

    /// Whether an image is what was made: it is hashed.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if it cannot be read; what `tell` says.
    pub fn is_well(&self, diff_id: &Digest, tell: impl FnMut() -> Result<()>) -> Result<bool> {
        let kept = self.kept(diff_id);
        let Some(made) = kept.whole(&recipe(diff_id)) else {
            return Ok(false);
        };
        let file = sys::open_regular(&kept.path())
            .map_err(|error| Error::local("cannot read", kept.path(), error))?;
        Ok(made["sha256"] == hash(&file, tell)?.to_string().as_str())
    }

    /// Removes the image of a layer, to be made again.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn forget(&self, diff_id: &Digest) -> Result<()> {
        self.kept(diff_id).forget()
    }

    /// Removes images that were of no use for a week, or for as long as the options say; all, if
    /// everything may go. They can be made again of their layers at any time, so that nothing is
    /// pinned. With a limit the oldest go until the rest is below it.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn prune(&self, options: &PruneOptions) -> Result<Vec<Pruned>> {
        let now = sys::now();
        let mut layers = self.layers()?;
        layers.sort_by_key(|it| std::cmp::Reverse(it.used_at));
        let mut total = 0u64;
        let mut pruned = Vec::new();
        for LayerImage {
            diff_id,
            size,
            used_at,
            ..
        } in layers
        {
            let age = u64::try_from(now.0.saturating_sub(used_at.0)).unwrap_or(0);
            let age = Duration::from_secs(age);
            total = total.saturating_add(size);
            let old = match (options.older_than, options.all) {
                (Some(limit), _) => age > limit,
                (None, true) => true,
                (None, false) => age > UNUSED,
            };
            if !old && options.max_size.is_none_or(|limit| total <= limit) {
                continue;
            }
            total -= size;
            let path = self.folder().join(diff_id.to_string());
            if !options.dry_run {
                sys::clear_away(&path)
                    .map_err(|error| Error::local("cannot remove", &path, error))?;
            }
            pruned.push(Pruned {
                path,
                kind: PrunedKind::LayerImage,
                size,
            });
        }
        pruned.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(pruned)
    }

    /// Every image that is here, in the order of the digests.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn layers(&self) -> Result<Vec<LayerImage>> {
        let folder = self.folder();
        let names =
            sys::names(&folder).map_err(|error| Error::local("cannot list", &folder, error))?;
        let images = names.iter().filter_map(|name| {
            let diff_id = name.parse().ok()?;
            let kept = self.kept(&diff_id);
            let used = std::fs::symlink_metadata(kept.folder()).ok()?.mtime();
            Some(LayerImage {
                diff_id,
                size: std::fs::symlink_metadata(kept.path()).ok()?.len(),
                path: kept.path(),
                used_at: Timestamp(used),
            })
        });
        Ok(images.collect())
    }

    fn folder(&self) -> PathBuf {
        self.cache.layer_images()
    }

    fn kept(&self, diff_id: &Digest) -> Kept {
        Kept::at(&self.folder().join(diff_id.to_string()), RECIPE, FILE)
    }
}

fn recipe(diff_id: &Digest) -> Value {
    json!({ "form": RECIPE, "layer": format!("sha256:{diff_id}") })
}

/// Paths for a note; `None` if JSON cannot say one.
fn words_of(paths: Vec<Vec<u8>>) -> Option<Vec<String>> {
    paths
        .into_iter()
        .map(|it| String::from_utf8(it).ok())
        .collect()
}

fn paths_of(words: &Value) -> Option<Vec<Vec<u8>>> {
    let words = words.as_array()?;
    words.iter().map(|it| Some(it.as_str()?.into())).collect()
}

/// Images of layers that were of no use for so long go.
const UNUSED: Duration = Duration::from_hours(7 * 24);

/// The number goes up when the same layer gives other bytes than before.
const RECIPE: &str = "erofs-1";

/// The image in its directory.
const FILE: &str = "layer.erofs";
