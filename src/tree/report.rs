//! What of an archive did not reach the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::path::shown;

/// What was written, and what was not kept. Everything is counted; paths are listed up to a
/// thousand of each kind, in the order of the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content written; holes are not.
    pub bytes: u64,
    /// The tree that was replaced and could not be removed; it is beside the target.
    pub leftover: Option<PathBuf>,
    losses: BTreeMap<Loss, Tally>,
}

/// A kind of difference between archive and disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// It belongs to whoever unpacked it; the detail is `UID:GID` of the archive.
    Owner,
    /// Its set-user-ID or set-group-ID bits were dropped; the detail is the archive's mode.
    SetId,
    /// An extended attribute is not there; the detail is its name, and why if the system said so.
    Xattr,
    /// The device node is not there; the detail is its type and numbers.
    Device,
    /// The file system cannot say this modification time; the detail is the archive's, in seconds.
    Time,
    /// The socket is not there: whoever listens on one makes it.
    Socket,
    /// The archive has a later entry with the same name, which is the one that is there.
    Replaced,
}

impl Loss {
    /// The word in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::SetId => "set-id",
            Self::Xattr => "xattr",
            Self::Device => "device",
            Self::Time => "time",
            Self::Socket => "socket",
            Self::Replaced => "replaced",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    total: u64,
    first: Vec<(Vec<u8>, String)>,
}

impl Report {
    /// Takes a note. The detail is made only if it is listed.
    pub fn note(&mut self, loss: Loss, path: &[u8], detail: impl FnOnce() -> String) {
        let tally = self.losses.entry(loss).or_default();
        tally.total += 1;
        if tally.first.len() < LISTED {
            tally.first.push((path.to_vec(), detail()));
        }
    }

    /// Everything that was lost, and how often.
    pub fn losses(&self) -> impl Iterator<Item = (Loss, u64)> {
        let losses = self.losses.iter();
        losses.map(|(loss, tally)| (*loss, tally.total))
    }

    /// How often this was lost.
    pub fn count(&self, loss: Loss) -> u64 {
        self.losses.get(&loss).map_or(0, |tally| tally.total)
    }

    /// The first thousand paths, each with a detail.
    pub fn first(&self, loss: Loss) -> impl Iterator<Item = (&[u8], &str)> {
        let tally = self.losses.get(&loss).into_iter();
        tally.flat_map(|tally| {
            let first = tally.first.iter();
            first.map(|(path, detail)| (path.as_slice(), detail.as_str()))
        })
    }

    /// Whether the disk has everything that the archive has.
    pub fn is_faithful(&self) -> bool {
        self.losses.keys().all(|loss| *loss == Loss::Replaced)
    }

    /// The report as JSON: `schema`, `entries`, `bytes`, and under `lost` for each kind its
    /// `total` and the `first` ones as `path` and `detail`. A path that is not UTF-8 is escaped
    /// in `path` and whole in `path_hex`.
    pub fn to_json(&self) -> Value {
        let mut lost = Map::new();
        for (loss, tally) in &self.losses {
            let first: Vec<_> = tally.first.iter().map(|it| row(&it.0, &it.1)).collect();
            let value = json!({ "total": tally.total, "first": first });
            lost.insert(loss.as_str().to_owned(), value);
        }
        let mut report = json!({
            "schema": 1, "entries": self.entries, "bytes": self.bytes, "lost": lost,
        });
        if let Some(leftover) = &self.leftover {
            report["leftover"] = leftover.to_string_lossy().into();
        }
        report
    }
}

fn row(path: &[u8], detail: &str) -> Value {
    match std::str::from_utf8(path) {
        Ok("") => json!({ "path": ".", "detail": detail }),
        Ok(text) => json!({ "path": text, "detail": detail }),
        Err(_) => {
            let hex: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "path": shown(path), "path_hex": hex, "detail": detail })
        }
    }
}

/// Paths that are listed of each kind: a rootless run loses the owner of every file, and nobody
/// reads a list of them all.
const LISTED: usize = 1000;
