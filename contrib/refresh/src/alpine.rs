//! Alpine's `latest-releases.yaml`: what the newest release of a branch consists of, for one
//! architecture.
//!
//! It is YAML and is read by a YAML parser: a reader of lines would work until the day upstream's
//! generator folds a text or quotes a version. Numbers are kept out of the way: a version `3.20`
//! is not 3.2, and a hash whose digits happen to look like a number is still a hash. What such a
//! parser can be made to do (aliases of aliases, endless nesting) has a budget; a file that is
//! honest has no use for any of it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use distro_fetch::Digest;
use distro_fetch::base::{Date, decode_hex};
use serde::Deserialize;

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What kind of file: `alpine-minirootfs`, `alpine-virt`.
    pub flavor: String,
    /// The point release: `3.24.2`.
    pub version: String,
    /// The architecture, by Alpine's name: `aarch64`, `armv7`.
    pub arch: String,
    /// The day of the release.
    pub date: Date,
    /// The name of the file, beside this document: letters, digits, `.`, `_`, `+` and `-`.
    pub file: String,
    /// Its size in bytes, more than zero, where the document says it.
    pub size: Option<u64>,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its SHA-512, where the document says it.
    pub sha512: Option<[u8; 64]>,
}

/// Reads the document: every file it lists, in its order.
///
/// # Errors
///
/// If it is not a list of releases, if one of them lacks something or says something that cannot
/// be, or if two are about the same file.
pub fn parse(yaml: &str) -> Result<Vec<Release>> {
    ensure!(yaml.len() <= MAX_BYTES, "too long for a list of releases");
    let rows: Vec<Row> = serde_saphyr::from_str_with_options(yaml, options())
        .context("this is no list of releases")?;
    ensure!(!rows.is_empty(), "the list of releases is empty");
    let mut files = BTreeMap::new();
    let mut releases = Vec::with_capacity(rows.len());
    for (nth, row) in rows.into_iter().enumerate() {
        let release = row
            .judge()
            .with_context(|| format!("release {}", nth + 1))?;
        if files.insert(release.file.clone(), nth).is_some() {
            bail!("two releases are about {}", release.file);
        }
        releases.push(release);
    }
    Ok(releases)
}

/// A release as it is written. What else there is (`title`, `desc`, `branch`, `iso`) is not read.
#[derive(Deserialize)]
struct Row {
    flavor: String,
    version: String,
    arch: String,
    date: String,
    file: String,
    // What is pinned is the SHA-256; a document without these two is no worse than a `SHA256SUMS`.
    size: Option<u64>,
    sha256: String,
    sha512: Option<String>,
}

impl Row {
    fn judge(self) -> Result<Release> {
        for (what, text) in [
            ("flavor", &self.flavor),
            ("version", &self.version),
            ("arch", &self.arch),
            ("file", &self.file),
        ] {
            ensure!(is_plain(text), "{what}: {text:?} is not a plain word");
        }
        let date = self.date.parse().context("date")?;
        ensure!(self.size != Some(0), "size: nothing is no file");
        let sha256 = decode_hex(&self.sha256).context("sha256: not 64 hex digits")?;
        let sha512 = self.sha512.as_deref().map(|text| {
            let hash = decode_hex(text);
            hash.context("sha512: not 128 hex digits")
        });
        Ok(Release {
            flavor: self.flavor,
            version: self.version,
            arch: self.arch,
            date,
            file: self.file,
            size: self.size,
            sha256: Digest::from_bytes(sha256),
            sha512: sha512.transpose()?,
        })
    }
}

/// A word that is a single segment of a path, and that means nothing in an address or a report.
fn is_plain(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.len() <= MAX_WORD
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 8,
            max_nodes: 20_000,
            max_documents: 1,
            max_anchors: 16,
            max_aliases: 64,
            max_recorded_anchor_events: 1000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 4,
        },
        // An error is told in a report; it does not quote what upstream wrote.
        with_snippet: false,
    }
}

/// The real one has 12 KiB.
const MAX_BYTES: usize = 1 << 20;
/// Longer than any name of a file there is.
const MAX_WORD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "9bf70a7f18ea44094cbb5f70c58f9af129c8214745743db0e68e5502cc2ce773";
    const SHA512: &str = "c717aa68d67a354c7f46488eacb459c7a80951bcd7ea255f04a574aba1a6c514\
                          4f2117866e674f27fc92df0f05dd7685c1e6824b88ddd41994803d6fb025395c";

    /// As it is published.
    fn real() -> String {
        format!(
            "---\n-\n  title: \"Mini root filesystem\"\n  desc: |\n    \
             Minimal root filesystem for containers.\n    version: 1\n  arch: aarch64\n  \
             version: 3.24.2\n  flavor: alpine-minirootfs\n  \
             file: alpine-minirootfs-3.24.2-aarch64.tar.gz\n  \
             iso: alpine-minirootfs-3.24.2-aarch64.tar.gz\n  date: 2026-09-17\n  \
             size: 4028030\n  sha256: {SHA256}\n  sha512: {SHA512}\n"
        )
    }

    #[test]
    fn the_real_file() {
        let releases = parse(&real()).unwrap();
        let expect = Release {
            flavor: "alpine-minirootfs".to_owned(),
            version: "3.24.2".to_owned(),
            arch: "aarch64".to_owned(),
            date: "2026-09-17".parse().unwrap(),
            file: "alpine-minirootfs-3.24.2-aarch64.tar.gz".to_owned(),
            size: Some(4_028_030),
            sha256: SHA256.parse().unwrap(),
            sha512: decode_hex(SHA512),
        };
        assert_eq!(releases, [expect]);
    }

    #[test]
    fn words_that_look_like_numbers_stay_words() {
        for (from, to, expect) in [
            ("version: 3.24.2", "version: 3.20", "3.20"),
            ("version: 3.24.2", "version: \"3.20\"", "3.20"),
            ("version: 3.24.2", "version: 20240923", "20240923"),
            ("version: 3.24.2", "version: 1e5", "1e5"),
        ] {
            assert_eq!(parse(&real().replace(from, to)).unwrap()[0].version, expect);
        }
        for hash in [
            "1".repeat(64),
            format!("{}e{}", "1".repeat(32), "2".repeat(31)),
        ] {
            let releases = parse(&real().replace(SHA256, &hash)).unwrap();
            assert_eq!(releases[0].sha256.to_string(), hash);
        }
    }

    #[test]
    fn other_spellings_of_the_same_document() {
        let releases = parse(&real()).unwrap();
        let flow = format!(
            "[{{flavor: alpine-minirootfs, version: '3.24.2', arch: aarch64, date: 2026-09-17, \
             file: alpine-minirootfs-3.24.2-aarch64.tar.gz, size: 4028030, sha256: {SHA256}, \
             sha512: \"{SHA512}\"}}]"
        );
        let folded = real().replace("desc: |", "desc: >-");
        for other in [flow, folded, real().replace('\n', "\r\n")] {
            assert_eq!(parse(&other).unwrap(), releases, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to, expect) in [
            (SHA256, &SHA256[1..], "sha256: not 64"),
            (SHA512, SHA256, "sha512: not 128"),
            ("4028030", "0", "nothing is no file"),
            ("4028030", "-1", "no list of releases"),
            ("4028030", "4028030.5", "no list of releases"),
            ("4028030", "99999999999999999999", "no list of releases"),
            ("file: alpine", "file: ../alpine", "file: \"../alpine"),
            ("file: alpine", "file: .alpine", "file: \".alpine"),
            ("file: alpine", "file: a/b", "file: \"a/b"),
            ("file: alpine", "file: https://h/a", "file: \"https:"),
            ("aarch64\n  v", "\"a b\"\n  v", "arch: \"a b\""),
            ("3.24.2\n", "\"\\e[31m\"\n", "version: \"\\u{1b}[31m\""),
            ("2026-09-17", "2026-13-17", "malformed date"),
            ("2026-09-17", "17.09.2026", "malformed date"),
            ("2026-09-17", "2026-09-17Z", "malformed date"),
            ("  flavor: alpine-minirootfs\n", "", "no list of releases"),
            ("  size", "  size: 1\n  size", "no list of releases"),
        ] {
            let bad = real().replacen(from, to, 1);
            assert_ne!(bad, real(), "{from}");
            let error = format!("{:#}", parse(&bad).unwrap_err());
            assert!(error.contains(expect), "{to}: {error}");
        }
        let twice = format!("{}{}", real(), &real()[4..]);
        let error = parse(&twice).unwrap_err().to_string();
        assert!(error.starts_with("two releases are about"), "{error}");
        for bad in [
            "",
            "---\n",
            "[]",
            "a: 1",
            "<html></html>",
            "- 1",
            "\0",
            &"[".repeat(5000),
        ] {
            assert!(parse(bad).is_err(), "{bad:.20}");
        }
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).is_err());
    }

    /// Inside of a field that is not read.
    #[test]
    fn aliases_have_a_budget() {
        let level = |nth: usize, what: &str, times| {
            format!("    - &a{nth} [{}]\n", format!("{what}, ").repeat(times))
        };
        let deep = |levels, times| -> String {
            let lines = (1..levels).map(|nth| level(nth, &format!("*a{}", nth - 1), times));
            level(0, "1", times) + &lines.collect::<String>()
        };
        let with = |extra: &str| parse(&format!("{}  extra:\n{extra}", real()));
        with(&deep(2, 3)).unwrap();
        let begin = std::time::Instant::now();
        for bomb in [
            deep(10, 9),
            deep(3, 30),
            deep(3, 60),
            level(0, "&b 1, *b", 100),
        ] {
            let error = format!("{:#}", with(&bomb).unwrap_err());
            let bounded = ["budget", "alias"].iter().any(|word| error.contains(word));
            assert!(bounded, "{error}");
        }
        assert!(begin.elapsed().as_secs() < 5);
    }
}
