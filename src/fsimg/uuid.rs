//! What a file system is told apart by.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::error::{Error, Kind, Result};

/// A UUID (RFC 9562), written as 8-4-4-4-12 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The one that stands for a digest: version 8, whose bits are everybody's own business.
    /// `purpose` keeps those of two formats apart.
    pub fn of_digest(purpose: &str, digest: &Digest) -> Self {
        let hash = Sha256::new()
            .chain_update(purpose)
            .chain_update(digest.as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The bytes, in the order in which they are written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = Error;

    /// Either case; with the dashes where they belong.
    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let mut bytes = [0; 16];
            let parts: Vec<&str> = text.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            let digits = parts.concat();
            if lengths != [8, 4, 4, 4, 12] || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
                return None;
            }
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
            }
            Some(Self(bytes))
        };
        read().ok_or_else(|| Error::new(Kind::Format, format!("{text:?} is no UUID")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes() {
        let text = "0b1e9a14-5c3d-8f70-a1b2-00ff00ff00ff";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert_eq!(
            text.to_uppercase().parse::<Uuid>().unwrap().to_string(),
            text
        );
        for bad in [
            "",
            "0b1e9a145c3d8f70a1b200ff00ff00ff",
            "0b1e9a14-5c3d-8f70-a1b2-00ff00ff00fg",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
        let made = Uuid::of_digest("x", &Digest::from_bytes([7; 32])).to_string();
        assert_eq!(&made[14..15], "8");
        assert!("89ab".contains(&made[19..20]), "{made}");
    }
}
