//! Names of images, and text made safe for file names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// The name of an image: `distro-version[-variant]`, `[a-z0-9][a-z0-9._-]*`, at most 64
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName(Cow<'static, str>);

impl ImageName {
    /// For the generated table, whose text `build.rs` has already judged.
    #[doc(hidden)]
    pub const fn from_table(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The name.
    pub const fn as_str(&self) -> &str {
        match &self.0 {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => text.as_str(),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse =
            |why: &str| Error::new(Kind::Format, format!("malformed name {text:?}: {why}"));
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(refuse("1 to 64 characters"));
        }
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !lower(text.as_bytes()[0]) {
            return Err(refuse("it starts with a lower-case letter or a digit"));
        }
        if !text.bytes().all(|b| lower(b) || b"._-".contains(&b)) {
            return Err(refuse("lower-case letters, digits and ._- only"));
        }
        if text.contains("..") {
            return Err(refuse("no `..`"));
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

/// Makes one path component of any text: characters outside `[A-Za-z0-9._-]` become `-`, a
/// leading dot too, and what is longer than 128 bytes keeps its end (the extension matters).
pub fn safe_file_name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '-',
        })
        .collect();
    if name.len() > MAX_FILE_NAME {
        name.drain(..name.len() - MAX_FILE_NAME);
    }
    if name.starts_with('.') {
        name.replace_range(..1, "-");
    }
    if name.is_empty() {
        name.push('-');
    }
    name
}

const MAX_LENGTH: usize = 64;

/// Well below NAME_MAX (255), so that suffixes for temporary names always fit.
const MAX_FILE_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for good in ["alpine-3.21", "ubuntu-24.04-cloud", "9front-1"] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in [
            "", "Alpine-3", "-a", ".a", "a/b", "a b", "a..b", "ä", "a\0", &long,
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn file_names_cannot_escape() {
        for (text, expect) in [
            ("rootfs.tar.xz", "rootfs.tar.xz"),
            ("../../x", "-.-..-x"),
            (".hidden", "-hidden"),
            ("a b\0c", "a-b-c"),
            ("", "-"),
            ("..", "-."),
        ] {
            assert_eq!(safe_file_name(text), expect);
        }
        let long = format!("{}.tar.xz", "n".repeat(400));
        assert_eq!(safe_file_name(&long).len(), 128);
        assert!(safe_file_name(&long).ends_with(".tar.xz"));
    }
}
