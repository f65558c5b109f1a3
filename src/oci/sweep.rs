//! Looking after the images of a cache: what refers to what, what may go, what is damaged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::manifest::{MAX_MANIFEST, packing};
use super::store::{Store, StoredImage};
use super::{ImageReference, Index, is_index};
use crate::base::{Digest, Timestamp};
use crate::cache::{Blob, PruneOptions, Pruned, PrunedKind, Rehash};
use crate::error::{Error, Result};
use crate::sys;

/// An image whose blobs have been read and hashed.
#[derive(Clone, Debug)]
pub struct CheckedImage {
    /// Every name that it has.
    pub images: Vec<StoredImage>,
    /// What is wrong, blob by blob; nothing, if it is sound.
    pub damage: Vec<(Digest, String)>,
}

impl Store {
    /// Takes images out of the layout: those that a tag names, and the names of their digests if
    /// no other tag has them; or those of a digest, tags included. Blobs that nothing refers to
    /// any more go with them.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn remove(
        &self,
        reference: &ImageReference,
        wanted: impl Fn(&StoredImage) -> bool,
    ) -> Result<Vec<StoredImage>> {
        let all = self.images()?;
        let doomed = doomed(&all, reference, &wanted);
        self.remove_images(|image| doomed.contains(image))
    }

    /// Takes images out of the layout, and blobs that nothing refers to any more.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn remove_images(&self, doomed: impl Fn(&StoredImage) -> bool) -> Result<Vec<StoredImage>> {
        let removed = self.remove_where(doomed)?;
        self.sweep(false, &mut Vec::new())?;
        Ok(removed)
    }

    /// Bytes of all blobs.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn size(&self) -> Result<u64> {
        let blobs = self.cache().blobs()?;
        Ok(blobs.iter().map(|blob| self.length_of(blob)).sum())
    }

    /// Bytes of the blobs of one image, under all its names; other images may share them.
    pub fn size_of(&self, images: &[StoredImage]) -> u64 {
        let parts = self.parts_of(images);
        parts.iter().map(|blob| self.length_of(blob)).sum()
    }

    /// Removes images that were pulled for pins which no catalog has any more, and blobs that
    /// nothing refers to. What was pulled by hand stays, unless everything may go.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn prune(&self, options: &PruneOptions) -> Result<Vec<Pruned>> {
        let mut pruned = Vec::new();
        if !sys::exists(&self.path()) {
            return Ok(pruned);
        }
        let groups = self.groups()?;
        let doomed = self.candidates(&groups, options);
        for digest in &doomed {
            for image in &groups[digest] {
                pruned.push(Pruned {
                    path: PathBuf::from(self.address(&image.name)),
                    kind: PrunedKind::Image,
                    size: 0,
                });
            }
        }
        if options.dry_run {
            let kept = self.reachable(|image| !doomed.contains(&image.digest))?;
            self.sweep_but(&kept, true, &mut pruned)?;
        } else {
            if !doomed.is_empty() {
                self.remove_where(|image| doomed.contains(&image.digest))?;
            }
            self.sweep(false, &mut pruned)?;
        }
        pruned.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(pruned)
    }

    /// Reads and hashes every blob of the images that are wanted, one image after the other.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local) if the cache cannot be read.
    pub fn check(
        &self,
        wanted: impl Fn(&StoredImage) -> bool,
    ) -> Result<impl Iterator<Item = Result<CheckedImage>>> {
        let mut seen: BTreeMap<Digest, Option<String>> = BTreeMap::new();
        let groups: Vec<_> = self
            .groups()?
            .into_values()
            .filter(|images| images.iter().any(&wanted))
            .collect();
        let store = self.clone();
        Ok(groups.into_iter().map(move |images| {
            let mut damage = Vec::new();
            for digest in store.parts_of(&images) {
                let why = match seen.get(&digest) {
                    Some(why) => why.clone(),
                    None => match store.cache().blob(&digest, None, Rehash::Always)? {
                        Blob::Sound { .. } => None,
                        Blob::Missing => Some("it is missing".to_owned()),
                        Blob::Damaged(why) => Some(why),
                    },
                };
                seen.insert(digest, why.clone());
                damage.extend(why.map(|why| (digest, why)));
            }
            Ok(CheckedImage { images, damage })
        }))
    }

    /// The blobs that make an image: the index that it was found by is not needed to use it.
    fn parts_of(&self, images: &[StoredImage]) -> Vec<Digest> {
        let mut parts = BTreeSet::new();
        for image in images {
            self.collect(image.digest, &image.media_type, &mut parts);
        }
        parts.into_iter().collect()
    }

    /// Images by the digest of their manifest, with all their names.
    fn groups(&self) -> Result<BTreeMap<Digest, Vec<StoredImage>>> {
        let mut groups: BTreeMap<Digest, Vec<StoredImage>> = BTreeMap::new();
        for image in self.images()? {
            groups.entry(image.digest).or_default().push(image);
        }
        Ok(groups)
    }

    /// The manifests that have to go, oldest first.
    fn candidates(
        &self,
        groups: &BTreeMap<Digest, Vec<StoredImage>>,
        options: &PruneOptions,
    ) -> Vec<Digest> {
        let now = sys::now();
        let mut newest: Vec<(Digest, Timestamp)> = groups
            .iter()
            .map(|(digest, images)| (*digest, fetched_at(images)))
            .collect();
        newest.sort_by_key(|(_, then)| std::cmp::Reverse(*then));
        let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
        let mut doomed = Vec::new();
        for (digest, then) in newest {
            let images = &groups[&digest];
            let rank = ranks.entry(family(images)).or_insert(0);
            *rank += 1;
            let age = u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0);
            let young = options
                .older_than
                .is_some_and(|limit| Duration::from_secs(age) <= limit);
            let kept = images.iter().any(|image| is_kept(image, options));
            if (options.all || !kept) && *rank > options.keep && !young {
                doomed.push(digest);
            }
        }
        doomed.reverse();
        let Some(limit) = options.max_size else {
            return doomed;
        };
        // Layers are shared: what the removal of one image frees depends on the others.
        let parts: BTreeMap<Digest, Vec<Digest>> = groups
            .iter()
            .map(|(digest, images)| (*digest, self.parts_of(images)))
            .collect();
        let mut left: BTreeSet<Digest> = groups.keys().copied().collect();
        let mut gone = Vec::new();
        for digest in doomed {
            let blobs: BTreeSet<_> = left.iter().flat_map(|it| parts[it].iter()).collect();
            let total: u64 = blobs.into_iter().map(|blob| self.length_of(blob)).sum();
            if total <= limit {
                break;
            }
            left.remove(&digest);
            gone.push(digest);
        }
        gone
    }

    /// Removes blobs that nothing refers to, unless somebody brings or reads some right now.
    fn sweep(&self, dry_run: bool, pruned: &mut Vec<Pruned>) -> Result<()> {
        let Some(_alone) = self.cache().claim_blobs()? else {
            return Ok(());
        };
        // Only now: whoever brought blobs has said what they are for.
        let kept = self.reachable(|_| true)?;
        self.sweep_but(&kept, dry_run, pruned)?;
        self.sweep_torn(pruned)
    }

    /// Removes what a kill left of documents that were being written: whoever writes one has the
    /// blobs that it is about, and we are alone.
    fn sweep_torn(&self, pruned: &mut Vec<Pruned>) -> Result<()> {
        let folder = self.path();
        let names =
            sys::names(&folder).map_err(|error| Error::local("cannot list", &folder, error))?;
        for name in names {
            let middle = name.strip_suffix(".tmp").and_then(|name| {
                ["blob.", "index.json.", "oci-layout."]
                    .iter()
                    .find_map(|it| name.strip_prefix(it))
            });
            if !middle.is_some_and(sys::is_unique_suffix) {
                continue;
            }
            let path = folder.join(&name);
            let size = std::fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            sys::remove_file_if_any(&path)
                .map_err(|error| Error::local("cannot remove", &path, error))?;
            let kind = PrunedKind::Leftover;
            pruned.push(Pruned { path, kind, size });
        }
        Ok(())
    }

    fn sweep_but(
        &self,
        kept: &BTreeSet<Digest>,
        dry_run: bool,
        pruned: &mut Vec<Pruned>,
    ) -> Result<()> {
        for digest in self.cache().blobs()? {
            if kept.contains(&digest) {
                continue;
            }
            let path = self.cache().blob_path(&digest);
            let size = self.length_of(&digest);
            if !dry_run {
                sys::remove_file_if_any(&path)
                    .map_err(|error| Error::local("cannot remove", &path, error))?;
            }
            pruned.push(Pruned {
                path,
                kind: PrunedKind::Blob,
                size,
            });
        }
        Ok(())
    }

    /// Every blob that the images refer to which stay, directly or not.
    fn reachable(&self, stays: impl Fn(&StoredImage) -> bool) -> Result<BTreeSet<Digest>> {
        let mut kept = BTreeSet::new();
        for entry in self.entries()? {
            match StoredImage::of(&entry) {
                Ok(image) => {
                    if !stays(&image) {
                        continue;
                    }
                    self.collect(image.digest, &image.media_type, &mut kept);
                    if let Some(index) = image.resolved {
                        self.collect_indexes(index, &mut kept);
                    }
                }
                // Whatever another program means by it, it keeps what it names.
                Err(_) => references(&entry, &mut |digest, media_type| {
                    self.collect(digest, media_type, &mut kept);
                }),
            }
        }
        Ok(kept)
    }

    /// A blob and all that it refers to.
    fn collect(&self, digest: Digest, media_type: &str, kept: &mut BTreeSet<Digest>) {
        let mut todo = VecDeque::from([(digest, media_type.to_owned())]);
        while let Some((digest, media_type)) = todo.pop_front() {
            if !kept.insert(digest) || packing(&media_type).is_some() {
                continue;
            }
            if let Some(document) = self.document(&digest) {
                references(&document, &mut |digest, media_type| {
                    todo.push_back((digest, media_type.to_owned()));
                });
            }
        }
    }

    /// An index and the ones within it, but not the images of other platforms.
    fn collect_indexes(&self, digest: Digest, kept: &mut BTreeSet<Digest>) {
        let mut todo = vec![digest];
        while let Some(digest) = todo.pop() {
            if !kept.insert(digest) {
                continue;
            }
            let bytes = self.cache().read_blob(&digest, MAX_MANIFEST);
            let index = bytes.ok().flatten().and_then(|it| Index::parse(&it).ok());
            let inner = index.into_iter().flat_map(|it| it.manifests);
            todo.extend(
                inner
                    .filter(|it| is_index(&it.media_type))
                    .map(|it| it.digest),
            );
        }
    }

    fn document(&self, digest: &Digest) -> Option<Value> {
        let bytes = self.cache().read_blob(digest, MAX_MANIFEST).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    fn length_of(&self, digest: &Digest) -> u64 {
        let meta = std::fs::symlink_metadata(self.cache().blob_path(digest));
        meta.map_or(0, |meta| meta.len())
    }
}

/// What a removal is about.
fn doomed(
    all: &[StoredImage],
    reference: &ImageReference,
    wanted: &impl Fn(&StoredImage) -> bool,
) -> Vec<StoredImage> {
    let ours = |image: &&StoredImage| {
        let of = image.reference();
        of.is_some_and(|it| it.repository == reference.repository) && wanted(image)
    };
    let is_tag = |image: &&StoredImage| image.reference().is_some_and(|it| it.digest.is_none());
    if let Some(digest) = reference.digest {
        let meant = |image: &&StoredImage| {
            image.digest == digest || (image.resolved == Some(digest) && !is_tag(image))
        };
        let digests: BTreeSet<_> = all
            .iter()
            .filter(ours)
            .filter(meant)
            .map(|it| it.digest)
            .collect();
        let images = all.iter().filter(ours);
        return images
            .filter(|it| digests.contains(&it.digest))
            .cloned()
            .collect();
    }
    let name = reference.to_string();
    let tagged: BTreeSet<_> = all
        .iter()
        .filter(ours)
        .filter(|it| it.name == name)
        .map(|it| it.digest)
        .collect();
    let other: BTreeSet<_> = all
        .iter()
        .filter(|it| it.name != name && is_tag(it))
        .map(|it| it.digest)
        .collect();
    let images = all.iter().filter(ours);
    images
        .filter(|it| {
            it.name == name
                || (tagged.contains(&it.digest) && !other.contains(&it.digest) && !is_tag(it))
        })
        .cloned()
        .collect()
}

/// Whether an image stays without `--all`: a catalog pins it, or nobody pulled it for a catalog.
fn is_kept(image: &StoredImage, options: &PruneOptions) -> bool {
    let Some(name) = &image.image else {
        // The names of a digest come with every pull: the one for the catalog has its image.
        return true;
    };
    let arch = image.platform.as_ref().and_then(super::Platform::arch);
    arch.is_some_and(|arch| {
        let pin = (name.clone(), arch.to_string(), image.digest);
        options.pinned.contains(&pin)
    })
}

/// Of whose images the newest ones may be kept: a repository's, for one platform.
fn family(images: &[StoredImage]) -> String {
    let Some(image) = images.first() else {
        return String::new();
    };
    let repository = image.reference().map(|it| it.repository.to_string());
    let platform = image.platform.as_ref().map(ToString::to_string);
    format!(
        "{} {}",
        repository.unwrap_or_else(|| image.name.clone()),
        platform.unwrap_or_default()
    )
}

fn fetched_at(images: &[StoredImage]) -> Timestamp {
    let newest = images.iter().filter_map(|image| image.fetched_at).max();
    newest.unwrap_or(Timestamp(0))
}

/// Every descriptor in a document, wherever it stands.
fn references(value: &Value, found: &mut dyn FnMut(Digest, &str)) {
    match value {
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            if let Some(digest) = text("digest").and_then(|it| super::name::parse_digest(it).ok()) {
                found(digest, text("mediaType").unwrap_or_default());
            }
            for value in map.values() {
                references(value, found);
            }
        }
        Value::Array(list) => {
            for value in list {
                references(value, found);
            }
        }
        _ => {}
    }
}
