//! `entry.json`: what an entry says of itself.

use serde_json::Value;

use super::Key;
use crate::base::{Digest, Timestamp};
use crate::sys::Stamp;

/// What was cached, where it came from, and what the file looked like when its hash was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The image, or an address.
    pub image: String,
    /// Debian's name of the architecture, or `any`.
    pub arch: String,
    /// Upstream's serial.
    pub snapshot: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// The address that the bytes came from.
    pub url: String,
    /// When they came.
    pub fetched_at: Timestamp,
    /// Base name of the file.
    pub file: String,
    /// Size, modification time and inode of the verified file.
    pub stamp: Stamp,
}

impl Record {
    pub(super) fn new(key: &Key, url: String, fetched_at: Timestamp, stamp: Stamp) -> Self {
        Self {
            image: key.image.clone(),
            arch: key.arch.clone(),
            snapshot: key.snapshot.clone(),
            sha256: key.sha256,
            url,
            fetched_at,
            file: key.file.clone(),
            stamp,
        }
    }

    pub(super) fn to_json(&self) -> String {
        let document = serde_json::json!({
            "schema": SCHEMA,
            "image": self.image,
            "arch": self.arch,
            "snapshot": self.snapshot,
            "sha256": self.sha256.to_string(),
            "size": self.stamp.size,
            "url": self.url,
            "fetched_at": self.fetched_at.to_string(),
            "file": {
                "name": self.file,
                "mtime": self.stamp.mtime,
                "mtime_nanos": self.stamp.mtime_nanos,
                "inode": self.stamp.inode,
            },
        });
        format!("{document:#}\n")
    }

    /// Reads a record; `None` if it is torn, foreign or of another schema. A record that cannot
    /// be read is never a reason to fail: the entry is judged as damaged.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if document["schema"].as_u64()? != SCHEMA {
            return None;
        }
        let file = &document["file"];
        let name = text(&file["name"])?;
        // Never a path: whoever wrote this file may not be who we think.
        if name != crate::base::safe_file_name(&name) {
            return None;
        }
        Some(Self {
            image: text(&document["image"])?,
            arch: text(&document["arch"])?,
            snapshot: text(&document["snapshot"])?,
            sha256: document["sha256"].as_str()?.parse().ok()?,
            url: text(&document["url"])?,
            fetched_at: document["fetched_at"].as_str()?.parse().ok()?,
            file: name,
            stamp: Stamp {
                size: document["size"].as_u64()?,
                mtime: file["mtime"].as_i64()?,
                mtime_nanos: file["mtime_nanos"].as_i64()?,
                inode: file["inode"].as_u64()?,
            },
        })
    }
}

/// Of `entry.json`.
const SCHEMA: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_round_trips_and_a_torn_one_is_none() {
        let record = Record {
            image: "alpine-3.21".into(),
            arch: "amd64".into(),
            snapshot: "20260128_13:00".into(),
            sha256: Digest::from_bytes([7; 32]),
            url: "https://h/x".into(),
            fetched_at: Timestamp(1_700_000_000),
            file: "rootfs.tar.xz".into(),
            stamp: Stamp {
                size: 9,
                mtime: -5,
                mtime_nanos: 999_999_999,
                inode: u64::MAX,
            },
        };
        let text = record.to_json();
        assert_eq!(Record::parse(&text), Some(record));
        for end in 0..text.len() - 1 {
            assert_eq!(Record::parse(&text[..end]), None);
        }
        for (from, to) in [
            ("rootfs.tar.xz", "../../etc/passwd"),
            ("rootfs.tar.xz", "a/b"),
            ("\"schema\": 1", "\"schema\": 2"),
            ("0707", "07zz"),
        ] {
            assert_eq!(Record::parse(&text.replacen(from, to, 1)), None, "{to}");
        }
    }
}
