//! `mirror`: pins into a directory that outlives upstream.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use distro_fetch::base::HumanBytes;
use distro_fetch::cache::Rehash;
use distro_fetch::catalog::{Address, Image, Kind as Content, Pin};
use distro_fetch::fetch::Reach;
use distro_fetch::mirror::{Failure, Keeper, Mirrored, Options, Report, State};
use distro_fetch::oci::{ImageReference, PullPolicy};
use distro_fetch::{Error, Kind, Url};
use serde_json::{Value, json};

use super::context::{Arches, Context};
use super::hints;
use super::output::{self, harmless};
use super::progress::Reporter;
use super::publish::{left_out, problems};
use super::registry::{self, Manner, Registry};
use super::select;
use super::signals;

#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of its own on the command line
pub(crate) struct Mirror {
    /// The directory: new, or a mirror already
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// NAME[@SNAPSHOT], distro:version, a distro, or a pattern (`alpine-*`)
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    pub(crate) images: Vec<String>,
    /// Every image of the catalog
    #[arg(long, conflicts_with = "images")]
    pub(crate) all: bool,
    /// Keep only the newest N versions of each product; what an index named less than an hour ago
    /// stays
    #[arg(long, value_name = "N")]
    pub(crate) retain: Option<NonZeroUsize>,
    /// Give each file a second name, blobs/sha256/HEX, for --mirror URL/blobs/sha256/{sha256}
    #[arg(long)]
    pub(crate) blobs: bool,
    /// Read and hash everything that is there, and fetch again what is damaged
    #[arg(long)]
    pub(crate) verify: bool,
    /// The address under which DIR will be served, for the commands on its page
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<Url>,
    /// Speak to registries without TLS
    #[arg(long)]
    pub(crate) insecure: bool,
}

pub(crate) fn run(context: &Context, arguments: &Mirror) -> Result<ExitCode> {
    let pins = pins(context, arguments)?;
    signals::watch_and_say(STOPPED);
    let reach = Reach::Network;
    let fetcher = context.fetcher(reach, Rehash::IfTouched)?;
    let references = references(&pins)?;
    let manner = Manner {
        policy: PullPolicy::Missing,
        reach,
        rehash: Rehash::IfTouched,
    };
    let access = Registry {
        platform: None,
        insecure: arguments.insecure,
        username: None,
        password_stdin: false,
    };
    let references: Vec<_> = references.iter().collect();
    let puller = registry::pinned_puller(context, &access, &manner, &references)?;
    let options = Options {
        jobs: NonZeroUsize::new(context.global.jobs.into()).unwrap_or(NonZeroUsize::MIN),
        blobs: arguments.blobs,
        retain: arguments.retain,
        rehash: if arguments.verify {
            Rehash::Always
        } else {
            Rehash::IfTouched
        },
        url: arguments.url.clone(),
        now: SystemTime::now(),
    };
    let keeper = Keeper::new(&arguments.folder, &fetcher, &puller, options);
    let reporter = Reporter::new(context);
    let outcome = keeper.run(&context.catalog, &pins, &reporter);
    reporter.finish();
    tell(context, outcome?)
}

/// What is asked for, in the order of the catalog, each once.
fn pins<'a>(context: &'a Context, arguments: &Mirror) -> Result<Vec<(&'a Image, &'a Pin)>> {
    let mut found = Vec::new();
    let globs: Vec<String> = arguments
        .images
        .iter()
        .filter(|text| text.contains(['*', '?']))
        .cloned()
        .collect();
    for text in arguments.images.iter().filter(|it| !globs.contains(it)) {
        found.extend(select::pins(context, text)?);
    }
    if arguments.all || !globs.is_empty() {
        let arches = match context.arches()? {
            Arches::All => None,
            Arches::These(list) => Some(list),
            Arches::Unsaid => Some(vec![select::host()?]),
        };
        for image in select::images(context, &globs)? {
            let wanted = image.pins.iter().filter(|pin| {
                let arches = arches.as_ref();
                arches.is_none_or(|list| list.contains(&pin.arch))
            });
            found.extend(wanted.map(|pin| (image, pin)));
        }
    }
    if found.is_empty() {
        // Success would say that something is mirrored.
        let message = "nothing of this is pinned for these architectures";
        return Err(Error::new(Kind::Unknown, message).into());
    }
    found.sort_by(|a, b| (&a.0.name, a.1.arch.as_str()).cmp(&(&b.0.name, b.1.arch.as_str())));
    found.dedup_by(|a, b| a.0.name == b.0.name && a.1.arch == b.1.arch);
    Ok(found)
}

fn references(pins: &[(&Image, &Pin)]) -> Result<Vec<ImageReference>> {
    let mut references = Vec::new();
    for (_, pin) in pins {
        if let Address::Repository(name) = &pin.address {
            references.push(ImageReference::pinned(name.parse()?, pin.sha256));
        }
    }
    Ok(references)
}

fn tell(context: &Context, report: Report) -> Result<ExitCode> {
    if context.global.json {
        output::json(&document(&report))?;
    } else {
        for pin in &report.mirrored {
            if pin.state != State::Present || !context.global.quiet {
                output::result(&format!("{:<8} {}", pin.state.as_str(), pin.path.display()))?;
            }
        }
        for path in &report.removed {
            output::result(&format!("removed  {path}"))?;
        }
    }
    let quiet = context.global.quiet;
    if !quiet {
        // Nobody expects a container image in an index of Incus.
        let expected = report.mirrored.iter().filter(|it| it.kind != Content::Oci);
        for pin in expected {
            if let Err(why) = pin.indexed.as_ref().map_err(|why| harmless(why)) {
                output::note(&format!("{}: not in the index: {why}", subject(pin)));
            }
        }
        if let Some(index) = &report.index {
            left_out(&index.warnings);
        }
        output::note(&summary(&report));
    }
    let problems = report.index.map(|it| it.problems).unwrap_or_default();
    left_out(&problems);
    let failed = report.failures.into_iter().map(|failure| failure.error);
    let mut errors: Vec<Error> = failed.chain(report.stopped).collect();
    errors.sort_by_key(|error| rank(error.kind()));
    let errors: Vec<anyhow::Error> = errors.into_iter().map(Into::into).collect();
    Ok(match errors.first() {
        None if problems.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::from(Kind::Other.exit_code()),
        Some(worst) => {
            hints::tell(&errors, context.color);
            ExitCode::from(hints::code(worst))
        }
    })
}

/// The most actionable first: being stopped, this machine, wrong bytes, the network, then what
/// waiting does not bring back.
fn rank(kind: Kind) -> usize {
    let order = [
        Kind::Cancelled,
        Kind::Local,
        Kind::Integrity,
        Kind::Network,
        Kind::Offline,
        Kind::Gone,
        Kind::Unknown,
        Kind::Format,
    ];
    order
        .iter()
        .position(|it| *it == kind)
        .unwrap_or(order.len())
}

fn subject(pin: &Mirrored) -> String {
    format!("{} {} {}", pin.image, pin.arch, pin.snapshot)
}

fn summary(report: &Report) -> String {
    let count = |state: State| {
        report
            .mirrored
            .iter()
            .filter(|it| it.state == state)
            .count()
    };
    let bytes: u64 = report.mirrored.iter().map(|it| it.size).sum();
    let mut text = format!(
        "{} added, {} present, {} repaired, {} failed: {}",
        count(State::Added),
        count(State::Present),
        count(State::Repaired),
        report.failures.len(),
        HumanBytes(bytes)
    );
    if let Some(index) = &report.index {
        text.push_str(&format!(
            "; the index has {} products in {} versions",
            index.products, index.versions
        ));
    }
    text
}

fn document(report: &Report) -> Value {
    let mirrored: Vec<_> = report
        .mirrored
        .iter()
        .map(|pin| {
            json!({
                "image": pin.image,
                "arch": pin.arch.as_str(),
                "snapshot": pin.snapshot,
                "kind": pin.kind.as_str(),
                "sha256": pin.sha256.to_string(),
                "size": pin.size,
                "path": pin.path.to_string_lossy(),
                "state": pin.state.as_str(),
                "index": pin.indexed.as_ref().ok(),
                "not_in_index": pin.indexed.as_ref().err(),
            })
        })
        .collect();
    let failed: Vec<_> = report.failures.iter().map(failure).collect();
    let index = report.index.as_ref().map(|it| {
        json!({
            "products": it.products, "versions": it.versions, "changed": it.changed,
            "problems": problems(&it.problems), "warnings": problems(&it.warnings),
        })
    });
    json!({
        "mirrored": mirrored,
        "failed": failed,
        "removed": report.removed,
        "index": index,
        "stopped": report.stopped.as_ref().map(hints::body),
    })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "image": failure.image,
        "arch": failure.arch.as_str(),
        "snapshot": failure.snapshot,
        "error": hints::body(&failure.error),
    })
}

const STOPPED: &str = "stopped; what is in the mirror stays, the same command goes on";
