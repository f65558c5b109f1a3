//! `ensure`: names in, verified paths out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::cache::{Cache, Entry, Rehash};
use distro_fetch::catalog::{Address, Image, Kind as Content};
use distro_fetch::fetch::{Outcome, Reach, Request};
use distro_fetch::{Error, Url};
use serde_json::json;

use super::args::{Ensure, Fetch, Form};
use super::context::Context;
use super::fsimg::{self, System};
use super::hints::{self, Usage};
use super::namespace;
use super::output;
use super::pinned;
use super::progress::Reporter;
use super::select;
use super::unpack;

pub(crate) fn run(context: &Context, arguments: &Ensure) -> Result<ExitCode> {
    check(arguments)?;
    if as_directory(arguments) {
        namespace::enter(arguments.tree.map_owner)?;
        unpack::check_report(&arguments.tree)?;
    }
    let wanted = wanted(context, arguments)?;
    if arguments.output.is_some() && wanted.len() > 1 {
        let message = format!("--output takes one image, and these are {}", wanted.len());
        return Err(Usage(message).into());
    }
    let reach = arguments.pull.reach();
    let rehash = if arguments.verify {
        Rehash::Always
    } else {
        Rehash::IfTouched
    };
    let requests: Vec<_> = wanted.iter().filter_map(Wanted::file).cloned().collect();
    let fetcher = context.fetcher(reach, rehash)?;
    let reporter = Reporter::new(context);
    let results = fetcher.ensure_all(&requests, context.global.jobs.into(), &reporter);
    reporter.finish();
    let mut outcomes = all_or_errors(context, results)?.into_iter();
    let images: Vec<_> = wanted.iter().filter_map(Wanted::image).collect();
    let mut images = pinned::ensure(context, arguments, reach, rehash, &images)?.into_iter();

    let mut documents = Vec::new();
    for wanted in &wanted {
        let (path, document) = match wanted {
            Wanted::File(request) => {
                let Some(outcome) = outcomes.next() else {
                    continue;
                };
                let made = made(context, arguments, fetcher.cache(), &outcome, &reporter)?;
                let path = made.path.to_string_lossy().into_owned();
                (path, document(request, &outcome, &made))
            }
            Wanted::Image(_) => match images.next() {
                Some(image) => image,
                None => continue,
            },
        };
        if context.global.json {
            documents.push(document);
        } else {
            output::result(&path)?;
        }
    }
    if context.global.json {
        output::json(&documents.into())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One thing that is wanted.
enum Wanted {
    File(Box<Request>),
    Image(pinned::Image),
}

impl Wanted {
    fn file(&self) -> Option<&Request> {
        match self {
            Self::File(request) => Some(request),
            Self::Image(_) => None,
        }
    }

    fn image(&self) -> Option<&pinned::Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::File(_) => None,
        }
    }
}

/// What is made of a verified file.
fn made(
    context: &Context,
    arguments: &Ensure,
    cache: &Cache,
    outcome: &Outcome,
    reporter: &Reporter,
) -> Result<Made> {
    if arguments.form == Form::Raw {
        return disk(context, arguments, cache, outcome, reporter);
    }
    if let Some(system) = arguments.form.system() {
        return file_system(arguments, system, cache, outcome, reporter);
    }
    if as_directory(arguments) {
        return directory(context, arguments, cache, outcome, reporter);
    }
    Ok(Made {
        form: "source",
        path: match &arguments.output {
            Some(target) => leave(outcome, target, arguments.force)?,
            None => outcome.entry.path(),
        },
        cached: outcome.cached,
        extra: None,
    })
}

impl Fetch {
    fn reach(self) -> Reach {
        match self {
            Self::Missing => Reach::Network,
            Self::Never => Reach::CacheOnly,
        }
    }
}

/// The verified file of one image of the catalog, for whoever makes something of it.
pub(crate) fn one(context: &Context, text: &str, pull: Fetch) -> Result<Entry> {
    let (image, pin) = select::one(context, text)?;
    let request = Request::pinned(&context.catalog, image, pin)?;
    let fetcher = context.fetcher(pull.reach(), Rehash::IfTouched)?;
    let reporter = Reporter::new(context);
    let outcome = fetcher.ensure(&request, &reporter);
    reporter.finish();
    Ok(outcome?.entry)
}

/// What an image became.
struct Made {
    form: &'static str,
    path: PathBuf,
    cached: bool,
    /// What else is in the document: what could not be kept, or the sizes of a disk.
    extra: Option<(&'static str, serde_json::Value)>,
}

impl Form {
    fn system(self) -> Option<System> {
        match self {
            Self::Ext4 => Some(System::Ext4),
            Self::Erofs => Some(System::Erofs),
            Self::Source | Self::Dir | Self::Raw => None,
        }
    }
}

/// Makes the image of a file system of a verified archive.
fn file_system(
    arguments: &Ensure,
    system: System,
    cache: &Cache,
    outcome: &Outcome,
    reporter: &Reporter,
) -> Result<Made> {
    let overwrite = select::overwrite(arguments.force);
    let target = arguments.output.as_deref().map(|path| (path, overwrite));
    let asked = (system, &arguments.grow);
    let entry = &outcome.entry;
    let limits = arguments.limits.limits();
    let made = fsimg::prepare(
        cache,
        entry,
        asked,
        &arguments.image,
        target,
        limits,
        reporter,
    );
    reporter.finish();
    let made = made?;
    Ok(Made {
        form: match system {
            System::Ext4 => "ext4",
            System::Erofs => "erofs",
        },
        path: made.path,
        cached: made.cached && outcome.cached,
        extra: Some(("made", made.about)),
    })
}

/// Makes a raw disk of a verified file.
fn disk(
    context: &Context,
    arguments: &Ensure,
    cache: &Cache,
    outcome: &Outcome,
    reporter: &Reporter,
) -> Result<Made> {
    let entry = &outcome.entry;
    let image = context.catalog.find(&entry.record().image).ok();
    // What the catalog says is about its pins; a URL has nothing but its name.
    let declared = arguments.from.or_else(|| image.and_then(|it| it.format));
    let overwrite = select::overwrite(arguments.force);
    let target = arguments.output.as_deref().map(|path| (path, overwrite));
    let made = super::disk::prepare(cache, entry, declared, &arguments.grow, target, reporter);
    reporter.finish();
    let made = made?;
    let sizes = json!({ "virtual_size": made.sizes.disk, "allocated": made.sizes.allocated });
    Ok(Made {
        form: "raw",
        path: made.path,
        cached: made.cached && outcome.cached,
        extra: Some(("disk", sizes)),
    })
}

/// Whether a tree is asked for, by its name or by where it is to be left.
fn as_directory(arguments: &Ensure) -> bool {
    arguments.form == Form::Dir
        || arguments.form == Form::Source && arguments.output.as_deref().is_some_and(is_directory)
}

fn is_directory(path: &Path) -> bool {
    path.to_string_lossy().ends_with('/') || path.is_dir()
}

/// Unpacks a verified file: into the cache, or to where it was asked for.
fn directory(
    context: &Context,
    arguments: &Ensure,
    cache: &Cache,
    outcome: &Outcome,
    reporter: &Reporter,
) -> Result<Made> {
    let name = outcome.entry.record().image.clone();
    let limits = arguments.limits.limits();
    let made = match &arguments.output {
        None => {
            let policy = unpack::policy(&arguments.tree)?;
            let prepared = outcome.entry.prepare(cache, policy, limits, reporter)?;
            match (&prepared.report, &prepared.lost) {
                (None, Some(lost)) => unpack::write_report(&arguments.tree, lost)?,
                (None, None) if arguments.tree.report.is_some() => {
                    output::note(&format!("{name}: whoever made this tree left no report"));
                }
                _ => {}
            }
            (
                prepared.path,
                prepared.cached,
                prepared.report,
                prepared.lost,
            )
        }
        Some(target) => {
            let policy = unpack::policy_at_target(context, &arguments.tree, arguments.force)?;
            let report = outcome.entry.unpack_to(target, policy, limits, reporter)?;
            let lost = Some(report.to_json());
            (std::path::absolute(target)?, false, Some(report), lost)
        }
    };
    reporter.finish();
    let (path, cached, report, lost) = made;
    if let Some(report) = &report {
        unpack::tell(context, &arguments.tree, &name, report)?;
    }
    Ok(Made {
        form: "dir",
        path,
        cached: cached && outcome.cached,
        extra: lost.map(|lost| ("report", lost)),
    })
}

/// What this version cannot do is said before anything is fetched.
fn check(arguments: &Ensure) -> Result<()> {
    let is_tree = as_directory(arguments);
    let message = match arguments.form {
        Form::Source | Form::Dir if arguments.grow.size.is_some() => {
            "--size is for --as raw and --as ext4".to_owned()
        }
        Form::Source | Form::Dir | Form::Raw if !arguments.image.is_plain() => {
            "--label, --uuid, --inode-ratio, --reserved, --journal and --add are for --as ext4 and \
             --as erofs"
                .to_owned()
        }
        Form::Raw | Form::Ext4 | Form::Erofs
            if arguments.output.as_deref().is_some_and(is_directory) =>
        {
            "an image is a file, and --output names a directory".to_owned()
        }
        Form::Raw | Form::Ext4 | Form::Erofs => return Ok(()),
        Form::Source | Form::Dir => {
            let tree = &arguments.tree;
            if !is_tree && (tree.map_owner.is_some() || tree.report.is_some()) {
                let message = "--map-owner and --report are for --as dir";
                return Err(Usage(message.to_owned()).into());
            }
            return Ok(());
        }
    };
    Err(Usage(message).into())
}

fn wanted(context: &Context, arguments: &Ensure) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for text in &arguments.images {
        if text.starts_with("docker://") {
            let image = pinned::Image::named(context, arguments, text)?;
            wanted.push(Wanted::Image(image));
            continue;
        }
        if text.contains("://") {
            wanted.push(Wanted::File(Box::new(by_hash(text, arguments)?)));
            continue;
        }
        if arguments.sha256.is_some() {
            return Err(Usage(format!("--sha256 is for a URL; the catalog pins {text}")).into());
        }
        for (image, pin) in select::pins(context, text)? {
            check_kind(arguments.form, image)?;
            wanted.push(match &pin.address {
                Address::Repository(name) => {
                    Wanted::Image(pinned::Image::of_catalog(image, pin, name)?)
                }
                Address::Url(_) => {
                    let request = Request::pinned(&context.catalog, image, pin)?;
                    Wanted::File(Box::new(request))
                }
            });
        }
    }
    Ok(wanted)
}

/// That an image cannot become what is asked for is said before it is fetched.
fn check_kind(form: Form, image: &Image) -> Result<()> {
    match form {
        Form::Raw => super::disk::check_kind(image),
        Form::Ext4 | Form::Erofs if image.kind == Content::Disk => {
            let name = &image.name;
            let message = format!("{name} is a disk, with file systems of its own: --as raw");
            Err(Usage(message).into())
        }
        _ => Ok(()),
    }
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
    // Whoever interrupts us is told so, whatever else went wrong.
    errors.sort_by_key(|error| {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        kind != Some(distro_fetch::Kind::Cancelled)
    });
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
    let overwrite = select::overwrite(force);
    Ok(outcome
        .entry
        .copy_to(target, overwrite, || !super::signals::received())?)
}

fn document(request: &Request, outcome: &Outcome, made: &Made) -> serde_json::Value {
    let record = outcome.entry.record();
    let mut document = json!({
        "image": request.key.image,
        "arch": request.key.arch,
        "snapshot": request.key.snapshot,
        "sha256": record.sha256.to_string(),
        "size": record.stamp.size,
        "form": made.form,
        "path": made.path.to_string_lossy(),
        "cached": made.cached,
        "source": record.url,
    });
    if let Some((name, value)) = &made.extra {
        document[*name] = value.clone();
    }
    document
}
