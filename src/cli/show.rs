//! `show`: everything about one image.

use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::base::{Date, HumanBytes};
use distro_fetch::cache::{Cache, Key, Lookup, Rehash};
use distro_fetch::catalog::{Address, Image, Outlook, Pin, Reference, Retention, Trust};
use distro_fetch::event::Silent;
use distro_fetch::fetch::{Reach, Request, Source};
use distro_fetch::oci::{ImageReference, Platform, PullPolicy, Pulled, Store};
use distro_fetch::{Error, Kind, Url};
use serde_json::{Value, json};

use super::args::Show;
use super::context::{Arches, Context};
use super::output;
use super::progress::Reporter;
use super::pull;
use super::registry::{self, Manner, Registry};

pub(crate) fn run(context: &Context, arguments: &Show) -> Result<ExitCode> {
    if registry::is_reference(&arguments.image) {
        return container(context, arguments);
    }
    let reference: Reference = arguments.image.parse()?;
    let image = context.catalog.find(&reference.name)?;
    let cache = context.cache()?;
    let arches = context.arches()?;
    let today = Context::today()?;
    let mut pins = Vec::new();
    for pin in &*image.pins {
        let wanted = match &arches {
            Arches::These(list) => list.contains(&pin.arch),
            Arches::All | Arches::Unsaid => true,
        };
        if wanted {
            if reference.snapshot.is_some() {
                context.catalog.resolve(&reference, pin.arch)?;
            }
            pins.push(Shown::of(context, &cache, image, pin, today)?);
        }
    }
    if let Arches::These(list) = &arches
        && pins.is_empty()
    {
        // The error that `ensure` would give: it says what is pinned.
        for arch in list {
            context.catalog.resolve(&reference, *arch)?;
        }
        return Err(Error::new(Kind::Unknown, format!("{}: not pinned", image.name)).into());
    }
    if context.global.json {
        output::json(&document(context, image, &pins))?;
    } else {
        output::result(&text(context, image, &pins))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A container image that no catalog names: what the cache or its registry says of it.
fn container(context: &Context, arguments: &Show) -> Result<ExitCode> {
    let reference = registry::reference(&arguments.image)?;
    let manner = Manner {
        policy: PullPolicy::Missing,
        reach: Reach::Network,
        rehash: Rehash::IfTouched,
    };
    let puller = registry::puller(context, &arguments.registry, &manner, &[&reference])?;
    let reporter = Reporter::new(context);
    let brought = puller.inspect(&reference, &reporter);
    reporter.finish();
    let (image, store) = (brought?, puller.store());
    let mut document = pull::document(&arguments.image, &image, store);
    if !store.images()?.iter().any(|it| it.name == image.name) {
        document["path"] = Value::Null;
    }
    if context.global.json {
        output::json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => output::harmless(text),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        value => output::harmless(&value.to_string()),
    };
    let mut rows = Vec::new();
    for key in ["pinned", "platform", "digest", "size", "path", "source"] {
        rows.push(vec![format!("  {key}"), text(&document[key])]);
    }
    for layer in pulled_layers(&document) {
        rows.push(vec!["  layer".to_owned(), layer]);
    }
    for key in [
        "created",
        "entrypoint",
        "cmd",
        "env",
        "user",
        "working_dir",
        "labels",
    ] {
        rows.push(vec![format!("  {key}"), text(&document["config"][key])]);
    }
    rows.retain(|row| row.get(1).is_some_and(|text| !text.is_empty()));
    output::result(&format!("{reference}\n{}", output::table(&rows)))?;
    Ok(ExitCode::SUCCESS)
}

fn pulled_layers(document: &Value) -> Vec<String> {
    let layers = document["layers"].as_array().into_iter().flatten();
    let line = |layer: &Value| {
        let size = layer["size"].as_u64().unwrap_or(0);
        let digest = layer["digest"].as_str().unwrap_or_default();
        format!("{digest} {}", HumanBytes(size))
    };
    layers.map(line).collect()
}

struct Shown<'a> {
    pin: &'a Pin,
    sources: Vec<Source>,
    path: Option<String>,
    outlook: Outlook,
    elsewhere: Vec<&'a Url>,
    /// How a container image is run, if it is in the cache.
    config: Option<Value>,
}

impl<'a> Shown<'a> {
    fn of(
        context: &'a Context,
        cache: &Cache,
        image: &Image,
        pin: &'a Pin,
        today: Date,
    ) -> Result<Self> {
        let sources = match Request::pinned(&context.catalog, image, pin) {
            Ok(request) => request.sources(&context.mirrors()?, context.global.mirror_only)?,
            Err(_) => Vec::new(),
        };
        let brought = cached_image(context, image, pin)?;
        let path = match Key::pinned(&image.name, pin)
            .map(|key| cache.lookup(&key, Rehash::IfTouched))
            .transpose()?
        {
            Some(Lookup::Hit(entry)) => Some(entry.path().to_string_lossy().into_owned()),
            _ => brought
                .as_ref()
                .map(|brought| Store::of(cache).address(&brought.name)),
        };
        Ok(Self {
            pin,
            sources,
            path,
            config: brought.map(|brought| brought.config.to_json()),
            outlook: context.catalog.outlook(image, pin, today),
            elsewhere: context.catalog.alternates_that_keep(pin, today).collect(),
        })
    }

    /// What to expect of upstream, and who else has the bytes if nothing is.
    fn expectation(&self, own_mirrors: bool) -> Option<String> {
        let Outlook::ProbablyGone { since } = self.outlook else {
            return None;
        };
        let who = if !self.elsewhere.is_empty() {
            let urls: Vec<_> = self.elsewhere.iter().map(|url| url.as_str()).collect();
            format!("still at {}", urls.join(", "))
        } else if self.path.is_some() {
            "the cache has it".to_owned()
        } else if own_mirrors {
            "your mirror may have it".to_owned()
        } else {
            "only a --mirror of your own may have it".to_owned()
        };
        Some(format!("probably gone upstream since {since}; {who}"))
    }
}

/// What the cache has of a pin of a container image.
fn cached_image(context: &Context, image: &Image, pin: &Pin) -> Result<Option<Pulled>> {
    let Address::Repository(repository) = &pin.address else {
        return Ok(None);
    };
    let reference = ImageReference::pinned(repository.parse()?, pin.sha256);
    let nobody = Registry {
        platform: None,
        insecure: false,
        username: None,
        password_stdin: false,
    };
    let puller = registry::pinned_puller(context, &nobody, &Manner::OFFLINE, &[&reference])?;
    let platform = Platform::of(pin.arch);
    Ok(puller
        .pull_for(&reference, Some((image.name.as_str(), &platform)), &Silent)
        .ok())
}

fn text(context: &Context, image: &Image, pins: &[Shown<'_>]) -> String {
    let mut about = vec![
        ("distro", image.distro.to_string()),
        ("version", image.version.to_string()),
        ("kind", image.kind.to_string()),
    ];
    let optional = [
        ("codename", image.codename.as_ref()),
        ("variant", image.variant.as_ref()),
        ("title", image.title.as_ref()),
    ];
    about.extend(
        optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?.to_string()))),
    );
    if image.default {
        about.push((
            "default",
            format!("yes: `{}` means this image", image.distro),
        ));
    }
    if let Some(source) = &image.source {
        let origin = source
            .origin
            .as_ref()
            .map(|it| format!(" at {it}"))
            .unwrap_or_default();
        let trust = source
            .trust
            .map(|it| format!(", trusted by {}", it.as_str()))
            .unwrap_or_default();
        about.push((
            "refreshed",
            format!("{}{origin}{trust}", source.kind.as_str()),
        ));
        let origins = context.catalog.origins.iter();
        if let Some(origin) = origins
            .into_iter()
            .find(|it| Some(&it.name) == source.origin.as_ref())
        {
            let kept = match origin.retention {
                Retention::Permanent => "upstream keeps everything".to_owned(),
                retention => format!("upstream keeps {retention}"),
            };
            about.push(("retention", kept));
        }
    }
    let unpinned: Vec<_> = image
        .arches
        .iter()
        .filter(|arch| image.pin(**arch).is_none())
        .map(ToString::to_string)
        .collect();
    if !unpinned.is_empty() {
        about.push(("not pinned yet", unpinned.join(", ")));
    }
    let rows: Vec<_> = about
        .into_iter()
        .map(|(name, text)| vec![format!("  {name}"), text])
        .collect();
    let mut lines = vec![image.name.to_string(), output::table(&rows)];
    for shown in pins {
        let pin = shown.pin;
        let size = pin.size.map_or_else(
            || "size unknown".to_owned(),
            |size| format!("{size} bytes ({})", HumanBytes(size)),
        );
        lines.push(String::new());
        lines.push(format!("{} {}", pin.arch, pin.snapshot));
        let mut rows = vec![
            vec!["  sha256".to_owned(), pin.sha256.to_string()],
            vec!["  size".to_owned(), size],
            vec![
                "  cached".to_owned(),
                shown.path.clone().unwrap_or_else(|| "no".to_owned()),
            ],
        ];
        if let Some(date) = pin.bumped_at {
            rows.push(vec!["  bumped".to_owned(), date.to_string()]);
        }
        if let Some(text) = shown.expectation(!context.global.mirror.is_empty()) {
            rows.push(vec!["  outlook".to_owned(), text]);
        }
        if let Address::Repository(repository) = &pin.address {
            let upstream = format!("{repository}@sha256:{}", pin.sha256);
            rows.push(vec!["  upstream".to_owned(), upstream]);
        }
        for source in &shown.sources {
            rows.push(vec![format!("  {}", source.role), source.url.to_string()]);
        }
        lines.push(output::table(&rows));
    }
    lines.join("\n")
}

fn document(context: &Context, image: &Image, pins: &[Shown<'_>]) -> Value {
    let source = image.source.as_ref();
    let origin = source.and_then(|source| source.origin.as_ref());
    let retention = context
        .catalog
        .origins
        .iter()
        .find(|it| Some(&it.name) == origin);
    let pins: Vec<_> = pins
        .iter()
        .map(|shown| {
            let sources: Vec<_> = shown
                .sources
                .iter()
                .map(|source| json!({ "role": source.role, "url": source.url.as_str() }))
                .collect();
            json!({
                "arch": shown.pin.arch.as_str(),
                "snapshot": shown.pin.snapshot.as_str(),
                "sha256": shown.pin.sha256.to_string(),
                "size": shown.pin.size,
                "bumped_at": shown.pin.bumped_at.map(|date| date.to_string()),
                "cached": shown.path.is_some(),
                "path": shown.path,
                "upstream": shown.outlook.as_str(),
                "gone_since": match shown.outlook {
                    Outlook::ProbablyGone { since } => Some(since.to_string()),
                    _ => None,
                },
                "elsewhere": shown.elsewhere.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
                "sources": sources,
                "config": shown.config,
            })
        })
        .collect();
    json!({
        "image": image.name.as_str(),
        "distro": image.distro,
        "version": image.version,
        "variant": image.variant,
        "codename": image.codename,
        "title": image.title,
        "kind": image.kind.as_str(),
        "default": image.default,
        "ephemeral": image.ephemeral,
        "origin": origin,
        "retention": retention.map(|it| it.retention.to_string()),
        "trust": source.and_then(|source| source.trust).map(Trust::as_str),
        "arches": image.arches.iter().map(|arch| arch.as_str()).collect::<Vec<_>>(),
        "pins": pins,
    })
}
