//! `unpack`, and what it shares with `digest` and `ensure --as dir`.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::archive::Format;
use distro_fetch::rootfs::{Unpacker, format_of};
use distro_fetch::tree::{Devices, IdMap, Loss, Owners, Policy, Replace, Report};
use distro_fetch::{Error, sys};

use super::args::{DevicePolicy, MapOwner, ReadArchive, Tree, Unpack};
use super::context::Context;
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

/// Opens an archive; how it is compressed, and what it is called in messages.
pub(super) fn open(path: &Path, read: &ReadArchive) -> Result<(File, Format, String)> {
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
