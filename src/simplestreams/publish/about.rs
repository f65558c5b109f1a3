//! What is said of a product beside its images: in files of the folders above them, and in the
//! metadata of its newest image.
//!
//! `.requirements`, `.lxd_requirements` and `.product` may stand in the folders of an OS, a
//! release, an architecture and a variant. Each is an object of JSON; of what several say, the
//! deepest one counts, name by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess};
use serde_json::Value;

use super::document;
use super::metadata::Metadata;
use super::name::is_plain;
use crate::base::Date;
use crate::simplestreams::json::{Fields, Members, Named, Object, Text};

/// What holds for everything below a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) requirements: BTreeMap<String, String>,
    pub(super) lxd_requirements: BTreeMap<String, String>,
    pub(super) about: About,
}

/// What an index may say of a product, if somebody says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) release_title: Option<String>,
    pub(super) release_codename: Option<String>,
    pub(super) version: Option<String>,
    /// A day.
    pub(super) support_eol: Option<String>,
    pub(super) supported: Option<bool>,
    /// More than those that are made of its names.
    pub(super) aliases: Option<Vec<String>>,
}

impl Settings {
    /// With what the files in a folder say; the name of the first that is wrong, and why.
    pub(super) fn overridden(&self, folder: &OwnedFd) -> Result<Self, (&'static str, String)> {
        let mut settings = self.clone();
        let requirements = |name| -> Result<_, (&'static str, String)> {
            let list: Option<Requirements> = read(folder, name).map_err(|why| (name, why))?;
            Ok(list.into_iter().flat_map(|list| list.0))
        };
        settings.requirements.extend(requirements(REQUIREMENTS)?);
        settings
            .lxd_requirements
            .extend(requirements(LXD_REQUIREMENTS)?);
        if let Some(Object(about)) =
            read::<Object<About>>(folder, PRODUCT).map_err(|why| (PRODUCT, why))?
        {
            settings.about = about.or(self.about.clone());
        }
        Ok(settings)
    }
}

impl About {
    /// What properties of an image say of its product. What nothing can be made of is passed over:
    /// an image of somebody else's may say anything.
    pub(super) fn of_image(metadata: &Metadata) -> Self {
        let get = |name: &str| metadata.properties.get(name).cloned();
        let short = |text: &String| is_line(text);
        let aliases = get("aliases").map(|list| {
            let words = list.split(',').map(|alias| alias.trim().to_owned());
            words.filter(|alias| is_alias(alias)).collect()
        });
        Self {
            release_title: get("release_title").filter(short),
            release_codename: get("release_codename").or(get("codename")).filter(short),
            version: get("version").filter(short),
            support_eol: get("support_eol").filter(|day| day.parse::<Date>().is_ok()),
            supported: None,
            aliases,
        }
    }

    /// What this does not say, `other` does.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            release_title: self.release_title.or(other.release_title),
            release_codename: self.release_codename.or(other.release_codename),
            version: self.version.or(other.version),
            support_eol: self.support_eol.or(other.support_eol),
            supported: self.supported.or(other.supported),
            aliases: self.aliases.or(other.aliases),
        }
    }
}

impl About {
    /// As it stands in a `.product`.
    pub(super) fn to_json(&self) -> Value {
        let texts = [
            ("aliases", &self.aliases.as_ref().map(|list| list.join(","))),
            ("release_codename", &self.release_codename),
            ("release_title", &self.release_title),
            ("support_eol", &self.support_eol),
            ("version", &self.version),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| {
            let text = text.as_deref()?;
            Some((key.to_owned(), Value::from(text)))
        });
        let supported = self.supported.map(|it| ("supported".to_owned(), it.into()));
        texts.chain(supported).collect()
    }

    /// The other way.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Object<Self>>(text)
            .ok()
            .map(|it| it.0)
    }
}

impl<'de> Fields<'de> for About {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let mut text = |good: &dyn Fn(&str) -> bool, expected: &str| {
            let Text(text) = map.next_value()?;
            if good(&text) {
                return Ok(Some(text.into_owned()));
            }
            Err(A::Error::custom(format!(
                "{key}: {text:?} is no {expected}"
            )))
        };
        match key {
            "release_title" => self.release_title = text(&is_line, "title")?,
            "release_codename" => self.release_codename = text(&is_line, "codename")?,
            "version" => self.version = text(&is_line, "version")?,
            "support_eol" => {
                let is_day = |day: &str| day.parse::<Date>().is_ok();
                self.support_eol = text(&is_day, "day as YYYY-MM-DD")?;
            }
            "aliases" => {
                let are_good = |list: &str| list.split(',').all(|alias| is_alias(alias.trim()));
                let list = text(&are_good, "list of names with commas between")?;
                let words = |list: String| list.split(',').map(|it| it.trim().to_owned()).collect();
                self.aliases = list.map(words);
            }
            "supported" => self.supported = Some(map.next_value()?),
            _ => return Err(A::Error::custom(format!("{key:?} is not known here"))),
        }
        Ok(())
    }
}

/// Names and values: one value that is no text makes an index that Incus cannot read.
struct Requirements(Vec<(String, String)>);

struct Requirement(String, String);

impl Named for Requirement {
    fn name(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Requirements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Members::new(
            "requirement",
            &|_| true,
            |name: Cow<'de, str>, Text(value): Text<'de>| {
                Requirement(name.into_owned(), value.into_owned())
            },
        );
        let list = serde::de::DeserializeSeed::deserialize(members, deserializer)?;
        Ok(Self(list.into_iter().map(|it| (it.0, it.1)).collect()))
    }
}

/// Reads a file of settings, if it is there.
fn read<T: for<'de> Deserialize<'de>>(folder: impl AsFd, name: &str) -> Result<Option<T>, String> {
    let bytes = match document::read(folder, name, MAX_SETTINGS) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) => return Err(format!("cannot read it: {error}")),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Whether a text can stand in a line.
fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LINE && !text.chars().any(char::is_control)
}

/// `ubuntu/noble/cloud`: names with slashes between.
fn is_alias(text: &str) -> bool {
    text.len() <= MAX_LINE && text.split('/').all(is_plain)
}

const REQUIREMENTS: &str = ".requirements";
const LXD_REQUIREMENTS: &str = ".lxd_requirements";
const PRODUCT: &str = ".product";

/// Bytes of a file of settings.
const MAX_SETTINGS: u64 = 64 << 10;

const MAX_LINE: usize = 256;
