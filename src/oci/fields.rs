//! JSON objects whose values are asked for by type.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::name::parse_digest;
use super::{Descriptor, Platform};
use crate::base::Digest;
use crate::error::{Error, Kind, Result};

/// An object whose values are asked for by type. `null` is as good as nothing: Go writes it for a
/// list or map that was never made.
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    /// What kind of document it is: `image index`.
    document: &'static str,
    what: String,
}

impl<'a> Fields<'a> {
    /// The object at the top of a document.
    pub(super) fn of(value: &'a Value, document: &'static str) -> Result<Self> {
        Self::named(value, document, "the document".to_owned())
    }

    fn named(value: &'a Value, document: &'static str, what: String) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                document,
                what,
            }),
            _ => Err(refuse(document, &what, "not an object")),
        }
    }

    /// An object inside of this one.
    pub(super) fn inside(&self, value: &'a Value, what: impl Into<String>) -> Result<Self> {
        Self::named(value, self.document, what.into())
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>> {
        self.get(key).map(|it| self.inside(it, key)).transpose()
    }

    pub(super) fn list(&self, key: &str) -> Result<Option<&'a [Value]>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.refuse(&format!("{key:?} is not a list"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let text = value.as_str();
        text.map(Some)
            .ok_or_else(|| self.refuse(&format!("{key:?} is not a text")))
    }

    pub(super) fn required(&self, key: &str) -> Result<&'a str> {
        self.text(key)?
            .ok_or_else(|| self.refuse(&format!("no {key:?}")))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>> {
        let list = self.list(key)?.unwrap_or_default().iter();
        let texts = list.map(|it| it.as_str().map(str::to_owned)).collect();
        let texts: Option<Vec<String>> = texts;
        texts.ok_or_else(|| self.refuse(&format!("{key:?} is not a list of texts")))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value.as_u64();
        number
            .map(Some)
            .ok_or_else(|| self.refuse(&format!("{key:?} is not a whole number from 0 on")))
    }

    pub(super) fn digest(&self, key: &str) -> Result<Digest> {
        parse_digest(self.required(key)?)
    }

    /// A map from texts to texts.
    pub(super) fn map(&self, key: &str) -> Result<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        if let Some(list) = self.object(key)? {
            for key in list.map.keys() {
                if let Some(text) = list.text(key)? {
                    map.insert(key.clone(), text.to_owned());
                }
            }
        }
        Ok(map)
    }

    /// The object as a descriptor (OCI image specification 1.1, "Content Descriptors").
    pub(super) fn descriptor(&self) -> Result<Descriptor> {
        let platform = match self.object("platform")? {
            None => None,
            Some(platform) => {
                let word = |key: &str| Ok(platform.text(key)?.map(str::to_owned));
                let missing = || platform.refuse("it has an os and an architecture");
                Some(Platform {
                    os: word("os")?.ok_or_else(missing)?,
                    architecture: word("architecture")?.ok_or_else(missing)?,
                    variant: word("variant")?,
                })
            }
        };
        Ok(Descriptor {
            media_type: self.required("mediaType")?.to_owned(),
            digest: self.digest("digest")?,
            size: self.number("size")?,
            platform,
            annotations: self.map("annotations")?,
        })
    }

    pub(super) fn refuse(&self, why: &str) -> Error {
        refuse(self.document, &self.what, why)
    }
}

/// Reads a JSON document of at most so many bytes.
pub(super) fn parse(bytes: &[u8], limit: u64, document: &'static str) -> Result<Value> {
    if bytes.len() as u64 > limit {
        return Err(refuse(
            document,
            "the document",
            &format!("more than {limit} bytes"),
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(Kind::Format, format!("malformed {document}")).with_source(error)
    })
}

fn refuse(document: &str, what: &str, why: &str) -> Error {
    Error::new(Kind::Format, format!("malformed {document}: {what}: {why}"))
}
