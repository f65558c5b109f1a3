//! Upstream's dated serials.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::name::safe_file_name;
use crate::error::{Error, Kind};

/// Upstream's own dated serial, verbatim: `20260128_13:00`, `release-20260720`, `3.21.3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snapshot(Cow<'static, str>);

impl Snapshot {
    /// For the generated table, whose text `build.rs` has already judged.
    #[doc(hidden)]
    pub const fn from_table(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The serial as upstream writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The snapshot made safe for a file name: `:` dropped, any other character outside
    /// `[A-Za-z0-9._-]` becomes `-`.
    pub fn stamp(&self) -> String {
        safe_file_name(&self.0.replace(':', ""))
    }

    /// Whether a URL names this snapshot; `%3A` and `:` are the same.
    pub fn is_named_by(&self, url: &str) -> bool {
        let plain = |text: &str| text.replace("%3A", ":").replace("%3a", ":");
        plain(url).contains(&plain(&self.0))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Snapshot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse =
            |why: &str| Error::new(Kind::Format, format!("malformed snapshot {text:?}: {why}"));
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(refuse("1 to 64 characters"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(refuse("it starts with a letter or a digit"));
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:+~-".contains(&b))
        {
            return Err(refuse("letters, digits and ._:+~- only"));
        }
        if text.contains("..") {
            return Err(refuse("no `..`"));
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

/// Compares serials as people read them: runs of digits by their value (`3.9.1` is older than
/// `3.10.0`), everything else byte by byte.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (take_number(&mut a), take_number(&mut b));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Takes a run of digits off the front and drops its leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    &number[zeros..]
}

/// Long enough for every upstream, short enough for a directory name with a digest behind it.
const MAX_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_file_names() {
        for (text, stamp) in [
            ("20260128_13:00", "20260128_1300"),
            ("release-20260720", "release-20260720"),
            ("1+b2~rc1", "1-b2-rc1"),
        ] {
            assert_eq!(text.parse::<Snapshot>().unwrap().stamp(), stamp);
        }
        for bad in ["", "-x", "../x", "a/b", "a b", "a..b", "a\"b", "é", "a\0"] {
            assert!(bad.parse::<Snapshot>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn serials_sort_as_they_age() {
        for (older, newer) in [
            ("3.9.1", "3.10.0"),
            ("20260127_13:00", "20260128_01:00"),
            ("b291", "b1000"),
            ("44-1.7", "44-1.10"),
            ("3.20", "3.20.1"),
            ("20260120", "20260120.1"),
        ] {
            assert_eq!(
                natural_order(older, newer),
                Ordering::Less,
                "{older} {newer}"
            );
            assert_eq!(natural_order(newer, older), Ordering::Greater);
            assert_eq!(natural_order(newer, newer), Ordering::Equal);
        }
    }

    #[test]
    fn a_colon_may_be_percent_encoded_in_the_url() {
        let snapshot: Snapshot = "20260128_13:00".parse().unwrap();
        assert!(snapshot.is_named_by("https://h/20260128_13%3A00/rootfs.tar.xz"));
        assert!(snapshot.is_named_by("https://h/20260128_13:00/rootfs.tar.xz"));
        assert!(!snapshot.is_named_by("https://h/20260127_13:00/rootfs.tar.xz"));
    }
}
