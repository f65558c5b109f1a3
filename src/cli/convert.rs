//! `convert`: a file, or an image of the catalog, in another form.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use distro_fetch::Error;
use distro_fetch::cache::Overwrite;
use distro_fetch::catalog::Reference;
use distro_fetch::rootfs::{DiskFile, LocalDisk};
use serde_json::json;

use super::args::{Convert, Ensure, Form, Pull};
use super::context::Context;
use super::disk::{self, Sizes};
use super::ensure;
use super::hints::Usage;
use super::output;
use super::progress::Reporter;

pub(crate) fn run(context: &Context, arguments: Convert) -> Result<ExitCode> {
    let form = form(&arguments)?;
    if let Some(path) = local(context, &arguments.source) {
        return match form {
            Form::Raw => raw(context, &path, &arguments),
            form => Err(missing(form)),
        };
    }
    // The same as `ensure`, left somewhere.
    let Convert {
        source,
        output,
        from,
        grow,
        force,
        tree,
        ..
    } = arguments;
    let arguments = Ensure {
        images: vec![source],
        form,
        output: Some(output),
        from,
        grow,
        pull: Pull::Missing,
        force,
        verify: false,
        sha256: None,
        tree,
    };
    ensure::run(context, &arguments)
}

fn raw(context: &Context, path: &Path, arguments: &Convert) -> Result<ExitCode> {
    let name = path.to_string_lossy();
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let meta = std::fs::metadata(path).map_err(|error| Error::local("cannot read", path, error))?;
    if !meta.is_file() {
        return Err(Usage(format!("{name} is not a file")).into());
    }
    let file = File::open(path).map_err(|error| Error::local("cannot read", path, error))?;
    let kind = DiskFile::of(&name, arguments.from, &file)?;
    let overwrite = if arguments.force {
        Overwrite::Yes
    } else {
        Overwrite::No
    };
    let reporter = Reporter::new(context);
    let growth = disk::growth(&arguments.grow);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let made = LocalDisk::new(&name, file, kind, &reporter)
        .with_folder(folder)
        .to_file(&arguments.output, growth, overwrite);
    reporter.finish();
    disk::tell(&name, &made.map_err(disk::shrinking)?);
    let target = std::path::absolute(&arguments.output)?;
    if context.global.json {
        let sizes = Sizes::of_raw(&target)?;
        output::json(&json!({
            "source": name,
            "form": "raw",
            "path": target.to_string_lossy(),
            "virtual_size": sizes.disk,
            "allocated": sizes.allocated,
        }))?;
    } else {
        output::result(&target.to_string_lossy())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that a source names; none for an image of the catalog. What could be both is the
/// image: what a name means does not depend on the directory that one happens to be in.
fn local(context: &Context, source: &str) -> Option<std::path::PathBuf> {
    if let Some(path) = source.strip_prefix("file:") {
        return Some(path.into());
    }
    let is_image = source
        .parse::<Reference>()
        .is_ok_and(|reference| context.catalog.find(&reference.name).is_ok());
    let looks = source.contains('/') || Path::new(source).exists();
    (!is_image && looks).then(|| source.into())
}

/// What was asked for, or what the name of the output says.
fn form(arguments: &Convert) -> Result<Form> {
    if let Some(form) = arguments.to {
        return Ok(form);
    }
    let output = arguments.output.to_string_lossy().to_ascii_lowercase();
    let extension = output.rsplit_once('.').map(|(_, extension)| extension);
    match extension {
        _ if output.ends_with('/') => Ok(Form::Dir),
        Some("raw" | "img") => Ok(Form::Raw),
        Some("ext4") => Ok(Form::Ext4),
        Some("erofs") => Ok(Form::Erofs),
        _ => Err(Usage(format!(
            "{}: its name does not tell what to make; say it: --to raw",
            arguments.output.display()
        ))
        .into()),
    }
}

fn missing(form: Form) -> anyhow::Error {
    let word = clap::ValueEnum::to_possible_value(&form);
    let word = word.map_or_else(String::new, |it| it.get_name().to_owned());
    let advice = if form == Form::Dir {
        "; `unpack` makes a directory of an archive"
    } else {
        ""
    };
    Usage(format!(
        "a file is not converted to {word} by this version{advice}"
    ))
    .into()
}
