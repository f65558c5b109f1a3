//! SHA-256 digests.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// A SHA-256 digest: 32 bytes, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps 32 bytes that are known to be a SHA-256 digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits: enough to tell entries of one image apart in a directory name.
    /// The whole digest stands inside the entry and is what counts.
    pub fn short(&self) -> String {
        self.to_string()[..SHORT].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Exactly 64 lower-case hex digits. Upper case is refused: one spelling, so that text
    /// comparison of catalogs is comparison of pins.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::new(Kind::Format, format!("malformed SHA-256: {why}"));
        if text.len() != 64 {
            return Err(refuse(format!(
                "{} characters where 64 hex digits belong",
                text.len()
            )));
        }
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(refuse(format!(
                    "{:?} is not a pair of lower-case hex digits",
                    String::from_utf8_lossy(pair)
                )));
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

const SHORT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_the_canonical_spelling() {
        let text = "d4e6fd67dbf75a40c9e7d9f6a1e1d7c3e3b1a1d9c1a1e1d7c3e3b1a1d9c1a1ff";
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap().short(), "d4e6fd67dbf7");
        for bad in [
            &text[1..],
            &format!("{text}0"),
            &text.to_uppercase(),
            &text.replace('d', "g"),
        ] {
            assert_eq!(bad.parse::<Digest>().unwrap_err().kind(), Kind::Format);
        }
    }
}
