//! The descriptor: a text of keys and of extents, alone or inside of a sparse file.

use std::collections::BTreeMap;

use super::super::source::{Source, refuse};
use crate::error::Result;

/// What a descriptor says that matters to a reader.
#[derive(Debug)]
pub(super) struct Descriptor {
    /// What kind of VMDK it is: `monolithicSparse` and others.
    pub(super) kind: String,
    pub(super) extents: Vec<Line>,
}

/// A line of an extent.
#[derive(Debug)]
pub(super) struct Line {
    /// Sectors of the disk; never 0.
    pub(super) sectors: u64,
    pub(super) content: Content,
}

/// Where the content of an extent is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Zero,
    /// In a file as it is, from a sector on. The name is what the text says: nobody's yet.
    Flat {
        name: String,
        sector: u64,
    },
    /// In a sparse file: this one, if the descriptor is inside of one. Its name is not used.
    Sparse,
}

impl Descriptor {
    /// Reads the text at a place that was found to be in the file.
    pub(super) fn read(source: &Source, offset: u64, length: u64) -> Result<Self> {
        if length > MAX_LENGTH {
            return Err(refuse(format!("a descriptor of {length} bytes")));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        source.read(offset, &mut bytes)?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        // Its place is larger than it is, and may still hold the end of an older one: what every
        // reader takes for the end is the end.
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = &bytes[..end.unwrap_or(bytes.len())];
        // Names may be in any encoding; those that matter are refused if they are not plain.
        let text = String::from_utf8_lossy(bytes);
        if !text.starts_with(START) {
            return Err(refuse("its descriptor does not begin like one"));
        }
        let (mut keys, mut extents) = (BTreeMap::new(), Vec::new());
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.chars().any(|it| it.is_control() && it != '\t') {
                return Err(refuse("control characters in its descriptor"));
            }
            if let Some(extent) = extent(line)? {
                extents.push(extent);
            } else if let Some((key, value)) = line.split_once('=') {
                let key = key.trim().to_ascii_lowercase();
                let value = value.trim().trim_matches('"').to_owned();
                if keys.insert(key.clone(), value).is_some() {
                    return Err(refuse(format!("its descriptor says {key:?} twice")));
                }
            } else {
                return Err(refuse(format!("a line of its descriptor: {line:?}")));
            }
        }
        check(&keys)?;
        let kind = keys.remove("createtype");
        Ok(Self {
            kind: kind.ok_or_else(|| refuse("its descriptor does not say what kind it is"))?,
            extents,
        })
    }

    /// Sectors of the whole disk.
    pub(super) fn sectors(&self) -> Result<u64> {
        let sum = self
            .extents
            .iter()
            .try_fold(0_u64, |sum, line| sum.checked_add(line.sectors));
        sum.filter(|sum| *sum <= MAX_SECTORS)
            .ok_or_else(|| refuse("its extents are larger than a disk can be"))
    }
}

/// What would need another file, a key, or another reader.
fn check(keys: &BTreeMap<String, String>) -> Result<()> {
    let says = |key: &str| keys.get(key).map(String::as_str);
    match says("version").map(str::parse) {
        Some(Ok(1..=4)) => {}
        _ => {
            return Err(refuse(
                "the version of its descriptor is not one from 1 to 4",
            ));
        }
    }
    let is_child = says("parentcid").is_none_or(|it| !it.eq_ignore_ascii_case(NO_PARENT));
    if is_child || keys.contains_key("parentfilenamehint") {
        return Err(refuse(
            "it is only the difference to a parent, which is never opened: flatten the image first",
        ));
    }
    let is_secret = |key: &&String| key.contains("encryption") || key.contains("keysafe");
    if keys.keys().any(|key| is_secret(&key)) {
        return Err(refuse("it is encrypted"));
    }
    Ok(())
}

/// `RW 4192256 FLAT "disk-f001.vmdk" 0`: none if it is not such a line.
fn extent(line: &str) -> Result<Option<Line>> {
    let wrong = || refuse(format!("an extent that makes no sense: {line:?}"));
    let (access, rest) = word(line);
    match access {
        "RW" | "RDONLY" => {}
        "NOACCESS" => return Err(refuse(format!("an extent without access: {line:?}"))),
        _ => return Ok(None),
    }
    let (sectors, rest) = word(rest);
    let (kind, rest) = word(rest);
    let sectors = number(sectors).filter(|it| *it > 0).ok_or_else(wrong)?;
    if kind == "ZERO" {
        let content = Content::Zero;
        return if rest.is_empty() {
            Ok(Some(Line { sectors, content }))
        } else {
            Err(wrong())
        };
    }
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (name, rest) = quoted.ok_or_else(wrong)?;
    let content = match (kind, rest.trim()) {
        ("FLAT", sector) => Content::Flat {
            name: name.to_owned(),
            sector: number(sector).ok_or_else(wrong)?,
        },
        ("SPARSE", "") => Content::Sparse,
        _ => {
            return Err(refuse(format!(
                "an extent of a kind that is not supported: {line:?}"
            )));
        }
    };
    Ok(Some(Line { sectors, content }))
}

fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Digits and nothing else: `parse` takes a sign.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// How a descriptor begins.
pub(super) const START: &str = "# Disk DescriptorFile";
/// Some 20000 extents, read into memory.
const MAX_LENGTH: u64 = 1 << 20;
/// What a file can have, in sectors.
const MAX_SECTORS: u64 = i64::MAX as u64 / 512;
const NO_PARENT: &str = "ffffffff";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_descriptor_may_say() {
        let check = |lines: &str, expect: Result<(&str, u64), &str>| {
            let text = format!("{START}\n{lines}\n");
            let found = Descriptor::parse(text.as_bytes()).and_then(|it| {
                let sectors = it.sectors()?;
                Ok((it.kind, sectors))
            });
            match (found, expect) {
                (Ok((kind, sectors)), Ok(expect)) => assert_eq!((&kind[..], sectors), expect),
                (Err(error), Err(why)) => {
                    assert!(error.message().contains(why), "{lines:?}: {error}");
                }
                (found, _) => panic!("{lines:?}: {found:?}, expected {expect:?}"),
            }
        };
        let keys = "version=1\nCID=1\nparentCID=FFFFFFFF\ncreateType=\"x\"";
        let with = |more: &str| format!("{keys}\n{more}");
        check(keys, Ok(("x", 0)));
        check(&keys.replace('\n', "\r\n"), Ok(("x", 0)));
        check(&with("RW 5 ZERO\nRDONLY 3 FLAT \"a b\" 7"), Ok(("x", 8)));
        check(&with("\n # more\n ddb.a = \"=\"\0\n7\"\0"), Ok(("x", 0)));
        for (more, why) in [
            ("hello", "a line of its"),
            ("CID=2", "twice"),
            ("a=\u{1b}[2J", "control characters"),
            ("parentFileNameHint=\"/etc/passwd\"", "a parent"),
            ("encryption.keySafe=\"vmware:key\"", "encrypted"),
            ("RW 0 FLAT \"a\" 0", "no sense"),
            ("RW -1 FLAT \"a\" 0", "no sense"),
            ("RW +1 FLAT \"a\" 0", "no sense"),
            ("RW 1 FLAT \"a\"", "no sense"),
            ("RW 1 FLAT \"a\" 0 0", "no sense"),
            ("RW 1 FLAT \"a\" -1", "no sense"),
            ("RW 1 FLAT a 0", "no sense"),
            ("RW 1 FLAT \"a", "no sense"),
            ("RW 1 ZERO \"a\"", "no sense"),
            ("RW 1 VMFSRDM \"a\"", "not supported"),
            ("RW 1 SPARSE \"a\" 1", "not supported"),
            ("NOACCESS 1 ZERO", "without access"),
            ("RW 18446744073709551615 ZERO", "larger than"),
            ("RW 18446744073709551615 ZERO\nRW 1 ZERO", "larger than"),
        ] {
            check(&with(more), Err(why));
        }
        check(&keys.replace("FFFFFFFF", "12345678"), Err("a parent"));
        check(&keys.replace("parentCID=FFFFFFFF", ""), Err("a parent"));
        check(&keys.replace("version=1", "version=9"), Err("version"));
        check(&keys.replace("createType", "type"), Err("what kind"));
        assert!(Descriptor::parse(b"").is_err());
    }
}
