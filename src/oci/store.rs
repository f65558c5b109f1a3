//! The container images of a cache: an OCI image layout that any tool can read.
//!
//! OCI image specification 1.1, "Image Layout". Blobs are the cache's; here is `index.json`, which
//! says what they are called. Entries of other programs are left as they are.

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::name::ALGORITHM;
use super::{ImageReference, Platform};
use crate::base::{Digest, Timestamp};
use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::sys::{self, FileLock, Locked};

/// The container images of a cache. Making one touches nothing on disk.
#[derive(Clone, Debug)]
pub struct Store {
    cache: Cache,
}

/// One entry of `index.json`: an image for one platform, under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// `docker.io/library/alpine:3.21`, or what another program calls it; may be empty.
    pub name: String,
    /// What its manifest hashes to.
    pub digest: Digest,
    /// What kind of manifest that is.
    pub media_type: String,
    /// Bytes of the manifest.
    pub size: u64,
    /// Which machine it is for, if that is said.
    pub platform: Option<Platform>,
    /// What the name meant when it was asked for: an index, or the manifest itself.
    pub resolved: Option<Digest>,
    /// The image of a catalog for which it was pulled.
    pub image: Option<String>,
    /// When it came.
    pub fetched_at: Option<Timestamp>,
    /// Where from.
    pub source: Option<String>,
}

impl StoredImage {
    /// The name as a reference, if it is one.
    pub fn reference(&self) -> Option<ImageReference> {
        self.name.parse().ok()
    }

    fn to_json(&self) -> Value {
        let mut annotations = Map::new();
        annotations.insert(REF_NAME.to_owned(), json!(self.name));
        for (key, value) in [
            (RESOLVED, self.resolved.map(|it| format!("{ALGORITHM}{it}"))),
            (IMAGE, self.image.clone()),
            (FETCHED_AT, self.fetched_at.map(|it| it.to_string())),
            (SOURCE, self.source.clone()),
        ] {
            if let Some(value) = value {
                annotations.insert(key.to_owned(), json!(value));
            }
        }
        let mut entry = json!({
            "mediaType": self.media_type,
            "digest": format!("{ALGORITHM}{}", self.digest),
            "size": self.size,
            "annotations": annotations,
        });
        if let Some(platform) = &self.platform {
            let mut words = json!({ "architecture": platform.architecture, "os": platform.os });
            if let Some(variant) = &platform.variant {
                words["variant"] = json!(variant);
            }
            entry["platform"] = words;
        }
        entry
    }

    pub(super) fn of(entry: &Value) -> Result<Self> {
        let descriptor = Fields::of(entry, "index.json")?.descriptor()?;
        let annotation = |key: &str| descriptor.annotations.get(key);
        Ok(Self {
            name: annotation(REF_NAME).cloned().unwrap_or_default(),
            resolved: annotation(RESOLVED)
                .and_then(|text| text.strip_prefix(ALGORITHM)?.parse().ok()),
            image: annotation(IMAGE).cloned(),
            fetched_at: annotation(FETCHED_AT).and_then(|text| text.parse().ok()),
            source: annotation(SOURCE).cloned(),
            digest: descriptor.digest,
            media_type: descriptor.media_type,
            size: descriptor.size.unwrap_or(0),
            platform: descriptor.platform,
        })
    }

    /// Whether the other one takes its place: the same name, for the same platform.
    fn gives_way_to(&self, other: &Self) -> bool {
        self.name == other.name && self.platform == other.platform
    }
}

impl Store {
    /// The container images of this cache.
    pub fn of(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
        }
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The directory of the layout, whether it is there or not.
    pub fn path(&self) -> PathBuf {
        self.cache.layout()
    }

    /// How the image of a name is written for programs that read layouts: `DIRECTORY:NAME`.
    pub fn address(&self, name: &str) -> String {
        format!("{}:{name}", self.path().display())
    }

    /// Every image, in the order of the document. Entries that say nothing sensible are left out.
    ///
    /// # Errors
    /// [`Kind::Local`] if the cache cannot be read.
    pub fn images(&self) -> Result<Vec<StoredImage>> {
        let (_, entries) = self.read()?;
        Ok(entries
            .iter()
            .filter_map(|entry| StoredImage::of(entry).ok())
            .collect())
    }

    /// Adds images, each in the place of the one with the same name for the same platform.
    pub(super) fn add(&self, images: &[StoredImage]) -> Result<()> {
        self.update(|entries| {
            entries.retain(|entry| {
                let old = StoredImage::of(entry).ok();
                old.is_none_or(|old| !images.iter().any(|new| old.gives_way_to(new)))
            });
            entries.extend(images.iter().map(StoredImage::to_json));
            // One order, whoever came first; of several platforms the one of this machine, for
            // programs that take the first of a name.
            let host = Platform::host();
            entries.sort_by_cached_key(|entry| {
                let image = StoredImage::of(entry).ok();
                let platform = image.as_ref().and_then(|it| it.platform.clone());
                let foreign = platform != host;
                (image.map(|it| it.name), foreign, platform)
            });
        })
    }

    /// Removes the images that are doomed; the ones that were removed.
    pub(super) fn remove_where(
        &self,
        doomed: impl Fn(&StoredImage) -> bool,
    ) -> Result<Vec<StoredImage>> {
        let mut removed = Vec::new();
        if !sys::exists(&self.index()) {
            return Ok(removed);
        }
        self.update(|entries| {
            entries.retain(|entry| match StoredImage::of(entry) {
                Ok(image) if doomed(&image) => {
                    removed.push(image);
                    false
                }
                _ => true,
            });
        })?;
        Ok(removed)
    }

    /// Every entry as it stands in the document.
    pub(super) fn entries(&self) -> Result<Vec<Value>> {
        Ok(self.read()?.1)
    }

    fn index(&self) -> PathBuf {
        self.path().join(INDEX)
    }

    /// The document, and its entries apart. One that is damaged holds nothing that could be
    /// believed: the blobs are still there, and found by their digests.
    fn read(&self) -> Result<(Map<String, Value>, Vec<Value>)> {
        let path = self.index();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if sys::is_damage(&error) => return Ok(Default::default()),
            Err(error) => return Err(Error::local("cannot read", path, error)),
        };
        let Ok(Value::Object(mut document)) = serde_json::from_slice(&bytes) else {
            return Ok(Default::default());
        };
        match document.remove("manifests") {
            Some(Value::Array(entries)) => Ok((document, entries)),
            _ => Ok((document, Vec::new())),
        }
    }

    /// Replaces the document by what `change` makes of it: whole, or not at all.
    fn update(&self, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
        let folder = self.path();
        let cannot = |path: &PathBuf, error| Error::local("cannot write", path, error);
        self.cache.prepare()?;
        sys::create_private(&folder.join("blobs/sha256")).map_err(|it| cannot(&folder, it))?;
        let _alone = self.lock()?;
        let mark = folder.join(MARK);
        if !sys::exists(&mark) {
            let text = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
            sys::write_durably(&mark, text.as_bytes()).map_err(|it| cannot(&mark, it))?;
        }
        let (mut document, mut entries) = self.read()?;
        change(&mut entries);
        document.insert("schemaVersion".to_owned(), json!(2));
        let media_type = document.entry("mediaType");
        media_type.or_insert_with(|| json!(super::index::OCI_INDEX));
        document.insert("manifests".to_owned(), Value::Array(entries));
        let path = self.index();
        let text = format!("{}\n", Value::Object(document));
        sys::write_durably(&path, text.as_bytes())
            .and_then(|()| sys::sync_folder(&folder))
            .map_err(|error| cannot(&path, error))
    }

    /// Waits for the right to change `index.json`, which takes its holder a moment. `None` where
    /// locks do not work: then the last one to write is right, and what it does not know is
    /// pulled again.
    fn lock(&self) -> Result<Option<FileLock>> {
        let path = self.cache.path().join("v1/locks/oci.lock");
        let open = |error: io::Error| Error::local("cannot open the lock file", &path, error);
        let mut file = sys::open_append(&path).map_err(open)?;
        for _ in 0..PATIENCE {
            match FileLock::try_exclusive(file) {
                Locked::Held(lock) => return Ok(Some(lock)),
                Locked::Unsupported(..) => return Ok(None),
                Locked::Busy(back) => file = back,
            }
            std::thread::sleep(POLL);
        }
        let message = format!("another program does not let go of {}", path.display());
        Err(Error::new(Kind::Local, message).with_path(path))
    }
}

const INDEX: &str = "index.json";
const MARK: &str = "oci-layout";

/// OCI image specification 1.1, "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";

const RESOLVED: &str = "io.github.distro-fetch.resolved";
const IMAGE: &str = "io.github.distro-fetch.image";
const FETCHED_AT: &str = "io.github.distro-fetch.fetched-at";
const SOURCE: &str = "io.github.distro-fetch.source";

/// How often, and how many times, a busy lock is looked at: half a minute in all.
const POLL: std::time::Duration = std::time::Duration::from_millis(5);
const PATIENCE: u32 = 6_000;
