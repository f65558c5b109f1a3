//! The documents of an index.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::Problem;
use super::about::About;
use super::build::{Build, Hashed};
use super::item::{Role, Root};
use super::name::is_plain;
use super::scan;
use crate::base::Digest;

/// A product that has versions.
#[derive(Debug)]
pub(super) struct Product {
    /// What was found of it; its versions are in `builds` now.
    pub(super) found: scan::Product,
    /// All that is known of it.
    pub(super) about: About,
    /// Sorted by serial.
    pub(super) builds: Vec<Build>,
    /// How many of the oldest builds the index does not name.
    pub(super) hidden: usize,
    pub(super) aliases: Vec<String>,
}

impl Product {
    /// The builds that the index names.
    pub(super) fn listed(&self) -> &[Build] {
        &self.builds[self.hidden..]
    }

    /// The names that mean it whatever else is there, and those that mean it if nothing else has
    /// them.
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let of = |release: &str| {
            let scan::Product { os, variant, .. } = &self.found;
            let mut names = vec![format!("{os}/{release}/{variant}")];
            if variant == "default" {
                names.push(format!("{os}/{release}"));
            }
            names
        };
        let more = [&self.about.release_codename, &self.about.version];
        let more = more
            .into_iter()
            .flatten()
            .filter(|it| is_plain(it))
            .flat_map(|it| of(it));
        let extra = self.about.aliases.iter().flatten().cloned();
        (of(&self.found.release), more.chain(extra).collect())
    }

    /// Everything but the versions, sorted.
    fn head(&self) -> Value {
        let scan::Product {
            os,
            release,
            arch,
            variant,
            settings,
            ..
        } = &self.found;
        let About {
            release_title,
            release_codename,
            version,
            support_eol,
            supported,
            ..
        } = &self.about;
        let mut head = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                head.insert(key.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        put("aliases", Some(self.aliases.join(",").into()));
        put("arch", Some(arch.as_str().into()));
        put("lxd_requirements", Some(json!(settings.lxd_requirements)));
        put("os", Some(os.as_str().into()));
        put("release", Some(release.as_str().into()));
        put("release_codename", text(release_codename));
        put(
            "release_title",
            text(release_title).or(Some(release.as_str().into())),
        );
        put("requirements", Some(json!(settings.requirements)));
        put("support_eol", text(support_eol));
        put("supported", supported.map(Value::from));
        put("variant", Some(variant.as_str().into()));
        put("version", text(version));
        Value::Object(head)
    }

    /// The items of a build, by their keys.
    fn items(&self, build: &Build) -> BTreeMap<String, Value> {
        let mut items = BTreeMap::new();
        let mut put = |role: &Role, file: &Hashed| {
            let mut item = Map::new();
            for (key, sha256) in fingerprints(build, file) {
                item.insert(key.to_owned(), sha256.to_string().into());
            }
            if let Role::Delta(_, base) = role {
                item.insert("delta_base".to_owned(), base.as_str().into());
            }
            item.insert("ftype".to_owned(), role.ftype().into());
            let path = format!("{}/{}", build.path, file.name);
            item.insert("path".to_owned(), path.into());
            item.insert("sha256".to_owned(), file.sha256.to_string().into());
            item.insert("size".to_owned(), file.mark.size.into());
            items.insert(role.key(), Value::Object(item));
        };
        let has = |role: &Role| build.files.iter().any(|file| file.role == *role);
        for file in &build.files {
            match &file.role {
                // Each of the two asks for metadata of its own name, and reads either.
                Role::Incus if !has(&Role::Lxd) => put(&Role::Lxd, file),
                Role::Lxd if !has(&Role::Incus) => put(&Role::Incus, file),
                Role::Delta(root, base) if !self.has_base(build, *root, base) => continue,
                _ => {}
            }
            put(&file.role, file);
        }
        items
    }

    /// Whether a delta can be of use: its base is listed, and what it makes is there.
    fn has_base(&self, build: &Build, root: Root, base: &str) -> bool {
        let has = |build: &Build| build.files.iter().any(|file| file.role == Role::Root(root));
        has(build) && self.listed().iter().any(|it| it.serial == base && has(it))
    }
}

/// The fingerprints on a metadata item.
fn fingerprints<'a>(build: &'a Build, file: &Hashed) -> Vec<(&'static str, &'a Digest)> {
    let mut list = Vec::new();
    if file.role.is_metadata() {
        for other in &build.files {
            if let (Role::Root(root), Some(sha256)) = (&other.role, other.behind(&file.sha256)) {
                list.extend(root.fingerprints().iter().map(|key| (*key, sha256)));
            }
        }
    }
    list.sort_unstable_by_key(|(key, _)| *key);
    list
}

/// Gives each product its aliases; what somebody else has already is said in `warnings`.
pub(super) fn name(products: &mut [Product], warnings: &mut Vec<Problem>) {
    let mut taken: BTreeMap<(String, String), String> = BTreeMap::new();
    for product in &mut *products {
        for alias in product.names().0 {
            let key = (product.found.arch.clone(), alias.clone());
            taken.insert(key, product.found.key());
            product.aliases.push(alias);
        }
    }
    for product in products {
        let own = product.found.key();
        for alias in product.names().1 {
            let key = (product.found.arch.clone(), alias.clone());
            match taken.get(&key) {
                None => {
                    taken.insert(key, own.clone());
                    product.aliases.push(alias);
                }
                Some(other) if *other == own => {}
                Some(other) => warnings.push(Problem {
                    path: product.found.path(),
                    message: format!("the alias {alias} already means {other}"),
                }),
            }
        }
    }
}

/// Writes `images.json`.
pub(super) fn write_images(products: &[Product], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        br#"{"content_id":"images","datatype":"image-downloads","format":"products:1.0","products":{"#,
    )?;
    for (at, product) in products.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(out, "{comma}{}:", Value::from(product.found.key()))?;
        // One version after the other: all at once would be the largest thing in memory.
        let head = product.head().to_string();
        write!(out, "{},\"versions\":{{", head.trim_end_matches('}'))?;
        for (at, build) in product.listed().iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let items = json!({ "items": product.items(build) });
            write!(out, "{comma}{}:{items}", Value::from(build.serial.as_str()))?;
        }
        out.write_all(b"}}")?;
    }
    out.write_all(b"}}\n")
}

/// Writes `index.json`, which names these products.
pub(super) fn write_index<'a>(
    keys: impl Iterator<Item = &'a str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let images = json!({
        "datatype": "image-downloads",
        "format": "products:1.0",
        "path": IMAGES,
        "products": keys.collect::<Vec<_>>(),
    });
    let document = json!({ "format": "index:1.0", "index": { "images": images } });
    writeln!(out, "{document}")
}

/// Where the documents are, relative to the root.
pub(super) const INDEX: &str = "streams/v1/index.json";
pub(super) const IMAGES: &str = "streams/v1/images.json";
