//! A build comes to its place.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::hash::{Progress, hash};
use super::item::{Role, judge};
use super::lock::Lock;
use super::metadata::{Extent, Metadata};
use super::name::{is_arch, is_plain, serial_of};
use super::scan::{Found, IMAGES, files_of};
use super::{Publisher, document};
use crate::base::{Arch, Timestamp};
use crate::error::{Digests, Error, Kind, Result};
use crate::event::Observer;
use crate::sys::{self, Before, Beneath, Draft, Durable, Node, Overwrite, Staging};

/// How a build is imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Whether the build stays where it is.
    pub transfer: Transfer,
    /// Write and remove nothing: only tell.
    pub dry_run: bool,
}

/// What becomes of the files of a build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// They are moved.
    #[default]
    Move,
    /// They are copied.
    Copy,
}

/// What [`Publisher::import`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The version's folder, relative to the root.
    pub path: String,
    /// Whether every file was there before.
    pub already: bool,
}

impl Publisher {
    /// Brings the files of a build to their place below the root, which its metadata tells:
    /// `images/OS/RELEASE/ARCH/VARIANT/SERIAL`. The index is another matter.
    ///
    /// A build that is there already is a success, and files that it has more than what is there
    /// are added. A kill leaves the build where it was, or at its place, or both.
    ///
    /// # Errors
    /// [`Kind::Format`] if the folder is no build or its metadata is of no use;
    /// [`Kind::Integrity`] if other bytes are at their place; [`Kind::Local`];
    /// [`Kind::Cancelled`].
    pub fn import(
        &self,
        build: &Path,
        import: Import,
        observer: &dyn Observer,
    ) -> Result<Imported> {
        let name = build.to_string_lossy();
        let folder =
            sys::open_folder(build).map_err(|error| Error::local("cannot open", build, error))?;
        let refuse =
            |why: String| Error::new(Kind::Format, format!("{name}: {why}")).with_path(build);
        let files = files_of(&folder).map_err(refuse)?;
        let (parent, serial) = place(&folder, &files).map_err(|error| error.about(&name))?;
        let path = format!("{parent}/{serial}");
        let lock = || Lock::of(self, observer);
        let _lock = (!import.dry_run).then(lock).transpose()?;
        let transfer = Move {
            publisher: self,
            build,
            folder,
            import,
            observer,
        };
        let there = sys::open_beneath(&self.folder, path.as_bytes(), Beneath::Folder);
        let already = match there {
            Ok(there) => transfer.complete(&path, &there, &files)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !import.dry_run {
                    transfer.place(&parent, &serial, &files)?;
                }
                false
            }
            Err(error) => return Err(Error::local("cannot open", self.root.join(&path), error)),
        };
        Ok(Imported { path, already })
    }
}

/// Where a build belongs: the product's folder and the serial.
fn place(folder: &OwnedFd, files: &[Found]) -> Result<(String, String)> {
    let metadata = [Role::Incus, Role::Lxd, Role::Unified]
        .into_iter()
        .find_map(|role| files.iter().find(|file| file.role == role));
    let Some(file) = metadata else {
        return Err(Error::new(Kind::Format, "there is no metadata in it"));
    };
    let extent = match file.role {
        Role::Unified => Extent::Start,
        _ => Extent::Whole,
    };
    let open = document::open(folder, &file.name)
        .map_err(|error| Error::local("cannot open", &file.name, error))?;
    let metadata = Metadata::of_tarball(open, extent).map_err(|error| error.about(&file.name))?;
    metadata
        .place()
        .map_err(|why| Error::new(Kind::Format, format!("{}: metadata.yaml: {why}", file.name)))
}

impl Metadata {
    /// The product's folder and the serial, or what is wrong.
    fn place(&self) -> Result<(String, String), String> {
        let property = |name: &str| {
            let text = self
                .properties
                .get(name)
                .ok_or(format!("there is no {name} in properties"))?;
            if is_plain(text) {
                return Ok(text.as_str());
            }
            Err(format!(
                "{name} is {text:?}: letters, digits and . _ + ~ - are expected, at most 64"
            ))
        };
        let variant = if self.properties.contains_key("variant") {
            property("variant")?
        } else {
            "default"
        };
        let arch = self
            .architecture
            .as_ref()
            .or_else(|| self.properties.get("architecture"));
        let arch = arch.ok_or("there is no architecture")?;
        let debian = arch.parse::<Arch>().ok().map(Arch::as_str);
        let debian = debian
            .filter(|name| is_arch(name))
            .or(Some(arch))
            .filter(|it| is_arch(it));
        let debian = debian.ok_or(format!("Incus knows no architecture {arch:?}"))?;
        let date = self
            .creation_date
            .as_ref()
            .ok_or("there is no creation_date")?;
        let seconds = date.parse().map(Timestamp).ok();
        let serial = seconds.and_then(serial_of).ok_or(format!(
            "creation_date is {date:?}: seconds since 1970 are expected"
        ))?;
        let (os, release) = (property("os")?, property("release")?);
        Ok((
            format!("{IMAGES}/{os}/{release}/{debian}/{variant}"),
            serial,
        ))
    }
}

/// A build on its way.
struct Move<'a> {
    publisher: &'a Publisher,
    build: &'a Path,
    folder: OwnedFd,
    import: Import,
    observer: &'a dyn Observer,
}

impl Move<'_> {
    /// Makes a version of it that was not there.
    fn place(&self, parent: &str, serial: &str, files: &[Found]) -> Result<()> {
        let root = self.publisher.root.join(parent);
        let cannot = |error| Error::local("cannot import into", &root, error);
        let parent = self.publisher.folder_at(parent)?;
        let serial = OsStr::new(serial);
        let staging = Staging::beside(&sys::own_path(&parent), serial).map_err(cannot)?;
        for file in files {
            if self.import.transfer == Transfer::Move
                && sys::make_link(
                    &self.folder,
                    file.name.as_bytes(),
                    staging.root(),
                    file.name.as_bytes(),
                )
                .is_ok()
            {
                continue;
            }
            let to = sys::make_file(staging.root(), file.name.as_bytes()).map_err(cannot)?;
            self.copy(file, &to)?;
            Node::Open(to.as_fd()).set_mode(READABLE).map_err(cannot)?;
        }
        Node::Open(staging.root())
            .set_mode(ENTERABLE)
            .map_err(cannot)?;
        staging
            .place(serial, Before::Nothing, Durable::Yes)
            .map_err(cannot)?;
        self.leave(files)
    }

    /// Adds to a version what it has not; whether it had all.
    fn complete(&self, path: &str, there: &OwnedFd, files: &[Found]) -> Result<bool> {
        let root = self.publisher.root.join(path);
        let cannot = |error| Error::local("cannot import into", &root, error);
        let mut roles = Vec::new();
        for name in sys::names_of(there).map_err(cannot)? {
            let name = String::from_utf8(name).unwrap_or_default();
            roles.extend(Role::of(&name).map(|role| (name, role)));
        }
        let mut missing = Vec::new();
        for file in files {
            if roles.iter().any(|(name, _)| *name == file.name) {
                self.compare(path, there, file)?;
            } else {
                missing.push(file);
                roles.push((file.name.clone(), file.role.clone()));
            }
        }
        let roles: Vec<_> = roles.iter().map(|(name, role)| (&**name, role)).collect();
        if let Some(why) = judge(&roles) {
            let message = format!("{} with {}: {why}", root.display(), self.build.display());
            return Err(Error::new(Kind::Format, message).with_path(root));
        }
        if self.import.dry_run {
            return Ok(missing.is_empty());
        }
        for file in &missing {
            let draft = Draft::beside(&root.join(&file.name)).map_err(cannot)?;
            self.copy(file, draft.file())?;
            draft.commit(Overwrite::No)?;
        }
        let here = Node::Open(self.folder.as_fd()).seen().map_err(cannot)?;
        if Node::Open(there.as_fd()).seen().map_err(cannot)?.identity != here.identity {
            self.leave(files)?;
        }
        Ok(missing.is_empty())
    }

    /// Whether a file is the one that is there.
    fn compare(&self, path: &str, there: &OwnedFd, file: &Found) -> Result<()> {
        let place = self.publisher.root.join(path).join(&file.name);
        let cannot = |error| Error::local("cannot read", &place, error);
        let old = document::open(there, &file.name).map_err(cannot)?;
        let seen = Node::Open(old.as_fd()).seen().map_err(cannot)?;
        if seen.identity == file.seen.identity {
            return Ok(());
        }
        let subject = self.build.to_string_lossy();
        let progress = Progress::new(self.observer, &subject, seen.size + file.seen.size);
        let mut buffer = Vec::new();
        let old = hash(&old, &[], &mut buffer, &progress)?.sha256;
        let new = hash(&self.open(file)?, &[], &mut buffer, &progress)?.sha256;
        if old == new {
            return Ok(());
        }
        let message = format!(
            "{} has other bytes than {}: two builds with one serial, which is creation_date; \
             remove one of them",
            place.display(),
            self.build.join(&file.name).display(),
        );
        let digests = Digests {
            expected: old.to_string(),
            actual: new.to_string(),
        };
        Err(Error::new(Kind::Integrity, message)
            .with_digests(Some(digests))
            .with_path(place))
    }

    fn open(&self, file: &Found) -> Result<File> {
        document::open(&self.folder, &file.name)
            .map_err(|error| Error::local("cannot open", self.build.join(&file.name), error))
    }

    fn copy(&self, file: &Found, to: &File) -> Result<()> {
        let subject = self.build.to_string_lossy();
        let progress = Progress::new(self.observer, &subject, file.seen.size);
        let mut told = 0;
        let done = sys::copy_or_reflink(&mut self.open(file)?, to, |copied| {
            progress.add(copied - told).map_err(std::io::Error::other)?;
            told = copied;
            Ok(())
        });
        progress.check()?;
        done.map_err(|error| {
            let from = self.build.join(&file.name);
            match sys::mount_error(&error) {
                Some(state) => Error::local(&format!("{state}: cannot copy"), from, error),
                None => Error::local("cannot copy", from, error),
            }
        })
    }

    /// Takes the build away from where it was, if that was asked for.
    fn leave(&self, files: &[Found]) -> Result<()> {
        if self.import.transfer == Transfer::Copy {
            return Ok(());
        }
        for file in files {
            sys::unlink(&self.folder, file.name.as_bytes()).map_err(|error| {
                let path = self.build.join(&file.name);
                Error::local("imported, but cannot remove", path, error)
            })?;
        }
        Ok(())
    }
}

/// Modes of what is made for a server to read.
const READABLE: u32 = 0o644;
const ENTERABLE: u32 = 0o755;
