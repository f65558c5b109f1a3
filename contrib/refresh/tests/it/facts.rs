//! What upstreams have published, as the fixtures record it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use distro_fetch::Url;
use distro_fetch::base::Date;
use serde::{Deserialize, Deserializer};

/// A file of an upstream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fact {
    #[serde(deserialize_with = "parsed")]
    pub(crate) url: Url,
    /// The same file, as somebody wrote it down.
    #[serde(rename = "recorded")]
    _recorded: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) sha512: Option<String>,
    pub(crate) size: Option<u64>,
    /// The first day on which it is known to exist.
    #[serde(deserialize_with = "parsed")]
    pub(crate) seen: Date,
    /// Other places, found by people.
    #[serde(default)]
    pub(crate) alternates: Vec<String>,
}

/// A tag of a registry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    pub(crate) repository: String,
    /// Its names, the shortest first.
    pub(crate) tags: Vec<String>,
    #[serde(rename = "index")]
    _index: String,
    #[serde(deserialize_with = "parsed")]
    pub(crate) seen: Date,
    pub(crate) manifests: Vec<Platform>,
}

/// A manifest of a tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Platform {
    /// `linux/arm64/v8`
    pub(crate) platform: String,
    pub(crate) digest: String,
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// A fixture.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let path = folder().join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `recorded.json`.
pub(crate) fn files() -> Vec<Fact> {
    serde_json::from_slice(&fixture("recorded.json")).unwrap()
}

/// `oci.json`.
pub(crate) fn tags() -> Vec<Tag> {
    serde_json::from_slice(&fixture("oci.json")).unwrap()
}

/// The days on which images.linuxcontainers.org was copied.
pub(crate) fn copies() -> Vec<Date> {
    let entries = fs::read_dir(folder().join("linuxcontainers")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut days: Vec<Date> = names
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .collect();
    days.sort();
    days
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Reads a template backwards: what stands for its holes in `text`, where a hole has the same
/// value wherever it occurs.
pub(crate) fn read<'t>(template: &'t str, text: &str) -> Option<BTreeMap<&'t str, String>> {
    let mut holes = BTreeMap::new();
    find(template, text, &mut holes).then_some(holes)
}

/// Fills a template in.
pub(crate) fn fill(template: &str, holes: &BTreeMap<&str, String>) -> String {
    let mut text = template.to_owned();
    for (name, value) in holes {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

/// Shortest values first, and back where that leads nowhere.
fn find<'t>(template: &'t str, text: &str, holes: &mut BTreeMap<&'t str, String>) -> bool {
    let Some((before, after)) = template.split_once('{') else {
        return template == text;
    };
    let (name, after) = after.split_once('}').expect("a hole ends");
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    if let Some(value) = holes.get(name) {
        return text
            .strip_prefix(value.as_str())
            .is_some_and(|rest| find(after, rest, holes));
    }
    let is_word = |c: char| match name {
        "snapshot" | "point" | "version" => c != '/',
        _ => c.is_ascii_alphanumeric() || c == '_',
    };
    let longest = text.find(|c| !is_word(c)).unwrap_or(text.len());
    for end in 1..=longest {
        let known = holes.clone();
        holes.insert(name, text[..end].to_owned());
        if find(after, &text[end..], holes) {
            return true;
        }
        *holes = known;
    }
    false
}

#[test]
fn templates_are_read_backwards() {
    for (template, text, expect) in [
        (
            "{point}/images/{uname}/Rocky-9-{snapshot}.{uname}.qcow2",
            "9.8/images/x86_64/Rocky-9-9.8-20260525.0.x86_64.qcow2",
            "{\"point\": \"9.8\", \"snapshot\": \"9.8-20260525.0\", \"uname\": \"x86_64\"}",
        ),
        (
            "a-{snapshot}-{arch}",
            "a-1-2-x_y",
            "{\"arch\": \"x_y\", \"snapshot\": \"1-2\"}",
        ),
    ] {
        let found = read(template, text).unwrap();
        assert_eq!(format!("{found:?}"), expect);
        assert_eq!(fill(template, &found), text);
    }
    for (template, text) in [
        ("{snapshot}/{snapshot}", "1/2"),
        ("{snapshot}", "1/2"),
        ("a-{arch}", "a-x-y"),
        ("a-{arch}", "a-"),
    ] {
        assert!(read(template, text).is_none(), "{template} {text}");
    }
}
