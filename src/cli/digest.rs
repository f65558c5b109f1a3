//! `digest`: one digest, or one list, of a tree, however it is stored.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::event::{Event, Observer as _, What};
use distro_fetch::fsimg::{self, erofs, ext4};
use distro_fetch::rootfs::{Opening, Shape, Source, Spelled, Unpacker};
use distro_fetch::tree::{Tree, TreeDigest};
use distro_fetch::{Error, Kind, sys};
use serde_json::json;

use super::args::DigestOf;
use super::context::Context;
use super::fsimg::System;
use super::output;
use super::progress::Reporter;
use super::unpack;

pub(crate) fn run(context: &Context, arguments: &DigestOf) -> Result<ExitCode> {
    let reporter = Reporter::new(context);
    if arguments.list {
        let tree = tree(arguments, &reporter).map(|(tree, _)| tree);
        reporter.finish();
        let tree = tree?;
        return output::stream(|out| fsimg::list(&tree, out)).map(|()| ExitCode::SUCCESS);
    }
    let digest = digest(arguments, &reporter);
    reporter.finish();
    let digest = digest?.to_string();
    if context.global.json {
        let path = arguments.path.to_string_lossy();
        output::json(&json!({ "path": path, "digest": digest }))?;
    } else {
        output::result(&digest)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A directory and a plain archive are read once, from the beginning to the end; of all others
/// there is a tree first.
fn digest(arguments: &DigestOf, reporter: &Reporter) -> Result<TreeDigest> {
    let path = &arguments.path;
    if image_of(path).is_some() || layers(path) {
        let (tree, name) = tree(arguments, reporter)?;
        let tell = |done, total| tell(reporter, &name, done, Some(total));
        return Ok(tree.digest(sys::processors(), tell)?);
    }
    if path.is_dir() {
        return Ok(TreeDigest::of_directory(path, sys::processors(), reporter)?);
    }
    let (file, format, name) = unpack::open(path, &arguments.read)?;
    let size = file.metadata().map_or(0, |meta| meta.len());
    let digest = Unpacker::new(&name, format, reporter)
        .with_limits(arguments.read.limits.limits())
        .with_total(size)
        .digest(file);
    Ok(digest.map_err(|error| error.about(&name))?)
}

/// The tree, and what it is called in messages.
fn tree(arguments: &DigestOf, reporter: &Reporter) -> Result<(Tree, String)> {
    let path = &arguments.path;
    let limits = arguments.read.limits.limits();
    let name = path.to_string_lossy().into_owned();
    let Some(system) = image_of(path) else {
        let spool = std::env::temp_dir();
        let opening = Opening {
            platform: None,
            format: arguments.read.from,
            spool: &spool,
            limits,
            observer: reporter,
        };
        let spelled = Spelled::parse(&name)?;
        if spelled == Spelled::Unknown {
            let missing = std::io::ErrorKind::NotFound.into();
            return Err(Error::local("cannot read", path, missing).into());
        }
        let tree = Source::open(&spelled, opening)?.tree(opening)?;
        return Ok((tree, name));
    };
    let file = sys::open_regular_through_links(path)
        .map_err(|error| Error::local("cannot read", path, error))?;
    let tree = match system {
        System::Ext4 => ext4::Reader::open(file, limits)
            .and_then(|it| it.tree(|| tell(reporter, &name, 0, None))),
        System::Erofs => erofs::Reader::open(file, Vec::new(), limits).and_then(|it| it.tree()),
    };
    let tree = tree.map_err(|error| error.about(&name))?;
    Ok((tree, name))
}

fn tell(
    reporter: &Reporter,
    subject: &str,
    received: u64,
    total: Option<u64>,
) -> distro_fetch::Result<()> {
    let what = What::Progress { received, total };
    if reporter.on(Event { subject, what }).is_break() {
        return Err(Error::new(Kind::Cancelled, "stopped"));
    }
    Ok(())
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

/// Whether a source is made of layers.
fn layers(path: &Path) -> bool {
    match path.to_str().map(Spelled::parse) {
        Some(Ok(Spelled::Here { kind, .. })) => !matches!(kind, Shape::Folder | Shape::Archive),
        _ => false,
    }
}
