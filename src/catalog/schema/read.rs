//! The reader that judges.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::node::{Member, Node};
use super::{
    Address, Catalog, Fault, Image, Kind, Mirror, Origin, Pin, Retention, Rules, SCHEMA, Source,
    SourceType, Trust,
};
use crate::base::{Arch, Digest, DiskFormat, ImageName, Scheme, Snapshot, Url};

/// Reads and judges a whole catalog.
pub(super) fn catalog(text: &str, rules: Rules) -> Result<Catalog, Fault> {
    let root = Node::root(text)?;
    let mut fields = Fields::of(root, "the catalog")?;
    // The schema comes first: a newer one may have fields that we would call unknown.
    let schema = fields.require("schema")?;
    let version = schema.number()?;
    if version != SCHEMA {
        let advice = if version > SCHEMA {
            "newer than this program, which"
        } else {
            "not one that this program"
        };
        return Err(schema.fault(format!(
            "schema {version} is {advice} reads schema {SCHEMA}"
        )));
    }
    let mut reader = Reader {
        rules,
        hosts: BTreeSet::new(),
        origins: BTreeMap::new(),
        hashes: HashMap::new(),
        defaults: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    let origins = fields.require("origins")?;
    for member in origins.object()? {
        let origin = reader.origin(&member)?;
        reader.hosts.insert(origin.url.host().to_owned());
        for mirror in &*origin.mirrors {
            reader.hosts.insert(mirror.url.host().to_owned());
        }
        reader.origins.insert(member.key.to_string(), origin);
    }
    let images = fields.require("images")?;
    fields.end()?;
    let members = images.object()?;
    for member in &members {
        reader.names.insert(member.key.to_string(), member.at);
    }
    let mut list = Vec::with_capacity(members.len());
    for member in &members {
        list.push(reader.image(member)?);
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Catalog {
        origins: reader.origins.into_values().collect(),
        images: list.into(),
    })
}

/// What has to be remembered across images, because a rule compares them.
struct Reader {
    rules: Rules,
    hosts: BTreeSet<String>,
    origins: BTreeMap<String, Origin>,
    hashes: HashMap<Digest, (Arch, String)>,
    defaults: BTreeMap<String, String>,
    /// Names and aliases that are taken.
    names: BTreeMap<String, usize>,
}

impl Reader {
    fn origin(&self, member: &Member<'_>) -> Result<Origin, Fault> {
        word(member.value, member.at, &member.key, "origin name")?;
        let mut fields = Fields::of(member.value, "an origin")?;
        let url = self.base_url(fields.require("url")?)?;
        let retention = retention(fields.require("retention")?)?;
        let mut mirrors = Vec::new();
        if let Some(node) = fields.take("mirrors") {
            for mirror in node.object()? {
                word(mirror.value, mirror.at, &mirror.key, "mirror name")?;
                mirrors.push(Mirror {
                    name: Cow::Owned(mirror.key.to_string()),
                    url: self.base_url(mirror.value)?,
                });
            }
        }
        mirrors.sort_by(|a, b| a.name.cmp(&b.name));
        let title = fields.text("title")?;
        fields.end()?;
        Ok(Origin {
            name: Cow::Owned(member.key.to_string()),
            url,
            retention,
            mirrors: mirrors.into(),
            title,
        })
    }

    fn image(&mut self, member: &Member<'_>) -> Result<Image, Fault> {
        let node = member.value;
        let name: ImageName = member
            .key
            .parse()
            .map_err(|error: crate::error::Error| node.fault_at(member.at, error.message()))?;
        let mut fields = Fields::of(node, "an image")?;
        let distro = fields.word("distro")?;
        let version = fields.word("version")?;
        let variant = fields.optional_word("variant")?;
        let codename = fields.text("codename")?;
        let kind: Kind = fields.require("kind")?.parse()?;
        let format = match fields.take("format") {
            Some(node) if kind == Kind::Disk => Some(node.parse()?),
            Some(node) => return Err(node.fault("only a disk has a \"format\"")),
            None => None,
        };
        let default = fields.take("default");
        let is_default = default.map_or(Ok(false), |node| node.boolean())?;
        let ephemeral = fields
            .take("ephemeral")
            .map_or(Ok(false), |node| node.boolean())?;
        let title = fields.text("title")?;
        let source = match fields.take("source") {
            Some(node) => Some(self.source(node)?),
            None if self.rules == Rules::Overlay => None,
            None => return Err(node.fault_at(member.at, format!("{name} has no \"source\""))),
        };
        let arches = arches(fields.require("arches")?)?;
        let pins = fields.require("pins")?;
        fields.end()?;

        if self.rules == Rules::Embedded {
            let expect = match &variant {
                Some(variant) => format!("{distro}-{version}-{variant}"),
                None => format!("{distro}-{version}"),
            };
            if name.as_str() != expect {
                let message = format!("{name} must be called {expect} (distro-version[-variant])");
                return Err(node.fault_at(member.at, message));
            }
        }
        if is_default
            && let Some(other) = self.defaults.insert(distro.to_string(), name.to_string())
        {
            let message = format!("two defaults of {distro}: {other} and {name}");
            return Err(default.unwrap_or(node).fault(message));
        }
        let mut list = Vec::new();
        for pin in pins.object()? {
            let read = self.pin(&name, kind, &arches, &pin)?;
            if self.rules == Rules::Embedded && kind == Kind::Disk && format.is_none() {
                check_name_tells(&pin, &read)?;
            }
            list.push(read);
        }
        list.sort_by_key(|pin| pin.arch.as_str());
        let image = Image {
            name,
            distro,
            version,
            variant,
            codename,
            default: is_default,
            title,
            ephemeral,
            kind,
            format,
            source,
            arches: arches.into(),
            pins: list.into(),
        };
        if let Some(alias) = image.alias()
            && alias != image.name.as_str()
            && self.names.insert(alias.clone(), member.at).is_some()
        {
            let message = format!(
                "{}: its alias {alias} is taken by another image",
                image.name
            );
            return Err(node.fault_at(member.at, message));
        }
        Ok(image)
    }

    fn source(&self, node: Node<'_>) -> Result<Source, Fault> {
        let mut fields = Fields::of(node, "a source")?;
        let kind: SourceType = fields.require("type")?.parse()?;
        let trust = fields.take("trust").map(|node| node.parse()).transpose()?;
        let mut origin = None;
        let mut rest = Vec::new();
        for name in kind.fields() {
            let value = fields.require(name)?;
            let text = self.source_field(name, value)?;
            if *name == "origin" {
                origin = Some(text);
            } else {
                rest.push((Cow::Borrowed(*name), text));
            }
        }
        for name in kind.optional_fields() {
            if let Some(value) = fields.take(name) {
                rest.push((Cow::Borrowed(*name), self.source_field(name, value)?));
            }
        }
        if kind.is_by_arch() {
            for member in fields.take_by_arch() {
                let (name, arch) = member.key.split_once('@').unwrap_or_default();
                let known = kind.fields().contains(&name)
                    || kind.optional_fields().contains(&name)
                    || name == "trust";
                if !known || canonical_arch(arch).is_none() {
                    let message = format!("a source has no field {:?}", member.key);
                    return Err(node.fault_at(member.at, message));
                }
                let text = self.source_field(name, member.value)?;
                rest.push((Cow::Owned(member.key.to_string()), text));
            }
        }
        fields.end()?;
        rest.sort();
        Ok(Source {
            kind,
            origin,
            trust,
            fields: rest.into(),
        })
    }

    /// The text of a field whose name, without an architecture, is `name`.
    fn source_field(&self, name: &str, value: Node<'_>) -> Result<Cow<'static, str>, Fault> {
        let text = value.string()?;
        match name {
            "origin" if !self.origins.contains_key(&*text) => {
                Err(value.fault(format!("there is no origin {text:?}")))
            }
            "trust" => value.parse::<Trust>().map(|it| Cow::Borrowed(it.as_str())),
            _ => Ok(Cow::Owned(text.into_owned())),
        }
    }

    fn pin(
        &mut self,
        name: &ImageName,
        kind: Kind,
        arches: &[Arch],
        member: &Member<'_>,
    ) -> Result<Pin, Fault> {
        let node = member.value;
        let at_key = |message: String| node.fault_at(member.at, message);
        let arch: Arch = canonical_arch(&member.key)
            .ok_or_else(|| at_key(format!("{name}: unknown architecture {:?}", member.key)))?;
        if !arches.contains(&arch) {
            return Err(at_key(format!(
                "{name}: a pin for {arch}, which is not in \"arches\""
            )));
        }
        let mut fields = Fields::of(node, "a pin")?;
        let snapshot: Snapshot = fields.require("snapshot")?.parse()?;
        let hash = fields.require("sha256")?;
        let sha256: Digest = hash.parse()?;
        let url = fields.require("url")?;
        let address = match kind {
            Kind::Oci => Address::Repository(repository(url)?),
            Kind::Rootfs | Kind::Disk => {
                Address::Url(self.pinned_url(url, &snapshot, &sha256, Place::Pin)?)
            }
        };
        let mut alternates = Vec::new();
        if let Some(list) = fields.take("alternates") {
            for node in list.array()? {
                alternates.push(self.pinned_url(node, &snapshot, &sha256, Place::Alternate)?);
            }
        }
        let size = match fields.take("size") {
            Some(node) => match node.number()? {
                0 => return Err(node.fault("size 0: leave it out where no source tells it")),
                size => Some(size),
            },
            None => None,
        };
        let bumped_at = fields
            .take("bumped_at")
            .map(|node| node.parse())
            .transpose()?;
        fields.end()?;
        match self.hashes.get(&sha256) {
            Some((other, owner)) if *other != arch => {
                return Err(hash.fault(format!(
                    "one hash for two architectures: {owner} {other} and {name} {arch}"
                )));
            }
            Some(_) => {}
            None => {
                self.hashes.insert(sha256, (arch, name.to_string()));
            }
        }
        Ok(Pin {
            arch,
            snapshot,
            address,
            alternates: alternates.into(),
            sha256,
            size,
            bumped_at,
        })
    }

    fn pinned_url(
        &self,
        node: Node<'_>,
        snapshot: &Snapshot,
        sha256: &Digest,
        place: Place,
    ) -> Result<Url, Fault> {
        let url = self.url(node)?;
        if url.path().ends_with('/') {
            return Err(node.fault("the URL names a directory, not a file"));
        }
        if self.rules == Rules::Overlay {
            return Ok(url);
        }
        let decoded = crate::base::decode_percent(url.path());
        if decoded
            .split(|b| *b == b'/')
            .any(|segment| segment.eq_ignore_ascii_case(b"latest"))
        {
            return Err(node.fault("the URL names a moving target: a path segment `latest`"));
        }
        let by_digest = place == Place::Alternate && url.as_str().contains(&sha256.to_string());
        if !by_digest && !snapshot.is_named_by(url.path()) {
            return Err(node.fault(format!(
                "the URL names a moving target: it does not contain its snapshot {snapshot}"
            )));
        }
        if !self.hosts.contains(url.host()) {
            return Err(node.fault(format!(
                "the host {} is not one of an origin or its mirrors",
                url.host()
            )));
        }
        Ok(url)
    }

    fn base_url(&self, node: Node<'_>) -> Result<Url, Fault> {
        let url = self.url(node)?;
        if !url.as_str().ends_with('/') {
            return Err(node.fault("a base URL ends in `/`"));
        }
        Ok(url)
    }

    /// What holds for every address of a catalog.
    fn url(&self, node: Node<'_>) -> Result<Url, Fault> {
        let text = node.string()?;
        let url: Url = node.parse()?;
        if url.userinfo().is_some() {
            return Err(node.fault("a URL with user information"));
        }
        let decoded = crate::base::decode_percent(url.path());
        if decoded
            .split(|b| *b == b'/')
            .any(|segment| segment == b"..")
        {
            return Err(node.fault("a URL with a `..` segment"));
        }
        if self.rules == Rules::Embedded {
            if url.scheme() != Scheme::Https {
                return Err(node.fault("a URL that is not https"));
            }
            if url.port().is_some() {
                return Err(node.fault("a URL with a port"));
            }
            if text.contains('?') {
                return Err(node.fault("a URL with a query"));
            }
            if url.as_str() != &*text {
                return Err(node.fault(format!("write the URL as {url}")));
            }
        }
        Ok(url)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Pin,
    Alternate,
}

/// The fields of an object: each is taken once, and what is left at the end is unknown.
struct Fields<'a> {
    node: Node<'a>,
    what: &'static str,
    members: Vec<Member<'a>>,
}

impl<'a> Fields<'a> {
    fn of(node: Node<'a>, what: &'static str) -> Result<Self, Fault> {
        let members = node.object()?;
        Ok(Self {
            node,
            what,
            members,
        })
    }

    fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.members.iter().position(|member| member.key == name)?;
        Some(self.members.swap_remove(at).value)
    }

    /// Takes every field whose name has an `@` in it.
    fn take_by_arch(&mut self) -> Vec<Member<'a>> {
        let (by_arch, rest) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|member| member.key.contains('@'));
        self.members = rest;
        by_arch
    }

    fn require(&mut self, name: &str) -> Result<Node<'a>, Fault> {
        let what = self.what;
        self.take(name).ok_or_else(|| {
            self.node
                .fault(format!("{what} needs the field \"{name}\""))
        })
    }

    fn text(&mut self, name: &str) -> Result<Option<Cow<'static, str>>, Fault> {
        let Some(node) = self.take(name) else {
            return Ok(None);
        };
        let text = node.string()?;
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(node.fault(format!(
                "\"{name}\" is 1 to {MAX_TEXT} bytes without control characters"
            )));
        }
        Ok(Some(Cow::Owned(text.into_owned())))
    }

    fn optional_word(&mut self, name: &str) -> Result<Option<Cow<'static, str>>, Fault> {
        let Some(node) = self.take(name) else {
            return Ok(None);
        };
        let text = node.string()?;
        word(node, node.at(), &text, name)?;
        Ok(Some(Cow::Owned(text.into_owned())))
    }

    fn word(&mut self, name: &str) -> Result<Cow<'static, str>, Fault> {
        let what = self.what;
        self.optional_word(name)?.ok_or_else(|| {
            self.node
                .fault(format!("{what} needs the field \"{name}\""))
        })
    }

    fn end(self) -> Result<(), Fault> {
        let first = self.members.iter().min_by_key(|member| member.at);
        match first {
            None => Ok(()),
            Some(Member { key, at, .. }) => {
                let message = format!("{} has no field {key:?}", self.what);
                Err(self.node.fault_at(*at, message))
            }
        }
    }
}

/// Distros, versions, variants and the names of origins are parts of names and paths.
fn word(node: Node<'_>, at: usize, text: &str, what: &str) -> Result<(), Fault> {
    match text.parse::<ImageName>() {
        Ok(_) => Ok(()),
        Err(error) => Err(node.fault_at(at, format!("{what}: {}", error.message()))),
    }
}

fn arches(node: Node<'_>) -> Result<Vec<Arch>, Fault> {
    let mut list = Vec::new();
    for node in node.array()? {
        let text = node.string()?;
        let arch = canonical_arch(&text)
            .ok_or_else(|| node.fault(format!("unknown architecture {text:?}")))?;
        if list.contains(&arch) {
            return Err(node.fault(format!("{arch} is listed twice")));
        }
        list.push(arch);
    }
    if list.is_empty() {
        return Err(node.fault("an image has at least one architecture"));
    }
    list.sort_by_key(|arch| arch.as_str());
    Ok(list)
}

/// The catalog holds Debian's names only; synonyms are for people at the command line.
fn canonical_arch(text: &str) -> Option<Arch> {
    Arch::ALL.iter().copied().find(|arch| arch.as_str() == text)
}

/// The format of a disk is never guessed: its name tells, or the image has a field that does.
fn check_name_tells(member: &Member<'_>, pin: &Pin) -> Result<(), Fault> {
    match &pin.address {
        Address::Url(url) if DiskFormat::of_file_name(url.path()).is_none() => {
            let message =
                "the URL does not tell the format of the disk: the image needs a \"format\"";
            Err(member.value.fault_at(member.at, message))
        }
        _ => Ok(()),
    }
}

fn retention(node: Node<'_>) -> Result<Retention, Fault> {
    const FORMS: &str = "\"permanent\", {\"builds\": N} or {\"days\": N} is expected here";
    if !node.is_object() {
        return match node.string() {
            Ok(text) if text == "permanent" => Ok(Retention::Permanent),
            _ => Err(node.fault(FORMS)),
        };
    }
    let mut fields = Fields::of(node, "a retention")?;
    let (builds, days) = (fields.take("builds"), fields.take("days"));
    fields.end()?;
    let positive = |node: Node<'_>| match node.number()? {
        0 => Err(node.fault("at least 1")),
        n => Ok(n),
    };
    match (builds, days) {
        (Some(builds), None) => Ok(Retention::Builds(positive(builds)?)),
        (None, Some(days)) => Ok(Retention::Days(positive(days)?)),
        _ => Err(node.fault(FORMS)),
    }
}

/// `host[:port]/path`, lower case, as registries have it (the distribution specification's
/// `name`, behind a host).
fn repository(node: Node<'_>) -> Result<Cow<'static, str>, Fault> {
    let text = node.string()?;
    let (host, path) = text.split_once('/').unwrap_or((&text, ""));
    let host_ok = format!("https://{host}/")
        .parse::<Url>()
        .is_ok_and(|url| url.userinfo().is_none());
    let component = |part: &str| {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        part.bytes().all(|b| edge(b) || b"._-".contains(&b))
            && part.bytes().next().is_some_and(edge)
            && part.bytes().last().is_some_and(edge)
    };
    if !host_ok || !path.split('/').all(component) {
        return Err(node.fault("an OCI pin has a repository as url: host/path, lower case"));
    }
    Ok(Cow::Owned(text.into_owned()))
}

/// Titles and codenames are for one line of a table.
const MAX_TEXT: usize = 200;
