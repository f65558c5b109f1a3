//! What a mirror holds, and what its files looked like when they were proven.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::place::Place;
use super::plan::Item;
use crate::base::{Arch, Digest};
use crate::catalog::Kind as Content;
use crate::error::{Error, Kind, Result};
use crate::sys::Stamp;

/// The mirror's own record. It says nothing of the machine or the moment: the same mirror has the
/// same one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Every file that was proven, by its path.
    pub(super) files: BTreeMap<String, Kept>,
    /// Every pin that is here, this catalog's and earlier ones', by [`Row::key`].
    pub(super) rows: BTreeMap<String, Row>,
}

/// A file when it was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// Seconds since 1970; with nothing behind them.
    pub(super) mtime: i64,
}

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) image: String,
    pub(super) arch: Arch,
    pub(super) snapshot: String,
    pub(super) kind: Content,
    /// Of the file, or of the manifest.
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// Where upstream published it.
    pub(super) source: String,
    /// Where it lies: a path, or the OCI layout.
    pub(super) place: String,
    /// The directory and the name of the file in the index, or why it is not there.
    pub(super) indexed: Result<Indexed, String>,
    /// What an OCI index says of it.
    pub(super) container: Option<Container>,
}

/// How a pin stands in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) folder: String,
    pub(super) file: String,
    pub(super) alias: String,
}

/// How a pin stands in the OCI layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) media_type: String,
    pub(super) platform: (String, String, Option<String>),
}

impl Kept {
    /// Whether a file looks as it did.
    pub(super) fn is(self, stamp: Stamp) -> bool {
        stamp.size == self.size && stamp.mtime == self.mtime && stamp.mtime_nanos == 0
    }
}

impl Row {
    pub(super) fn key(&self) -> String {
        key(&self.image, self.arch, &self.snapshot)
    }
}

/// What a pin is called in the ledger, and in messages.
pub(super) fn key(image: &str, arch: Arch, snapshot: &str) -> String {
    format!("{image} {arch} {snapshot}")
}

impl Ledger {
    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Kind::Format`].
    pub(super) fn parse(text: &str) -> Result<Self> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        if document["schema"] != SCHEMA {
            return Err(refuse(format!(
                "schema {} and not {SCHEMA}",
                document["schema"]
            )));
        }
        let read = || {
            let mut ledger = Self::default();
            for (path, file) in document["files"].as_object()? {
                // Nothing is ever looked for, or removed, elsewhere.
                Place::parse(path).ok()?;
                let kept = Kept {
                    sha256: file["sha256"].as_str()?.parse().ok()?,
                    size: file["size"].as_u64()?,
                    mtime: file["mtime"].as_i64()?,
                };
                ledger.files.insert(path.clone(), kept);
            }
            for row in document["pins"].as_array()? {
                let row = row_of(row)?;
                ledger.rows.insert(row.key(), row);
            }
            Some(ledger)
        };
        read().ok_or_else(|| refuse("a field is missing or malformed".to_owned()))
    }

    /// Another pin than this one that has a directory of the index, as a message names it.
    pub(super) fn other_in(&self, folder: &str, item: &Item<'_>) -> Option<String> {
        let own = key(
            item.image.name.as_str(),
            item.pin.arch,
            item.pin.snapshot.as_str(),
        );
        let mut rows = self.rows.values();
        let other = rows.find(|row| {
            let there = row.indexed.as_ref().is_ok_and(|it| it.folder == folder);
            there && row.key() != own
        });
        other.map(Row::key)
    }

    /// The document: sorted, and the same for the same mirror.
    pub(super) fn to_json(&self) -> String {
        let files: Map<String, Value> = self
            .files
            .iter()
            .map(|(path, it)| {
                let sha256 = it.sha256.to_string();
                let file = json!({ "sha256": sha256, "size": it.size, "mtime": it.mtime });
                (path.clone(), file)
            })
            .collect();
        let rows: Vec<Value> = self.rows.values().map(document).collect();
        let text = json!({ "schema": SCHEMA, "files": files, "pins": rows });
        format!("{text:#}\n")
    }
}

fn refuse(why: String) -> Error {
    Error::new(Kind::Format, why)
}

fn document(row: &Row) -> Value {
    let mut document = json!({
        "image": row.image,
        "arch": row.arch.as_str(),
        "snapshot": row.snapshot,
        "kind": row.kind.as_str(),
        "sha256": row.sha256.to_string(),
        "size": row.size,
        "source": row.source,
        "path": row.place,
    });
    match &row.indexed {
        Ok(it) => {
            document["index"] = json!({ "folder": it.folder, "file": it.file, "alias": it.alias });
        }
        Err(why) => document["not_in_index"] = json!(why),
    }
    if let Some(it) = &row.container {
        let (os, architecture, variant) = &it.platform;
        document["container"] = json!({
            "media_type": it.media_type, "os": os, "architecture": architecture,
            "variant": variant,
        });
    }
    document
}

fn row_of(document: &Value) -> Option<Row> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let index = &document["index"];
    let indexed = if index.is_object() {
        let folder = text(&index["folder"])?;
        Place::parse(&folder).ok()?;
        Ok(Indexed {
            folder,
            file: text(&index["file"])?,
            alias: text(&index["alias"])?,
        })
    } else {
        Err(text(&document["not_in_index"])?)
    };
    let container = &document["container"];
    let container = if container.is_object() {
        let variant = text(&container["variant"]);
        Some(Container {
            media_type: text(&container["media_type"])?,
            platform: (
                text(&container["os"])?,
                text(&container["architecture"])?,
                variant,
            ),
        })
    } else {
        None
    };
    let place = text(&document["path"])?;
    Place::parse(&place).ok()?;
    Some(Row {
        image: text(&document["image"])?,
        arch: document["arch"].as_str()?.parse().ok()?,
        snapshot: text(&document["snapshot"])?,
        kind: document["kind"].as_str()?.parse().ok()?,
        sha256: document["sha256"].as_str()?.parse().ok()?,
        size: document["size"].as_u64()?,
        source: text(&document["source"])?,
        place,
        indexed,
        container,
    })
}

const SCHEMA: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let sha256 = Digest::from_bytes([7; 32]);
        let mut ledger = Ledger::default();
        let kept = Kept {
            sha256,
            size: 5,
            mtime: 1_700_000_000,
        };
        ledger.files.insert("a/b".to_owned(), kept);
        let mut row = Row {
            image: "alpine-3.21".to_owned(),
            arch: Arch::Amd64,
            snapshot: "20260128_13:00".to_owned(),
            kind: Content::Rootfs,
            sha256,
            size: 5,
            source: "https://h/a/b".to_owned(),
            place: "a/b".to_owned(),
            indexed: Err("no day".to_owned()),
            container: None,
        };
        ledger.rows.insert(row.key(), row.clone());
        row.snapshot = "2".to_owned();
        row.indexed = Ok(Indexed {
            folder: "images/a".to_owned(),
            file: "rootfs.tar.xz".to_owned(),
            alias: "alpine/3.21".to_owned(),
        });
        row.container = Some(Container {
            media_type: "x".to_owned(),
            platform: ("linux".to_owned(), "arm".to_owned(), Some("v7".to_owned())),
        });
        ledger.rows.insert(row.key(), row);
        let text = ledger.to_json();
        assert_eq!(Ledger::parse(&text).unwrap(), ledger);
        for (from, to) in [
            ("\"a/b\": {", "\"../b\": {"),
            ("\"schema\": 1", "\"schema\": 2"),
            ("\"path\": \"a/b\"", "\"path\": \"/a/b\""),
            ("\"images/a\"", "\"images/..\""),
            ("\"size\": 5", "\"size\": -5"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Ledger::parse(&text.replace(from, to)).is_err(), "{to}");
        }
        assert!(Ledger::parse("").is_err());
    }
}
