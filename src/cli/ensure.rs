//! `ensure`: names in, verified paths out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::cache::{Overwrite, Rehash};
use distro_fetch::fetch::{Outcome, Reach, Request};
use distro_fetch::{Error, Url};
use serde_json::json;

use super::args::{Ensure, Form, Pull};
use super::context::Context;
use super::hints::{self, Usage};
use super::output;
use super::progress::Reporter;
use super::select;

pub(crate) fn run(context: &Context, arguments: &Ensure) -> Result<ExitCode> {
    check(arguments)?;
    let requests = requests(context, arguments)?;
    if arguments.output.is_some() && requests.len() > 1 {
        let message = format!("--output takes one image, and these are {}", requests.len());
        return Err(Usage(message).into());
    }
    let reach = match arguments.pull {
        Pull::Missing => Reach::Network,
        Pull::Never => Reach::CacheOnly,
    };
    let rehash = if arguments.verify {
        Rehash::Always
    } else {
        Rehash::IfTouched
    };
    let fetcher = context.fetcher(reach, rehash)?;
    let reporter = Reporter::new(context);
    let results = fetcher.ensure_all(&requests, context.global.jobs.into(), &reporter);
    let outcomes = all_or_errors(context, results)?;

    let mut documents = Vec::new();
    for (request, outcome) in requests.iter().zip(&outcomes) {
        let path = match &arguments.output {
            Some(target) => leave(outcome, target, arguments.force)?,
            None => outcome.entry.path(),
        };
        if context.global.json {
            documents.push(document(request, outcome, &path));
        } else {
            output::result(&path.to_string_lossy())?;
        }
    }
    if context.global.json {
        output::json(&documents.into())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What this version cannot do is said before anything is fetched.
fn check(arguments: &Ensure) -> Result<()> {
    let message = match arguments.form {
        Form::Source => match (arguments.size, &arguments.output) {
            (Some(_), _) => "--size is for --as raw and --as ext4".to_owned(),
            (None, Some(path)) if path.to_string_lossy().ends_with('/') || path.is_dir() => {
                format!(
                    "--output {} is a directory: unpacking into one is not part of this version; \
                 name a file for the verified upstream file",
                    path.display()
                )
            }
            _ => return Ok(()),
        },
        form => format!(
            "--as {} is not part of this version, which gives the verified upstream file \
             (--as source)",
            clap::ValueEnum::to_possible_value(&form)
                .map_or_else(String::new, |it| it.get_name().to_owned())
        ),
    };
    Err(Usage(message).into())
}

fn requests(context: &Context, arguments: &Ensure) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for text in &arguments.images {
        if text.starts_with("docker://") {
            return Err(Usage(format!(
                "{text}: container images are not part of this version"
            ))
            .into());
        }
        if text.contains("://") {
            requests.push(by_hash(text, arguments)?);
            continue;
        }
        if arguments.sha256.is_some() {
            return Err(Usage(format!("--sha256 is for a URL; the catalog pins {text}")).into());
        }
        for (image, pin) in select::pins(context, text)? {
            requests.push(Request::pinned(&context.catalog, image, pin)?);
        }
    }
    Ok(requests)
}

fn by_hash(text: &str, arguments: &Ensure) -> Result<Request> {
    let url: Url = text
        .parse()
        .map_err(|error: Error| Usage(error.message().to_owned()))?;
    match arguments.sha256 {
        None => Err(Usage(format!(
            "{url}: say what it must hash to with --sha256; nothing is fetched unverified"
        ))
        .into()),
        Some(_) if arguments.images.len() > 1 => {
            Err(Usage("--sha256 takes one URL at a time".to_owned()).into())
        }
        Some(sha256) => Ok(Request::by_hash(&url, sha256, None)),
    }
}

/// Every outcome; or the first error, after the others have been told.
fn all_or_errors(
    context: &Context,
    results: Vec<distro_fetch::Result<Outcome>>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => errors.push(anyhow::Error::from(error)),
        }
    }
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else {
        return Ok(outcomes);
    };
    for error in errors {
        hints::report(&error, false, context.color);
    }
    Err(first)
}

fn leave(outcome: &Outcome, target: &Path, force: bool) -> Result<PathBuf> {
    let overwrite = if force { Overwrite::Yes } else { Overwrite::No };
    Ok(outcome
        .entry
        .copy_to(target, overwrite, || !super::signals::received())?)
}

fn document(request: &Request, outcome: &Outcome, path: &Path) -> serde_json::Value {
    let record = outcome.entry.record();
    json!({
        "image": request.key.image,
        "arch": request.key.arch,
        "snapshot": request.key.snapshot,
        "sha256": record.sha256.to_string(),
        "size": record.stamp.size,
        "form": "source",
        "path": path.to_string_lossy(),
        "cached": outcome.cached,
        "source": record.url,
    })
}
