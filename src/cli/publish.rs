//! `publish`: a folder of images becomes a simplestreams server.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use distro_fetch::base::HumanBytes;
use distro_fetch::simplestreams::publish::{
    Import, Imported, Options, Problem, Publisher, Report, Transfer, Verified,
};
use distro_fetch::{Error, Kind};
use serde_json::{Value, json};

use super::context::Context;
use super::output::{self, harmless};
use super::progress::Reporter;
use super::signals;

#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// The folder that a web server shows; images are below ROOT/images
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// Say what would happen, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Move the files of a build to their place first; repeatable
    #[arg(long, value_name = "DIR")]
    import: Vec<PathBuf>,
    /// Copy them instead
    #[arg(long, requires = "import")]
    copy: bool,
    /// Keep the newest N versions of each product, and for an hour what an index named
    #[arg(long, value_name = "N")]
    retain: Option<NonZeroUsize>,
    /// Only read: hash every file that the index names, and compare
    #[arg(long, conflicts_with_all = ["import", "copy", "retain", "dry_run"])]
    verify: bool,
}

pub(crate) const LAYOUT: &str = "\
ROOT/images/OS/RELEASE/ARCH/VARIANT/YYYYMMDD_HH:MM/ holds the files of one version:\n  \
  incus.tar.xz, lxd.tar.xz                           metadata: one of them is enough\n  \
  rootfs.tar.xz (.gz .zst .bz2), rootfs.squashfs     a container; root.… is the same\n  \
  disk.qcow2                                         a virtual machine\n  \
  delta-SERIAL.vcdiff, delta-SERIAL.qcow2.vcdiff     differences to an older version\n  \
  incus_combined.tar.gz                              metadata and root in one, alone\n\n\
.requirements, .lxd_requirements and .product in the folders above them are JSON objects of texts; \
the deepest one counts. .product may have release_title, release_codename, version, support_eol \
(YYYY-MM-DD), supported and aliases (with commas between); what it does not say, properties of the \
newest metadata.yaml do.\n\n\
Exit codes: 0 all is published · 1 something was left out, and is named · 7 --verify found \
something that differs, or --import other bytes under the same serial · otherwise as of every \
command";

pub(crate) fn run(context: &Context, arguments: &Publish) -> Result<ExitCode> {
    signals::watch_and_say(STOPPED);
    let jobs = NonZeroUsize::new(context.global.jobs.into()).unwrap_or(NonZeroUsize::MIN);
    if arguments.verify {
        let publisher = Publisher::open(&arguments.root)?;
        let reporter = Reporter::new(context);
        let verified = publisher.verify(jobs, &reporter);
        reporter.finish();
        return judge(context, &publisher, &verified?);
    }
    // A build may be the first thing in a root.
    let publisher = if arguments.import.is_empty() || arguments.dry_run {
        Publisher::open(&arguments.root)?
    } else {
        Publisher::create(&arguments.root)?
    };
    let import = Import {
        transfer: if arguments.copy {
            Transfer::Copy
        } else {
            Transfer::Move
        },
        dry_run: arguments.dry_run,
    };
    let options = Options {
        dry_run: arguments.dry_run,
        retain: arguments.retain,
        jobs,
        now: SystemTime::now(),
    };
    let reporter = Reporter::new(context);
    let work = || -> distro_fetch::Result<_> {
        let imports = arguments.import.iter();
        let imports = imports.map(|build| publisher.import(build, import, &reporter));
        let imported = imports.collect::<distro_fetch::Result<Vec<_>>>()?;
        Ok((imported, publisher.publish(&options, &reporter)?))
    };
    let done = work();
    reporter.finish();
    let (imported, report) = done?;
    if context.global.json {
        output::json(&document(&publisher, &imported, &report))?;
    } else {
        if !context.global.quiet {
            tell(arguments.dry_run, &imported, &report);
        }
        output::result(&publisher.index().to_string_lossy())?;
    }
    left_out(&report.problems);
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Kind::Other.exit_code())
    })
}

fn judge(context: &Context, publisher: &Publisher, verified: &Verified) -> Result<ExitCode> {
    if context.global.json {
        output::json(&json!({
            "index": publisher.index().to_string_lossy(),
            "files": verified.files,
            "bytes": verified.bytes,
            "problems": problems(&verified.problems),
        }))?;
    }
    let [first, ..] = verified.problems.as_slice() else {
        if !context.global.json && !context.global.quiet {
            let (files, bytes) = (verified.files, HumanBytes(verified.bytes));
            let s = if files == 1 { "" } else { "s" };
            output::result(&format!("{files} file{s}, {bytes}: as the index says"))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    left_out(&verified.problems);
    let count = verified.problems.len();
    let message = match count {
        1 => format!("{} is not what the index says", first.path),
        _ => format!("{count} files or versions are not what the index says"),
    };
    let error = Error::new(Kind::Integrity, message);
    output::note(&format!("{}{error}", context.color.red("error: ")));
    Ok(ExitCode::from(Kind::Integrity.exit_code()))
}

/// What was done, in words.
fn tell(dry_run: bool, imported: &[Imported], report: &Report) {
    let would = if dry_run { "would be " } else { "" };
    for Imported { path, already } in imported {
        let what = if *already {
            "was there before"
        } else {
            "imported"
        };
        let would = if *already { "" } else { would };
        output::note(&harmless(&format!("{path}: {would}{what}")));
    }
    for path in &report.removed {
        output::note(&format!("{path}: {would}removed"));
    }
    for Problem { path, message } in &report.warnings {
        output::note(&harmless(&format!("{path}: {message}")));
    }
    let Report {
        products,
        versions,
        hashed,
        reused,
        changed,
        ..
    } = report;
    let index = match (dry_run, changed) {
        (_, false) => "the index is as it was",
        (false, true) => "the index is new",
        (true, true) => "the index would be new",
    };
    let s = |count: &usize| if *count == 1 { "" } else { "s" };
    output::note(&format!(
        "{products} product{}, {versions} version{}; {hashed} file{} hashed, {reused} known; {index}",
        s(products),
        s(versions),
        s(hashed)
    ));
}

/// What was left out is said also to those who want quiet: it is why the code is not 0.
pub(crate) fn left_out(problems: &[Problem]) {
    for Problem { path, message } in problems {
        output::note(&harmless(&format!("{path}: {message}")));
    }
}

fn document(publisher: &Publisher, imported: &[Imported], report: &Report) -> Value {
    let imported = imported
        .iter()
        .map(|it| json!({ "path": it.path, "already": it.already }));
    json!({
        "index": publisher.index().to_string_lossy(),
        "imported": imported.collect::<Value>(),
        "products": report.products,
        "versions": report.versions,
        "hashed": report.hashed,
        "reused": report.reused,
        "removed": report.removed,
        "problems": problems(&report.problems),
        "warnings": problems(&report.warnings),
        "changed": report.changed,
    })
}

pub(crate) fn problems(list: &[Problem]) -> Value {
    let entry = |it: &Problem| json!({ "path": it.path, "message": it.message });
    list.iter().map(entry).collect()
}

const STOPPED: &str = "stopped; what is hashed is known, the same command goes on";
