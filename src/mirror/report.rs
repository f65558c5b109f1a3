//! What came of a run.

use std::path::PathBuf;

use super::ledger::key;
use crate::base::{Arch, Digest};
use crate::catalog::{Image, Kind, Pin};
use crate::error::Error;
use crate::simplestreams::publish;

/// What [`Keeper::run`](super::Keeper::run) did.
#[derive(Debug, Default)]
pub struct Report {
    /// Every pin that was asked for and is in the mirror, sorted by image and architecture.
    pub mirrored: Vec<Mirrored>,
    /// Every pin that was asked for and is not.
    pub failures: Vec<Failure>,
    /// What retention took out, relative to the root, sorted.
    pub removed: Vec<String>,
    /// The index, if it came to that.
    pub index: Option<publish::Report>,
    /// What stopped the run before its end. What the mirror served before, it still serves.
    pub stopped: Option<Error>,
}

/// A pin that is in the mirror.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// The image.
    pub image: String,
    /// The architecture.
    pub arch: Arch,
    /// Upstream's serial.
    pub snapshot: String,
    /// What it is.
    pub kind: Kind,
    /// Of the file; of the manifest for a container image.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Where it is, absolute: a file, or `LAYOUT:NAME` for a container image.
    pub path: PathBuf,
    /// What had to be done.
    pub state: State,
    /// Its directory in the index, relative to the root; or why it is not there.
    pub indexed: Result<String, String>,
}

/// What had to be done about a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was brought.
    Added,
    /// Nothing.
    Present,
    /// It was there, and damaged.
    Repaired,
}

impl State {
    /// The word for it: `added`, `present`, `repaired`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Present => "present",
            Self::Repaired => "repaired",
        }
    }
}

/// A pin that is not in the mirror.
#[derive(Debug)]
pub struct Failure {
    /// The image.
    pub image: String,
    /// The architecture.
    pub arch: Arch,
    /// Upstream's serial.
    pub snapshot: String,
    /// Why, with the names in front.
    pub error: Error,
}

impl Failure {
    pub(super) fn of(image: &Image, pin: &Pin, error: Error) -> Self {
        let subject = key(image.name.as_str(), pin.arch, pin.snapshot.as_str());
        let is_named = error.message().starts_with(&subject);
        let error = if is_named {
            error
        } else {
            error.about(&subject)
        };
        Self {
            image: image.name.to_string(),
            arch: pin.arch,
            snapshot: pin.snapshot.to_string(),
            error,
        }
    }
}
