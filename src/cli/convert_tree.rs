//! The outputs of `convert` that are made of a tree: directories, tars, archives of images.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::archive::{Format, Limits};
use distro_fetch::oci::{Carrier, Platform};
use distro_fetch::rootfs::{Opening, Source, Spelled};
use serde_json::json;

use super::args::Tree;
use super::context::Context;
use super::namespace;
use super::output;
use super::progress::Reporter;
use super::select;
use super::unpack;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Dir,
    Tar,
    Archive(Carrier),
}

impl Made {
    /// The word of `--to`, and of reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Tar => "tar",
            Self::Archive(Carrier::Oci) => "oci-archive",
            Self::Archive(Carrier::Docker) => "docker-archive",
        }
    }
}

/// One conversion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// As it stands on the command line: for messages.
    pub(crate) source: &'a str,
    pub(crate) output: &'a Path,
    pub(crate) made: Made,
    pub(crate) platform: Option<&'a Platform>,
    /// How the archive of a tree is compressed, if its name does not tell.
    pub(crate) format: Option<Format>,
    /// What an image is called in its archive.
    pub(crate) name: Option<&'a str>,
    pub(crate) limits: Limits,
    pub(crate) force: bool,
    pub(crate) tree: &'a Tree,
}

/// Converts what is on this machine.
pub(crate) fn run(context: &Context, job: &Job<'_>, spelled: &Spelled) -> Result<ExitCode> {
    convert(context, job, |opening| Source::open(spelled, opening))
}

/// Converts what `open` gives: an image that was pulled, perhaps.
pub(crate) fn convert(
    context: &Context,
    job: &Job<'_>,
    open: impl FnOnce(Opening<'_>) -> distro_fetch::Result<Source>,
) -> Result<ExitCode> {
    if job.made == Made::Dir {
        namespace::enter(job.tree.map_owner)?;
        unpack::check_report(job.tree)?;
    }
    let policy = unpack::policy_at_target(context, job.tree, job.force)?;
    let output = std::path::absolute(job.output)?;
    // Files without a name lie where blocks can be shared with the output.
    let spool = output.parent().unwrap_or(&output);
    let reporter = Reporter::new(context);
    let opening = Opening {
        platform: job.platform,
        format: job.format,
        spool,
        limits: job.limits,
        observer: &reporter,
    };
    let overwrite = select::overwrite(job.force);
    let outcome = open(opening).and_then(|source| match job.made {
        Made::Dir => source.to_dir(&output, policy, opening).map(Some),
        Made::Tar => source
            .to_tar(&output, overwrite, opening)
            .map(|(_, report)| Some(report)),
        Made::Archive(carrier) => source
            .to_archive(&output, carrier, job.name, overwrite, opening)
            .map(|_| None),
    });
    reporter.finish();
    let report = outcome?;
    if let Some(report) = &report {
        unpack::tell(context, job.tree, job.source, report)?;
    }
    if context.global.json {
        let mut document = report.map_or_else(|| json!({}), |it| it.to_json());
        document["source"] = job.source.into();
        document["form"] = job.made.as_str().into();
        document["path"] = output.to_string_lossy().into();
        output::json(&document)?;
    } else {
        output::result(&output.to_string_lossy())?;
    }
    Ok(ExitCode::SUCCESS)
}
