//! The container images of the cache: what `cache` and `verify` do about them.

use std::collections::BTreeMap;

use anyhow::Result;
use distro_fetch::base::HumanBytes;
use distro_fetch::cache::Rehash;
use distro_fetch::fetch::Reach;
use distro_fetch::oci::{CheckedImage, ImageReference, PullPolicy, Store, StoredImage};
use distro_fetch::{Digest, Error, Kind};
use serde_json::{Value, json};

use super::args::Verify;
use super::context::Context;
use super::output;
use super::progress::Reporter;
use super::registry::{self, Manner};
use super::select::Selector;
use super::verify::say;

/// Which images names on the command line are about.
pub(crate) struct Wanted<'a> {
    references: Vec<ImageReference>,
    selectors: &'a [Selector],
    /// Whether nothing was named.
    all: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(references: &[String], selectors: &'a [Selector]) -> Result<Self> {
        Ok(Self {
            all: references.is_empty() && selectors.is_empty(),
            references: references
                .iter()
                .map(|text| registry::reference(text))
                .collect::<Result<_>>()?,
            selectors,
        })
    }

    fn means(&self, image: &StoredImage) -> bool {
        self.all
            || self.references.iter().any(|it| registry::means(it, image))
            || self.is_selected(image)
    }

    fn is_selected(&self, image: &StoredImage) -> bool {
        self.selectors.iter().any(|it| it.means_image(image))
    }
}

/// References of container images, and names of a catalog.
pub(crate) fn split(names: &[String]) -> (Vec<String>, Vec<String>) {
    names
        .iter()
        .cloned()
        .partition(|name| registry::is_reference(name))
}

/// Rows and documents of `cache list`, and what all of it takes.
pub(crate) fn list(store: &Store) -> Result<(Vec<Vec<String>>, Vec<Value>, u64)> {
    let mut groups: BTreeMap<Digest, Vec<StoredImage>> = BTreeMap::new();
    for image in store.images()? {
        groups.entry(image.digest).or_default().push(image);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| best_name(a).cmp(best_name(b)));
    let (mut rows, mut documents) = (Vec::new(), Vec::new());
    for images in groups {
        let Some(first) = images.first() else {
            continue;
        };
        let name = best_name(&images);
        let platform = first.platform.as_ref();
        let arch = platform.map_or_else(|| "any".to_owned(), ToString::to_string);
        let size = store.size_of(&images);
        let digest = format!("sha256:{}", first.digest);
        let fetched = images.iter().filter_map(|it| it.fetched_at).max();
        let fetched = fetched.map(|it| it.to_string());
        let path = store.address(name);
        documents.push(json!({
            "kind": "oci", "image": name,
            "names": images.iter().map(|it| &it.name).collect::<Vec<_>>(),
            "arch": arch, "snapshot": digest, "sha256": first.digest.to_string(), "size": size,
            "fetched_at": fetched, "source": first.source, "path": path, "damaged": null,
        }));
        rows.push(vec![
            output::harmless(name),
            output::harmless(&arch),
            first.digest.short(),
            HumanBytes(size).to_string(),
            fetched.unwrap_or_default(),
            output::harmless(&path),
        ]);
    }
    Ok((rows, documents, store.size()?))
}

/// Takes images out; what they were called.
pub(crate) fn remove(store: &Store, wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for reference in &wanted.references {
        removed.extend(store.remove(reference, |_| true)?);
    }
    if !wanted.selectors.is_empty() {
        removed.extend(store.remove_images(|image| wanted.is_selected(image))?);
    }
    let names = removed.iter().map(|image| store.address(&image.name));
    Ok(names.collect())
}

/// Hashes images, and fetches again what is damaged if that is wanted.
pub(crate) fn verify(
    context: &Context,
    arguments: &Verify,
    wanted: &Wanted<'_>,
    documents: &mut Vec<Value>,
) -> Result<Option<anyhow::Error>> {
    let store = Store::of(&context.cache()?);
    let mut worst = None;
    for checked in store.check(|image| wanted.means(image))? {
        let checked = checked?;
        let name = best_name(&checked.images).to_owned();
        let path = store.address(&name);
        let (status, why) = match mend(context, arguments, &store, &checked) {
            Ok(Mended::Sound) => ("ok", None),
            Ok(Mended::Repaired(why)) => ("repaired", Some(why)),
            Ok(Mended::Damaged(why)) => {
                let message = format!("{path}: the cached copy is damaged: {why}");
                worst.get_or_insert(Error::new(Kind::Integrity, message).into());
                ("damaged", Some(why))
            }
            Err(error) => {
                let why = error.to_string();
                worst.get_or_insert(error);
                ("damaged", Some(why))
            }
        };
        say(context, status, &path, why.as_deref())?;
        let image = checked.images.first();
        documents.push(json!({
            "kind": "oci", "image": name,
            "arch": image.and_then(|it| it.platform.as_ref()).map(ToString::to_string),
            "snapshot": image.map(|it| format!("sha256:{}", it.digest)),
            "sha256": image.map(|it| it.digest.to_string()),
            "path": path, "status": status, "reason": why,
        }));
    }
    Ok(worst)
}

enum Mended {
    Sound,
    Repaired(String),
    Damaged(String),
}

/// Sets damaged blobs aside, and pulls the image again if asked.
fn mend(
    context: &Context,
    arguments: &Verify,
    store: &Store,
    checked: &CheckedImage,
) -> Result<Mended> {
    if checked.damage.is_empty() {
        return Ok(Mended::Sound);
    }
    let words = checked
        .damage
        .iter()
        .map(|(digest, why)| format!("sha256:{digest}: {why}"));
    let why = words.collect::<Vec<_>>().join("; ");
    for (digest, _) in &checked.damage {
        match store.cache().set_blob_aside(digest, None) {
            Ok(Some(aside)) if !context.global.quiet => {
                let path = store.cache().blob_path(digest);
                let (path, aside) = (path.display(), aside.display());
                output::note(&format!("{path}: set aside as {aside}"));
            }
            Ok(_) => {}
            // The damage is the news, not that a read-only cache keeps it.
            Err(error) => output::note(&format!("sha256:{digest}: {error}")),
        }
    }
    let named = checked
        .images
        .iter()
        .find_map(|image| Some((image, image.reference()?)));
    let Some((image, of)) = named.filter(|_| arguments.repair) else {
        return Ok(Mended::Damaged(why));
    };
    let reference = ImageReference::pinned(of.repository, image.digest);
    let manner = Manner {
        policy: PullPolicy::Missing,
        reach: Reach::Network,
        rehash: Rehash::IfTouched,
    };
    let puller = registry::pinned_puller(context, &arguments.registry, &manner, &[&reference])?;
    let reporter = Reporter::new(context);
    let brought = puller.pull(&reference, &reporter);
    reporter.finish();
    brought?;
    Ok(Mended::Repaired(why))
}

/// What people would call it: a tag, or else the digest.
fn best_name(images: &[StoredImage]) -> &str {
    let is_tag = |image: &&StoredImage| {
        let reference = image.reference();
        reference.is_some_and(|it| it.digest.is_none())
    };
    let best = images.iter().find(is_tag).or_else(|| images.first());
    best.map_or("", |image| &image.name)
}
