//! From what stands on the command line to images and pins.

use anyhow::Result;
use distro_fetch::catalog::{Image, Pin, Reference, matches_glob};
use distro_fetch::{Arch, Error, Kind};

use super::context::{Arches, Context};

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

fn host() -> Result<Arch> {
    Arch::host().ok_or_else(|| {
        let message = "this machine's architecture is not one of ours: name one with --arch";
        Error::new(Kind::Unknown, message).into()
    })
}
