//! `verify`: reads the cache and believes nothing.

use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::cache::{Cache, Condition, Entry, Found, Key, Record, Rehash};
use distro_fetch::event::{Event, Observer as _, What};
use distro_fetch::fetch::{Fetcher, Reach, Request};
use distro_fetch::rootfs::{Opening, Shelf};
use distro_fetch::tree::Policy;
use distro_fetch::{Error, Kind};
use serde_json::{Value, json};

use super::args::Verify;
use super::context::Context;
use super::hints;
use super::images;
use super::output;
use super::progress::Reporter;
use super::select::{self, Missing};

pub(crate) fn run(context: &Context, arguments: &Verify) -> Result<ExitCode> {
    let (images, names) = images::split(&arguments.images);
    let references = select::entries(context, &names, Missing::Refuse)?;
    let wanted = images::Wanted::new(&images, &references)?;
    let reach = if arguments.repair {
        Reach::Network
    } else {
        Reach::CacheOnly
    };
    let fetcher = context.fetcher(reach, Rehash::Always)?;
    let reporter = Reporter::new(context);
    let mut documents = Vec::new();
    let mut worst: Option<anyhow::Error> = None;
    for found in fetcher.cache().survey_where(Rehash::Always, |folder| {
        arguments.images.is_empty()
            || references
                .iter()
                .any(|it| it.means_folder(fetcher.cache(), folder))
    })? {
        let Found { folder, condition } = found?;
        let path = folder.to_string_lossy().into_owned();
        let status = match condition {
            Condition::Sound(entry) => {
                let path = entry.path().to_string_lossy().into_owned();
                say(context, "ok", &path, None)?;
                for made in prepared(&fetcher, &entry, arguments, &reporter) {
                    let Prepared { path, status, why } = made;
                    say(context, status, &path, why.as_deref())?;
                    if status == "damaged" {
                        let message = format!("{path}: what was prepared there was damaged");
                        worst.get_or_insert(
                            Error::new(Kind::Integrity, message).with_path(&path).into(),
                        );
                    }
                    documents.push(document(
                        Some(entry.record()),
                        &path,
                        status,
                        why.as_deref(),
                    ));
                }
                document(Some(entry.record()), &path, "ok", None)
            }
            Condition::Damaged(why) => {
                let outcome = mend(context, &fetcher, &folder, arguments.repair, &reporter);
                let status = match &outcome {
                    Ok(Some(_)) => "repaired",
                    _ => "damaged",
                };
                say(context, status, &path, Some(&why))?;
                match outcome {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        let message = format!("{path}: the cached copy is damaged: {why}");
                        worst.get_or_insert(
                            Error::new(Kind::Integrity, message)
                                .with_path(&folder)
                                .into(),
                        );
                    }
                    Err(error) => {
                        worst.get_or_insert(error);
                    }
                }
                document(None, &path, status, Some(&why))
            }
        };
        documents.push(status);
    }
    let damaged = images::verify(context, arguments, &wanted, &mut documents)?;
    let worst = worst.or(damaged);
    let damaged = if arguments.images.is_empty() {
        layers(context, fetcher.cache(), &reporter, &mut documents)?
    } else {
        None
    };
    let worst = worst.or(damaged);
    if context.global.json {
        output::json(&documents.into())?;
        return Ok(worst.map_or(ExitCode::SUCCESS, |error| {
            output::note(&format!("error: {error:#}"));
            ExitCode::from(hints::code(&error))
        }));
    }
    worst.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The line of one thing; of a sound one only where that is wanted.
pub(super) fn say(context: &Context, status: &str, path: &str, why: Option<&str>) -> Result<()> {
    if context.global.json || (status == "ok" && context.global.quiet) {
        return Ok(());
    }
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    output::result(&format!("{status:<8} {path}{why}"))
}

/// Hashes the images of layers. A damaged one goes: it is made again when somebody wants it.
fn layers(
    context: &Context,
    cache: &Cache,
    reporter: &Reporter,
    documents: &mut Vec<Value>,
) -> Result<Option<anyhow::Error>> {
    let shelf = Shelf::of(cache);
    let mut worst = None;
    for layer in shelf.layers()? {
        let path = layer.path.to_string_lossy().into_owned();
        let what = What::Unpacking {
            read: 0,
            total: None,
        };
        let tell = || {
            if reporter
                .on(Event {
                    subject: &path,
                    what,
                })
                .is_break()
            {
                return Err(Error::new(Kind::Cancelled, "stopped while hashing"));
            }
            Ok(())
        };
        let well = shelf.is_well(&layer.diff_id, tell);
        let (status, why) = judge(well, || shelf.forget(&layer.diff_id), None::<fn() -> _>);
        reporter.finish();
        say(context, status, &path, why.as_deref())?;
        if status == "damaged" {
            let message = format!("{path}: the image of a layer was damaged");
            worst.get_or_insert(Error::new(Kind::Integrity, message).with_path(&path).into());
        }
        documents.push(json!({
            "kind": "layer", "image": format!("sha256:{}", layer.diff_id),
            "path": path, "status": status, "reason": why,
        }));
    }
    Ok(worst)
}

/// A prepared tree or disk, and what it is worth.
struct Prepared {
    path: String,
    status: &'static str,
    why: Option<String>,
}

impl Prepared {
    fn at(path: &std::path::Path, status: &'static str, why: Option<String>) -> Self {
        let path = path.to_string_lossy().into_owned();
        Self { path, status, why }
    }
}

/// Holds what was prepared of a sound entry against its file. What is damaged goes: it can be made
/// again at any time.
fn prepared(
    fetcher: &Fetcher,
    entry: &Entry,
    arguments: &Verify,
    reporter: &Reporter,
) -> Vec<Prepared> {
    let (repair, limits) = (arguments.repair, arguments.limits.limits());
    let mut list = Vec::new();
    for (recipe, path) in entry.prepared_trees() {
        let (status, why) = if recipe.is_ours() {
            judge(
                entry.is_prepared_well(&recipe, limits, reporter),
                || entry.forget_prepared(&recipe),
                repair.then_some(|| {
                    let policy = Policy::of_this_user();
                    let made = entry.prepare(fetcher.cache(), policy, limits, reporter);
                    made.map(|_| ())
                }),
            )
        } else {
            // Other owners, other rights: only who made it can tell.
            let why = "made by another kind of user, who can verify it".to_owned();
            ("skipped", Some(why))
        };
        list.push(Prepared::at(&path, status, why));
    }
    for (recipe, path) in entry.prepared_disks() {
        let (status, why) = judge(
            entry.is_disk_prepared_well(&recipe, reporter),
            || entry.forget_disk(&recipe),
            repair.then_some(|| {
                let made = entry.prepare_disk_by(fetcher.cache(), &recipe, reporter);
                made.map(|_| ())
            }),
        );
        list.push(Prepared::at(&path, status, why));
    }
    let opening = Opening {
        platform: None,
        format: None,
        spool: entry.folder(),
        limits,
        observer: reporter,
    };
    for (recipe, path) in entry.prepared_images() {
        let (status, why) = judge(
            entry.is_image_prepared_well(&recipe, opening),
            || entry.forget_image(&recipe),
            repair.then_some(|| {
                let made = entry.prepare_image(fetcher.cache(), recipe.system(), opening);
                made.map(|_| ())
            }),
        );
        list.push(Prepared::at(&path, status, why));
    }
    reporter.finish();
    list
}

/// What becomes of a thing that was compared with what it should be.
fn judge(
    is_well: distro_fetch::Result<bool>,
    forget: impl FnOnce() -> distro_fetch::Result<()>,
    again: Option<impl FnOnce() -> distro_fetch::Result<()>>,
) -> (&'static str, Option<String>) {
    match is_well {
        Ok(true) => return ("ok", None),
        Ok(false) => {}
        Err(error) => return ("damaged", Some(error.to_string())),
    }
    let why = "it is not what it should be; removed".to_owned();
    let mended = match (forget(), again) {
        (Ok(()), Some(again)) => again().map(|()| "repaired"),
        (done, _) => done.map(|()| "damaged"),
    };
    match mended {
        Ok(status) => (status, Some(why)),
        Err(error) => ("damaged", Some(error.to_string())),
    }
}

/// Sets a damaged entry aside, and fetches it again if asked and if anyone still pins it.
fn mend(
    context: &Context,
    fetcher: &Fetcher,
    folder: &std::path::Path,
    repair: bool,
    reporter: &Reporter,
) -> Result<Option<std::path::PathBuf>> {
    let request = repair
        .then(|| pinned_at(context, fetcher, folder))
        .flatten();
    match fetcher.cache().set_aside(folder, None, Rehash::Always) {
        Ok(Some(aside)) if !context.global.quiet => {
            output::note(&format!(
                "{}: set aside as {}",
                folder.display(),
                aside.display()
            ));
        }
        Ok(_) => {}
        // The damage is the news, not that a read-only cache keeps it.
        Err(error) => {
            output::note(&format!("{}: {error}", folder.display()));
            return Ok(None);
        }
    }
    let Some(request) = request else {
        return Ok(None);
    };
    let outcome = fetcher.ensure(&request, reporter)?;
    Ok(Some(outcome.entry.path()))
}

/// The request whose entry this directory is, if the catalog still has it.
fn pinned_at(context: &Context, fetcher: &Fetcher, folder: &std::path::Path) -> Option<Request> {
    let images = context.catalog.images.iter();
    let pins = images.flat_map(|image| image.pins.iter().map(move |pin| (image, pin)));
    let mut matching = pins.filter(|(image, pin)| {
        Key::pinned(&image.name, pin).is_some_and(|key| fetcher.cache().folder_of(&key) == folder)
    });
    let (image, pin) = matching.next()?;
    Request::pinned(&context.catalog, image, pin).ok()
}

fn document(record: Option<&Record>, path: &str, status: &str, why: Option<&str>) -> Value {
    json!({
        "image": record.map(|it| &it.image),
        "arch": record.map(|it| &it.arch),
        "snapshot": record.map(|it| &it.snapshot),
        "sha256": record.map(|it| it.sha256.to_string()),
        "path": path,
        "status": status,
        "reason": why,
    })
}
