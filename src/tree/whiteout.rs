//! The names by which a layer says what it hides: OCI image specification 1.1, "Whiteouts".

use super::path::{SafePath, shown};
use crate::error::{Error, Kind, Result};

/// What a name with the prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// Lower layers' entry of this name is hidden.
    Hides(&'a [u8]),
    /// Everything that lower layers have in the directory is.
    Opaque,
}

impl<'a> Mark<'a> {
    pub(super) const PREFIX: &'static [u8] = b".wh.";

    /// Reads a path; `None` if it is no mark.
    pub(super) fn of(path: &'a SafePath) -> Result<Option<Self>> {
        let whole = path.as_bytes();
        let (above, last) = path.split();
        // The part behind the prefix would be a path; so would a whiteout with something in it.
        if above
            .split(|&byte| byte == b'/')
            .any(|name| name.starts_with(Self::PREFIX))
        {
            return Err(Self::refuse(whole, "a whiteout with something below it"));
        }
        match last.strip_prefix(Self::PREFIX) {
            None => Ok(None),
            Some(b".wh..opq") => Ok(Some(Self::Opaque)),
            // Nothing, the directory itself, the one above.
            Some(b"" | b"." | b"..") => Err(Self::refuse(whole, "a whiteout of no name")),
            Some(name) => Ok(Some(Self::Hides(name))),
        }
    }

    pub(super) fn refuse(path: &[u8], why: &str) -> Error {
        Error::new(Kind::Format, format!("{}: {why}", shown(path)))
    }
}
