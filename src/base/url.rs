//! Absolute addresses: `https://`, `http://`, `file://`.
//!
//! Syntax follows RFC 3986; only what a download needs is kept. User information is taken out of
//! the text at once, so that whatever prints a [`Url`] cannot print a secret.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain text: allowed where a hash decides.
    Http,
    /// A local or mounted file.
    File,
}

/// An absolute URL. It prints without user information.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    text: Cow<'static, str>,
    userinfo: Option<Box<str>>,
}

impl Url {
    /// For the generated table, whose text `build.rs` has already judged.
    #[doc(hidden)]
    pub const fn from_table(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            userinfo: None,
        }
    }

    /// The address without user information.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the bytes travel.
    pub fn scheme(&self) -> Scheme {
        match self.text.as_bytes().get(4) {
            Some(b's') => Scheme::Https,
            Some(b':') if self.text.starts_with("http") => Scheme::Http,
            _ => Scheme::File,
        }
    }

    /// `user:password`, percent-encoded as it was given. For the authorization of requests to
    /// this very host; never for print.
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.as_deref()
    }

    /// Host and port as written, `[::1]:8080`; empty for files.
    pub fn authority(&self) -> &str {
        let rest = self.after_scheme();
        &rest[..rest.find(['/', '?']).unwrap_or(rest.len())]
    }

    /// The host alone; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        }
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        let authority = self.authority();
        authority[self.host().len()..]
            .strip_prefix(':')?
            .parse()
            .ok()
    }

    /// The path as written, with its leading slash and without the query.
    pub fn path(&self) -> &str {
        let rest = self.after_scheme();
        let path = &rest[self.authority().len()..];
        &path[..path.find('?').unwrap_or(path.len())]
    }

    /// The last segment of the path, percent-decoded; empty for a directory.
    pub fn file_name(&self) -> String {
        let path = self.path();
        let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
        String::from_utf8_lossy(&decode_percent(last)).into_owned()
    }

    /// What of this address lies below `base`, or `None`. `base` ends in a slash.
    pub fn below(&self, base: &Self) -> Option<&str> {
        self.text.strip_prefix(base.as_str())
    }

    /// The directory `self` with a relative path appended.
    ///
    /// # Errors
    /// [`Kind::Format`] if the outcome is not a well-formed URL.
    pub fn append(&self, relative: &str) -> Result<Self, Error> {
        let slash = if self.text.ends_with('/') { "" } else { "/" };
        let mut url: Self =
            format!("{}{slash}{}", self.text, relative.trim_start_matches('/')).parse()?;
        url.userinfo.clone_from(&self.userinfo);
        Ok(url)
    }

    /// Another path on the same server, for whoever may enter here.
    ///
    /// # Errors
    /// [`Kind::Format`] if the outcome is not a well-formed URL.
    pub fn with_path(&self, path: &str) -> Result<Self, Error> {
        let scheme = &self.text[..self.text.len() - self.after_scheme().len()];
        let mut url: Self = format!("{scheme}{}{path}", self.authority()).parse()?;
        url.userinfo.clone_from(&self.userinfo);
        Ok(url)
    }

    /// Resolves the `Location` of a redirect against this address (RFC 3986, section 5.2).
    /// User information is not carried over.
    ///
    /// # Errors
    /// [`Kind::Format`] if the reference is not a well-formed `http(s)` URL.
    pub fn join(&self, reference: &str) -> Result<Self, Error> {
        let reference = reference.split('#').next().unwrap_or_default().trim();
        let scheme = &self.text[..self.text.len() - self.after_scheme().len()];
        let authority = self.authority();
        let text = if is_absolute(reference) {
            reference.to_owned()
        } else if let Some(rest) = reference.strip_prefix("//") {
            format!("{scheme}{rest}")
        } else if reference.starts_with('/') {
            format!("{scheme}{authority}{}", without_dots(reference))
        } else if reference.starts_with('?') {
            format!("{scheme}{authority}{}{reference}", self.path())
        } else if reference.is_empty() {
            return Err(malformed(reference, "an empty redirect"));
        } else {
            let path = self.path();
            let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!(
                "{scheme}{authority}{}",
                without_dots(&format!("{folder}{reference}"))
            )
        };
        let url: Self = text.parse()?;
        if url.scheme() == Scheme::File {
            return Err(malformed(reference, "a redirect to a file"));
        }
        // Nobody's redirect makes us send a password.
        Ok(Self {
            userinfo: None,
            ..url
        })
    }

    fn after_scheme(&self) -> &str {
        self.text.find("://").map_or("", |at| &self.text[at + 3..])
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.text)
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(malformed(text, "no scheme"));
        };
        let scheme = scheme.to_ascii_lowercase();
        if !["https", "http", "file"].contains(&scheme.as_str()) {
            return Err(malformed(
                text,
                "the scheme is neither https, http nor file",
            ));
        }
        if text.len() > MAX_LENGTH {
            return Err(malformed(text, "longer than 4096 bytes"));
        }
        if !rest
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|".contains(&b))
        {
            return Err(malformed(text, "a character that must be percent-encoded"));
        }
        if rest.contains('#') {
            return Err(malformed(text, "a fragment"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        if scheme == "file" {
            if !(host.is_empty() || host == "localhost") || !tail.starts_with('/') {
                return Err(malformed(text, "file:///an/absolute/path is the form"));
            }
            return Ok(Self {
                text: format!("file://{tail}").into(),
                userinfo: None,
            });
        }
        check_host(host).map_err(|why| malformed(&without_userinfo(text), why))?;
        let slash = if tail.starts_with('/') { "" } else { "/" };
        Ok(Self {
            text: format!("{scheme}://{}{slash}{tail}", host.to_ascii_lowercase()).into(),
            userinfo: userinfo.map(Into::into),
        })
    }
}

/// Undoes `%XX`; anything that is not a valid escape stays as it is.
pub fn decode_percent(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escape {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

/// Percent-encodes what may not stand in a URL path; slashes and colons stay.
pub fn encode_path(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn malformed(text: &str, why: &str) -> Error {
    let shown: String = without_userinfo(text).chars().take(MAX_SHOWN).collect();
    Error::new(Kind::Format, format!("malformed URL {shown:?}: {why}"))
}

/// Errors show the text that was given; a password in it must not be shown with it. What is
/// malformed may be so because of a bare `/` or `?` in the password: all up to the last `@` goes.
fn without_userinfo(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    match text[start..].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    if let Some(port) = port
        && port.parse::<u16>().is_err()
    {
        return Err("the port is not a number from 0 to 65535");
    }
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let valid = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    if valid {
        Ok(())
    } else {
        Err("the host is not a name or address")
    }
}

fn is_absolute(reference: &str) -> bool {
    let scheme = reference.split(['/', '?']).next().unwrap_or_default();
    scheme.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// `remove_dot_segments` of RFC 3986, section 5.2.4, for an absolute path and its query.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Longer addresses are refused: nothing that publishes images needs them.
const MAX_LENGTH: usize = 4096;

/// As much of a malformed address as an error shows, in characters.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn parts() {
        let it = url("https://User:pa%40ss@Host.Example:8443/a/b%3Ac.tar.xz?x=1");
        assert_eq!(
            it.to_string(),
            "https://host.example:8443/a/b%3Ac.tar.xz?x=1"
        );
        assert_eq!(it.userinfo(), Some("User:pa%40ss"));
        assert_eq!((it.host(), it.port()), ("host.example", Some(8443)));
        assert_eq!(it.path(), "/a/b%3Ac.tar.xz");
        assert_eq!(it.file_name(), "b:c.tar.xz");
        assert_eq!(url("http://[::1]:80/").host(), "[::1]");
        assert_eq!(url("http://[::1]/").port(), None);
        assert_eq!(url("http://h").as_str(), "http://h/");
        assert_eq!(url("file:///srv/x").path(), "/srv/x");
        assert_eq!(url("file://localhost/srv/x").scheme(), Scheme::File);
        assert_eq!(url("http://h/").scheme(), Scheme::Http);
        assert_eq!(url("https://h/").scheme(), Scheme::Https);
    }

    #[test]
    fn refusals_show_no_password() {
        for bad in [
            "alpine",
            "ftp://h/",
            "http://",
            "http://h:99999/",
            "https://h/a b",
            "https://h/#f",
            "file://host/x",
            "file:x",
            "https://[::g]/",
            "https://h/\"",
            "https://ex ample/",
        ] {
            assert_eq!(
                bad.parse::<Url>().unwrap_err().kind(),
                Kind::Format,
                "{bad}"
            );
        }
        let long = format!("https://me:secret{}@h/", "ü".repeat(4096));
        for bad in [
            "https://me:secret@h:x/",
            "https://me:sec/secret@h/",
            "https://me:s?secret@h/",
            &long,
        ] {
            let error = bad.parse::<Url>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn redirects_resolve_as_rfc_3986_says() {
        let base = url("https://h:1/a/b/c?q");
        for (reference, expect) in [
            ("https://o/x", "https://o/x"),
            ("//o/x", "https://o/x"),
            ("/x/../y", "https://h:1/y"),
            ("d", "https://h:1/a/b/d"),
            ("../d", "https://h:1/a/d"),
            ("../../../d", "https://h:1/d"),
            ("./", "https://h:1/a/b/"),
            ("?z", "https://h:1/a/b/c?z"),
            ("d#frag", "https://h:1/a/b/d"),
            ("20260128_13:00/x", "https://h:1/a/b/20260128_13:00/x"),
        ] {
            let joined = base.join(reference);
            if reference.starts_with("20") {
                // A colon in the first segment of a relative reference makes it a scheme
                // (RFC 3986, section 4.2), unless it does not look like one.
                assert_eq!(joined.unwrap().as_str(), expect);
            } else {
                assert_eq!(joined.unwrap().as_str(), expect, "{reference}");
            }
        }
        for bad in ["file:///etc/passwd", "", "ftp://h/x", "javascript:x"] {
            assert!(base.join(bad).is_err(), "{bad}");
        }
        assert_eq!(url("https://u:p@h/a").join("b").unwrap().userinfo(), None);
    }

    #[test]
    fn percent_coding() {
        assert_eq!(decode_percent("a%3Ab%zz%4"), b"a:b%zz%4");
        assert_eq!(
            encode_path("/a b/20260128_13:00/ü"),
            "/a%20b/20260128_13:00/%C3%BC"
        );
    }
}
