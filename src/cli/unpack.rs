//! `unpack`, `digest`, and what they share with `ensure --as dir`.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::archive::{Format, Limits};
use distro_fetch::event::{Event, Observer, What};
use distro_fetch::fsimg::{erofs, ext4};
use distro_fetch::rootfs::{Opening, Shape, Source, Spelled, Unpacker, format_of};
use distro_fetch::tree::{Devices, IdMap, Loss, Owners, Policy, Replace, Report, TreeDigest};
use distro_fetch::{Error, Kind, sys};
use serde_json::json;

use super::args::{ArchiveLimits, DevicePolicy, DigestOf, MapOwner, ReadArchive, Tree, Unpack};
use super::context::Context;
use super::fsimg::System;
use super::hints::Usage;
use super::namespace;
use super::output;
use super::progress::Reporter;

pub(crate) fn run(context: &Context, arguments: &Unpack) -> Result<ExitCode> {
    namespace::enter(arguments.tree.map_owner)?;
    check_report(&arguments.tree)?;
    let (file, format, name) = open(&arguments.file, &arguments.read)?;
    let policy = policy_at_target(context, &arguments.tree, arguments.force)?;
    let reporter = Reporter::new(context);
    let size = file.metadata().map_or(0, |meta| meta.len());
    let outcome = Unpacker::new(&name, format, &reporter)
        .with_limits(arguments.read.limits.limits())
        .with_total(size)
        .unpack(file, &arguments.target, policy);
    reporter.finish();
    let report = outcome.map_err(|error| error.about(&name))?;
    tell(context, &arguments.tree, &name, &report)?;
    let path = std::path::absolute(&arguments.target)?;
    if context.global.json {
        let mut document = report.to_json();
        document["path"] = path.to_string_lossy().into();
        output::json(&document)?;
    } else {
        output::result(&path.to_string_lossy())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn digest(context: &Context, arguments: &DigestOf) -> Result<ExitCode> {
    let reporter = Reporter::new(context);
    let path = &arguments.path;
    let outcome = if let Some(spelled) = image(path) {
        let spool = std::env::temp_dir();
        let opening = Opening {
            platform: None,
            format: arguments.read.from,
            spool: &spool,
            limits: arguments.read.limits.limits(),
            observer: &reporter,
        };
        let name = path.to_string_lossy();
        Source::open(&spelled, opening)
            .and_then(|source| source.tree(opening))
            .and_then(|tree| {
                tree.digest(threads(), |received, total| {
                    let total = Some(total);
                    let what = What::Progress { received, total };
                    let subject = &name;
                    match reporter.on(Event { subject, what }) {
                        ControlFlow::Continue(()) => Ok(()),
                        ControlFlow::Break(()) => Err(Error::new(Kind::Cancelled, "stopped")),
                    }
                })
            })
    } else if let Some(system) = image_of(path) {
        digest_of_image(path, system, arguments.read.limits.limits(), &reporter)
    } else if path.is_dir() {
        TreeDigest::of_directory(path, threads(), &reporter)
    } else {
        let (file, format, name) = open(path, &arguments.read)?;
        let size = file.metadata().map_or(0, |meta| meta.len());
        Unpacker::new(&name, format, &reporter)
            .with_limits(arguments.read.limits.limits())
            .with_total(size)
            .digest(file)
            .map_err(|error| error.about(&name))
    };
    reporter.finish();
    let digest = outcome?;
    if context.global.json {
        let path = path.to_string_lossy();
        output::json(&json!({ "path": path, "digest": digest.to_string() }))?;
    } else {
        output::result(&digest.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file system whose image a name declares.
fn image_of(path: &Path) -> Option<System> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "ext4" => Some(System::Ext4),
        "erofs" => Some(System::Erofs),
        _ => None,
    }
}

fn digest_of_image(
    path: &Path,
    system: System,
    limits: Limits,
    reporter: &Reporter,
) -> distro_fetch::Result<TreeDigest> {
    let name = path.to_string_lossy();
    let tell = |received, total| {
        let what = What::Progress { received, total };
        let subject = &name;
        match reporter.on(Event { subject, what }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(Kind::Cancelled, "stopped")),
        }
    };
    let file = sys::open_regular_through_links(path)
        .map_err(|error| Error::local("cannot read", path, error))?;
    let tree = match system {
        System::Ext4 => ext4::Reader::open(file, limits).and_then(|it| it.tree(|| tell(0, None))),
        System::Erofs => erofs::Reader::open(file, Vec::new(), limits).and_then(|it| it.tree()),
    };
    tree.and_then(|tree| tree.digest(threads(), |done, total| tell(done, Some(total))))
        .map_err(|error| error.about(&name))
}

/// A source that is made of layers.
fn image(path: &Path) -> Option<Spelled> {
    let spelled = Spelled::parse(path.to_str()?).ok()?;
    let layered = match &spelled {
        Spelled::Here { kind, .. } => !matches!(kind, Shape::Folder | Shape::Archive),
        Spelled::Registry(_) | Spelled::Unknown => false,
    };
    layered.then_some(spelled)
}

fn open(path: &Path, read: &ReadArchive) -> Result<(File, Format, String)> {
    let name = path.to_string_lossy().into_owned();
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let meta = std::fs::metadata(path).map_err(|error| Error::local("cannot read", path, error))?;
    if !meta.is_file() {
        return Err(Usage(format!("{name} is not a file")).into());
    }
    let mut file = File::open(path).map_err(|error| Error::local("cannot read", path, error))?;
    let format = match read.from {
        Some(format) => format,
        None => format_of(&mut file, &name)?,
    };
    Ok((file, format, name))
}

impl ArchiveLimits {
    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            bytes: self.bytes.unwrap_or(limits.bytes),
            entries: self.entries.unwrap_or(limits.entries),
            depth: self.depth.unwrap_or(limits.depth),
            ..limits
        }
    }
}

/// What of an archive is kept.
pub(crate) fn policy(tree: &Tree) -> Result<Policy> {
    let policy = Policy::of_this_user();
    let devices = match tree.devices {
        DevicePolicy::Report => policy.devices,
        // Whoever can make them has no reason to refuse.
        DevicePolicy::Refuse if policy.devices == Devices::Make => Devices::Make,
        DevicePolicy::Refuse => Devices::Refuse,
    };
    let owners = match tree.map_owner {
        Some(MapOwner::Range { first, count }) if sys::is_root() => {
            let map = IdMap::shifted(first, count)?;
            Owners::Shift {
                users: map.clone(),
                groups: map,
            }
        }
        Some(MapOwner::Range { .. }) => {
            let message = "--map-owner=FIRST:COUNT is for root; `auto` is for everybody";
            return Err(Usage(message.to_owned()).into());
        }
        // Inside of the namespace that `auto` makes, the owners are the archive's.
        Some(MapOwner::Auto) | None => policy.owners,
    };
    Ok(Policy {
        owners,
        devices,
        ..policy
    })
}

/// The same for a target of the user's, who unpacks nothing into the cache by mistake.
pub(crate) fn policy_at_target(context: &Context, tree: &Tree, force: bool) -> Result<Policy> {
    Ok(Policy {
        replace: if force { Replace::Yes } else { Replace::No },
        keep_out_of: vec![context.cache()?.path().to_owned()],
        ..policy(tree)?
    })
}

/// Says what was lost, and writes the report that was asked for.
pub(crate) fn tell(context: &Context, tree: &Tree, name: &str, report: &Report) -> Result<()> {
    write_report(tree, &report.to_json())?;
    if report.is_faithful() || context.global.quiet {
        return Ok(());
    }
    let lost: Vec<_> = report
        .losses()
        .filter(|(loss, _)| *loss != Loss::Replaced)
        .map(|(loss, count)| format!("{count} × {}", loss.as_str()))
        .collect();
    let advice = match (&tree.report, tree.map_owner) {
        (None, None) => "; --report FILE lists them, --map-owner keeps owners",
        (None, Some(_)) => "; --report FILE lists them",
        (Some(_), _) => "",
    };
    output::note(&format!("{name}: not kept: {}{advice}", lost.join(", ")));
    Ok(())
}

/// Says that a report cannot be written before there is anything to report.
pub(crate) fn check_report(tree: &Tree) -> Result<()> {
    let Some(path) = &tree.report else {
        return Ok(());
    };
    let parent = std::path::absolute(path)?;
    let kind = match parent.parent() {
        _ if path.is_dir() => std::io::ErrorKind::IsADirectory,
        Some(parent) if parent.is_dir() => return Ok(()),
        _ => std::io::ErrorKind::NotFound,
    };
    Err(Error::local("cannot write", path, kind.into()).into())
}

/// Writes the report, if one was asked for.
pub(crate) fn write_report(tree: &Tree, report: &serde_json::Value) -> Result<()> {
    if let Some(path) = &tree.report {
        let text = format!("{report:#}\n");
        std::fs::write(path, text).map_err(|error| Error::local("cannot write", path, error))?;
    }
    Ok(())
}

fn threads() -> std::num::NonZeroUsize {
    sys::processors()
}
