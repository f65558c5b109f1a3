//! How a name finds its image and its pin.

use std::borrow::Cow;
use std::str::FromStr;

use super::schema::{Catalog, Image, Mirror, Origin, Pin};
use super::table;
use crate::base::{Arch, Snapshot, Url};
use crate::error::{Error, Kind, Result};

impl Catalog {
    /// The catalog that was compiled into this library. It costs nothing to make.
    pub const fn embedded() -> Self {
        Self {
            origins: Cow::Borrowed(table::ORIGINS),
            images: Cow::Borrowed(table::IMAGES),
        }
    }

    /// The image of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Image> {
        let at = self
            .images
            .binary_search_by(|image| image.name.as_str().cmp(name));
        Some(&self.images[at.ok()?])
    }

    /// The image that a person means: its name, `distro:version`, a bare distro (its default),
    /// a codename (`ubuntu-noble`), or one of these behind a usual synonym of the distro
    /// (`archlinux`, `alma`, `ol` …).
    ///
    /// # Errors
    /// [`Kind::Unknown`], with the nearest names as suggestions.
    pub fn find(&self, text: &str) -> Result<&Image> {
        if let Some(image) = self.get(text) {
            return Ok(image);
        }
        let name = text.to_ascii_lowercase().replacen(':', "-", 1);
        let (distro, rest) = name.split_once('-').unwrap_or((&name, ""));
        let distro = synonym(distro);
        let name = if rest.is_empty() {
            distro.to_owned()
        } else {
            format!("{distro}-{rest}")
        };
        let found = self.get(&name).or_else(|| {
            self.images.iter().find(|image| {
                (image.default && image.distro == name) || image.alias().as_ref() == Some(&name)
            })
        });
        found.ok_or_else(|| {
            Error::new(Kind::Unknown, format!("unknown image {text:?}"))
                .with_suggestions(self.nearest(&name))
        })
    }

    /// The image and pin that a reference means on one architecture.
    ///
    /// # Errors
    /// [`Kind::Unknown`]: no such image; nothing pinned for this architecture (the message says
    /// what is); or a pin with another snapshot than the reference asks for.
    pub fn resolve(&self, reference: &Reference, arch: Arch) -> Result<(&Image, &Pin)> {
        let image = self.find(&reference.name)?;
        let Some(pin) = image.pin(arch) else {
            return Err(unpinned(image, arch));
        };
        if let Some(snapshot) = &reference.snapshot
            && *snapshot != pin.snapshot
        {
            return Err(Error::new(
                Kind::Unknown,
                format!(
                    "{} {arch}: the catalog pins snapshot {}, not {snapshot}",
                    image.name, pin.snapshot
                ),
            )
            .with_suggestions(vec![format!("{}@{}", image.name, pin.snapshot)]));
        }
        Ok((image, pin))
    }

    /// The origin that an image is refreshed from, or else the one whose files lie where `pin`
    /// does.
    pub fn origin_of(&self, image: &Image, pin: &Pin) -> Option<&Origin> {
        let url = pin.address.url()?;
        let declared = image
            .source
            .as_ref()
            .and_then(|source| source.origin.as_ref());
        let holds = |origin: &&Origin| url.below(&origin.url).is_some();
        self.origins
            .iter()
            .filter(|origin| declared == Some(&origin.name))
            .find(holds)
            .or_else(|| self.origin_at(url))
    }

    /// The origin with this name.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.name == name)
    }

    /// The origin whose files lie where a URL does; the nearest, if there are several.
    pub fn origin_at(&self, url: &Url) -> Option<&Origin> {
        let holding = self
            .origins
            .iter()
            .filter(|origin| url.below(&origin.url).is_some());
        holding.max_by_key(|origin| origin.url.as_str().len())
    }

    /// Every mirror of this preset name, with the origin that it mirrors.
    pub fn presets<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Origin, &'a Mirror)> + 'a {
        self.origins.iter().flat_map(move |origin| {
            let mirrors = origin
                .mirrors
                .iter()
                .filter(move |mirror| mirror.name == name);
            mirrors.map(move |mirror| (origin, mirror))
        })
    }

    /// Up to three names that are a few typing mistakes away, nearest first.
    fn nearest(&self, text: &str) -> Vec<String> {
        let limit = (text.len() / 3).clamp(1, 4);
        let aliases = self.images.iter().filter_map(Image::alias);
        let names = self.images.iter().map(|image| image.name.to_string());
        let distros = self.images.iter().filter(|image| image.default);
        let mut near: Vec<(usize, String)> = names
            .chain(aliases)
            .chain(distros.map(|image| image.distro.to_string()))
            .map(|name| (distance(text, &name), name))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        if near.is_empty() {
            // Not a misspelling: perhaps a version that the catalog does not have.
            let distro = text.split('-').next().unwrap_or_default();
            let same = self.images.iter().filter(|image| image.distro == distro);
            near = same
                .rev()
                .map(|image| (0, image.name.to_string()))
                .collect();
        } else {
            near.sort();
        }
        near.dedup_by(|a, b| a.1 == b.1);
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

/// What stands on the command line: `NAME[@SNAPSHOT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// A name in any of the forms that [`Catalog::find`] takes.
    pub name: String,
    /// The snapshot that the pin must have: a guard against drift.
    pub snapshot: Option<Snapshot>,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, snapshot) = match text.split_once('@') {
            Some((name, snapshot)) => (name, Some(snapshot.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            name: name.to_owned(),
            snapshot,
        })
    }
}

/// The pin of an image of the embedded catalog, usable in `const` context.
///
/// [`pinned!`](crate::pinned) makes an unknown name a compile error.
pub const fn pinned(name: &str, arch: &str) -> Option<&'static Pin> {
    let Some(image) = pinned_image(name) else {
        return None;
    };
    let pins = match &image.pins {
        Cow::Borrowed(pins) => *pins,
        Cow::Owned(_) => return None,
    };
    let mut at = 0;
    while at < pins.len() {
        if compare(pins[at].arch.as_str(), arch) == 0 {
            return Some(&pins[at]);
        }
        at += 1;
    }
    None
}

/// The image of exactly this name in the embedded catalog, usable in `const` context.
pub const fn pinned_image(name: &str) -> Option<&'static Image> {
    let images = table::IMAGES;
    let (mut low, mut high) = (0, images.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        match compare(images[middle].name.as_str(), name) {
            0 => return Some(&images[middle]),
            order if order < 0 => low = middle + 1,
            _ => high = middle,
        }
    }
    None
}

/// A pin of the embedded catalog, looked up at compile time: `&'static Pin`.
///
/// ```
/// const ALPINE: &distro_fetch::catalog::Pin = distro_fetch::pinned!("alpine-3.21", "amd64");
/// assert!(!ALPINE.snapshot.as_str().is_empty());
/// ```
///
/// An unknown name or architecture does not compile:
///
/// ```compile_fail
/// const ALPINE: &distro_fetch::catalog::Pin = distro_fetch::pinned!("alpin-3.21", "amd64");
/// ```
#[macro_export]
macro_rules! pinned {
    ($name:expr, $arch:expr) => {
        const {
            match $crate::catalog::pinned($name, $arch) {
                Some(pin) => pin,
                None => panic!("the catalog has no pin of this name and architecture"),
            }
        }
    };
}

/// Byte order, for `const` context, where `Ord` cannot be called.
const fn compare(a: &str, b: &str) -> i32 {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return if a[at] < b[at] { -1 } else { 1 };
        }
        at += 1;
    }
    if a.len() == b.len() {
        0
    } else if a.len() < b.len() {
        -1
    } else {
        1
    }
}

/// Names by which people also know a distro.
fn synonym(distro: &str) -> &str {
    match distro {
        "alma" => "almalinux",
        "archlinux" => "arch",
        "rockylinux" => "rocky",
        "voidlinux" => "void",
        "ol" | "oraclelinux" => "oracle",
        "suse" => "opensuse",
        other => other,
    }
}

fn unpinned(image: &Image, arch: Arch) -> Error {
    let pinned: Vec<_> = image.pins.iter().map(|pin| pin.arch.to_string()).collect();
    let what = if image.arches.contains(&arch) {
        "is built by upstream, but not pinned yet"
    } else {
        "is not an architecture of this image"
    };
    let rest = if pinned.is_empty() {
        "nothing is pinned".to_owned()
    } else {
        format!("pinned: {}", pinned.join(", "))
    };
    Error::new(
        Kind::Unknown,
        format!("{}: {arch} {what} ({rest})", image.name),
    )
}

/// Edit distance with transpositions (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPINE: &Pin = crate::pinned!("alpine-3.21", "amd64");

    #[test]
    fn the_table_is_usable_in_const_context() {
        let catalog = Catalog::embedded();
        assert_eq!(
            catalog.get("alpine-3.21").unwrap().pin(Arch::Amd64),
            Some(ALPINE)
        );
        for image in &*catalog.images {
            assert_eq!(pinned_image(image.name.as_str()), Some(image));
            for pin in &*image.pins {
                assert_eq!(pinned(image.name.as_str(), pin.arch.as_str()), Some(pin));
            }
        }
        assert_eq!(pinned("alpine-3.21", "vax"), None);
        assert_eq!(pinned("", "amd64"), None);
    }

    #[test]
    fn people_say_the_same_thing_in_many_ways() {
        let catalog = Catalog::embedded();
        for (text, expect) in [
            ("alpine-3.21", "alpine-3.21"),
            ("alpine:3.21", "alpine-3.21"),
            ("Alpine-3.21", "alpine-3.21"),
            ("ubuntu-noble", "ubuntu-24.04"),
            ("ubuntu:noble", "ubuntu-24.04"),
            ("ubuntu-noble-cloud", "ubuntu-24.04-cloud"),
            ("debian-bookworm", "debian-12"),
            ("archlinux", "arch-current"),
            ("rockylinux:9", "rocky-9"),
            ("alma-9", "almalinux-9"),
            ("ol:9", "oracle-9"),
            ("voidlinux", "void-current"),
        ] {
            assert_eq!(catalog.find(text).unwrap().name.as_str(), expect, "{text}");
        }
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest_ones() {
        let catalog = Catalog::embedded();
        for (text, expect) in [
            ("alpin-3.21", "alpine-3.21"),
            ("alpien-3.21", "alpine-3.21"),
            ("ubuntu-24.4", "ubuntu-24.04"),
            ("debain", "debian"),
        ] {
            let error = catalog.find(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Unknown);
            assert!(
                error.suggestions().contains(&expect.to_owned()),
                "{text}: {:?}",
                error.suggestions()
            );
        }
        assert!(
            catalog
                .find("completely-different")
                .unwrap_err()
                .suggestions()
                .is_empty()
        );
        assert!(catalog.find("alpine-9.99").unwrap_err().suggestions()[0].starts_with("alpine-"));
    }

    #[test]
    fn a_snapshot_guards_against_drift() {
        let catalog = Catalog::embedded();
        let good = format!("alpine-3.21@{}", ALPINE.snapshot).parse().unwrap();
        assert_eq!(catalog.resolve(&good, Arch::Amd64).unwrap().1, ALPINE);
        let other = "alpine-3.21@20200101_00:00".parse().unwrap();
        assert_eq!(
            catalog.resolve(&other, Arch::Amd64).unwrap_err().kind(),
            Kind::Unknown
        );
    }
}
