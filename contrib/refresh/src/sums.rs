//! Checksum documents: `SHA256SUMS`, `CHECKSUM`, `sha256sum.txt`, `NAME.sha512`.
//!
//! There is no standard, only habits: GNU's `HASH  name` and `HASH *name` (with a backslash before
//! the line if the name is escaped), BSD's `SHA256 (name) = HASH` (and OpenSSL's without blanks),
//! Fedora's `# name: N bytes`, and files that hold one hash and nothing else. All of them may be
//! mixed in one document, and a clear-signed wrapper around it is taken off without being judged:
//! who wants it judged, hands in what `signature` returned.
//!
//! The question is always "what is the hash of this file", and the answer is exact or none. A name
//! is compared whole; `./name` is `name`, but `dir/name` is another file. A file that is listed
//! twice with different hashes, or with a hash that is too short, has no entry: [`Sums::find`]
//! says so. That this is an error of the file and not of the document is on purpose: one broken
//! line must not stop the other two hundred images, and must never be read around either.

use std::collections::BTreeMap;
use std::fmt;

use distro_fetch::Digest;
use distro_fetch::base::decode_hex;

use crate::cleartext;

/// The entries of a checksum document.
#[derive(Clone, Debug)]
pub struct Sums {
    files: BTreeMap<String, Record>,
    /// A hash without a name, if that is the whole document.
    bare: Option<Record>,
}

/// What a document says about one file: at least one of the two hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The SHA-256.
    pub sha256: Option<Digest>,
    /// The SHA-512.
    pub sha512: Option<[u8; 64]>,
    /// The size in bytes, where the document says it.
    pub size: Option<u64>,
}

/// Why a document, or a file of it, has no checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SumsError {
    /// No line of the document is a checksum.
    NoChecksums {
        /// What the document seems to be instead.
        html: bool,
    },
    /// The document is beyond a limit.
    TooLong,
    /// The document begins a clear-signed message and does not end it well.
    Wrapper(&'static str),
    /// The file is not listed.
    Missing(String),
    /// The file is listed with different hashes or sizes.
    Conflict(String),
    /// The file is listed with a hash that is none of its algorithm.
    WrongLength(String),
    /// The file is listed by neither SHA-256 nor SHA-512.
    OtherAlgorithm(String),
}

impl fmt::Display for SumsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChecksums { html: true } => f.write_str("a web page, no checksums"),
            Self::NoChecksums { html: false } => f.write_str("no line of it is a checksum"),
            Self::TooLong => f.write_str("too long for a list of checksums"),
            Self::Wrapper(why) => f.write_str(why),
            Self::Missing(file) => write!(f, "no checksum of {file:?}"),
            Self::Conflict(file) => write!(f, "{file:?} is listed twice, differently"),
            Self::WrongLength(file) => write!(f, "the checksum of {file:?} has a wrong length"),
            Self::OtherAlgorithm(file) => {
                write!(f, "{file:?} is listed by neither SHA-256 nor SHA-512")
            }
        }
    }
}

impl std::error::Error for SumsError {}

impl Sums {
    /// Reads a document, clear-signed or not.
    pub fn parse(text: &str) -> Result<Self, SumsError> {
        if text.len() > MAX_BYTES {
            return Err(SumsError::TooLong);
        }
        match cleartext::open(text.as_bytes()) {
            Ok(None) => Self::parse_plain(text),
            // The text between two lines of a `str` is one.
            Ok(Some(block)) => Self::parse_plain(&String::from_utf8_lossy(&block.payload)),
            Err(why) => Err(SumsError::Wrapper(why.as_str())),
        }
    }

    fn parse_plain(text: &str) -> Result<Self, SumsError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut files: BTreeMap<String, Record> = BTreeMap::new();
        let (mut nameless, mut others) = (None, 0);
        let mut hashes = false;
        for (number, line) in text.lines().enumerate() {
            if number >= MAX_LINES {
                return Err(SumsError::TooLong);
            }
            let line = line.trim_end();
            match Line::parse(line) {
                Some(Line::Hash { name, hash }) => {
                    hashes |= hash != Hash::WrongLength;
                    others += 1;
                    files.entry(name).or_default().learn(hash);
                }
                Some(Line::Size { name, size }) => files.entry(name).or_default().measure(size),
                Some(Line::Lone(hash)) if nameless.is_none() => nameless = Some(hash),
                None if line.is_empty() || line.starts_with('#') => {}
                Some(Line::Lone(_)) | None => others += 1,
            }
        }
        let mut bare = None;
        if let (Some(hash), 0) = (nameless, others) {
            hashes |= hash != Hash::WrongLength;
            let mut record = Record::default();
            record.learn(hash);
            bare = Some(record);
        }
        if !hashes {
            let html = text.trim_start().starts_with('<');
            return Err(SumsError::NoChecksums { html });
        }
        Ok(Self { files, bare })
    }

    /// What the document says about the file of exactly this name.
    pub fn find(&self, file: &str) -> Result<Entry, SumsError> {
        match self.files.get(file) {
            Some(record) => record.judge(file),
            None => Err(SumsError::Missing(file.to_owned())),
        }
    }

    /// The same for a document that stands beside one file and is about it (`NAME.sha256`): a hash
    /// without a name counts, too. A signature over such a document does not say which file it
    /// is about, so this is for documents that are found by the name of the file.
    pub fn find_beside(&self, file: &str) -> Result<Entry, SumsError> {
        match &self.bare {
            Some(record) => record.judge(file),
            None => self.find(file),
        }
    }

    /// The names that are listed, sorted, whether [`find`](Self::find) answers for them or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// What was gathered about one name.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
    size: Option<u64>,
    conflict: bool,
    wrong_length: bool,
    /// A hash by another algorithm was seen.
    other: bool,
}

impl Record {
    fn learn(&mut self, hash: Hash) {
        match hash {
            Hash::Sha256(hash) => self.conflict |= *self.sha256.get_or_insert(hash) != hash,
            Hash::Sha512(hash) => self.conflict |= *self.sha512.get_or_insert(hash) != hash,
            Hash::Other => self.other = true,
            Hash::WrongLength => self.wrong_length = true,
        }
    }

    fn measure(&mut self, size: u64) {
        self.conflict |= *self.size.get_or_insert(size) != size;
    }

    fn judge(&self, file: &str) -> Result<Entry, SumsError> {
        let file = || file.to_owned();
        if self.wrong_length {
            return Err(SumsError::WrongLength(file()));
        }
        if self.conflict {
            return Err(SumsError::Conflict(file()));
        }
        if self.sha256.is_none() && self.sha512.is_none() {
            return Err(if self.other {
                SumsError::OtherAlgorithm(file())
            } else {
                SumsError::Missing(file())
            });
        }
        Ok(Entry {
            sha256: self.sha256.map(Digest::from_bytes),
            sha512: self.sha512,
            size: self.size,
        })
    }
}

/// A line that says something.
enum Line {
    Hash { name: String, hash: Hash },
    Size { name: String, size: u64 },
    Lone(Hash),
}

#[derive(Clone, Copy, PartialEq)]
enum Hash {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
    Other,
    WrongLength,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        if let Some(comment) = line.strip_prefix('#') {
            return size(comment);
        }
        let (line, escaped) = match line.strip_prefix('\\') {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (name, hash) = match tagged(line) {
            Some(found) => found,
            None => untagged(line)?,
        };
        let Some(name) = name else {
            return (!escaped).then_some(Self::Lone(hash));
        };
        let name = if escaped {
            unescape(name)?
        } else {
            name.to_owned()
        };
        let name = plain(&name)?;
        Some(Self::Hash { name, hash })
    }
}

/// `SHA256 (name) = HASH`; OpenSSL writes `SHA256(name)= HASH` and, of late, `SHA2-256`.
fn tagged(line: &str) -> Option<(Option<&str>, Hash)> {
    let (tag, rest) = line.split_once('(')?;
    let tag = tag.strip_suffix(' ').unwrap_or(tag);
    if tag.is_empty() || tag.contains(|c: char| c.is_whitespace()) {
        return None;
    }
    let (name, hash) = rest.rsplit_once(')')?;
    let hash = hash.trim_start_matches(' ').strip_prefix('=')?.trim_start();
    if hash.is_empty() || !is_hex(hash) {
        return None;
    }
    let hash = match tag {
        "SHA256" | "SHA-256" | "SHA2-256" => decode_hex(hash).map(Hash::Sha256),
        "SHA512" | "SHA-512" | "SHA2-512" => decode_hex(hash).map(Hash::Sha512),
        _ => Some(Hash::Other),
    };
    Some((Some(name), hash.unwrap_or(Hash::WrongLength)))
}

/// `HASH  name`, `HASH *name`, `HASH name`, or a hash alone: its length is its algorithm.
fn untagged(line: &str) -> Option<(Option<&str>, Hash)> {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    // What is shorter is a word: `dad`, `face`.
    if digits.len() < SHORTEST || !is_hex(digits) {
        return None;
    }
    let hash = match digits.len() {
        64 => decode_hex(digits).map(Hash::Sha256),
        128 => decode_hex(digits).map(Hash::Sha512),
        32 | 40 | 56 | 96 => Some(Hash::Other),
        _ => None,
    };
    // One separator, and one more character that is the mode: a blank for text, an asterisk for
    // binary.
    let mut rest = rest.chars();
    let name = rest.next().map(|_| {
        let name = rest.as_str();
        name.strip_prefix([' ', '*']).unwrap_or(name)
    });
    Some((name, hash.unwrap_or(Hash::WrongLength)))
}

/// ` name: N bytes`, what is left of the comment that Fedora puts before each line.
fn size(comment: &str) -> Option<Line> {
    let (name, size) = comment.trim().rsplit_once(": ")?;
    let size = size.strip_suffix(" bytes")?;
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Line::Size {
        name: plain(name)?,
        size: size.parse().ok()?,
    })
}

/// The name as it is asked for.
fn plain(name: &str) -> Option<String> {
    let name = name.strip_prefix("./").unwrap_or(name);
    (!name.is_empty() && name.len() <= MAX_NAME).then(|| name.to_owned())
}

/// Undoes what GNU does to names with a backslash or a line ending in them.
fn unescape(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Fewer hex digits than this are no hash, not even a truncated one that is worth a word.
const SHORTEST: usize = 16;
/// A list of every file of a mirror is below this; an endless answer is not.
const MAX_BYTES: usize = 64 << 20;
/// The same for short lines, each of which costs more memory than it has bytes.
const MAX_LINES: usize = 1_000_000;
/// Longer than any path is no name.
const MAX_NAME: usize = 4096;

#[cfg(test)]
mod tests;
