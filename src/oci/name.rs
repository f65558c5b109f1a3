//! Repositories, and what they are asked for.

use std::fmt;
use std::str::FromStr;

use crate::base::{Digest, Url};
use crate::error::{Error, Kind};

/// A repository of a registry: `docker.io/library/alpine`. The host is always written, as it is in
/// a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// The registry's name: `docker.io`, `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name within the registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the registry's API is; it ends in a slash.
    ///
    /// A registry on this machine is spoken to without TLS, as Docker does: there is no line that
    /// anybody could sit on.
    pub(super) fn api(&self) -> Result<Url, Error> {
        let host = match self.host.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        let scheme = if is_this_machine(host) {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{host}/v2/{}/", self.path).parse()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(MAX_PATH).collect();
            Error::new(
                Kind::Format,
                format!("malformed repository {shown:?}: {why}"),
            )
        };
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let named = host.contains(['.', ':']) || host == "localhost";
        let url = format!("https://{host}/").parse::<Url>();
        if !named || !url.is_ok_and(|url| url.userinfo().is_none() && url.authority() == host) {
            return Err(refuse(
                "it starts with the host of its registry, as docker.io",
            ));
        }
        if path.len() > MAX_PATH || !path.split('/').all(is_component) {
            return Err(refuse("a path of lower-case names comes after the host"));
        }
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// What a repository is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A name that may mean something else tomorrow.
    Tag(String),
    /// A manifest, by its SHA-256.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.pad(tag),
            Self::Digest(digest) => write!(f, "{ALGORITHM}{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        let sound = text.len() <= MAX_TAG
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            && !text.starts_with(['.', '-'])
            && !text.is_empty();
        if !sound {
            let shown: String = text.chars().take(MAX_TAG).collect();
            return Err(Error::new(Kind::Format, format!("malformed tag {shown:?}")));
        }
        Ok(Self::Tag(text.to_owned()))
    }
}

/// Reads `sha256:` and 64 hex digits. Registered algorithms other than this one are not used by
/// anybody who publishes distros.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Error> {
    if let Some(hex) = text.strip_prefix(ALGORITHM) {
        return hex.parse();
    }
    let shown: String = text.chars().take(MAX_TAG).collect();
    let message = format!("malformed digest {shown:?}: it starts with {ALGORITHM}");
    Err(Error::new(Kind::Format, message))
}

/// Whether an authority is this very machine, by a name that nobody else can have.
pub(super) fn is_this_machine(authority: &str) -> bool {
    let bare = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let loopback = bare
        .parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback());
    loopback || bare == "localhost" || bare == "[::1]"
}

/// Letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(part: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.iter().all(|b| edge(*b) || b"._-".contains(b))
        && bytes.first().is_some_and(|b| edge(*b))
        && bytes.last().is_some_and(|b| edge(*b))
        && !part.contains("..")
}

const ALGORITHM: &str = "sha256:";

/// OCI distribution specification, section "Pulling manifests": a tag is at most 128 characters.
const MAX_TAG: usize = 128;

/// The same: many clients limit host and name to 255 characters.
const MAX_PATH: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_a_host() {
        for (text, api) in [
            (
                "docker.io/library/alpine",
                "https://registry-1.docker.io/v2/library/alpine/",
            ),
            ("quay.io/fedora/fedora", "https://quay.io/v2/fedora/fedora/"),
            (
                "registry.example:5000/a",
                "https://registry.example:5000/v2/a/",
            ),
            ("localhost/a/b-c/d__e", "http://localhost/v2/a/b-c/d__e/"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/a/"),
            ("127.0.0.1.example/a", "https://127.0.0.1.example/v2/a/"),
        ] {
            let repository: Repository = text.parse().unwrap();
            assert_eq!(repository.to_string(), text);
            assert_eq!(repository.api().unwrap().as_str(), api);
        }
        for bad in [
            "",
            "alpine",
            "library/alpine",
            "docker.io",
            "docker.io/",
            "docker.io/A",
            "docker.io/a/../b",
            "docker.io/a//b",
            "docker.io/a:b",
            "docker.io/a@b",
            "me@docker.io/a",
            "docker.io/a?b",
            "https://docker.io/a",
            "docker.io/-a",
            "docker.io/a..b",
            "Docker.io/a",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn references_are_tags_or_digests() {
        let hex = "ab".repeat(32);
        for text in ["3.21", "latest", "_x", &format!("sha256:{hex}")] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let (upper, short) = (hex.to_uppercase(), &hex[1..]);
        for bad in [
            "",
            ".x",
            "-x",
            "a b",
            "a/b",
            "../x",
            "md5:00",
            "sha256:../../x",
            "sha512:00",
            &format!("sha256:{upper}"),
            &format!("sha256:{short}"),
            &"a".repeat(129),
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
