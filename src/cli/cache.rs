//! `cache dir|list|remove|prune`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::base::HumanBytes;
use distro_fetch::cache::{Condition, PruneOptions, Pruned, PrunedKind, Rehash};
use distro_fetch::oci::Store;
use distro_fetch::rootfs::Shelf;
use distro_fetch::{Error, Kind};
use serde_json::json;

use super::args::{Cache as Command, Prune};
use super::context::Context;
use super::images;
use super::output;
use super::select::{self, Missing};

pub(crate) fn run(context: &Context, command: Command) -> Result<ExitCode> {
    match command {
        Command::Dir => dir(context)?,
        Command::List => list(context)?,
        Command::Remove { images } => remove(context, &images)?,
        Command::Prune(arguments) => prune(context, &arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn dir(context: &Context) -> Result<()> {
    let cache = context.cache()?;
    let path = cache.path().to_string_lossy();
    if context.global.json {
        output::json(&json!({ "path": path }))
    } else {
        output::result(&path)
    }
}

fn list(context: &Context) -> Result<()> {
    let mut documents = Vec::new();
    let mut lines = vec![
        ["IMAGE", "ARCH", "SNAPSHOT", "SIZE", "FETCHED", "PATH"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut total = 0u64;
    for found in context.cache()?.survey(Rehash::IfTouched)? {
        let found = found?;
        let folder = found.folder.to_string_lossy().into_owned();
        match found.condition {
            Condition::Sound(entry) => {
                let record = entry.record();
                let path = entry.path().to_string_lossy().into_owned();
                total = total.saturating_add(record.stamp.size);
                documents.push(json!({
                    "image": record.image, "arch": record.arch, "snapshot": record.snapshot,
                    "sha256": record.sha256.to_string(), "size": record.stamp.size,
                    "fetched_at": record.fetched_at.to_string(), "source": record.url,
                    "path": path, "damaged": null,
                }));
                lines.push(vec![
                    output::harmless(&record.image),
                    record.arch.clone(),
                    output::harmless(&record.snapshot),
                    HumanBytes(record.stamp.size).to_string(),
                    record.fetched_at.to_string(),
                    path,
                ]);
            }
            Condition::Damaged(why) => {
                documents.push(json!({ "path": folder, "damaged": why }));
                output::note(&format!("{folder}: damaged: {why}"));
            }
        }
    }
    let (rows, more, blobs) = images::list(&Store::of(&context.cache()?))?;
    lines.extend(rows);
    documents.extend(more);
    total = total.saturating_add(blobs);
    let shelf = Shelf::of(&context.cache()?);
    for layer in shelf.layers()? {
        let name = format!("sha256:{}", layer.diff_id);
        let path = layer.path.to_string_lossy().into_owned();
        documents.push(json!({
            "kind": "layer", "image": name, "size": layer.size,
            "used_at": layer.used_at.to_string(), "path": path, "damaged": null,
        }));
        total = total.saturating_add(layer.size);
        lines.push(vec![
            format!("layer {}", layer.diff_id.short()),
            "any".to_owned(),
            String::new(),
            HumanBytes(layer.size).to_string(),
            layer.used_at.to_string(),
            output::harmless(&path),
        ]);
    }
    if context.global.json {
        return output::json(&documents.into());
    }
    output::result(&output::table(&lines))?;
    if !context.global.quiet {
        output::note(&format!("{} in all", HumanBytes(total)));
    }
    Ok(())
}

fn remove(context: &Context, what: &[String]) -> Result<()> {
    let cache = context.cache()?;
    let (references, names) = images::split(what);
    let selectors = select::entries(context, &names, Missing::Tell)?;
    let wanted = images::Wanted::new(&references, &selectors)?;
    let mut removed = images::remove(&Store::of(&cache), &wanted)?;
    let mut in_use = None;
    for folder in cache.folders()? {
        if !selectors
            .iter()
            .any(|selector| selector.means_folder(&cache, &folder))
        {
            continue;
        }
        if !cache.remove(&folder)? {
            let message = format!(
                "{} is in use by another process, and stays",
                folder.display()
            );
            in_use.get_or_insert(Error::new(Kind::Local, message).with_path(folder));
            continue;
        }
        removed.push(folder.to_string_lossy().into_owned());
    }
    if let (true, None) = (context.global.json, &in_use) {
        return output::json(&json!({ "removed": removed }));
    }
    if !context.global.quiet {
        for folder in removed {
            output::note(&format!("removed {folder}"));
        }
    }
    in_use.map_or(Ok(()), |error| Err(error.into()))
}

fn prune(context: &Context, arguments: &Prune) -> Result<()> {
    let images = context.catalog.images.iter();
    let pins = images.flat_map(|image| {
        image
            .pins
            .iter()
            .map(|pin| (image.name.to_string(), pin.arch.to_string(), pin.sha256))
    });
    let options = PruneOptions {
        pinned: pins.collect::<BTreeSet<_>>(),
        all: arguments.all,
        keep: arguments.keep,
        older_than: arguments.older_than,
        max_size: arguments.max_size,
        dry_run: arguments.dry_run,
    };
    let cache = context.cache()?;
    let mut pruned = cache.prune(&options)?;
    pruned.extend(Shelf::of(&cache).prune(&options)?);
    pruned.extend(prune_images(&cache, options)?);
    let freed: u64 = pruned
        .iter()
        .filter(|it| it.kind != PrunedKind::InUse)
        .map(|it| it.size)
        .sum();
    if context.global.json {
        let removed: Vec<_> = pruned
            .iter()
            .map(|it| json!({ "path": it.path.to_string_lossy(), "kind": word(it.kind), "size": it.size }))
            .collect();
        return output::json(&json!({
            "dry_run": arguments.dry_run, "freed": freed, "pruned": removed,
        }));
    }
    if context.global.quiet {
        return Ok(());
    }
    for it in &pruned {
        let what = match (it.kind, arguments.dry_run) {
            (PrunedKind::InUse, _) => "in use, stays",
            (_, true) => "would remove",
            (_, false) => "removed",
        };
        output::note(&format!(
            "{what} {} ({}, {})",
            it.path.display(),
            word(it.kind),
            HumanBytes(it.size)
        ));
    }
    let what = if arguments.dry_run {
        "would be freed"
    } else {
        "freed"
    };
    output::note(&format!("{} {what}", HumanBytes(freed)));
    Ok(())
}

/// Container images have what the entries leave of the limit.
fn prune_images(cache: &distro_fetch::cache::Cache, options: PruneOptions) -> Result<Vec<Pruned>> {
    let max_size = match options.max_size {
        None => None,
        Some(limit) => {
            let mut entries = 0u64;
            for found in cache.survey(Rehash::IfTouched)? {
                if let Condition::Sound(entry) = found?.condition {
                    entries = entries.saturating_add(entry.record().stamp.size);
                }
            }
            Some(limit.saturating_sub(entries))
        }
    };
    Ok(Store::of(cache).prune(&PruneOptions {
        max_size,
        ..options
    })?)
}

fn word(kind: PrunedKind) -> &'static str {
    match kind {
        PrunedKind::Entry => "entry",
        PrunedKind::InUse => "in use",
        PrunedKind::Partial => "partial download",
        PrunedKind::Leftover => "leftover",
        PrunedKind::Quarantine => "quarantined",
        PrunedKind::Image => "container image",
        PrunedKind::Blob => "blob",
        PrunedKind::LayerImage => "image of a layer",
    }
}
