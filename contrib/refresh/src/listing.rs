//! What a directory listing names: the pages that Apache, nginx, lighttpd and Caddy make.
//!
//! Their markup has nothing in common but links, so links are all that is read: what an
//! `<a href>` points to, if that is one level below the page. Everything else that such a page
//! links (columns to sort by, the parent, a logo, a privacy policy) is left out by the same rule,
//! and so is whatever somebody puts there to lead elsewhere: other hosts, `..`, paths of more than
//! one segment, slashes behind `%2f`.
//!
//! A name is what the file is called: entities and percent-escapes are undone. Whoever makes an
//! address of it escapes it again.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use distro_fetch::base::decode_percent;

/// The names below one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by name, each once.
    pub entries: Vec<Entry>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// A single segment, never empty, `.` or `..`, without slashes and control characters.
    pub name: String,
    /// Whether the link ends in a slash.
    pub directory: bool,
}

/// A page beyond a limit. Half of a listing may lack the newest name, so there is no half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long for a directory listing")
    }
}

impl std::error::Error for TooLong {}

impl Listing {
    /// Reads the page at `page_path` (`/images/cloud/trixie/`), which is what links that begin
    /// with a slash are held against.
    pub fn parse(html: &str, page_path: &str) -> Result<Self, TooLong> {
        if html.len() > MAX_BYTES {
            return Err(TooLong);
        }
        let folder: Option<Vec<_>> = {
            let end = page_path.rfind('/').unwrap_or(0);
            let segments = page_path[..end].split('/');
            segments.map(decode).collect()
        };
        let mut entries = BTreeSet::new();
        for href in (Links { html }) {
            if let Some(entry) = below(&href, folder.as_deref()) {
                entries.insert(entry);
            }
            if entries.len() > MAX_ENTRIES {
                return Err(TooLong);
            }
        }
        let entries = entries.into_iter().collect();
        Ok(Self { entries })
    }
}

/// What a link names, if that is exactly one level below `folder`.
fn below(href: &str, folder: Option<&[String]>) -> Option<Entry> {
    if href.contains(['?', '#', '\\']) || has_scheme(href) {
        return None;
    }
    let href = href.strip_prefix("./").unwrap_or(href);
    let (path, directory) = match href.strip_suffix('/') {
        Some(path) => (path, true),
        None => (href, false),
    };
    let name = match path.rsplit_once('/') {
        None => path,
        // `/name` and `/images/name`; `//host/name` is an empty segment that no folder has.
        Some((parent, name)) => {
            let parent: Option<Vec<_>> = parent.split('/').map(decode).collect();
            if !path.starts_with('/') || parent.as_deref() != Some(folder?) {
                return None;
            }
            name
        }
    };
    let name = decode(name)?;
    let plain = !matches!(name.as_str(), "" | "." | "..")
        && name.len() <= MAX_NAME
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    plain.then_some(Entry { name, directory })
}

/// RFC 3986, section 3.1. `20260128_13:00/` has no scheme: an underscore cannot be in one.
fn has_scheme(href: &str) -> bool {
    href.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Undoes percent-escapes; none if that is no text.
fn decode(segment: &str) -> Option<String> {
    String::from_utf8(decode_percent(segment)).ok()
}

/// The links of a page, entities undone.
struct Links<'a> {
    html: &'a str,
}

impl<'a> Iterator for Links<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.html.find('<')?;
            let tag = &self.html[start + 1..];
            if let Some(comment) = tag.strip_prefix("!--") {
                // A comment without an end hides the rest of the page, as it does in a browser.
                let end = comment.find("-->")?;
                self.html = &comment[end + 3..];
                continue;
            }
            let link = tag
                .strip_prefix(['a', 'A'])
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace()));
            let Some(mut rest) = link else {
                self.html = tag;
                continue;
            };
            let mut href = None;
            while let Some((name, value, after)) = attribute(rest) {
                if name.eq_ignore_ascii_case("href") && href.is_none() {
                    href = Some(value);
                }
                rest = after;
            }
            self.html = rest;
            if let Some(href) = href {
                return Some(entities(href.trim_ascii()));
            }
        }
    }
}

/// The next attribute of a tag: its name, its value, and what comes after; none at its end.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || "=>/".contains(c))
        .filter(|end| *end > 0)?;
    let (name, rest) = text.split_at(end);
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else {
        return Some((name, "", rest));
    };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote)?;
            return Some((name, value, rest));
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
    let (value, rest) = value.split_at(end);
    Some((name, value, rest))
}

/// Undoes the entities that a listing has a use for. What is not known stays as it is, and is then
/// no name of a file that anybody asks for.
fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let found = after.find(';').filter(|end| *end <= LONGEST_ENTITY);
        let known = found.and_then(|end| Some((entity(&after[..end])?, &after[end + 1..])));
        if let Some((c, after)) = known {
            plain.push(c);
            rest = after;
        } else {
            plain.push('&');
            rest = after;
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn entity(name: &str) -> Option<char> {
    let number = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        },
        None => {
            return Some(match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                "colon" => ':',
                "sol" => '/',
                "period" => '.',
                "lowbar" => '_',
                "plus" => '+',
                _ => return None,
            });
        }
    };
    char::from_u32(number.ok()?)
}

/// A page of fifty thousand lines is below this.
const MAX_BYTES: usize = 16 << 20;
/// The same for what a page may cost in memory.
const MAX_ENTRIES: usize = 100_000;
/// What a file system allows, and more than any upstream uses.
const MAX_NAME: usize = 255;
/// `#x10ffff`, and some leading zeros.
const LONGEST_ENTITY: usize = 12;

#[cfg(test)]
mod tests;
