//! Does the index tell the truth?

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use sha2::Sha256;

use super::document;
use super::hash::{Hashes, Progress, each, hash};
use super::index::MAX_INDEX;
use super::product::INDEX;
use super::{Problem, Publisher};
use crate::base::{Digest, decode_percent};
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::simplestreams::{Index, Products, relative_path};

/// What [`Publisher::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not as the index says, sorted by path.
    pub problems: Vec<Problem>,
}

/// A version, as an index has it.
struct Listed {
    /// `alpine:3.21:amd64:default 20260128_13:00`.
    name: String,
    items: Vec<Item>,
}

struct Item {
    /// Below the root.
    path: String,
    ftype: String,
    size: Option<u64>,
    sha256: Option<Digest>,
    combined: Vec<(String, Digest)>,
}

impl Publisher {
    /// Hashes every file that the index names, also with its metadata before it, and compares.
    ///
    /// # Errors
    /// [`Kind::Local`] if there is no index or it cannot be read; [`Kind::Format`] if it is none;
    /// [`Kind::Cancelled`]. What differs is no error but in what is returned.
    pub fn verify(&self, jobs: NonZeroUsize, observer: &dyn Observer) -> Result<Verified> {
        let mut verified = Verified::default();
        let listed = self.listed(&mut verified.problems)?;
        let sizes = listed.iter().map(weigh);
        let subject = self.root.to_string_lossy();
        let progress = Progress::new(observer, &subject, sizes.sum());
        let checked = each(&listed, jobs, weigh, |version, buffer| {
            self.check(version, buffer, &progress)
        });
        for one in checked {
            let one = one?;
            verified.files += one.files;
            verified.bytes += one.bytes;
            verified.problems.extend(one.problems);
        }
        verified.problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(verified)
    }

    /// Every version of every document that the index names.
    fn listed(&self, problems: &mut Vec<Problem>) -> Result<Vec<Listed>> {
        let index = self.document(INDEX)?;
        let index = Index::parse(&index).map_err(|error| error.about(INDEX))?;
        let mut listed = Vec::new();
        for stream in index.streams.iter().filter(|stream| stream.is_downloads()) {
            let path = below(&stream.path).map_err(|error| error.about(INDEX))?;
            let document = self.document(&path)?;
            let products =
                Products::parse(&document, &|_| true).map_err(|error| error.about(&path))?;
            for key in stream.products.iter().flatten() {
                if products.get(key).is_none() {
                    let message = format!("{INDEX} names it, and {path} has no such product");
                    let path = key.to_string();
                    problems.push(Problem { path, message });
                }
            }
            for product in &products.products {
                for version in &product.versions {
                    let name = format!("{} {}", product.key, version.serial);
                    let items = version.items.iter().map(|item| {
                        let combined = item.combined.iter();
                        Ok(Item {
                            path: below(&item.path)?,
                            ftype: item.ftype.to_string(),
                            size: item.size,
                            sha256: item.sha256,
                            combined: combined.map(|it| (it.key.to_string(), it.sha256)).collect(),
                        })
                    });
                    match items.collect::<Result<_>>() {
                        Ok(items) => listed.push(Listed { name, items }),
                        Err(error) => problems.push(Problem {
                            path: name,
                            message: error.to_string(),
                        }),
                    }
                }
            }
        }
        Ok(listed)
    }

    fn document(&self, path: &str) -> Result<Vec<u8>> {
        let cannot = |error| Error::local("cannot read", self.root.join(path), error);
        let bytes = document::read(&self.folder, path, MAX_INDEX).map_err(cannot)?;
        bytes.ok_or_else(|| cannot(std::io::ErrorKind::NotFound.into()))
    }

    fn check(
        &self,
        version: &Listed,
        buffer: &mut Vec<u8>,
        progress: &Progress<'_>,
    ) -> Result<Verified> {
        let mut done = Verified::default();
        let mut behind: Vec<&str> = Vec::new();
        let (first, others): (Vec<_>, Vec<_>) = version
            .items
            .iter()
            .partition(|item| !item.combined.is_empty());
        let mut read: BTreeMap<&str, Option<Hashes>> = BTreeMap::new();
        let mut states: Vec<Sha256> = Vec::new();
        for (item, is_metadata) in first
            .iter()
            .map(|item| (item, true))
            .chain(others.iter().map(|item| (item, false)))
        {
            if read.contains_key(&*item.path) {
                continue;
            }
            let before = if is_metadata { &[][..] } else { &states };
            let hashes = match self.read(&item.path, before, buffer, progress) {
                Ok(hashes) => Some(hashes),
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                Err(error) => {
                    done.problems.push(problem(&item.path, &error.to_string()));
                    None
                }
            };
            if let Some(hashes) = &hashes {
                done.files += 1;
                done.bytes += hashes.size;
                if is_metadata {
                    behind.push(&item.path);
                    states.push(hashes.state.clone());
                }
            }
            read.insert(&item.path, hashes);
        }
        for item in &version.items {
            let Some(Some(hashes)) = read.get(&*item.path) else {
                continue;
            };
            if let Some(problem) = item.differs(hashes) {
                // What it makes with others is wrong, too.
                done.problems.push(problem);
                continue;
            }
            let at = behind.iter().position(|path| *path == item.path);
            for (key, expected) in &item.combined {
                let root = others.iter().find(|root| root.is_root_of(key));
                let actual = root
                    .and_then(|root| {
                        let hashes = read.get(&*root.path)?.as_ref()?;
                        root.differs(hashes).is_none().then_some(hashes)
                    })
                    .and_then(|hashes| hashes.combined.get(at?));
                let message = match (root, actual) {
                    // Without a tarball it is the fingerprint of something else.
                    (None, _) if key == "combined_sha256" => continue,
                    (None, _) => format!("{key}, but there is no such root in {}", version.name),
                    (Some(_), Some(actual)) if actual != expected => {
                        format!("{key} is {expected} in the index, and the files make {actual}")
                    }
                    _ => continue,
                };
                done.problems.push(problem(&item.path, &message));
            }
        }
        done.problems
            .sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
        done.problems.dedup();
        Ok(done)
    }

    fn read(
        &self,
        path: &str,
        before: &[Sha256],
        buffer: &mut Vec<u8>,
        progress: &Progress<'_>,
    ) -> Result<Hashes> {
        progress.check()?;
        let file = document::open(&self.folder, path)
            .map_err(|error| Error::new(Kind::Local, "cannot open it").with_source(error))?;
        hash(&file, before, buffer, progress)
    }
}

impl Item {
    /// What of a file is not as the index says.
    fn differs(&self, hashes: &Hashes) -> Option<Problem> {
        let message = match (self.size, self.sha256) {
            (Some(size), _) if size != hashes.size => {
                format!("{size} bytes in the index, and it has {}", hashes.size)
            }
            (_, Some(sha256)) if sha256 != hashes.sha256 => {
                format!(
                    "SHA-256 {sha256} in the index, and it has {}",
                    hashes.sha256
                )
            }
            (None, _) | (_, None) => "the index has no size or SHA-256 of it".to_owned(),
            _ => return None,
        };
        Some(problem(&self.path, &message))
    }

    /// Whether a fingerprint with this key is one with this file in it.
    fn is_root_of(&self, key: &str) -> bool {
        let types: &[&str] = match key {
            "combined_rootxz_sha256" | "combined_sha256" => &["root.tar.xz"],
            // Some generators write the name of the file.
            "combined_squashfs_sha256" => &["squashfs", "root.squashfs"],
            "combined_disk-kvm-img_sha256" => &["disk-kvm.img"],
            "combined_disk1-img_sha256" => &["disk1.img"],
            "combined_uefi1-img_sha256" => &["uefi1.img"],
            _ => return false,
        };
        types.contains(&&*self.ftype)
    }
}

fn weigh(version: &Listed) -> u64 {
    version
        .items
        .iter()
        .map(|item| item.size.unwrap_or(0))
        .sum()
}

/// A path of a document as one below the root.
fn below(path: &str) -> Result<String> {
    let encoded = relative_path(path)?;
    String::from_utf8(decode_percent(&encoded))
        .map_err(|_| Error::new(Kind::Format, format!("the path {path:?} is not UTF-8")))
}

fn problem(path: &str, message: &str) -> Problem {
    Problem {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
