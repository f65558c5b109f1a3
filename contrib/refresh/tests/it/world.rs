//! The upstreams of the catalog, as they were on a day.
//!
//! A world is derived from the facts alone: from what `fixtures/` records, never from a pin. Of
//! the catalog it reads what people wrote, that is where upstreams are and how they name their
//! checksum documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use distro_fetch::Url;
use distro_fetch::base::Date;
use distro_fetch::catalog::{Catalog, SourceType, Trust};
use refresh::ask::{Answer, Ask, Problem, Trouble};
use refresh::keys::Keys;
use refresh::upstream::Upstream;
use serde_json::json;

use crate::facts::{self, Fact, Tag, fill, fixture, read};
use crate::person::{Person, people};
use crate::sums::{self, Document, Signing};

/// All that was ever published.
pub(crate) struct World {
    /// Sorted by address.
    pub(crate) facts: Vec<Fact>,
    tags: Vec<Tag>,
    /// The days on which images.linuxcontainers.org was copied.
    copies: Vec<Date>,
    origins: BTreeMap<String, Url>,
    /// Checksum documents by address.
    documents: BTreeMap<String, Document>,
    /// Detached signatures by address, with the documents they are for.
    signatures: BTreeMap<String, String>,
    /// Alpine's lists of releases by address, with the files they may be about.
    releases: BTreeMap<String, Vec<usize>>,
    /// Everything that a directory lists, by address, since when.
    names: BTreeMap<String, Date>,
    people: BTreeMap<String, Person>,
    stranger: Person,
    /// The keys of those people.
    pub(crate) keys: Keys,
    signed: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

impl World {
    /// The world in which the origins and sources of a catalog are found.
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self::of(facts::files(), catalog)
    }

    /// The same with other facts.
    pub(crate) fn of(mut facts: Vec<Fact>, catalog: &Catalog) -> Self {
        facts.sort_by(|a, b| a.url.cmp(&b.url));
        let origins = catalog.origins.iter();
        let (people, keys) = people();
        let mut world = Self {
            names: BTreeMap::new(),
            documents: BTreeMap::new(),
            signatures: BTreeMap::new(),
            releases: BTreeMap::new(),
            tags: facts::tags(),
            copies: facts::copies(),
            origins: origins
                .map(|it| (it.name.to_string(), it.url.clone()))
                .collect(),
            people,
            stranger: Person::new("somebody else"),
            keys,
            signed: Mutex::default(),
            facts,
        };
        world.find_documents(catalog);
        world.find_releases(catalog);
        for fact in &world.facts {
            world.names.insert(fact.url.to_string(), fact.seen);
        }
        world
    }

    /// The upstreams on a day.
    pub(crate) fn on(&self, day: Date) -> Day<'_> {
        Day { world: self, day }
    }

    /// Every day on which something new was seen.
    pub(crate) fn days(&self) -> BTreeSet<Date> {
        let files = self.facts.iter().map(|it| it.seen);
        let tags = self.tags.iter().map(|it| it.seen);
        files.chain(tags).chain(self.copies.clone()).collect()
    }

    /// The origins, and hosts of registries, with something new on a day.
    pub(crate) fn news(&self, day: Date) -> BTreeSet<String> {
        let mut news = BTreeSet::new();
        for fact in self.facts.iter().filter(|it| it.seen == day) {
            let holds = self.origins.iter().filter(|it| below(&fact.url, it.1));
            news.extend(holds.map(|(name, _)| name.clone()));
        }
        for tag in self.tags.iter().filter(|it| it.seen == day) {
            let host = tag.repository.split('/').next().unwrap();
            news.insert(host.to_owned());
        }
        if self.copies.contains(&day) {
            news.insert(LINUXCONTAINERS.to_owned());
        }
        news
    }

    /// Files, by address, that lie where a template says.
    fn matching<'t>(
        &self,
        base: &Url,
        template: &'t str,
    ) -> Vec<(usize, BTreeMap<&'t str, String>)> {
        let facts = self.facts.iter().enumerate();
        let found = facts.filter_map(|(at, fact)| {
            let path = fact.url.below(base)?;
            Some((at, read(template, path)?))
        });
        found.collect()
    }

    /// Where checksum documents are, as the sources name them.
    fn find_documents(&mut self, catalog: &Catalog) {
        for image in &*catalog.images {
            let Some(source) = image.source.as_ref() else {
                continue;
            };
            if source.kind != SourceType::Checksums {
                continue;
            }
            for arch in image.arches.iter().copied() {
                let field = |name| source.field(name, arch);
                let origin = source.origin_of(arch).unwrap();
                let base = self.origins[origin].clone();
                let (directory, sums) = (field("directory").unwrap(), field("sums").unwrap());
                let file = format!("{directory}{}", field("file").unwrap());
                for (at, holes) in self.matching(&base, &file) {
                    let directory = format!("{base}{}", fill(directory, &holes));
                    let address = format!("{directory}{}", fill(sums, &holes));
                    let signature = field("signature");
                    let signing = match signature {
                        Some(_) => Signing::Detached,
                        None if sums::is_clear_signed(origin) => Signing::Clear,
                        None => Signing::None,
                    };
                    // A document with the name of a build in its own is about that build, the
                    // others are about all that lies beside them.
                    let shared = !sums.contains("{snapshot}");
                    let beside: Vec<_> = (0..self.facts.len())
                        .filter(|at| shared && is_beside(&self.facts[*at].url, &directory))
                        .collect();
                    let document = self.documents.entry(address.clone());
                    let document = document.or_insert_with(|| Document {
                        origin: origin.to_owned(),
                        dialect: sums::dialect(origin),
                        signing,
                        pinned: source.trust_of(arch) == Trust::Signature,
                        files: beside,
                    });
                    document.files.push(at);
                    document.files.sort_unstable();
                    document.files.dedup();
                    if let Some(signature) = signature {
                        let signature = format!("{directory}{}", fill(signature, &holes));
                        self.signatures.insert(signature, address);
                    }
                }
            }
        }
        for (address, document) in &self.documents {
            let seen = document.files.iter().map(|at| self.facts[*at].seen);
            self.names.insert(address.clone(), seen.min().unwrap());
        }
        for (address, document) in &self.signatures {
            self.names.insert(address.clone(), self.names[document]);
        }
    }

    /// Where Alpine lists its releases.
    fn find_releases(&mut self, catalog: &Catalog) {
        for image in &*catalog.images {
            let Some(source) = image.source.as_ref() else {
                continue;
            };
            if source.kind != SourceType::AlpineReleases {
                continue;
            }
            let arch = image.arches[0];
            let base = self.origins[source.origin_of(arch).unwrap()].clone();
            let branch = source.field("branch", arch).unwrap();
            let flavor = source.field("flavor", arch).unwrap();
            let file = format!("{branch}/releases/{{port}}/{flavor}-{{version}}-{{port}}.tar.gz");
            for (at, holes) in self.matching(&base, &file) {
                let port = &holes["port"];
                let address = format!("{base}{branch}/releases/{port}/latest-releases.yaml");
                self.releases.entry(address).or_default().push(at);
            }
        }
    }

    /// Signs once what is signed often.
    fn sign(&self, document: &Document, text: &str, written: Date) -> Vec<u8> {
        let person = match self.people.get(&document.origin) {
            Some(person) if document.pinned => person,
            _ => &self.stranger,
        };
        let key = (document.origin.clone(), text.to_owned());
        let mut signed = self.signed.lock().unwrap();
        let signed = signed.entry(key).or_insert_with(|| match document.signing {
            Signing::Clear => person.clear_sign(text.as_bytes(), written),
            Signing::Detached => person.detach(text.as_bytes(), written),
            Signing::None => unreachable!("nobody signs it"),
        });
        signed.clone()
    }
}

/// The upstreams on a day.
#[derive(Clone, Copy)]
pub(crate) struct Day<'a> {
    world: &'a World,
    day: Date,
}

impl Day<'_> {
    fn document(&self, url: &Url) -> Option<Vec<u8>> {
        let world = self.world;
        let address = url.as_str();
        if let Some(path) = url.below(&world.origins[LINUXCONTAINERS]) {
            let newest = world.copies.iter().rfind(|it| **it <= self.day)?;
            let known = ["streams/v1/index.json", "streams/v1/images.json"];
            return known
                .contains(&path)
                .then(|| fixture(&format!("linuxcontainers/{newest}/{path}")));
        }
        if address.ends_with('/') {
            return self.listing(url);
        }
        if let Some(files) = world.releases.get(address) {
            return self.releases(files);
        }
        if let Some(document) = world.documents.get(address) {
            let (text, written) = document.text(&world.facts, self.day)?;
            return Some(match (&*document.origin, document.signing) {
                ("void", _) => fixture("void/sha256sum.txt"),
                (_, Signing::Clear) => world.sign(document, &text, written),
                _ => text.into_bytes(),
            });
        }
        let document = &world.documents[world.signatures.get(address)?];
        let (text, written) = document.text(&world.facts, self.day)?;
        Some(match &*document.origin {
            "void" => fixture("void/sha256sum.sig"),
            _ => world.sign(document, &text, written),
        })
    }

    /// A page as nginx makes it.
    fn listing(&self, url: &Url) -> Option<Vec<u8>> {
        let directory = url.as_str();
        let names = self.world.names.range(directory.to_owned()..);
        let names: BTreeSet<&str> = names
            .take_while(|(address, _)| address.starts_with(directory))
            .filter(|(_, since)| **since <= self.day)
            .map(|(address, _)| {
                let rest = &address[directory.len()..];
                &rest[..rest.find('/').map_or(rest.len(), |slash| slash + 1)]
            })
            .collect();
        if names.is_empty() {
            return None;
        }
        let title = format!("Index of {}", url.path());
        let lines = names.iter().map(|name| {
            format!(
                "<a href=\"{name}\">{name}</a>          {}          -\r\n",
                self.day
            )
        });
        let lines: String = lines.collect();
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr>\
             <pre><a href=\"../\">../</a>\r\n{lines}</pre><hr></body>\r\n</html>\r\n"
        );
        Some(page.into_bytes())
    }

    /// The newest release of a branch, as far as it is recorded.
    fn releases(&self, files: &[usize]) -> Option<Vec<u8>> {
        let files = files.iter().map(|at| &self.world.facts[*at]);
        let newest = files
            .filter(|it| it.seen <= self.day)
            .max_by_key(|it| numbers(&version_and_port(it).0))?;
        let (version, port) = version_and_port(newest);
        let size = newest.size.map(|size| format!("  size: {size}\n"));
        let text = format!(
            "---\n-\n  title: \"Mini root filesystem\"\n  branch: any\n  arch: {port}\n  \
             version: {version}\n  flavor: alpine-minirootfs\n  file: {}\n  date: {}\n{}  \
             sha256: {}\n",
            newest.url.file_name(),
            newest.seen,
            size.unwrap_or_default(),
            newest.sha256.as_ref().unwrap(),
        );
        Some(text.into_bytes())
    }

    fn fact(&self, url: &Url) -> Option<&Fact> {
        let facts = &self.world.facts;
        let at = facts.binary_search_by(|it| it.url.cmp(url)).ok()?;
        Some(&facts[at]).filter(|it| it.seen <= self.day)
    }

    /// An image index, which names what was recorded of it and nothing else.
    fn index(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let mut tags = self.world.tags.iter().filter(|it| it.seen <= self.day);
        let tag = tags
            .find(|it| it.repository == repository && it.tags.iter().any(|it| it == reference))?;
        let version = tag.tags.iter().max_by_key(|it| it.len())?;
        let annotations = if version == reference {
            json!({ "org.opencontainers.image.created": format!("{}T00:00:00Z", tag.seen) })
        } else {
            json!({ "org.opencontainers.image.version": version })
        };
        let manifests = tag.manifests.iter().map(|it| {
            let words: Vec<_> = it.platform.split('/').collect();
            let mut platform = json!({ "os": words[0], "architecture": words[1] });
            if let Some(variant) = words.get(2) {
                platform["variant"] = json!(variant);
            }
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": it.digest,
                "platform": platform,
                "annotations": annotations,
            })
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests.collect::<Vec<_>>(),
        });
        Some(index.to_string().into_bytes())
    }
}

impl Upstream for Day<'_> {
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let answer = match ask {
            Ask::Document { url, .. } => self.document(url).map(Answer::Document),
            Ask::Size { url } => self.fact(url).map(|it| Answer::Size(it.size)),
            // Nobody has the bytes.
            Ask::Hashes { .. } => None,
            Ask::Manifest {
                repository,
                reference,
            } => self.index(repository, reference).map(Answer::Manifest),
        };
        answer.ok_or_else(|| Problem::Unlisted.because(format!("{ask}: 404")))
    }
}

fn below(url: &Url, base: &Url) -> bool {
    url.below(base).is_some()
}

fn is_beside(url: &Url, directory: &str) -> bool {
    let rest = url.as_str().strip_prefix(directory);
    rest.is_some_and(|rest| !rest.contains('/'))
}

/// `3.24.2` and `x86_64` of `alpine-minirootfs-3.24.2-x86_64.tar.gz`.
fn version_and_port(fact: &Fact) -> (String, String) {
    let name = fact.url.file_name();
    let mut holes = read("alpine-minirootfs-{version}-{port}.tar.gz", &name).unwrap();
    let mut take = |name| holes.remove(name).unwrap();
    (take("version"), take("port"))
}

fn numbers(version: &str) -> Vec<u32> {
    let words = version.split('.');
    words.map(|word| word.parse().unwrap()).collect()
}

/// The origin that is copied whole.
const LINUXCONTAINERS: &str = "linuxcontainers";
