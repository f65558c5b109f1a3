//! What lies below `images/`.
//!
//! Every folder is opened beneath the one above it, and no link is followed: what stands in the
//! index lies in the tree. What cannot be published is noted and passed over. Names that begin
//! with a dot are nobody's business.

use std::os::fd::{AsFd, OwnedFd};

use super::Problem;
use super::about::Settings;
use super::item::{Role, judge};
use super::name::{is_arch, is_plain, is_serial};
use crate::error::{Error, Result};
use crate::sys::{self, Beneath, FileKind, Seen};

/// A product: one variant of one release for one architecture.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) os: String,
    pub(super) release: String,
    pub(super) arch: String,
    pub(super) variant: String,
    /// What files beside the folders say.
    pub(super) settings: Settings,
    /// Its builds, sorted by serial.
    pub(super) versions: Vec<Version>,
}

/// A build, as it lies there.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) serial: String,
    /// Its folder, relative to the root.
    pub(super) path: String,
    /// Its files, sorted by name.
    pub(super) files: Vec<Found>,
}

/// A file that may stand in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) seen: Seen,
    /// When anything about it was last changed.
    pub(super) changed: (i64, u32),
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Sorted by key.
    pub(super) products: Vec<Product>,
    pub(super) problems: Vec<Problem>,
    /// Folders that a removal left behind, by the one that they are in.
    pub(super) litter: Vec<(String, Vec<u8>)>,
}

impl Scan {
    /// Looks through `images/` below a root.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::error::Kind::Local) if there is no such folder: the whole index
    /// would be empty.
    pub(super) fn of(root: impl AsFd, name: &std::path::Path) -> Result<Self> {
        let images = sys::open_beneath(root, IMAGES.as_bytes(), Beneath::Folder)
            .map_err(|error| Error::local("cannot open", name.join(IMAGES), error))?;
        let mut scan = Self::default();
        let mut way = Vec::new();
        scan.level(&images, &mut way, &Settings::default());
        scan.products.sort_by_key(Product::key);
        Ok(scan)
    }

    /// One of the four levels above the versions.
    fn level(&mut self, folder: &OwnedFd, way: &mut Vec<String>, settings: &Settings) {
        for name in self.names(folder, way) {
            let (is_good, expected): (fn(&str) -> bool, _) = match way.len() {
                ARCH => (is_arch, "Incus knows no architecture of this name"),
                _ => (
                    is_plain,
                    "a name of letters, digits and . _ + ~ - is expected, at most 64 of them",
                ),
            };
            let Some(name) = self.folder(folder, &name, way, is_good, expected) else {
                continue;
            };
            let inner = match sys::open_beneath(folder, name.as_bytes(), Beneath::Folder) {
                Ok(inner) => inner,
                Err(error) => {
                    self.leave_out(&path(way, &name), &format!("cannot open it: {error}"));
                    continue;
                }
            };
            way.push(name);
            match settings.overridden(&inner) {
                Ok(settings) if way.len() == DEPTH => self.product(&inner, way, settings),
                Ok(settings) => self.level(&inner, way, &settings),
                Err((file, why)) => {
                    let why = format!("{why}; nothing below its folder is published");
                    self.leave_out(&path(way, file), &why);
                }
            }
            way.pop();
        }
    }

    fn product(&mut self, folder: &OwnedFd, way: &[String], settings: Settings) {
        let mut versions = Vec::new();
        for name in self.names(folder, way) {
            let expected = "its name is no serial: YYYYMMDD_HH:MM, a day and a time that there are";
            let Some(serial) = self.folder(folder, &name, way, is_serial, expected) else {
                continue;
            };
            let path = path(way, &serial);
            match files(folder, &serial) {
                Ok(files) => versions.push(Version {
                    serial,
                    path,
                    files,
                }),
                Err(why) => self.leave_out(&path, &why),
            }
        }
        if let [os, release, arch, variant] = way {
            self.products.push(Product {
                os: os.clone(),
                release: release.clone(),
                arch: arch.clone(),
                variant: variant.clone(),
                settings,
                versions,
            });
        }
    }

    /// The names in a folder that are not hidden, sorted.
    fn names(&mut self, folder: &OwnedFd, way: &[String]) -> Vec<Vec<u8>> {
        match sys::names_of(folder) {
            Ok(mut names) => {
                let litter = names.iter().filter(|name| sys::is_retired(name));
                self.litter
                    .extend(litter.map(|name| (way.join("/"), name.clone())));
                names.retain(|name| !name.starts_with(b"."));
                names.sort_unstable();
                names
            }
            Err(error) => {
                self.leave_out(&path(way, ""), &format!("cannot list it: {error}"));
                Vec::new()
            }
        }
    }

    /// The name of a folder, if it is a good one. What is no folder is passed over.
    fn folder(
        &mut self,
        folder: &OwnedFd,
        name: &[u8],
        way: &[String],
        is_good: fn(&str) -> bool,
        expected: &str,
    ) -> Option<String> {
        let text = std::str::from_utf8(name).ok().filter(|name| is_good(name));
        let kind = sys::look(folder, name).ok().map(|seen| seen.kind);
        let why = match kind {
            Some(FileKind::Folder) if text.is_some() => return text.map(str::to_owned),
            Some(FileKind::Folder) => expected,
            Some(FileKind::Symlink) if text.is_some() => "a symbolic link is not followed",
            _ => return None,
        };
        self.leave_out(&path(way, &name.escape_ascii().to_string()), why);
        None
    }

    fn leave_out(&mut self, path: &str, why: &str) {
        self.problems.push(Problem {
            path: path.to_owned(),
            message: why.to_owned(),
        });
    }
}

impl Product {
    /// Its key in the index.
    pub(super) fn key(&self) -> String {
        [&*self.os, &*self.release, &*self.arch, &*self.variant].join(":")
    }

    /// Its folder, relative to the root.
    pub(super) fn path(&self) -> String {
        [
            IMAGES,
            &*self.os,
            &*self.release,
            &*self.arch,
            &*self.variant,
        ]
        .join("/")
    }
}

/// The files of a version, or why it is none.
fn files(product: &OwnedFd, serial: &str) -> Result<Vec<Found>, String> {
    let folder = sys::open_beneath(product, serial.as_bytes(), Beneath::Folder)
        .map_err(|error| format!("cannot open it: {error}"))?;
    files_of(&folder)
}

/// The files in a folder that may stand in an index, sorted, if they make an image.
pub(super) fn files_of(folder: &OwnedFd) -> Result<Vec<Found>, String> {
    let mut files = Vec::new();
    for name in sys::names_of(folder).map_err(|error| format!("cannot list it: {error}"))? {
        let Ok(name) = String::from_utf8(name) else {
            continue;
        };
        let Some(role) = Role::of(&name) else {
            continue;
        };
        let (seen, changed) = sys::look_closely(folder, name.as_bytes())
            .map_err(|error| format!("{name}: {error}"))?;
        match seen.kind {
            FileKind::File if seen.size > 0 => {}
            FileKind::File => return Err(format!("{name} is empty")),
            FileKind::Symlink => return Err(format!("{name} is a symbolic link: not followed")),
            _ => return Err(format!("{name} is no regular file")),
        }
        files.push(Found {
            name,
            role,
            seen,
            changed,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let roles: Vec<_> = files.iter().map(|file| (&*file.name, &file.role)).collect();
    match judge(&roles) {
        Some(why) => Err(why),
        None => Ok(files),
    }
}

fn path(way: &[String], name: &str) -> String {
    let mut path = IMAGES.to_owned();
    for part in way.iter().map(String::as_str).chain([name]) {
        if !part.is_empty() {
            path.push('/');
            path.push_str(part);
        }
    }
    path
}

/// The folder below the root.
pub(super) const IMAGES: &str = "images";

/// Names above an architecture, and above a version.
const ARCH: usize = 2;
const DEPTH: usize = 4;
