//! Images of file systems: what stands on the command line about them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use distro_fetch::archive::{Limits, Time};
use distro_fetch::cache::{Cache, Entry, Overwrite};
use distro_fetch::fsimg::ext4::Reserved;
use distro_fetch::fsimg::{Uuid, erofs, ext4};
use distro_fetch::rootfs::{FileSystem, Imaging, Opening, Source, Spelled};
use distro_fetch::tree::Addition;
use distro_fetch::{Error, Kind};
use serde_json::Value;

use super::args::Grow;
use super::context::Context;
use super::hints::Usage;
use super::output;
use super::progress::Reporter;

/// How the image of a file system is made.
#[derive(Args, Debug)]
#[command(next_help_heading = "File-system images")]
pub(crate) struct ImageOptions {
    /// What the file system is called: at most 16 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// What it is told apart by [default: made of what is in it]
    #[arg(long, value_name = "UUID")]
    pub(crate) uuid: Option<Uuid>,
    /// ext4: one inode for so many bytes
    #[arg(long, value_name = "BYTES", value_parser = distro_fetch::base::parse_bytes)]
    pub(crate) inode_ratio: Option<u64>,
    /// ext4: blocks for root alone, as 5% or as a number
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) reserved: Option<Reserved>,
    /// ext4: with a journal
    #[arg(long)]
    pub(crate) journal: bool,
    /// Put a file of this machine into the image
    #[arg(long, value_name = "HOST:/GUEST[:MODE]")]
    pub(crate) add: Vec<Addition>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Ext4,
    Erofs,
}

impl ImageOptions {
    /// Whether anything was said.
    pub(crate) fn is_plain(&self) -> bool {
        let Self {
            label,
            uuid,
            inode_ratio,
            reserved,
            journal,
            add,
        } = self;
        label.is_none()
            && uuid.is_none()
            && inode_ratio.is_none()
            && reserved.is_none()
            && !journal
            && add.is_empty()
    }

    /// The file system that was asked for.
    pub(crate) fn system(&self, system: System, grow: &Grow) -> Result<FileSystem> {
        let epoch = Context::source_date()?;
        if grow.no_fix_gpt {
            return Err(Usage("--no-fix-gpt is for raw disks".to_owned()).into());
        }
        Ok(match system {
            System::Ext4 => {
                let default = ext4::Options::default();
                FileSystem::Ext4(ext4::Options {
                    size: grow.size,
                    label: self.label.clone().unwrap_or_default(),
                    uuid: self.uuid,
                    inode_ratio: self.inode_ratio.unwrap_or(default.inode_ratio),
                    reserved: self.reserved.unwrap_or(default.reserved),
                    journal: self.journal,
                    epoch,
                })
            }
            System::Erofs => {
                if grow.size.is_some()
                    || self.inode_ratio.is_some()
                    || self.reserved.is_some()
                    || self.journal
                {
                    let message = "--size, --inode-ratio, --reserved and --journal are for ext4: an EROFS \
                         image is as large as what is in it";
                    return Err(Usage(message.to_owned()).into());
                }
                FileSystem::Erofs(self.erofs(epoch)?)
            }
        })
    }

    pub(crate) fn erofs(&self, epoch: Option<u64>) -> Result<erofs::Options> {
        let seconds = epoch.map(i64::try_from).transpose();
        let seconds = seconds.map_err(|_| Usage("SOURCE_DATE_EPOCH is too large".to_owned()))?;
        Ok(erofs::Options {
            volume: self.label.clone().unwrap_or_default(),
            uuid: self.uuid,
            epoch: seconds.map(|seconds| Time { seconds, nanos: 0 }),
            ..erofs::Options::default()
        })
    }

    /// The same, and what else there is to it; `hash`: whether its digest will be told.
    pub(crate) fn imaging(&self, system: System, grow: &Grow, hash: bool) -> Result<Imaging> {
        let system = self.system(system, grow)?;
        let seconds = Context::source_date()?.and_then(|it| i64::try_from(it).ok());
        Ok(Imaging {
            system,
            add: self.add.clone(),
            time: seconds.map(|seconds| Time { seconds, nanos: 0 }),
            hash,
        })
    }
}

/// An image of a cached file, and what is said about it.
pub(crate) struct MadeImage {
    pub(crate) path: PathBuf,
    pub(crate) cached: bool,
    pub(crate) about: Value,
}

/// Makes the image of a verified archive: in the cache, or where it was asked for.
pub(crate) fn prepare(
    cache: &Cache,
    entry: &Entry,
    (system, grow): (System, &Grow),
    options: &ImageOptions,
    target: Option<(&Path, Overwrite)>,
    limits: Limits,
    reporter: &Reporter,
) -> Result<MadeImage> {
    let opening = |spool| Opening {
        platform: None,
        format: None,
        spool,
        limits,
        observer: reporter,
    };
    let Some((target, overwrite)) = target else {
        if !options.add.is_empty() {
            let message = "--add is for an image of one's own: say where it goes with --output";
            return Err(Usage(message.to_owned()).into());
        }
        let system = options.system(system, grow)?;
        let made = entry.prepare_image(cache, &system, opening(Path::new("")));
        let made = made.map_err(too_small)?;
        return Ok(MadeImage {
            path: made.path,
            cached: made.cached,
            about: made.made,
        });
    };
    let target = std::path::absolute(target)?;
    let spool = target.parent().unwrap_or(&target);
    let opening = opening(spool);
    let file = format!("file:{}", entry.path().to_string_lossy());
    let source = Source::open(&Spelled::parse(&file)?, opening)?;
    let imaging = options.imaging(system, grow, true)?;
    let made = source.to_image(&target, &imaging, overwrite, opening);
    let made = made.map_err(too_small)?;
    tell(&entry.record().image, &made.lost);
    Ok(MadeImage {
        path: made.path.clone(),
        cached: false,
        about: made.to_json(),
    })
}

/// To ask for too little is a mistake on the command line.
pub(crate) fn too_small(error: Error) -> anyhow::Error {
    if error.kind() == Kind::Other {
        Usage(error.message().to_owned()).into()
    } else {
        error.into()
    }
}

/// What a file system could not say.
pub(crate) fn tell(name: &str, lost: &[String]) {
    if !lost.is_empty() {
        output::note(&format!("{name}: not kept: {}", lost.join(", ")));
    }
}
