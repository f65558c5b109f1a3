//! The digest of a tree that is in an archive.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::content::{Content, Meter, Piece};
use super::dress::Dress;
use super::path::{SafePath, shown, split};
use super::record::{Body, Scribe};
use super::writer::{check_device, check_leaf, check_text, contradiction};
use crate::archive::{Entry, Kind as What, Limits};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};

/// The digest of a tree: names, types, modes, owners, times, attributes, links and contents. The
/// [room](super) defines it. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeDigest(Digest);

impl TreeDigest {
    /// The SHA-256.
    pub const fn as_digest(&self) -> &Digest {
        &self.0
    }

    /// The digest of a tree that these entries make; each comes with its content.
    ///
    /// # Errors
    /// As [`DigestBuilder::add`].
    pub fn of_entries<'a, R: Read>(
        entries: impl IntoIterator<Item = (&'a Entry, R)>,
        limits: Limits,
    ) -> Result<Self> {
        let mut builder = DigestBuilder::new(limits);
        for (entry, mut data) in entries {
            builder.add(entry, &mut data)?;
        }
        Ok(builder.finish())
    }
}

impl From<Digest> for TreeDigest {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TreeDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

/// Takes entries one by one, by the rules of the [`Writer`](super::Writer): what that refuses
/// because of what the archive says is refused here, too.
#[derive(Debug)]
pub struct DigestBuilder {
    limits: Limits,
    meter: Meter,
    content: Content,
    names: BTreeMap<Vec<u8>, Slot>,
    things: Vec<(Dress, Body)>,
}

/// What has a name.
#[derive(Clone, Debug)]
enum Slot {
    /// A directory; without metadata if it is only implied.
    Folder(Option<Box<Dress>>),
    /// The thing with this number.
    Thing(usize),
}

impl DigestBuilder {
    /// A tree with nothing but its root.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            meter: Meter::new(limits),
            content: Content::default(),
            names: BTreeMap::from([(Vec::new(), Slot::Folder(None))]),
            things: Vec::new(),
        }
    }

    /// Takes one entry. `data` is as for [`Writer::add`](super::Writer::add).
    ///
    /// # Errors
    /// [`Kind::Format`] if the entry is unsafe, contradicts an earlier one, or passes a limit;
    /// the error of `data`.
    pub fn add(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        self.meter.count(entry)?;
        let path = SafePath::parse(&entry.path, &self.limits)?;
        if entry.kind == What::Directory {
            self.folder(path.as_bytes())?;
            let dress = Some(Box::new(Dress::of(entry)));
            self.names.insert(path.into_bytes(), Slot::Folder(dress));
            return Ok(());
        }
        check_leaf(&entry.path, &path)?;
        self.folder(path.split().0)?;
        let old = self.names.get(path.as_bytes());
        let body = match &entry.kind {
            What::Hardlink(to) => {
                let number = self.linked(path.as_bytes(), to)?;
                if matches!(old, Some(Slot::Folder(_))) {
                    return Err(contradiction(path.as_bytes(), "a directory"));
                }
                self.names.insert(path.into_bytes(), Slot::Thing(number));
                return Ok(());
            }
            _ if matches!(old, Some(Slot::Folder(_))) => {
                return Err(contradiction(path.as_bytes(), "a directory"));
            }
            What::File | What::Directory => self.file(path.as_bytes(), entry, data)?,
            What::Symlink(text) => {
                check_text(path.as_bytes(), text, &self.limits)?;
                Body::Symlink(text.clone())
            }
            What::Character(device) => {
                check_device(path.as_bytes(), *device)?;
                Body::Character(*device)
            }
            What::Block(device) => {
                check_device(path.as_bytes(), *device)?;
                Body::Block(*device)
            }
            What::Fifo => Body::Fifo,
        };
        let number = self.things.len();
        self.things.push((Dress::of(entry), body));
        self.names.insert(path.into_bytes(), Slot::Thing(number));
        Ok(())
    }

    /// The digest of everything.
    pub fn finish(self) -> TreeDigest {
        let mut scribe = Scribe::new();
        let mut first: Vec<Option<&[u8]>> = vec![None; self.things.len()];
        for (path, slot) in &self.names {
            match slot {
                Slot::Folder(dress) => {
                    let dress = dress.as_deref().cloned().unwrap_or_else(Dress::implied);
                    scribe.thing(path, &dress, &Body::Folder);
                }
                Slot::Thing(number) => {
                    if let Some(first) = first[*number] {
                        scribe.link(path, first);
                    } else {
                        first[*number] = Some(path);
                        let (dress, body) = &self.things[*number];
                        scribe.thing(path, dress, body);
                    }
                }
            }
        }
        scribe.finish()
    }

    /// A directory, and what leads to it.
    fn folder(&mut self, path: &[u8]) -> Result<()> {
        let mut missing = Vec::new();
        let mut here = path;
        loop {
            match self.names.get(here) {
                Some(Slot::Folder(_)) => break,
                Some(Slot::Thing(_)) => return Err(contradiction(here, "something else")),
                None => missing.push(here.to_vec()),
            }
            here = split(here).0;
        }
        for path in missing {
            self.names.insert(path, Slot::Folder(None));
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], entry: &Entry, data: &mut dyn Read) -> Result<Body> {
        let mut hash = Sha256::new();
        self.content.read(path, entry, data, |piece| {
            match piece {
                Piece::Data(bytes, _) => hash.update(bytes),
                Piece::Hole(length) => zeros(&mut hash, length),
            }
            Ok(())
        })?;
        Ok(Body::File {
            size: entry.size,
            sha256: hash.finalize().into(),
        })
    }

    fn linked(&self, path: &[u8], to: &[u8]) -> Result<usize> {
        let refuse = |why: &str| {
            let message = format!("{}: hard link to {:?}: {why}", shown(path), shown(to));
            Err(Error::new(Kind::Format, message))
        };
        let to = SafePath::parse(to, &self.limits)?;
        if to.as_bytes() == path {
            return refuse("that is itself");
        }
        match self.names.get(to.as_bytes()) {
            Some(Slot::Thing(number)) if matches!(self.things[*number].1, Body::File { .. }) => {
                Ok(*number)
            }
            Some(_) => refuse("that is not a regular file"),
            None => refuse("no earlier entry has this name"),
        }
    }
}

fn zeros(hash: &mut Sha256, mut length: u64) {
    static ZEROS: [u8; 65_536] = [0; 65_536];
    while length > 0 {
        let now = usize::try_from(length).map_or(ZEROS.len(), |it| it.min(ZEROS.len()));
        hash.update(&ZEROS[..now]);
        length -= now as u64;
    }
}
