//! `list`: what the catalog holds.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::Url;
use distro_fetch::base::HumanBytes;
use distro_fetch::cache::{Cache, Key, Lookup, Rehash};
use distro_fetch::catalog::{Address, Image, Outlook, Pin};
use distro_fetch::oci::Store;
use serde_json::json;

use super::args::List;
use super::context::{Arches, Context};
use super::output;
use super::select;

pub(crate) fn run(context: &Context, arguments: &List) -> Result<ExitCode> {
    let arches = context.arches()?;
    let cache = context.cache()?;
    let today = Context::today()?;
    let images = Store::of(&cache).images().unwrap_or_default();
    let images: BTreeSet<String> = images.into_iter().map(|image| image.name).collect();
    let mut rows = Vec::new();
    for image in select::images(context, &arguments.globs)? {
        for pin in &*image.pins {
            if let Arches::These(list) = &arches
                && !list.contains(&pin.arch)
            {
                continue;
            }
            rows.push(Row {
                image,
                pin,
                cached: match &pin.address {
                    Address::Url(_) => is_cached(&cache, image, pin),
                    Address::Repository(name) => {
                        images.contains(&format!("{name}@sha256:{}", pin.sha256))
                    }
                },
                outlook: context.catalog.outlook(image, pin, today),
                elsewhere: context.catalog.alternates_that_keep(pin, today).collect(),
            });
        }
    }
    if context.global.json {
        output::json(&rows.iter().map(Row::document).collect())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        ["IMAGE", "KIND", "ARCH", "SNAPSHOT", "SIZE", "CACHED", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(rows.iter().map(Row::cells));
    output::result(&output::table(&lines))?;
    Ok(ExitCode::SUCCESS)
}

/// One pin, and what is to be said about it.
struct Row<'a> {
    image: &'a Image,
    pin: &'a Pin,
    cached: bool,
    outlook: Outlook,
    elsewhere: Vec<&'a Url>,
}

impl Row<'_> {
    fn cells(&self) -> Vec<String> {
        let Self { image, pin, .. } = self;
        // Only what may surprise is said: most pins are where they were.
        let outlook = match (self.outlook, self.elsewhere.first()) {
            (Outlook::ProbablyGone { .. }, Some(url)) => {
                format!("probably gone upstream, kept at {}", url.host())
            }
            (Outlook::ProbablyGone { .. }, None) => "probably gone upstream".to_owned(),
            _ => String::new(),
        };
        vec![
            image.name.to_string(),
            image.kind.to_string(),
            pin.arch.to_string(),
            pin.snapshot.to_string(),
            pin.size
                .map_or_else(|| "-".to_owned(), |size| HumanBytes(size).to_string()),
            if self.cached { "yes" } else { "" }.to_owned(),
            outlook,
        ]
    }

    fn document(&self) -> serde_json::Value {
        let Self { image, pin, .. } = self;
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
            "cached": self.cached,
            "upstream": self.outlook.as_str(),
            "elsewhere": self.elsewhere.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        })
    }
}

/// A few `stat`s; what cannot be read is not cached for us.
pub(crate) fn is_cached(cache: &Cache, image: &Image, pin: &Pin) -> bool {
    Key::pinned(&image.name, pin)
        .and_then(|key| cache.lookup(&key, Rehash::IfTouched).ok())
        .is_some_and(|lookup| matches!(lookup, Lookup::Hit(_)))
}
