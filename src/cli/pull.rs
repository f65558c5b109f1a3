//! `pull`: container images into the cache, pins to stdout.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use distro_fetch::cache::Rehash;
use distro_fetch::fetch::Reach;
use distro_fetch::oci::{PullPolicy, Pulled, Store};
use serde_json::{Value, json};

use super::context::Context;
use super::output;
use super::progress::Reporter;
use super::registry::{self, Manner, Registry};

#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// What the images are called: [HOST[:PORT]/]NAME[:TAG][@sha256:…]
    #[arg(required = true, value_name = "REFERENCE")]
    pub(crate) references: Vec<String>,
    /// When a registry is asked what a tag means
    #[arg(long = "pull", value_name = "WHEN", value_enum, default_value_t = PullWhen::Missing)]
    pub(crate) when: PullWhen,
    /// Hash what is cached again
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) registry: Registry,
}

/// When a registry is asked what a tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullWhen {
    /// Where the cache does not know
    Missing,
    /// Each time; what is cached of the image is not fetched again
    Always,
    /// Never: only what is cached
    Never,
}

pub(crate) fn run(context: &Context, arguments: &Pull) -> Result<ExitCode> {
    let references = arguments
        .references
        .iter()
        .map(|text| registry::reference(text))
        .collect::<Result<Vec<_>>>()?;
    let manner = Manner {
        policy: match arguments.when {
            PullWhen::Missing => PullPolicy::Missing,
            PullWhen::Always => PullPolicy::Always,
            PullWhen::Never => PullPolicy::Never,
        },
        reach: Reach::Network,
        rehash: if arguments.verify {
            Rehash::Always
        } else {
            Rehash::IfTouched
        },
    };
    let named: Vec<_> = references.iter().collect();
    let puller = registry::puller(context, &arguments.registry, &manner, &named)?;
    let reporter = Reporter::new(context);
    let mut documents = Vec::new();
    for (text, reference) in arguments.references.iter().zip(&references) {
        let brought = puller.pull(reference, &reporter);
        reporter.finish();
        let brought = brought?;
        if context.global.json {
            documents.push(document(text, &brought, puller.store()));
        } else {
            output::result(&brought.reference.to_string())?;
        }
    }
    if context.global.json {
        output::json(&documents.into())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All about an image.
pub(crate) fn document(asked: &str, brought: &Pulled, store: &Store) -> Value {
    let layers = brought.manifest.layers.iter();
    let layers: Vec<_> = layers
        .map(|layer| {
            json!({
                "digest": format!("sha256:{}", layer.digest),
                "size": layer.size,
                "media_type": layer.media_type,
            })
        })
        .collect();
    json!({
        "reference": asked,
        "pinned": brought.reference.to_string(),
        "platform": brought.platform.to_string(),
        "digest": format!("sha256:{}", brought.digest),
        "size": brought.manifest.size(),
        "layers": layers,
        "annotations": brought.manifest.annotations,
        "config": brought.config.to_json(),
        "path": store.address(&brought.name),
        "cached": brought.cached,
        "source": brought.source,
    })
}
