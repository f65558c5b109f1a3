//! `metadata.yaml`: what an image says of itself.
//!
//! Of the document only some texts are wanted, so it is read as events and never built: an alias
//! is one event, whatever it would stand for, and nothing grows but what is kept. Texts stay as
//! they stand: a release `3.10` is no number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::archive::{Checks, Decoder, Empty, Format, Limits, Reader};
use crate::error::{Error, Kind, Result};

/// What is wanted of a `metadata.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The architecture, by the kernel's name.
    pub(super) architecture: Option<String>,
    /// Seconds since 1970.
    pub(super) creation_date: Option<String>,
    /// Those of [`PROPERTIES`] that are there.
    pub(super) properties: BTreeMap<String, String>,
}

/// Properties that are wanted: where an image belongs, and what is said of its product.
pub(super) const PROPERTIES: [&str; 10] = [
    "aliases",
    "architecture",
    "codename",
    "os",
    "release",
    "release_codename",
    "release_title",
    "support_eol",
    "variant",
    "version",
];

/// How much of an archive may have to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// It holds metadata alone: all of it is read, and a second document is an error.
    Whole,
    /// It holds a root, too: it is read up to the document.
    Start,
}

impl Metadata {
    /// Reads it out of a tarball, which is compressed as its first bytes say.
    ///
    /// # Errors
    /// [`Kind::Format`] for what is no such tarball, has no such document or a wrong one;
    /// [`Kind::Local`] if it cannot be read.
    pub(super) fn of_tarball(mut file: File, extent: Extent) -> Result<Self> {
        let cannot = |error| Error::new(Kind::Local, "cannot read it").with_source(error);
        let mut start = Vec::new();
        (&mut file)
            .take(Format::MAGIC as u64)
            .read_to_end(&mut start)
            .and_then(|_| file.rewind())
            .map_err(cannot)?;
        let format = Format::of_magic(&start).unwrap_or(Format::Plain);
        let limits = extent.limits();
        let decoder = Decoder::new(file, format, &limits, Checks::Verify)?;
        let mut reader = Reader::new(decoder, limits).with_empty(Empty::Allow);
        let mut found: Option<Self> = None;
        while let Some(entry) = reader.next_entry()? {
            let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
            if path != DOCUMENT.as_bytes() {
                continue;
            }
            if found.is_some() {
                let message = format!("{DOCUMENT} is in it twice");
                return Err(Error::new(Kind::Format, message));
            }
            if !entry.is_file() || entry.size > MAX_DOCUMENT {
                let message = format!("{DOCUMENT} is no file of at most {MAX_DOCUMENT} bytes");
                return Err(Error::new(Kind::Format, message));
            }
            let mut text = Vec::new();
            loop {
                let block = reader.next_block()?;
                if block.is_empty() {
                    break;
                }
                text.extend_from_slice(block);
            }
            let metadata = Self::parse(&text)?;
            if extent == Extent::Start {
                return Ok(metadata);
            }
            found = Some(metadata);
        }
        // What follows the end of the tar is not looked at: there are images with a newline behind
        // the stream, and other generators read them.
        found.ok_or_else(|| Error::new(Kind::Format, format!("there is no {DOCUMENT} in it")))
    }

    /// Reads the document.
    fn parse(text: &[u8]) -> Result<Self> {
        let refuse = |why: String| Error::new(Kind::Format, format!("{DOCUMENT}: {why}"));
        let text = std::str::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
        let mut walk = Walk::default();
        for (count, event) in Parser::new_from_str(text).enumerate() {
            let (event, place) = event.map_err(|error| refuse(error.to_string()))?;
            let line = place.start.line();
            if count >= MAX_EVENTS {
                return Err(refuse(format!("line {line}: there is no end to it")));
            }
            let more = walk
                .take(event)
                .map_err(|why| refuse(format!("line {line}: {why}")))?;
            if !more {
                break;
            }
        }
        Ok(walk.metadata)
    }
}

impl Extent {
    fn limits(self) -> Limits {
        Limits {
            bytes: match self {
                Self::Whole => MAX_METADATA,
                Self::Start => MAX_UNIFIED,
            },
            xz_memory: XZ_MEMORY,
            ..Limits::default()
        }
    }
}

/// Where in the document we are.
#[derive(Default)]
struct Walk<'a> {
    levels: Vec<Level>,
    /// Texts with an anchor.
    anchors: BTreeMap<usize, (String, bool)>,
    metadata: Metadata,
    document: std::marker::PhantomData<&'a str>,
}

struct Level {
    is_map: bool,
    /// The key whose value is next; `None` before a key. A key that is no text is an empty one.
    key: Option<String>,
}

impl Walk<'_> {
    /// Takes an event; `false` at the end of the document.
    fn take(&mut self, event: Event<'_>) -> Result<bool, String> {
        match event {
            Event::MappingStart(..) => self.open(true)?,
            Event::SequenceStart(..) => self.open(false)?,
            Event::MappingEnd | Event::SequenceEnd => {
                self.levels.pop();
                self.node(None)?;
            }
            Event::Scalar(text, style, anchor, _) => {
                let nothing = ["", "~", "null", "Null", "NULL"].contains(&&*text);
                let is_text = style != ScalarStyle::Plain || !nothing;
                if anchor > 0 {
                    self.anchors.insert(anchor, (text.to_string(), is_text));
                }
                self.node(is_text.then_some(&*text))?;
            }
            Event::Alias(anchor) => {
                let text = self.anchors.remove(&anchor);
                let known = text.as_ref().filter(|(_, is_text)| *is_text);
                self.node(known.map(|(text, _)| text.as_str()))?;
                self.anchors.extend(text.map(|text| (anchor, text)));
            }
            Event::DocumentEnd => return Ok(false),
            Event::DocumentStart(_) | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        Ok(true)
    }

    fn open(&mut self, is_map: bool) -> Result<(), String> {
        if self.levels.len() >= MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        self.levels.push(Level { is_map, key: None });
        Ok(())
    }

    /// A node has ended; `text` is what it says, if it is a text.
    fn node(&mut self, text: Option<&str>) -> Result<(), String> {
        let depth = self.levels.len();
        let Some(level) = self.levels.last_mut().filter(|level| level.is_map) else {
            return Ok(());
        };
        let Some(key) = level.key.take() else {
            level.key = Some(text.unwrap_or_default().to_owned());
            return Ok(());
        };
        let Some(text) = text else {
            return Ok(());
        };
        let before = match depth {
            1 if key == "architecture" => self.metadata.architecture.replace(text.to_owned()),
            1 if key == "creation_date" => self.metadata.creation_date.replace(text.to_owned()),
            2 if self.levels[0].key.as_deref() == Some("properties")
                && PROPERTIES.contains(&key.as_str()) =>
            {
                let properties = &mut self.metadata.properties;
                properties.insert(key.clone(), text.to_owned())
            }
            _ => None,
        };
        match before {
            None => Ok(()),
            Some(_) => Err(format!("{key} stands twice")),
        }
    }
}

const DOCUMENT: &str = "metadata.yaml";

/// Bytes of the document: a bomb that is none when it is packed (HOSTILE 40).
const MAX_DOCUMENT: u64 = 256 << 10;

/// Events of the document, and how deep they go.
const MAX_EVENTS: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// Bytes of a metadata tarball, templates and all, and of what may stand before the document where
/// a root is in the same tarball.
const MAX_METADATA: u64 = 64 << 20;
const MAX_UNIFIED: u64 = 4 << 30;

/// Memory for a dictionary of 8 MiB, which is what `xz -9` and less of a small file need, and for
/// the largest that `xz -9` asks for.
const XZ_MEMORY: u64 = 96 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let got = match Metadata::parse(text.as_bytes()) {
            Err(error) => format!("! {error}"),
            Ok(it) => {
                let mut words = Vec::from_iter(it.architecture);
                words.extend(it.creation_date);
                words.extend(
                    it.properties
                        .iter()
                        .map(|(key, value)| format!("{key}={value}")),
                );
                words.join(" ")
            }
        };
        assert!(
            got == expect || got.starts_with('!') && got.contains(expect),
            "{text}: {got}"
        );
    }

    #[test]
    fn texts_are_what_yaml_says() {
        for (text, expect) in [
            (
                "architecture: x86_64\ncreation_date: 1696683680\nproperties:\n  os: alpine\n  \
                 release: 3.10\n  name: x\n",
                "x86_64 1696683680 os=alpine release=3.10",
            ),
            (
                "{architecture: 'a b', properties: {\"os\": \"x\\ty\"}}",
                "a b os=x\ty",
            ),
            (
                "properties:\n  os: >-\n    two\n    lines\n  release: |\n    r\n",
                "os=two lines release=r\n",
            ),
            ("architecture: a # not this\n# nor this\n", "a"),
            (
                "architecture: ~\ncreation_date:\nproperties: {os: null, variant: 'null'}",
                "variant=null",
            ),
            (
                "properties: {release: &r noble, codename: *r}",
                "codename=noble release=noble",
            ),
            (
                "properties: [os, alpine]\nx: {properties: {os: no}}\nos: no",
                "",
            ),
            ("x: {architecture: no}\narchitecture: yes", "yes"),
            ("? [a, b]\n: c\narchitecture: d", "d"),
            (
                "? {architecture: no}\n: architecture\nproperties: {? [os] : no, os: yes}",
                "os=yes",
            ),
            ("---\narchitecture: a\n---\narchitecture: b\n", "a"),
            ("- architecture\n- x\n", ""),
            ("just text", ""),
            ("", ""),
            ("architecture: a\narchitecture: b", "stands twice"),
            ("properties: {os: a, os: b}", "os stands twice"),
            ("a: *nobody", "unknown anchor"),
            ("a: [b", ""),
            ("a: \"b", "!"),
        ] {
            check(text, expect);
        }
        check(&"[".repeat(100), "nested too deeply");
        check(&"[".repeat(5000), "recursion limit");
        check(&format!("x: [{}]", "a,".repeat(110_000)), "there is no end");
        assert!(Metadata::parse(b"os: \xff").is_err());
    }

    /// "A billion laughs": an alias is never more than one event.
    #[test]
    fn a_bomb_does_not_go_off() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..40 {
            let before = format!("*a{},", n - 1).repeat(9);
            text.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        text.push_str("architecture: x86_64\nproperties: *a39\n");
        check(&text, "x86_64");
    }
}
