//! `audit`: which pins still live upstream, and where.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::audit::{Auditor, Depth, Finding, Life, Options, Report};
use distro_fetch::cache::Rehash;
use distro_fetch::catalog::{Image, Pin};
use distro_fetch::event::{Event, Observer, What};
use distro_fetch::fetch::Reach;
use distro_fetch::{Error, Kind};
use serde_json::json;

use super::args::{Audit, ProgressMode};
use super::context::{Arches, Context};
use super::output::{self, harmless};
use super::progress::Reporter;
use super::select;
use super::signals;

pub(crate) fn run(context: &Context, arguments: &Audit) -> Result<ExitCode> {
    let pins = pins(context, &arguments.images)?;
    let depth = if arguments.deep {
        Depth::Whole
    } else {
        Depth::Glance
    };
    let auditor = Auditor::new(Options {
        fetch: context.options(Reach::Network, Rehash::IfTouched)?,
        depth,
        jobs: context.global.jobs.into(),
    });
    signals::watch_and_say(STOPPED);
    let watcher = Watcher::new(context, depth);
    let outcome = auditor.audit(&context.catalog, &pins, &watcher);
    watcher.reporter.finish();
    let reports = outcome?;
    if context.global.json {
        output::json(&reports.iter().map(document).collect())?;
    } else {
        output::result(&table(context, &reports))?;
    }
    if !context.global.quiet {
        output::note(&summary(&reports));
    }
    Ok(ExitCode::from(code(&reports)))
}

/// Every pin of the images, or those of some architectures.
fn pins<'a>(context: &'a Context, globs: &[String]) -> Result<Vec<(&'a Image, &'a Pin)>> {
    let arches = context.arches()?;
    let wanted = |pin: &Pin| match &arches {
        Arches::These(list) => list.contains(&pin.arch),
        Arches::All | Arches::Unsaid => true,
    };
    let images = select::images(context, globs)?;
    let all = images
        .into_iter()
        .flat_map(|image| image.pins.iter().map(move |pin| (image, pin)));
    let pins: Vec<_> = all.filter(|(_, pin)| wanted(pin)).collect();
    if pins.is_empty() && !globs.is_empty() {
        // Success would say that something has been looked at.
        let message = "nothing of this is pinned for these architectures";
        return Err(Error::new(Kind::Unknown, message).into());
    }
    Ok(pins)
}

/// Kind by kind the most certain first: a pin that is lost, then one that may be.
fn code(reports: &[Report<'_>]) -> u8 {
    match reports.iter().map(Report::life).max() {
        None | Some(Life::Alive) => 0,
        Some(Life::Unreachable) => Kind::Network.exit_code(),
        Some(Life::Drifted | Life::Gone) => Kind::Gone.exit_code(),
    }
}

fn table(context: &Context, reports: &[Report<'_>]) -> String {
    let mut lines = vec![
        ["IMAGE", "ARCH", "SNAPSHOT", "SOURCE", "VERDICT", "DETAIL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for report in reports {
        let row = |source: String, life: Life, detail: &str| {
            vec![
                report.image.name.to_string(),
                report.pin.arch.to_string(),
                report.pin.snapshot.to_string(),
                source,
                life.as_str().to_owned(),
                // It may quote a server; and a line of a table is one line.
                harmless(detail).replace('\n', " "),
            ]
        };
        if report.sources.is_empty() {
            lines.push(row(
                "-".to_owned(),
                report.life(),
                "there is no source to ask",
            ));
        }
        for finding in &report.sources {
            let source = place(finding, context.global.verbose > 0);
            lines.push(row(source, finding.life, &finding.detail));
        }
    }
    output::table(&lines)
}

/// Addresses make a table of three screens' width: the host says it, or -v the address.
fn place(finding: &Finding, whole: bool) -> String {
    let name = if whole || finding.host.is_empty() {
        &finding.url
    } else {
        &finding.host
    };
    format!("{} {name}", finding.role)
}

fn summary(reports: &[Report<'_>]) -> String {
    let counts: Vec<_> = Life::ALL
        .into_iter()
        .map(|life| (life, reports.iter().filter(|it| it.life() == life).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(life, count)| format!("{count} {}", life.as_str()))
        .collect();
    let s = if reports.len() == 1 { "" } else { "s" };
    let colon = if counts.is_empty() { "" } else { ": " };
    format!("{} pin{s}{colon}{}", reports.len(), counts.join(", "))
}

fn document(report: &Report<'_>) -> serde_json::Value {
    let sources: Vec<_> = report
        .sources
        .iter()
        .map(|finding| {
            json!({
                "role": finding.role,
                "url": finding.url,
                "verdict": finding.life.as_str(),
                "detail": finding.detail,
                "size": finding.size,
            })
        })
        .collect();
    json!({
        "image": report.image.name.as_str(),
        "arch": report.pin.arch.as_str(),
        "snapshot": report.pin.snapshot.as_str(),
        "sha256": report.pin.sha256.to_string(),
        "verdict": report.life().as_str(),
        "sources": sources,
    })
}

/// Shows how it is going where that takes long; always lets Ctrl-C through.
struct Watcher {
    reporter: Reporter,
    shows: Shows,
}

enum Shows {
    Everything,
    /// A glance is over before a bar is drawn: only what holds it up is worth a line.
    Retries,
    Nothing,
}

impl Watcher {
    fn new(context: &Context, depth: Depth) -> Self {
        let global = &context.global;
        let shows = if depth == Depth::Whole || global.progress == ProgressMode::Json {
            Shows::Everything
        } else if global.verbose > 0 {
            Shows::Retries
        } else {
            Shows::Nothing
        };
        Self {
            reporter: Reporter::new(context),
            shows,
        }
    }
}

impl Observer for Watcher {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        let shown = match self.shows {
            Shows::Everything => true,
            Shows::Retries => matches!(event.what, What::Retry { .. }),
            Shows::Nothing => false,
        };
        if shown {
            return self.reporter.on(event);
        }
        if signals::received() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

const STOPPED: &str = "stopped; an audit starts from the beginning";
