//! The outputs of `convert` that are made of a tree: directories, tars, archives of images.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::archive::{Format, Limits};
use distro_fetch::oci::{Carrier, Platform};
use distro_fetch::rootfs::{Imaged, Opening, Shelf, Source, Spelled};
use distro_fetch::tree::Report;
use serde_json::{Value, json};

use super::args::{Grow, Tree};
use super::context::Context;
use super::fsimg::{self, ImageOptions, System};
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
    Image(System),
    Layered,
}

impl Made {
    /// The word of `--to`, and of reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Tar => "tar",
            Self::Archive(Carrier::Oci) => "oci-archive",
            Self::Archive(Carrier::Docker) => "docker-archive",
            Self::Image(System::Ext4) => "ext4",
            Self::Image(System::Erofs) | Self::Layered => "erofs",
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
    pub(crate) image: &'a ImageOptions,
    pub(crate) grow: &'a Grow,
    pub(crate) limits: Limits,
    pub(crate) force: bool,
    pub(crate) tree: &'a Tree,
}

/// What came of it.
enum Outcome {
    Tree(Report),
    Image(Imaged),
    Files(Vec<PathBuf>),
}

impl Outcome {
    fn to_json(&self) -> Value {
        match self {
            Self::Tree(report) => report.to_json(),
            Self::Image(made) => made.to_json(),
            Self::Files(files) if files.is_empty() => json!({}),
            Self::Files(files) => {
                let names: Vec<_> = files.iter().map(|it| it.to_string_lossy()).collect();
                json!({ "files": names })
            }
        }
    }
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
    let plan = match job.made {
        Made::Image(system) => Some(job.image.imaging(system, job.grow, context.global.json)?),
        _ => None,
    };
    let layered = job.image.erofs(Context::source_date()?)?;
    let shelf = match job.made {
        // What cannot be kept is made all the same.
        Made::Layered => context.cache().ok().filter(|it| it.prepare().is_ok()),
        _ => None,
    };
    let shelf = shelf.map(|it| Shelf::of(&it));
    let outcome = open(opening).and_then(|source| {
        Ok(match (job.made, &plan) {
            (Made::Image(_), Some(plan)) => {
                Outcome::Image(source.to_image(&output, plan, overwrite, opening)?)
            }
            (Made::Layered | Made::Image(_), _) => {
                Outcome::Files(source.to_layered(&output, &layered, shelf.as_ref(), opening)?)
            }
            (Made::Dir, _) => Outcome::Tree(source.to_dir(&output, policy, opening)?),
            (Made::Tar, _) => Outcome::Tree(source.to_tar(&output, overwrite, opening)?.1),
            (Made::Archive(carrier), _) => {
                source.to_archive(&output, carrier, job.name, overwrite, opening)?;
                Outcome::Files(Vec::new())
            }
        })
    });
    reporter.finish();
    let outcome = outcome.map_err(fsimg::too_small)?;
    match &outcome {
        Outcome::Tree(report) => unpack::tell(context, job.tree, job.source, report)?,
        Outcome::Image(made) => fsimg::tell(job.source, &made.lost),
        Outcome::Files(_) => {}
    }
    if context.global.json {
        let mut document = outcome.to_json();
        document["source"] = job.source.into();
        document["form"] = job.made.as_str().into();
        document["path"] = output.to_string_lossy().into();
        output::json(&document)?;
    } else {
        output::result(&output.to_string_lossy())?;
    }
    Ok(ExitCode::SUCCESS)
}
