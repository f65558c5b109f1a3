//! `ensure` of container images: pins of a catalog, and `docker://NAME@sha256:…`.

use anyhow::Result;
use distro_fetch::Error;
use distro_fetch::cache::Rehash;
use distro_fetch::catalog::{self, Pin};
use distro_fetch::event::Silent;
use distro_fetch::fetch::Reach;
use distro_fetch::oci::{ImageReference, Platform, PullPolicy, Pulled, Store};
use serde_json::{Value, json};

use super::args::{Ensure, Form};
use super::context::Context;
use super::hints::Usage;
use super::progress::Reporter;
use super::registry::{self, Manner, Registry};

/// A container image whose digest is known.
pub(crate) struct Image {
    reference: ImageReference,
    /// Of a catalog: its name, its snapshot, and the architecture.
    pin: Option<(String, String, distro_fetch::Arch)>,
}

impl Image {
    /// The pin of a catalog.
    pub(crate) fn of_catalog(
        image: &catalog::Image,
        pin: &Pin,
        repository: &str,
    ) -> distro_fetch::Result<Self> {
        Ok(Self {
            reference: ImageReference::pinned(repository.parse()?, pin.sha256),
            pin: Some((image.name.to_string(), pin.snapshot.to_string(), pin.arch)),
        })
    }

    /// What stands on the command line. A tag is wrong usage, and what to say instead is part of
    /// the answer.
    pub(crate) fn named(context: &Context, arguments: &Ensure, text: &str) -> Result<Self> {
        let reference = registry::reference(text)?;
        if reference.digest.is_some() {
            return Ok(Self {
                reference,
                pin: None,
            });
        }
        let instead = match pinned(context, &arguments.registry, &reference) {
            Some(pinned) => format!("say docker://{pinned}"),
            None => format!(
                "say docker://{}@sha256:…, as `distro-fetch pull {reference}` prints it",
                reference.repository
            ),
        };
        let message = format!("{text}: a tag may mean something else tomorrow; {instead}");
        Err(Usage(message).into())
    }
}

/// What a tag means now, by the registry or, where it may not be asked, by the cache.
fn pinned(
    context: &Context,
    arguments: &Registry,
    reference: &ImageReference,
) -> Option<ImageReference> {
    let manner = Manner {
        policy: PullPolicy::Always,
        reach: Reach::Network,
        rehash: Rehash::IfTouched,
    };
    let puller = registry::puller(context, arguments, &manner, &[reference]).ok()?;
    let digest = puller.resolve(reference, &Silent).ok().or_else(|| {
        let name = reference.to_string();
        let images = Store::of(&context.cache().ok()?).images().ok()?;
        let image = images.into_iter().find(|image| image.name == name)?;
        Some(image.resolved.unwrap_or(image.digest))
    })?;
    let repository = reference.repository.clone();
    Some(ImageReference::pinned(repository, digest))
}

/// Brings the images; a path and a document of each.
pub(crate) fn ensure(
    context: &Context,
    arguments: &Ensure,
    reach: Reach,
    rehash: Rehash,
    images: &[&Image],
) -> Result<Vec<(String, Value)>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    if arguments.form != Form::Source || arguments.output.is_some() {
        let message = format!(
            "{}: a container image is left in the cache's layout as it is; `distro-fetch convert` \
             makes something else of it",
            images[0].reference
        );
        return Err(Usage(message).into());
    }
    let references: Vec<_> = images.iter().map(|image| &image.reference).collect();
    let manner = Manner {
        policy: PullPolicy::Missing,
        reach,
        rehash,
    };
    let mut puller = None;
    let reporter = Reporter::new(context);
    let mut made = Vec::new();
    for image in images {
        // Which platform a pin of a catalog is for is not said on the command line.
        let puller = match &puller {
            Some(puller) => puller,
            None => puller.insert(if images.iter().all(|image| image.pin.is_some()) {
                registry::pinned_puller(context, &arguments.registry, &manner, &references)?
            } else {
                registry::puller(context, &arguments.registry, &manner, &references)?
            }),
        };
        let platform = image.pin.as_ref().map(|(_, _, arch)| Platform::of(*arch));
        let pin = image.pin.as_ref().zip(platform.as_ref());
        let pin = pin.map(|((name, ..), platform)| (name.as_str(), platform));
        let brought = puller.pull_for(&image.reference, pin, &reporter);
        reporter.finish();
        let brought = brought.map_err(|error: Error| match &image.pin {
            Some((name, ..)) => error.about(name),
            None => error,
        })?;
        let path = puller.store().address(&brought.name);
        made.push((path.clone(), document(image, &brought, &path)));
    }
    Ok(made)
}

fn document(image: &Image, brought: &Pulled, path: &str) -> Value {
    let arch = brought.platform.arch().map(|arch| arch.to_string());
    let (name, snapshot) = if let Some((name, snapshot, _)) = &image.pin {
        (name.clone(), snapshot.clone())
    } else {
        let digest = image.reference.reference().to_string();
        (image.reference.repository.to_string(), digest)
    };
    json!({
        "image": name,
        "arch": arch.unwrap_or_else(|| brought.platform.to_string()),
        "snapshot": snapshot,
        "sha256": brought.digest.to_string(),
        "size": brought.manifest.size(),
        "form": "source",
        "path": path,
        "cached": brought.cached,
        "source": brought.source,
    })
}
