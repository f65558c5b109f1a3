//! Upstream's dated serials.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::date::Date;
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

    /// The first day that stands in the serial, as `20260128`, `2026.01.28` or `2026-01-28`; a
    /// time may follow the eight digits. Days before 2010 are numbers that look like one.
    pub fn date(&self) -> Option<Date> {
        let text = self.0.as_bytes();
        let mut at = 0;
        while at < text.len() {
            let run = digits(&text[at..]);
            if let Some(date) = date_at(&self.0[at..], run) {
                return Some(date);
            }
            at += run.max(1);
        }
        None
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

/// The day that a text starts with, of which the first `run` bytes are digits.
fn date_at(text: &str, run: usize) -> Option<Date> {
    let parts = match run {
        // YYYYMMDD, and with hours, minutes, seconds. Other numbers of that length are none.
        8 | 10 | 12 | 14 => [&text[..4], &text[4..6], &text[6..8]],
        4 => {
            let rest = text.as_bytes();
            let separator = *rest.get(4)?;
            let shape = matches!(separator, b'.' | b'-')
                && digits(&rest[5..]) == 2
                && rest.get(7) == Some(&separator)
                && digits(&rest[8..]) == 2;
            if !shape {
                return None;
            }
            [&text[..4], &text[5..7], &text[8..10]]
        }
        _ => return None,
    };
    let date: Date = parts.join("-").parse().ok()?;
    (date.parts().0 >= FIRST_YEAR).then_some(date)
}

/// How many digits a text starts with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// Before it, no image was published under a dated serial. There is no last year: a serial of the
/// year 9999 is a date, and whoever looks at dates shall see that it has not come.
const FIRST_YEAR: u16 = 2010;

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
    fn many_serials_have_a_day_in_them() {
        for (text, expect) in [
            ("20260128_13:00", Some("2026-01-28")),
            ("release-20260720", Some("2026-07-20")),
            ("20260712-2537", Some("2026-07-12")),
            ("v20260801.174141", Some("2026-08-01")),
            ("2026.08.01.174141", Some("2026-08-01")),
            ("2026-08-01", Some("2026-08-01")),
            ("20251228T163057Z", Some("2025-12-28")),
            ("20260128130000", Some("2026-01-28")),
            ("44-20260604.0", Some("2026-06-04")),
            ("12345678-20260604", Some("2026-06-04")),
            ("3.21.3", None),
            ("44-1.7", None),
            ("b291", None),
            ("2026.3", None),
            ("2026.08.011", None),
            ("2026.08-01", None),
            ("12026.08.01", None),
            ("20260230", None),
            ("20091231", None),
            ("120260128", None),
        ] {
            let date = text.parse::<Snapshot>().unwrap().date();
            assert_eq!(
                date.map(|date| date.to_string()).as_deref(),
                expect,
                "{text}"
            );
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
