//! What a user names: an image, an archive or a directory on this machine.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unpack::format_of;
use crate::archive::{Checks, Decoder, Format, Kind as What, Limits, Reader};
use crate::base::Digest;
use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::oci::{
    DockerArchive, Image, ImageArchive, Layout, Loader, Platform, Trust, is_overlay_folder,
    open_overlay_folder, open_skopeo_folder,
};
use crate::sys;
use crate::tree::{Dialect, Flavor, Keep, Layer, Spool, Tree, Window};

/// A source, as somebody wrote it.
///
/// A prefix settles what it is: `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`,
/// `docker-archive:FILE[:NAME]`, `overlay2:DIR`, `dir:DIR`, `file:PATH`, `docker://REFERENCE`.
/// A path alone is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// It is on this machine.
    Here {
        /// What it is.
        kind: Shape,
        /// Where it is.
        path: PathBuf,
        /// Which of several images.
        name: Option<String>,
    },
    /// An image of a registry, by its reference.
    Registry(String),
    /// There is no such path: perhaps an image of the catalog.
    Unknown,
}

/// What a source on this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A directory that is an OCI layout.
    Layout,
    /// A tar of one.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// A tar of images of either kind.
    ImageArchive,
    /// What skopeo calls `dir:`.
    SkopeoFolder,
    /// A directory of a chain of Docker's `overlay2`.
    Overlay,
    /// A tree, as it is.
    Folder,
    /// A file: the tar of a tree, in any compression.
    Archive,
}

impl Spelled {
    /// Reads a source. Of a path without a prefix it is looked at what there is.
    ///
    /// # Errors
    /// [`Kind::Local`] if a path with a prefix does not exist, or cannot be looked at.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(reference) = text.strip_prefix("docker:") {
            let reference = reference.strip_prefix("//").unwrap_or(reference);
            return Ok(Self::Registry(reference.to_owned()));
        }
        for (prefix, kind) in [
            ("oci:", Shape::Layout),
            ("oci-archive:", Shape::OciArchive),
            ("docker-archive:", Shape::DockerArchive),
        ] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let (path, name) = split_name(rest).unwrap_or((rest, None));
                return Self::must(kind, path, name);
            }
        }
        if let Some(path) = text.strip_prefix("overlay2:") {
            return Self::must(Shape::Overlay, path, None);
        }
        if let Some(path) = text.strip_prefix("dir:") {
            let kind = if is_skopeo_folder(Path::new(path)) {
                Shape::SkopeoFolder
            } else {
                Shape::Folder
            };
            return Self::must(kind, path, None);
        }
        if let Some(path) = text.strip_prefix("file:") {
            let is_folder = Path::new(path).is_dir();
            let kind = if is_folder {
                Shape::Folder
            } else {
                Shape::Archive
            };
            return Self::must(kind, path, None);
        }
        let Some((path, name)) = split_name(text) else {
            return Ok(Self::Unknown);
        };
        let kind = shape(Path::new(path))?;
        let of_images = matches!(
            kind,
            Shape::Layout | Shape::OciArchive | Shape::DockerArchive | Shape::ImageArchive
        );
        if name.is_some() && !of_images {
            return Ok(Self::Unknown);
        }
        Self::must(kind, path, name)
    }

    fn must(kind: Shape, path: &str, name: Option<&str>) -> Result<Self> {
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::local("cannot open", path, error));
        }
        Ok(Self::Here {
            kind,
            path: path.into(),
            name: name.map(str::to_owned),
        })
    }
}

/// How sources are opened and read.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// Which of several images; this machine's without.
    pub platform: Option<&'a Platform>,
    /// How an archive of a tree is compressed, if its name does not tell.
    pub format: Option<Format>,
    /// A directory for files without a name: best one on the file system of the output.
    pub spool: &'a Path,
    /// What stops a source that means harm.
    pub limits: Limits,
    /// Hears how it is going, and may stop it.
    pub observer: &'a dyn Observer,
}

/// A source that was opened.
#[derive(Debug)]
pub enum Source {
    /// An image with its layers.
    Image(Box<Image>, Trust),
    /// The tar of a tree.
    Archive(PathBuf, Format),
    /// A directory.
    Folder(PathBuf),
}

impl Source {
    /// Opens what was spelled.
    ///
    /// # Errors
    /// [`Kind::Unknown`] if there is no such image, or none for this platform, with what there is;
    /// [`Kind::Integrity`] if something is not what it should be; [`Kind::Format`] if something is
    /// malformed, or the source is not on this machine; [`Kind::Local`]; [`Kind::Cancelled`].
    pub fn open(spelled: &Spelled, opening: Opening<'_>) -> Result<Self> {
        let Spelled::Here { kind, path, name } = spelled else {
            let message = format!("{spelled:?} is not on this machine");
            return Err(Error::new(Kind::Format, message));
        };
        let name = name.as_deref();
        let Opening {
            platform,
            spool,
            limits,
            ..
        } = opening;
        let subject = path.to_string_lossy();
        let tell = || opening.tell(&subject, 0, None);
        let image = match kind {
            Shape::Layout => Layout::open(path)?.image(name, platform)?,
            Shape::OciArchive => {
                Layout::open_archive(path, spool, limits, tell)?.image(name, platform)?
            }
            Shape::DockerArchive => {
                DockerArchive::open(path, spool, limits, tell)?.image(name, platform)?
            }
            Shape::ImageArchive => match ImageArchive::open(path, spool, limits, tell)? {
                Some(archive) => archive.image(name, platform)?,
                None => return Self::archive(path, opening),
            },
            Shape::SkopeoFolder => open_skopeo_folder(path, platform)?,
            Shape::Overlay => open_overlay_folder(path)?,
            Shape::Folder => return Ok(Self::Folder(path.clone())),
            Shape::Archive => return Self::archive(path, opening),
        };
        Ok(Self::Image(Box::new(image), Trust::Nobody))
    }

    fn archive(path: &Path, opening: Opening<'_>) -> Result<Self> {
        let format = match opening.format {
            Some(format) => format,
            None => format_of(&mut open(path)?, &path.to_string_lossy())?,
        };
        Ok(Self::Archive(path.to_owned(), format))
    }

    /// An image in the layout of a cache, by the digest of its manifest: somebody has just pulled
    /// it, so that its parts are not hashed again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn pulled(cache: &Cache, digest: Digest, platform: Option<&Platform>) -> Result<Self> {
        let image = Layout::open(&cache.layout())?.image_of(digest, platform)?;
        Ok(Self::Image(Box::new(image), Trust::Hashed))
    }

    /// The image, if it is one.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image, _) => Some(image),
            _ => None,
        }
    }

    /// Its layers, the lowest first; one, for what has none.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for limits.
    pub fn layers(&self, opening: Opening<'_>) -> Result<Vec<Layer>> {
        match self {
            Self::Image(image, trust) => opening.loader(*trust).layers(image),
            Self::Folder(path) => {
                let subject = path.to_string_lossy();
                let tell = || opening.tell(&subject, 0, None);
                Layer::of_directory(path, Flavor::Plain, opening.limits, tell).map(|it| vec![it])
            }
            Self::Archive(path, format) => {
                let read = read(path, *format, opening).map(|it| vec![it]);
                read.map_err(|error| error.about(&path.to_string_lossy()))
            }
        }
    }

    /// All of it as one tree, without unpacking anything.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for limits.
    pub fn tree(&self, opening: Opening<'_>) -> Result<Tree> {
        match self {
            Self::Image(image, trust) => Ok(opening.loader(*trust).tree(image)?.tree),
            Self::Folder(path) => {
                let subject = path.to_string_lossy();
                Tree::of_directory(path, opening.limits, || opening.tell(&subject, 0, None))
            }
            Self::Archive(path, format) => {
                let subject = path.to_string_lossy();
                let read = read(path, *format, opening).and_then(|layer| {
                    let whole = layer.into_tree();
                    whole.ok_or_else(|| Error::new(Kind::Other, "an archive with whiteouts"))
                });
                read.map_err(|error| error.about(&subject))
            }
        }
    }
}

impl<'a> Opening<'a> {
    fn loader(&self, trust: Trust) -> Loader<'a> {
        Loader::new(self.spool, self.observer)
            .with_limits(self.limits)
            .with_trust(trust)
    }

    pub(super) fn tell(&self, subject: &str, read: u64, total: Option<u64>) -> Result<()> {
        let what = crate::event::What::Unpacking { read, total };
        if self.observer.on(Event { subject, what }).is_break() {
            return Err(Error::new(Kind::Cancelled, "stopped while unpacking"));
        }
        Ok(())
    }
}

/// The layer that an archive is; one that is not compressed is left where it is.
fn read(path: &Path, format: Format, opening: Opening<'_>) -> Result<Layer> {
    let limits = opening.limits;
    let subject = path.to_string_lossy();
    let cannot = |error| Error::local("cannot read", path, error);
    let window = Window::whole(Arc::new(open(path)?)).map_err(cannot)?;
    let total = window.left();
    let tell = || opening.tell(&subject, 0, Some(total));
    Ok(if format == Format::Plain {
        let reader = Reader::new(window.clone(), limits);
        let keep = Keep::InPlace(window);
        Layer::read(reader, Dialect::Plain, keep, limits, tell)?.0
    } else {
        let decoder = Decoder::new(window, format, &limits, Checks::Verify)?;
        let reader = Reader::new(decoder.threaded(), limits);
        let keep = Keep::Spool(Spool::create(opening.spool)?);
        Layer::read(reader, Dialect::Plain, keep, limits, tell)?.0
    })
}

pub(super) fn open(path: &Path) -> Result<File> {
    sys::open_regular_through_links(path).map_err(|error| Error::local("cannot read", path, error))
}

/// A path that exists, and what is behind a colon after it: the longest such path. None if there
/// is no such path.
fn split_name(text: &str) -> Option<(&str, Option<&str>)> {
    if Path::new(text).exists() {
        return Some((text, None));
    }
    let colons = text.rmatch_indices(':');
    let mut splits = colons.map(|(at, _)| (&text[..at], &text[at + 1..]));
    splits
        .find(|(path, _)| !path.is_empty() && Path::new(path).exists())
        .map(|(path, name)| (path, Some(name)))
}

/// What there is at a path.
fn shape(path: &Path) -> Result<Shape> {
    let meta = std::fs::metadata(path).map_err(|error| Error::local("cannot open", path, error))?;
    if meta.is_dir() {
        return Ok(if path.join("oci-layout").is_file() {
            Shape::Layout
        } else if is_overlay_folder(path) {
            Shape::Overlay
        } else if is_skopeo_folder(path) {
            Shape::SkopeoFolder
        } else {
            Shape::Folder
        });
    }
    if meta.is_file() && has_images(path) {
        return Ok(Shape::ImageArchive);
    }
    Ok(Shape::Archive)
}

fn is_skopeo_folder(path: &Path) -> bool {
    let version = path.join("version");
    let Ok(file) = sys::open_regular(&version) else {
        return false;
    };
    let mut text = Vec::new();
    let read = file.take(64).read_to_end(&mut text);
    read.is_ok()
        && text.starts_with(b"Directory Transport Version: ")
        && path.join("manifest.json").is_file()
}

/// Whether the first members of a tar are those of an archive of images. Trees begin otherwise,
/// and whatever an archive is taken for, it is read as strictly.
fn has_images(path: &Path) -> bool {
    let look = || -> Result<bool> {
        let mut file = open(path)?;
        let mut start = Vec::new();
        let cannot = |error| Error::local("cannot read", path, error);
        (&file)
            .take(Format::MAGIC as u64)
            .read_to_end(&mut start)
            .map_err(cannot)?;
        file.rewind().map_err(cannot)?;
        let Some(format) = Format::of_magic(&start) else {
            return Ok(false);
        };
        let limits = Limits::default();
        let decoder = Decoder::new(file, format, &limits, Checks::Ignore)?;
        let mut reader = Reader::new(decoder, limits);
        for _ in 0..MEMBERS {
            let Some(entry) = reader.next_entry()? else {
                break;
            };
            let name = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
            let first = name.split(|&byte| byte == b'/').next().unwrap_or_default();
            let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            let hash = |it: &[u8]| it.len() >= 64 && it[..64].iter().all(u8::is_ascii_hexdigit);
            let named = matches!(
                name,
                b"oci-layout" | b"index.json" | b"manifest.json" | b"repositories"
            );
            if named && entry.kind == What::File || hash(first) || first == b"blobs" && hash(last) {
                return Ok(true);
            }
            // Large ones come later.
            if entry.size > SMALL {
                break;
            }
        }
        Ok(false)
    };
    look().unwrap_or(false)
}

/// How many members are looked at.
const MEMBERS: usize = 8;

/// Bytes of a member that are stepped over to see the next.
const SMALL: u64 = 1 << 20;
