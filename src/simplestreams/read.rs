//! The index and the products documents.

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess};

use super::json::{Fields, Members, Named, Object, Text, Texts};
use crate::base::{Digest, decode_hex};
use crate::error::{Error, Kind};

/// `index.json`: which products documents a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index<'a> {
    /// Its streams, sorted by name.
    pub streams: Vec<Stream<'a>>,
}

/// One stream of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The key in the index.
    pub name: Cow<'a, str>,
    /// `image-downloads`, or something that is not to be downloaded: `image-ids`.
    pub datatype: Cow<'a, str>,
    /// Where its products document is, relative to the server's base.
    pub path: Cow<'a, str>,
    /// The products that are in it, where the index says so.
    pub products: Option<Vec<Cow<'a, str>>>,
}

impl Stream<'_> {
    /// Whether its items are files.
    pub fn is_downloads(&self) -> bool {
        self.datatype == "image-downloads"
    }
}

/// A products document, or that part of it that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Products<'a> {
    /// As in [`Stream::datatype`]; empty where the document does not say.
    pub datatype: Cow<'a, str>,
    /// The products that were asked for and are there, sorted by key.
    pub products: Vec<Product<'a>>,
}

/// A product: one variant of one release for one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product<'a> {
    /// `alpine:3.21:amd64:default`, `com.ubuntu.cloud:server:24.04:amd64`.
    pub key: Cow<'a, str>,
    /// The architecture, in whatever words upstream has.
    pub arch: Option<Cow<'a, str>>,
    /// The operating system: `Alpine`.
    pub os: Option<Cow<'a, str>>,
    /// The release: `3.21`, `noble`.
    pub release: Option<Cow<'a, str>>,
    /// The variant: `default`, `cloud`.
    pub variant: Option<Cow<'a, str>>,
    /// Its builds, sorted by serial as text.
    pub versions: Vec<Version<'a>>,
}

/// A build of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version<'a> {
    /// `20260128_13:00`, `20260720`, `20170619.1`.
    pub serial: Cow<'a, str>,
    /// Its files, sorted by key.
    pub items: Vec<Item<'a>>,
}

impl<'a> Version<'a> {
    /// The file with this key.
    pub fn item(&self, key: &str) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.key == key)
    }
}

/// A file of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// The key: `root.tar.xz`, `disk1.img`.
    pub key: Cow<'a, str>,
    /// What kind of file it is; often, not always, the key.
    pub ftype: Cow<'a, str>,
    /// Where it is, relative to the server's base: to be judged by
    /// [`relative_path`](super::relative_path).
    pub path: Cow<'a, str>,
    /// Bytes.
    pub size: Option<u64>,
    /// SHA-256 of the file.
    pub sha256: Option<Digest>,
    /// MD5 of the file: all that old servers tell.
    pub md5: Option<[u8; 16]>,
    /// The fingerprints of a metadata item.
    pub combined: Vec<Combined<'a>>,
}

/// `combined_…_sha256` of a metadata item: SHA-256 over the metadata tarball and, behind it, a
/// root file. It is what Incus calls the fingerprint; it is never the hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined<'a> {
    /// The whole key: `combined_rootxz_sha256`.
    pub key: Cow<'a, str>,
    /// The fingerprint.
    pub sha256: Digest,
}

impl<'a> Index<'a> {
    /// Reads an index.
    ///
    /// # Errors
    /// [`Kind::Format`] with line and column if it is not one.
    pub fn parse(document: &'a [u8]) -> Result<Self, Error> {
        let Object(it): Object<RawIndex<'a>> = whole(document, "an index")?;
        check_format(&it.format, "index:1.")?;
        let streams = it
            .index
            .ok_or_else(|| malformed("an index", "it has no \"index\""))?;
        Ok(Self { streams })
    }
}

impl<'a> Products<'a> {
    /// Reads those products of a document whose key is `wanted`.
    ///
    /// # Errors
    /// [`Kind::Format`] with line and column if it is not such a document.
    pub fn parse(document: &'a [u8], wanted: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let mut reader = serde_json::Deserializer::from_slice(document);
        let it = reader
            .deserialize_map(Document { wanted })
            .and_then(|it| reader.end().map(|()| it))
            .map_err(|error| malformed("a products document", &error.to_string()))?;
        check_format(&it.format, "products:1.")?;
        let products = it
            .products
            .ok_or_else(|| malformed("a products document", "it has no \"products\""))?;
        Ok(Self {
            datatype: it.datatype,
            products,
        })
    }

    /// The product with this key.
    pub fn get(&self, key: &str) -> Option<&Product<'a>> {
        let at = self
            .products
            .binary_search_by(|product| (*product.key).cmp(key));
        at.ok().map(|at| &self.products[at])
    }
}

#[derive(Default)]
struct RawIndex<'a> {
    format: Cow<'a, str>,
    index: Option<Vec<Stream<'a>>>,
}

impl<'de> Fields<'de> for RawIndex<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "format" => self.format = map.next_value::<Text<'_>>()?.0,
            "index" => {
                self.index = Some(map.next_value_seed(Members::new(
                    "stream",
                    &|_| true,
                    |name, Object(it): Object<Stream<'de>>| Stream { name, ..it },
                ))?);
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Stream<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "datatype" => self.datatype = map.next_value::<Text<'_>>()?.0,
            "path" => self.path = map.next_value::<Text<'_>>()?.0,
            "products" => self.products = Some(map.next_value::<Texts<'_>>()?.0),
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// The top of a products document, which has to hand down what is wanted.
struct Document<'f> {
    wanted: &'f dyn Fn(&str) -> bool,
}

#[derive(Default)]
struct RawProducts<'a> {
    format: Cow<'a, str>,
    datatype: Cow<'a, str>,
    products: Option<Vec<Product<'a>>>,
}

impl<'de> serde::de::Visitor<'de> for Document<'_> {
    type Value = RawProducts<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut it = RawProducts::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "format" => it.format = map.next_value::<Text<'_>>()?.0,
                "datatype" => it.datatype = map.next_value::<Text<'_>>()?.0,
                "products" => {
                    it.products = Some(map.next_value_seed(Members::new(
                        "product",
                        self.wanted,
                        |key, Object(it): Object<Product<'de>>| Product { key, ..it },
                    ))?);
                }
                _ => skip(&mut map)?,
            }
        }
        Ok(it)
    }
}

impl<'de> Fields<'de> for Product<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "arch" => self.arch = Some(map.next_value::<Text<'_>>()?.0),
            "os" => self.os = Some(map.next_value::<Text<'_>>()?.0),
            "release" => self.release = Some(map.next_value::<Text<'_>>()?.0),
            "variant" => self.variant = Some(map.next_value::<Text<'_>>()?.0),
            "versions" => {
                self.versions = map.next_value_seed(Members::new(
                    "version",
                    &|_| true,
                    |serial, Object(it): Object<Version<'de>>| Version { serial, ..it },
                ))?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Version<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "items" => {
                self.items = map.next_value_seed(Members::new(
                    "item",
                    &|_| true,
                    |key, Object(it): Object<Item<'de>>| Item { key, ..it },
                ))?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Item<'de> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "ftype" => self.ftype = map.next_value::<Text<'_>>()?.0,
            "path" => self.path = map.next_value::<Text<'_>>()?.0,
            "size" => self.size = Some(map.next_value()?),
            "sha256" => self.sha256 = Some(digest(map)?),
            "md5" => {
                let Text(text) = map.next_value()?;
                let bad = || A::Error::custom(format!("{text:?} is not an MD5 sum"));
                self.md5 = Some(decode_hex(&text).ok_or_else(bad)?);
            }
            _ if key.starts_with("combined_") && key.ends_with("sha256") => {
                let sha256 = digest(map)?;
                self.combined.push(Combined {
                    key: Cow::Owned(key.to_owned()),
                    sha256,
                });
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

macro_rules! named {
    ($($type:ident.$field:ident),*) => {
        $(impl Named for $type<'_> {
            fn name(&self) -> &str {
                &self.$field
            }
        })*
    };
}
named!(Stream.name, Product.key, Version.serial, Item.key);

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

fn digest<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Digest, A::Error> {
    let Text(text) = map.next_value()?;
    text.parse()
        .map_err(|error: Error| A::Error::custom(error.message()))
}

fn whole<'a, T: serde::de::Deserialize<'a>>(document: &'a [u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(document).map_err(|error| malformed(what, &error.to_string()))
}

/// A document of another major version may mean something else by the same words.
fn check_format(format: &str, expect: &str) -> Result<(), Error> {
    if format.starts_with(expect) {
        Ok(())
    } else {
        let message = format!("its format is {format:?}, not {expect}x");
        Err(malformed("a simplestreams document", &message))
    }
}

fn malformed(what: &str, why: &str) -> Error {
    Error::new(
        Kind::Format,
        format!("malformed: {what} is expected: {why}"),
    )
}
