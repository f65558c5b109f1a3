//! From what stands on the command line to images and pins.

use std::path::Path;

use anyhow::Result;
use distro_fetch::cache::{Cache, Overwrite};
use distro_fetch::catalog::{Image, Pin, Reference, matches_glob};
use distro_fetch::oci::{Platform, StoredImage};
use distro_fetch::{Arch, Error, Kind};

use super::context::{Arches, Context};
use super::hints::Usage;
use super::output;

/// The pins that references mean, in the order in which they were named.
pub(crate) fn pins<'a>(context: &'a Context, text: &str) -> Result<Vec<(&'a Image, &'a Pin)>> {
    let reference: Reference = text.parse()?;
    let catalog = &context.catalog;
    let arches = match context.arches()? {
        Arches::Unsaid => vec![host()?],
        Arches::These(list) => list,
        Arches::All => {
            let image = catalog.find(&reference.name)?;
            let all: Vec<Arch> = image.pins.iter().map(|pin| pin.arch).collect();
            if all.is_empty() {
                let message = format!("{}: nothing is pinned yet", image.name);
                return Err(Error::new(Kind::Unknown, message).into());
            }
            all
        }
    };
    let mut pins = Vec::new();
    for arch in arches {
        pins.push(catalog.resolve(&reference, arch)?);
    }
    Ok(pins)
}

/// The one pin that a reference means, where only one will do.
pub(crate) fn one<'a>(context: &'a Context, text: &str) -> Result<(&'a Image, &'a Pin)> {
    match pins(context, text)?[..] {
        [pin] => Ok(pin),
        _ => Err(Usage("one architecture at a time: --arch amd64".to_owned()).into()),
    }
}

/// What `--force` means for a file.
pub(crate) fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Yes } else { Overwrite::No }
}

/// The images that any of the patterns matches: a name, an alias, or a distro.
pub(crate) fn images<'a>(context: &'a Context, globs: &[String]) -> Result<Vec<&'a Image>> {
    let all = || context.catalog.images.iter();
    if globs.is_empty() {
        return Ok(all().collect());
    }
    let mut found = Vec::new();
    for glob in globs {
        let lower = glob.to_ascii_lowercase();
        let before = found.len();
        found.extend(all().filter(|image| {
            matches_glob(&lower, image.name.as_str())
                || lower == image.distro
                || image
                    .alias()
                    .is_some_and(|alias| matches_glob(&lower, &alias))
        }));
        if found.len() == before {
            if glob.contains(['*', '?']) {
                let message = format!("no image matches {:?}", glob.escape_debug().to_string());
                return Err(Error::new(Kind::Unknown, message).into());
            }
            found.push(context.catalog.find(glob)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

/// Which entries a name on the command line is about.
pub(crate) struct Selector {
    image: String,
    stamp: Option<String>,
    arch: Option<Vec<String>>,
}

impl Selector {
    /// By the directory alone: a damaged entry has nothing else that could be believed.
    pub(crate) fn means_folder(&self, cache: &Cache, folder: &Path) -> bool {
        let Some((image, arch, entry)) = cache.names_of(folder) else {
            return false;
        };
        image == self.image
            && self.arch.as_ref().is_none_or(|list| list.contains(&arch))
            && self.stamp.as_ref().is_none_or(|stamp| {
                entry
                    .rsplit_once('-')
                    .is_some_and(|(entry, _)| entry == stamp)
            })
    }
}

impl Selector {
    /// By what an image was pulled for.
    pub(crate) fn means_image(&self, image: &StoredImage) -> bool {
        let arch = image.platform.as_ref().and_then(Platform::arch);
        image.image.as_deref() == Some(&self.image)
            && self.arch.as_ref().is_none_or(|list| {
                arch.is_some_and(|arch| list.iter().any(|it| it == arch.as_str()))
            })
    }
}

/// Reads `NAME[@SNAPSHOT]`. A name that the catalog no longer has is taken as it is: the cache
/// may still have it.
pub(crate) fn entries(
    context: &Context,
    names: &[String],
    missing: Missing,
) -> Result<Vec<Selector>> {
    let arch = match context.arches()? {
        Arches::These(list) => Some(list.iter().map(ToString::to_string).collect::<Vec<_>>()),
        _ => None,
    };
    let cache = context.cache()?;
    let mut selectors = Vec::new();
    for text in names {
        let reference: Reference = text.parse()?;
        let image = match context.catalog.find(&reference.name) {
            Ok(image) => image.name.to_string(),
            Err(_) if cache.has_image(&reference.name) => reference.name.clone(),
            Err(error) if missing == Missing::Tell => {
                output::note(&format!("nothing is cached: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        selectors.push(Selector {
            image,
            stamp: reference.snapshot.map(|snapshot| snapshot.stamp()),
            arch: arch.clone(),
        });
    }
    Ok(selectors)
}

/// What a name means that neither the catalog nor the cache knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A mistake.
    Refuse,
    /// That the goal of a removal already holds, which is worth a line.
    Tell,
}

pub(crate) fn host() -> Result<Arch> {
    Arch::host().ok_or_else(|| {
        let message = "this machine's architecture is not one of ours: name one with --arch";
        Error::new(Kind::Unknown, message).into()
    })
}
