//! Where the bytes of a request may come from, in order.

use std::fmt;
use std::str::FromStr;

use super::Request;
use crate::base::{Url, encode_path};
use crate::error::{Error, Kind, Result};

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its address.
    pub url: Url,
    /// What kind of place it is, for a person.
    pub role: &'static str,
}

/// A mirror that a user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorSpec {
    /// The upstream path is appended to this address.
    Base(Url),
    /// An address with placeholders.
    Template(String),
    /// A mirror of this name, of whatever origin has one.
    Preset(String),
}

impl FromStr for MirrorSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains('{') {
            let filled = fill(text, |name| {
                PLACEHOLDERS.contains(&name).then(|| "x".to_owned())
            })?;
            filled.parse::<Url>()?;
            return Ok(Self::Template(text.to_owned()));
        }
        if text.contains("://") {
            return Ok(Self::Base(text.parse()?));
        }
        Ok(Self::Preset(text.to_owned()))
    }
}

impl fmt::Display for MirrorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(url) => url.fmt(f),
            Self::Template(text) | Self::Preset(text) => f.write_str(text),
        }
    }
}

impl MirrorSpec {
    /// The address of a request at this mirror; `None` if it does not carry its origin.
    ///
    /// # Errors
    /// [`Kind::Format`] if the outcome is not a URL.
    pub fn url(&self, request: &Request) -> Result<Option<Url>> {
        let (key, upstream) = (&request.key, &request.url);
        Ok(match self {
            Self::Base(base) => Some(base.append(upstream.path())?),
            Self::Preset(name) => {
                let mut mirrors = request.mirrors.iter();
                mirrors
                    .find(|(mirror, _)| mirror == name)
                    .map(|(_, url)| url.clone())
            }
            Self::Template(template) => {
                let filled = fill(template, |name| {
                    Some(match name {
                        "host" => upstream.host().to_owned(),
                        "path" => upstream.path().trim_start_matches('/').to_owned(),
                        "sha256" => key.sha256.to_string(),
                        // For the caller's own bytes the name is an address.
                        "name" => encode_path(&crate::base::safe_file_name(&key.image)),
                        "arch" => key.arch.clone(),
                        "snapshot" => encode_path(&key.snapshot),
                        "file" => encode_path(&upstream.file_name()),
                        _ => return None,
                    })
                })?;
                Some(filled.parse()?)
            }
        })
    }
}

/// Every place to ask for a request, in order, each once.
///
/// # Errors
/// [`Kind::Format`] if a mirror makes a malformed address.
pub(super) fn sources(
    request: &Request,
    mirrors: &[MirrorSpec],
    only: bool,
) -> Result<Vec<Source>> {
    let mut list: Vec<Source> = Vec::new();
    let mut add = |url: Url, role: &'static str| {
        if list.iter().all(|source| source.url != url) {
            list.push(Source { url, role });
        }
    };
    for mirror in mirrors {
        if let Some(url) = mirror.url(request)? {
            add(url, "your mirror");
        }
    }
    if !only {
        add(request.url.clone(), "upstream");
        for url in &request.alternates {
            add(url.clone(), "alternate");
        }
        for (_, url) in &request.mirrors {
            add(url.clone(), "mirror");
        }
    }
    Ok(list)
}

fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String> {
    let refuse = |why: String| {
        let known: Vec<_> = PLACEHOLDERS
            .iter()
            .map(|name| format!("{{{name}}}"))
            .collect();
        Error::new(
            Kind::Format,
            format!(
                "malformed mirror template: {why} (there are {})",
                known.join(" ")
            ),
        )
    };
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| refuse("a `{` without its `}`".to_owned()))?;
        filled.push_str(before);
        filled.push_str(&value(name).ok_or_else(|| refuse(format!("no placeholder {{{name}}}")))?);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

const PLACEHOLDERS: [&str; 7] = ["host", "path", "sha256", "name", "arch", "snapshot", "file"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Arch, Digest};
    use crate::catalog::Catalog;

    fn alpine() -> Request {
        let catalog = Catalog::embedded();
        let image = catalog.find("alpine-3.21").unwrap();
        Request::pinned(&catalog, image, image.pin(Arch::Amd64).unwrap()).unwrap()
    }

    #[test]
    fn a_mirror_is_a_base_a_template_or_a_preset() {
        let request = alpine();
        let path = request.url.path();
        for (text, expect) in [
            ("https://m/", format!("https://m{path}")),
            ("https://m/sub", format!("https://m/sub{path}")),
            ("file:///srv/mirror/", format!("file:///srv/mirror{path}")),
            (
                "https://m/{sha256}/{name}/{arch}/{file}",
                format!(
                    "https://m/{}/alpine-3.21/amd64/rootfs.tar.xz",
                    request.key.sha256
                ),
            ),
            (
                "https://m/{host}/{path}?s={snapshot}",
                format!(
                    "https://m/images.linuxcontainers.org{path}?s={}",
                    request.key.snapshot
                ),
            ),
            (
                "tuna",
                format!("https://mirrors.tuna.tsinghua.edu.cn/lxc-images{path}"),
            ),
        ] {
            let spec: MirrorSpec = text.parse().unwrap();
            assert_eq!(spec.url(&request).unwrap().unwrap().as_str(), expect);
        }
        let unknown: MirrorSpec = "nowhere".parse().unwrap();
        assert_eq!(unknown.url(&request).unwrap(), None);
        for bad in ["https://m/{what}", "https://m/{path", "{path}", "ftp://m/"] {
            assert!(bad.parse::<MirrorSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_user_comes_first_and_nobody_is_asked_twice() {
        let request = alpine();
        let mirrors = ["https://m/".parse().unwrap(), "tuna".parse().unwrap()];
        let list = sources(&request, &mirrors, false).unwrap();
        let roles: Vec<_> = list.iter().map(|source| source.role).collect();
        assert_eq!(
            roles[..4],
            ["your mirror", "your mirror", "upstream", "mirror"]
        );
        let tuna = |source: &&Source| source.url.host().contains("tuna");
        assert_eq!(list.iter().filter(tuna).count(), 1);
        assert_eq!(sources(&request, &mirrors, true).unwrap().len(), 2);
        let own = Request::by_hash(&request.url, Digest::from_bytes([0; 32]), None);
        assert_eq!(sources(&own, &[], false).unwrap().len(), 1);
    }
}
