//! POSIX extended headers: lines of `LENGTH KEYWORD=VALUE`.
//!
//! Sources: POSIX.1-2017, `pax`, "pax Extended Header"; GNU tar's manual, "Storing Sparse Files"
//! and "Extended attributes"; star(5) for `SCHILY.*`; libarchive's `archive_write_set_format_pax`
//! for `LIBARCHIVE.xattr.*`.
//!
//! Keywords that name nothing that we keep (comments, access times, `LIBARCHIVE.creationtime`, NFSv4
//! ACLs in `SCHILY.acl.ace`) are ignored, as GNU tar does with what it does not know. Names of owners
//! (`uname`, `gname`) are ignored, too: the numbers count, for a name means another one on each
//! machine.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{self, Which};
use super::entry::Time;
use super::sparse::Sparse;
use super::xattr;

/// For whom a header speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The next entry (`x`).
    One,
    /// All entries that follow (`g`).
    All,
}

/// What a record says of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said<T> {
    /// There is none.
    #[default]
    Nothing,
    /// An empty value: what the plain header has counts, whatever was said for all entries.
    AsPlain,
    /// A value.
    Value(T),
}

impl<T> Said<T> {
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::AsPlain => None,
        }
    }

    fn or(self, other: Self) -> Self {
        if self.is_there() { self } else { other }
    }
}

/// What the records of a header say.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Said<Vec<u8>>,
    pub(super) link: Said<Vec<u8>>,
    pub(super) size: Said<u64>,
    pub(super) uid: Said<u64>,
    pub(super) gid: Said<u64>,
    pub(super) mtime: Said<Time>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: Sparse,
    access: Option<Vec<u8>>,
    default: Option<Vec<u8>>,
    selinux: Option<Vec<u8>>,
}

impl Records {
    /// Reads the data of an extended header.
    ///
    /// Refused is what two programs may read in two ways: a length that does not end at a newline,
    /// a NUL in a name, a keyword twice, an attribute with two values, and a header for all that
    /// would name, measure or dress each of them alike.
    pub(super) fn parse(data: &[u8], scope: Scope, extents: usize) -> Result<Self, String> {
        let mut records = Self::default();
        let mut seen = BTreeSet::new();
        let mut left = data;
        while !left.is_empty() {
            let Record { keyword, value } = split(&mut left)?;
            // The old sparse map repeats its two keywords; a comment may say anything.
            let repeats = matches!(
                keyword,
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" | b"comment"
            );
            if !repeats && !seen.insert(keyword) {
                return Err(format!("the record {} is there twice", show(keyword)));
            }
            if scope == Scope::All && !may_be_global(keyword) {
                let keyword = show(keyword);
                return Err(format!("a record {keyword} for all entries that follow"));
            }
            records
                .take(keyword, value, extents)
                .map_err(|why| format!("the record {}: {why}", show(keyword)))?;
        }
        records.translate()?;
        Ok(records)
    }

    fn take(&mut self, keyword: &[u8], value: &[u8], extents: usize) -> Result<(), String> {
        match keyword {
            b"path" => self.path = said(value, name)?,
            b"linkpath" => self.link = said(value, name)?,
            b"size" => self.size = said(value, number)?,
            b"uid" => self.uid = said(value, number)?,
            b"gid" => self.gid = said(value, number)?,
            b"mtime" => self.mtime = said(value, time)?,
            b"uname" | b"gname" => drop(name(value)?),
            b"SCHILY.devmajor" => self.major = said(value, device)?.value(),
            b"SCHILY.devminor" => self.minor = said(value, device)?.value(),
            b"SCHILY.acl.access" => self.access = Some(value.to_vec()),
            b"SCHILY.acl.default" => self.default = Some(value.to_vec()),
            b"RHT.security.selinux" => self.selinux = Some(value.to_vec()),
            // The names stay bytes, in whatever encoding they are.
            b"hdrcharset" if !matches!(value, b"" | b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {
                return Err(format!("unknown character set {}", show(value)));
            }
            _ => {
                if let Some(rest) = keyword.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(xattr::unescape(rest), value.to_vec())?;
                } else if let Some(rest) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.xattr(xattr::url_decode(rest)?, xattr::base64_decode(value)?)?;
                } else if let Some(rest) = keyword.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(rest, value, extents)?;
                } else if keyword.starts_with(b"GNU.volume.") {
                    return Err("archives in several volumes are not supported".to_owned());
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), String> {
        if name.is_empty() || name.contains(&0) {
            return Err("an attribute without a proper name".to_owned());
        }
        // bsdtar writes each attribute twice, in both spellings.
        match self.xattrs.get(&name) {
            Some(other) if *other != value => Err("another value than before".to_owned()),
            _ => {
                self.xattrs.insert(name, value);
                Ok(())
            }
        }
    }

    /// Attributes in other words than their own, where these are not said: the attribute itself
    /// is exact, and `tar --acls --selinux --xattrs` writes both.
    fn translate(&mut self) -> Result<(), String> {
        let acls = [
            (self.access.take(), Which::Access),
            (self.default.take(), Which::Default),
        ];
        for (text, which) in acls {
            let attribute = which.attribute();
            if let Some(text) = text
                && !self.xattrs.contains_key(attribute)
                && let Some(value) = acl::parse(&text, which)?
            {
                self.xattr(attribute.to_vec(), value)?;
            }
        }
        // As bsdtar restores it; GNU tar, given --selinux.
        if let Some(context) = self.selinux.take() {
            self.xattrs
                .entry(b"security.selinux".to_vec())
                .or_insert(context);
        }
        Ok(())
    }

    /// What `self` leaves open, as a header for all says it.
    pub(super) fn or(mut self, global: &Self) -> Self {
        self.uid = self.uid.or(global.uid);
        self.gid = self.gid.or(global.gid);
        self.mtime = self.mtime.or(global.mtime);
        self
    }

    /// Takes over what a later header for all says.
    pub(super) fn update(&mut self, later: Self) {
        *self = later.or(self);
    }
}

struct Record<'a> {
    keyword: &'a [u8],
    value: &'a [u8],
}

/// Takes one record off the data.
fn split<'a>(left: &mut &'a [u8]) -> Result<Record<'a>, String> {
    let data = *left;
    let malformed = |why: &str| {
        let start = &data[..data.len().min(40)];
        format!("a malformed record ({why}): {}", show(start))
    };
    let blank = data
        .iter()
        .take(LENGTH_DIGITS + 1)
        .position(|byte| *byte == b' ')
        .ok_or_else(|| malformed("no length"))?;
    let length = number(&data[..blank]).map_err(|_| malformed("no length"))?;
    let length = usize::try_from(length).map_err(|_| malformed("no length"))?;
    if length > data.len() {
        return Err(malformed("it is longer than its header"));
    }
    if length < blank + 2 {
        return Err(malformed("it is shorter than its length"));
    }
    let (record, rest) = data.split_at(length);
    let Some(record) = record[blank + 1..].strip_suffix(b"\n") else {
        return Err(malformed("no newline at its end"));
    };
    let equals = record.iter().position(|byte| *byte == b'=');
    let Some(equals) = equals.filter(|at| *at > 0) else {
        return Err(malformed("no keyword"));
    };
    let (keyword, value) = (&record[..equals], &record[equals + 1..]);
    if keyword.contains(&0) {
        return Err(malformed("a NUL in its keyword"));
    }
    *left = rest;
    Ok(Record { keyword, value })
}

fn may_be_global(keyword: &[u8]) -> bool {
    let own: [&[u8]; 6] = [
        b"path",
        b"linkpath",
        b"size",
        b"SCHILY.devmajor",
        b"SCHILY.devminor",
        b"RHT.security.selinux",
    ];
    let families: [&[u8]; 4] = [
        b"GNU.sparse.",
        b"SCHILY.acl.",
        b"SCHILY.xattr.",
        b"LIBARCHIVE.xattr.",
    ];
    !own.contains(&keyword) && !families.iter().any(|family| keyword.starts_with(family))
}

fn said<T>(value: &[u8], read: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<Said<T>, String> {
    if value.is_empty() {
        return Ok(Said::AsPlain);
    }
    read(value).map(Said::Value)
}

pub(super) fn name(value: &[u8]) -> Result<Vec<u8>, String> {
    if value.contains(&0) {
        return Err(format!("a NUL in {}", show(value)));
    }
    Ok(value.to_vec())
}

/// Decimal digits and nothing else: no sign, no blanks.
pub(super) fn number(value: &[u8]) -> Result<u64, String> {
    let digits = str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse::<i64>().ok());
    // No number is larger than a file may be.
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| format!("no number: {}", show(value)))
}

fn device(value: &[u8]) -> Result<u32, String> {
    u32::try_from(number(value)?).map_err(|_| format!("no device number: {}", show(value)))
}

/// `-12.5` is 13 seconds before 1970 and half a second after that. Digits past the ninth are cut
/// off, towards the past as the rest.
fn time(value: &[u8]) -> Result<Time, String> {
    let malformed = || format!("no time: {}", show(value));
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    let whole = number(whole).map_err(|_| malformed())?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let nanos = (0..9).fold(0_u32, |sum, at| {
        sum * 10 + fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'))
    });
    let seconds = i64::try_from(whole).map_err(|_| malformed())?;
    if !negative {
        return Ok(Time { seconds, nanos });
    }
    let beyond = fraction.iter().skip(9).any(|digit| *digit != b'0');
    let below = nanos + u32::from(beyond);
    let time = match below {
        0 => Time {
            seconds: -seconds,
            nanos: 0,
        },
        _ => Time {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - below,
        },
    };
    Ok(time)
}

/// Bytes in a message: escaped, and not too many of them.
pub(super) fn show(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    format!("\"{}\"…", bytes[..SHOWN].escape_ascii())
}

/// A record is shorter than its header, which is far shorter than this says.
const LENGTH_DIGITS: usize = 20;

/// Bytes of a name that a message shows.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down() {
        for (text, expect) in [
            ("0", Some((0, 0))),
            ("1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            ("1.", Some((1, 0))),
            ("1.0000000019", Some((1, 1))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.0000000001", Some((-1, 999_999_999))),
            ("-9223372036854775807.1", Some((i64::MIN, 900_000_000))),
            ("9223372036854775808", None),
            ("", None),
            (".5", None),
            ("+1", None),
            ("1e3", None),
            ("1.2.3", None),
        ] {
            let time = time(text.as_bytes()).ok();
            let time = time.map(|time| (time.seconds, time.nanos));
            assert_eq!(time, expect, "{text}");
        }
    }
}
