//! `convert`: a file, a directory, or an image, in another form.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use clap::{Args, ValueEnum};
use distro_fetch::Error;
use distro_fetch::cache::Rehash;
use distro_fetch::catalog::{Address, Image, Kind as Content, Reference};
use distro_fetch::fetch::Reach;
use distro_fetch::oci::{Carrier, ImageReference, Platform, Pulled};
use distro_fetch::rootfs::{DiskFile, LocalDisk, Source, Spelled};
use serde_json::json;

use super::args::{Ensure, Form, Grow, Tree};
use super::context::Context;
use super::convert_tree::{self, Job, Made};
use super::disk::{self, Sizes};
use super::ensure;
use super::fsimg::{ImageOptions, System};
use super::hints::Usage;
use super::limits::ArchiveLimits;
use super::output;
use super::progress::Reporter;
use super::pull::PullWhen;
use super::registry::{self, Manner, Registry};
use super::select;

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// An image of the catalog, a file, a directory, or docker://REFERENCE. What a path alone does
    /// not tell, a prefix does: file: oci: oci-archive: docker-archive: overlay2: dir: docker:
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where the result goes
    #[arg(long, short, required = true, value_name = "OUT")]
    output: PathBuf,
    /// What to make [default: what the name of OUT says: .raw, .img, .ext4, .erofs, .tar; a name
    /// ending in / is a directory]
    #[arg(long, value_name = "FORM", value_enum)]
    to: Option<To>,
    /// What the source is, where its name does not tell: raw or qcow2 of a disk image; plain,
    /// gzip, xz, zstd or bzip2 of an archive
    #[arg(long, value_name = "FORMAT")]
    from: Option<String>,
    #[command(flatten)]
    grow: Grow,
    /// What an image is called in its archive: NAME[:TAG]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// When a registry is asked what a tag means
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = PullWhen::Missing)]
    pull: PullWhen,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    limits: ArchiveLimits,
    /// EROFS of a container image: one image for each layer, one that merges them, and a VMDK
    /// descriptor that makes one disk of all; OUT is a directory
    #[arg(long)]
    layered: bool,
    #[command(flatten)]
    image: ImageOptions,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    registry: Registry,
}

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// A raw disk
    Raw,
    /// A directory
    Dir,
    /// A tar of the tree, the same for the same tree
    Tar,
    /// An OCI image layout in a tar
    OciArchive,
    /// What `docker load` reads
    DockerArchive,
    /// An ext4 file system
    Ext4,
    /// An EROFS file system
    Erofs,
}

impl To {
    fn of(arguments: &Convert) -> Result<Self> {
        if let Some(to) = arguments.to {
            return Ok(to);
        }
        if arguments.layered {
            return Ok(Self::Erofs);
        }
        let output = arguments.output.to_string_lossy().to_ascii_lowercase();
        let extension = output.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            _ if output.ends_with('/') => Ok(Self::Dir),
            Some("raw" | "img") => Ok(Self::Raw),
            Some("tar") => Ok(Self::Tar),
            Some("ext4") => Ok(Self::Ext4),
            Some("erofs") => Ok(Self::Erofs),
            _ => Err(Usage(format!(
                "{}: its name does not tell what to make; say it: --to raw, --to dir, --to tar",
                arguments.output.display()
            ))
            .into()),
        }
    }
}

pub(crate) fn run(context: &Context, arguments: Convert) -> Result<ExitCode> {
    let to = To::of(&arguments)?;
    let made = match to {
        To::Raw => return raw(context, arguments),
        To::Dir => Made::Dir,
        To::Tar => Made::Tar,
        To::OciArchive => Made::Archive(Carrier::Oci),
        To::DockerArchive => Made::Archive(Carrier::Docker),
        To::Ext4 => Made::Image(System::Ext4),
        To::Erofs if arguments.layered => Made::Layered,
        To::Erofs => Made::Image(System::Erofs),
    };
    check(&arguments, made)?;
    let limits = arguments.limits.limits();
    let format = declared(&arguments)?;
    let job = Job {
        source: &arguments.source,
        output: &arguments.output,
        made,
        platform: arguments.registry.platform.as_ref(),
        format,
        name: arguments.name.as_deref(),
        image: &arguments.image,
        grow: &arguments.grow,
        limits,
        force: arguments.force,
        tree: &arguments.tree,
    };
    if let Some(image) = of_catalog(context, &arguments.source) {
        return match image.kind {
            Content::Oci => {
                let pulled = pull_pinned(context, &arguments)?;
                from_cache(context, &job, &pulled)
            }
            Content::Rootfs => {
                let entry = ensure::one(context, &arguments.source, arguments.pull.into())?;
                let path = entry.path().to_string_lossy().into_owned();
                let spelled = Spelled::parse(&format!("file:{path}"))?;
                convert_tree::run(context, &job, &spelled)
            }
            Content::Disk => Err(Usage(format!(
                "{} is a disk: it becomes a raw one (--to raw)",
                image.name
            ))
            .into()),
        };
    }
    match Spelled::parse(&arguments.source)? {
        Spelled::Registry(reference) => {
            let pulled = pull(context, &arguments, &reference)?;
            from_cache(context, &job, &pulled)
        }
        Spelled::Unknown => Err(unknown(context, &arguments.source)),
        spelled @ Spelled::Here { .. } => convert_tree::run(context, &job, &spelled),
    }
}

/// Options that mean nothing here.
fn check(arguments: &Convert, made: Made) -> Result<()> {
    let is_image = matches!(made, Made::Image(_) | Made::Layered);
    let wrong = if !is_image && (arguments.grow.size.is_some() || arguments.grow.no_fix_gpt) {
        "--size is for --to raw and --to ext4, --no-fix-gpt for --to raw"
    } else if !is_image && !arguments.image.is_plain() {
        "--label, --uuid, --inode-ratio, --reserved, --journal and --add are for file systems"
    } else if arguments.layered && made != Made::Layered {
        "--layered is for --to erofs"
    } else if made == Made::Layered && !arguments.image.add.is_empty() {
        "--add is for one image, not for layers"
    } else if arguments.name.is_some() && !matches!(made, Made::Archive(_)) {
        "--name is for --to oci-archive and --to docker-archive"
    } else if arguments.tree.map_owner.is_some() && made != Made::Dir {
        "--map-owner is for --to dir"
    } else {
        return Ok(());
    };
    Err(Usage(wrong.to_owned()).into())
}

/// The image of the catalog that a source names, if it does. What could be a path as well is the
/// image: what a name means does not depend on the directory that one happens to be in.
fn of_catalog<'a>(context: &'a Context, source: &str) -> Option<&'a Image> {
    let reference: Reference = source.parse().ok()?;
    context.catalog.find(&reference.name).ok()
}

/// The error that `ensure` would give: it suggests names.
fn unknown(context: &Context, source: &str) -> anyhow::Error {
    if source.contains('/') {
        // No name of an image has one.
        let missing = std::io::ErrorKind::NotFound.into();
        return Error::local("cannot read", source, missing).into();
    }
    let found = source
        .parse::<Reference>()
        .and_then(|reference| context.catalog.find(&reference.name).map(|_| ()));
    match found {
        Err(error) => error.about("no such file, and").into(),
        Ok(()) => Usage(format!("{source}: no such file")).into(),
    }
}

/// What `--from` says: of a disk, or of an archive.
fn declared<T: FromStr<Err = Error>>(arguments: &Convert) -> Result<Option<T>> {
    let parsed = arguments.from.as_deref().map(str::parse).transpose();
    parsed.map_err(|error: Error| Usage(format!("--from: {}", error.message())).into())
}

fn from_cache(context: &Context, job: &Job<'_>, pulled: &Pulled) -> Result<ExitCode> {
    let cache = context.cache()?;
    convert_tree::convert(context, job, |_| {
        Source::pulled(&cache, pulled.digest, Some(&pulled.platform))
    })
}

fn pull(context: &Context, arguments: &Convert, reference: &str) -> Result<Pulled> {
    let reference = registry::reference(reference)?;
    let manner = manner(arguments);
    let puller = registry::puller(context, &arguments.registry, &manner, &[&reference])?;
    let reporter = Reporter::new(context);
    let image = puller.pull(&reference, &reporter);
    reporter.finish();
    Ok(image?)
}

fn pull_pinned(context: &Context, arguments: &Convert) -> Result<Pulled> {
    let (image, pin) = select::one(context, &arguments.source)?;
    let Address::Repository(repository) = &pin.address else {
        return Err(Usage(format!("{} is no container image", image.name)).into());
    };
    let reference = ImageReference::pinned(repository.parse()?, pin.sha256);
    let manner = manner(arguments);
    let puller = registry::pinned_puller(context, &arguments.registry, &manner, &[&reference])?;
    let platform = Platform::of(pin.arch);
    let reporter = Reporter::new(context);
    let pin = Some((image.name.as_str(), &platform));
    let brought = puller.pull_for(&reference, pin, &reporter);
    reporter.finish();
    Ok(brought.map_err(|error| error.about(image.name.as_str()))?)
}

fn manner(arguments: &Convert) -> Manner {
    Manner {
        policy: arguments.pull.into(),
        reach: Reach::Network,
        rehash: Rehash::IfTouched,
    }
}

fn raw(context: &Context, arguments: Convert) -> Result<ExitCode> {
    let format = declared(&arguments)?;
    if of_catalog(context, &arguments.source).is_some() {
        // The same as `ensure`, left somewhere.
        let arguments = Ensure {
            images: vec![arguments.source],
            form: Form::Raw,
            output: Some(arguments.output),
            from: format,
            grow: arguments.grow,
            image: arguments.image,
            pull: arguments.pull.into(),
            force: arguments.force,
            verify: false,
            sha256: None,
            tree: arguments.tree,
            limits: arguments.limits,
            registry: arguments.registry,
        };
        return ensure::run(context, &arguments);
    }
    let source = &arguments.source;
    let path = Path::new(source.strip_prefix("file:").unwrap_or(source));
    let name = path.to_string_lossy();
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(unknown(context, source));
        }
        Err(error) => return Err(Error::local("cannot read", path, error).into()),
    };
    if !meta.is_file() {
        return Err(Usage(format!("{name} is not a file: --to raw is for disk images")).into());
    }
    let file = File::open(path).map_err(|error| Error::local("cannot read", path, error))?;
    let kind = DiskFile::of(&name, format, &file)?;
    let overwrite = select::overwrite(arguments.force);
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
