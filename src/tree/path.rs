//! Names of an archive, judged.

use std::fmt::Write as _;

use crate::archive::Limits;
use crate::error::{Error, Kind, Result};

/// A path below the root of a tree: components joined by single slashes, none of them `.`, `..`
/// or empty, no NUL. The root itself is the empty path.
///
/// It says nothing about what is on disk: a component may be a symbolic link there, which is why
/// paths are opened by descriptors that follow none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(Vec<u8>);

impl SafePath {
    /// Judges a name as it stands in an archive. `.` components and doubled slashes are dropped:
    /// they mean nothing. `a/` is `a`; whether that may be is the caller's question.
    ///
    /// # Errors
    /// [`Kind::Format`] if it is empty, absolute, climbs with `..`, has a NUL, or is longer or
    /// deeper than the limits `name` and `depth`.
    pub fn parse(raw: &[u8], limits: &Limits) -> Result<Self> {
        let refuse = |why: &str| {
            let message = format!("unsafe name {:?}: {why}", shown(raw));
            Err(Error::new(Kind::Format, message))
        };
        if raw.is_empty() {
            return refuse("it is empty");
        }
        if raw.len() > limits.name {
            return refuse(&format!("longer than the limit `name` of {}", limits.name));
        }
        if raw[0] == b'/' {
            return refuse("it is absolute");
        }
        if raw.contains(&0) {
            return refuse("it has a NUL in it");
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for component in raw.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return refuse("it climbs out with .."),
                _ => {}
            }
            if depth > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(component);
            depth += 1;
        }
        if depth > limits.depth {
            return refuse(&format!(
                "{depth} components, the limit `depth` is {}",
                limits.depth
            ));
        }
        Ok(Self(path))
    }

    /// Whether it is the root of the tree.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of the directory it is in, and its name there. The root is nameless in itself.
    pub fn split(&self) -> (&[u8], &[u8]) {
        split(&self.0)
    }

    /// Gives the bytes away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The directory and the last component of a path in the form of a [`SafePath`].
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// A name for a message: bytes that are not text, and those that steer a terminal, are escaped.
pub(super) fn shown(name: &[u8]) -> String {
    if name.is_empty() {
        return ".".to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for chunk in name[..name.len().min(SHOWN)].utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if name.len() > SHOWN {
        text.push('…');
    }
    text
}

/// Bytes of a name that a message shows.
const SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged() {
        let limits = Limits {
            name: 12,
            depth: 3,
            ..Limits::default()
        };
        let check = |raw: &[u8], expect: Option<&[u8]>| {
            let got = SafePath::parse(raw, &limits);
            assert_eq!(got.ok().map(SafePath::into_bytes).as_deref(), expect);
        };
        check(b"a", Some(b"a"));
        check(b"./a/./b//c", Some(b"a/b/c"));
        check(b".", Some(b""));
        check(b"./", Some(b""));
        check(b"a/", Some(b"a"));
        check(b"...", Some(b"..."));
        check(b"a\\..\\b", Some(b"a\\..\\b"));
        check(b"\xff", Some(b"\xff"));
        for bad in [
            b"".as_slice(),
            b"/",
            b"/a",
            b"//a",
            b"..",
            b"a/..",
            b"a/../b",
            b"./..",
            b"a\0b",
            b"a/b/c/d",
            b"a234567890123",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn messages_do_not_steer_terminals() {
        assert_eq!(
            shown(b"a\x1b[2J\n\xff\xc3\xa9"),
            "a\\u{1b}[2J\\n\\xff\u{e9}"
        );
    }
}
