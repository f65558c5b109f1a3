//! `cargo refresh`: the only writer of the pins in `catalog.json`.
//!
//! The schema is the library's own (`src/catalog/schema.rs`): what this program writes, `build.rs`
//! accepts. An unchanged world gives an unchanged file.

mod arguments;
mod file;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser as _;
use distro_fetch::Catalog;
use distro_fetch::base::Timestamp;
use distro_fetch::catalog::{Rules, SourceType};
use distro_fetch::net::{Client, Config, Proxies};
use refresh::keys::Keys;
use refresh::report::{Report, group};
use refresh::rules::Older;
use refresh::run::{Settings, run};
use refresh::summary::{self, Outcome};
use refresh::upstream::Network;

use crate::arguments::Arguments;
use crate::file::Mode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Vec::new();
    let outcome = refresh(&arguments, &mut report);
    // A reader that has gone away is no reason to fail.
    let _ = std::io::stdout().write_all(&report);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments say; the exit code.
fn refresh(arguments: &Arguments, out: &mut Vec<u8>) -> Result<u8> {
    let mode = match (arguments.check, arguments.dry_run) {
        (true, _) => Mode::Check,
        (_, true) => Mode::DryRun,
        _ => Mode::Write,
    };
    let rules = if arguments.private {
        Rules::Overlay
    } else {
        Rules::Embedded
    };
    let path = &arguments.catalog;
    let (old, catalog) = file::read(path, rules)?;
    if arguments.offline {
        let changed = file::write(path, &old, &catalog.to_json(), mode, out)?;
        return Ok(if changed { CHANGED } else { 0 });
    }
    let report = follow(arguments, &catalog)?;
    let failed = !report.failures.is_empty();
    let refused = failed && !arguments.keep_going;
    write_texts(arguments, &report, refused)?;
    for group in group(&report.failures) {
        let first = group.pins[0];
        let others = match group.pins.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let why = one_line(&group.trouble.to_string());
        writeln!(out, "{} {}{others}: {why}", first.image, first.arch)?;
    }
    if refused {
        bail!(
            "{} of the pins cannot be resolved: nothing is written (--keep-going moves the rest)",
            report.failures.len()
        );
    }
    // What is written is read once more, by the same judge as in the build.
    let new = report.catalog.to_json();
    Catalog::parse(&new, rules)
        .map_err(|fault| anyhow!("the new catalog would be refused, at {fault}"))?;
    let changed = file::write(path, &old, &new, mode, out)?;
    writeln!(out, "{}", report.subject())?;
    Ok(match (failed || !report.frozen.is_empty(), changed) {
        (true, _) => PARTIAL,
        (false, true) => CHANGED,
        (false, false) => 0,
    })
}

fn follow(arguments: &Arguments, catalog: &Catalog) -> Result<Report> {
    let keys = Keys::load(&arguments.keys)?;
    let mut asked = BTreeSet::new();
    let config = Config {
        proxies: Proxies::of_variables(variable),
        ca: arguments
            .ca_cert
            .clone()
            .or_else(|| variable("SSL_CERT_FILE").map(Into::into)),
        ..Config::default()
    };
    let mut network = Network::new(Client::new(config), arguments.retries);
    for (name, url) in &arguments.origin {
        asked.insert(redirect(catalog, &mut network, name, url)?);
    }
    let settings = Settings {
        only: arguments.only.clone(),
        asked: (!asked.is_empty()).then_some(asked),
        older: if arguments.allow_older {
            Older::Allowed
        } else {
            Older::Refused
        },
        max_age: arguments.max_age,
        interval: arguments.interval,
        deep: arguments.deep,
        cross_check: arguments.cross_check,
        now: now()?,
        jobs: arguments.jobs,
    };
    run(catalog, &network, &keys, &settings).map_err(|why| anyhow!(why))
}

/// Makes the network ask somebody else for an origin, one of its mirrors, or a registry. Gives
/// back who may be asked by that.
fn redirect(
    catalog: &Catalog,
    network: &mut Network,
    name: &str,
    there: &distro_fetch::Url,
) -> Result<String> {
    let (origin, mirror) = name.split_once('/').unwrap_or((name, ""));
    if let Some(found) = catalog.origin(origin) {
        let official = if mirror.is_empty() {
            &found.url
        } else {
            let mirrors = found.mirrors.iter();
            let found = mirrors.into_iter().find(|it| it.name == mirror);
            &found
                .with_context(|| format!("the origin {origin} has no mirror {mirror:?}"))?
                .url
        };
        network.ask_instead(official.clone(), there.clone());
        return Ok(origin.to_owned());
    }
    let is_registry = catalog.images.iter().any(|image| {
        image.source.as_ref().is_some_and(|source| {
            let repository = source.fields.iter().find(|(name, _)| name == "repository");
            source.kind == SourceType::Oci
                && repository.is_some_and(|(_, value)| value.split('/').next() == Some(name))
        })
    });
    if !is_registry {
        bail!("--origin {name}: neither an origin of the catalog nor a registry in it");
    }
    network.ask_registry(name.to_owned(), there.authority().to_owned());
    Ok(name.to_owned())
}

fn write_texts(arguments: &Arguments, report: &Report, refused: bool) -> Result<()> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.summary {
        let outcome = if refused {
            Outcome::Refused
        } else {
            Outcome::Accepted
        };
        write(path, &summary::render(report, outcome)?)?;
    }
    match &arguments.subject {
        Some(path) => write(path, &format!("{}\n", report.subject())),
        None => Ok(()),
    }
}

/// Upstream's words on a terminal: without what a terminal obeys.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect()
}

/// The time of the run: the clock's, unless `SOURCE_DATE_EPOCH` makes it reproducible.
fn now() -> Result<Timestamp> {
    match variable("SOURCE_DATE_EPOCH") {
        None => Ok(distro_fetch::sys::now()),
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
            seconds
                .map(Timestamp)
                .with_context(|| format!("SOURCE_DATE_EPOCH={text}: whole seconds are expected"))
        }
    }
}

#[allow(clippy::disallowed_methods)] // this is the command line
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The exit code for "the file was changed, or would be".
const CHANGED: u8 = 10;
/// The exit code for "something failed, and the rest was done".
const PARTIAL: u8 = 11;
