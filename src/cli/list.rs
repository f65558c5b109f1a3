//! `list`: what the catalog holds.

use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::base::HumanBytes;
use distro_fetch::cache::{Cache, Key, Lookup, Rehash};
use distro_fetch::catalog::{Image, Pin};
use serde_json::json;

use super::args::List;
use super::context::{Arches, Context};
use super::output;
use super::select;

pub(crate) fn run(context: &Context, arguments: &List) -> Result<ExitCode> {
    let arches = context.arches()?;
    let cache = context.cache()?;
    let mut rows = Vec::new();
    for image in select::images(context, &arguments.globs)? {
        for pin in &*image.pins {
            if let Arches::These(list) = &arches
                && !list.contains(&pin.arch)
            {
                continue;
            }
            rows.push((image, pin, is_cached(&cache, image, pin)));
        }
    }
    if context.global.json {
        output::json(
            &rows
                .iter()
                .map(|(image, pin, cached)| document(image, pin, *cached))
                .collect(),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        ["IMAGE", "KIND", "ARCH", "SNAPSHOT", "SIZE", "CACHED"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (image, pin, cached) in rows {
        lines.push(vec![
            image.name.to_string(),
            image.kind.to_string(),
            pin.arch.to_string(),
            pin.snapshot.to_string(),
            pin.size
                .map_or_else(|| "-".to_owned(), |size| HumanBytes(size).to_string()),
            if cached { "yes" } else { "" }.to_owned(),
        ]);
    }
    output::result(&output::table(&lines))?;
    Ok(ExitCode::SUCCESS)
}

/// A few `stat`s; what cannot be read is not cached for us.
pub(crate) fn is_cached(cache: &Cache, image: &Image, pin: &Pin) -> bool {
    Key::pinned(&image.name, pin)
        .and_then(|key| cache.lookup(&key, Rehash::IfTouched).ok())
        .is_some_and(|lookup| matches!(lookup, Lookup::Hit(_)))
}

fn document(image: &Image, pin: &Pin, cached: bool) -> serde_json::Value {
    json!({
        "image": image.name.as_str(),
        "distro": image.distro,
        "version": image.version,
        "variant": image.variant,
        "kind": image.kind.as_str(),
        "arch": pin.arch.as_str(),
        "snapshot": pin.snapshot.as_str(),
        "url": pin.address.to_string(),
        "sha256": pin.sha256.to_string(),
        "size": pin.size,
        "cached": cached,
    })
}
