//! What went wrong, in terms of what the caller can do about it.
//!
//! One opaque [`Error`] with a [`Kind`]. The kind answers "what now?" (retry, pick another
//! name, free some space); the accessors give data ([`Error::attempts`], [`Error::path`],
//! [`Error::digests`]) so that nobody has to take a message apart. Strings and kinds only: this
//! room knows nothing of the rest of the crate.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`]. Each kind is one exit code of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No such image, architecture or snapshot in the catalog.
    Unknown,
    /// Not cached, and the network may not be used.
    Offline,
    /// Every source was unreachable, slow, busy or broken: worth a retry.
    Network,
    /// Every source says that the file no longer exists (404, 410).
    Gone,
    /// Complete bytes that are not the pinned ones.
    Integrity,
    /// This machine: disk full, permission, lock, an unsafe cache directory.
    Local,
    /// Malformed, unsafe or unsupported input.
    Format,
    /// Stopped by the caller.
    Cancelled,
    /// Anything else.
    Other,
}

impl Kind {
    /// The lower-case word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Offline => "offline",
            Self::Network => "network",
            Self::Gone => "gone",
            Self::Integrity => "integrity",
            Self::Local => "local",
            Self::Format => "format",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }

    /// The exit code that the command line gives for this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Unknown => 3,
            Self::Offline => 4,
            Self::Network => 5,
            Self::Gone => 6,
            Self::Integrity => 7,
            Self::Local => 8,
            Self::Format => 9,
            Self::Cancelled => 130,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source that was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address that was asked, without any secret in it.
    pub url: String,
    /// What the source did, in one line.
    pub verdict: String,
}

/// Pinned and received digest of bytes that are complete but wrong, as 64 hex digits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// What the pin says.
    pub expected: String,
    /// What arrived.
    pub actual: String,
}

/// The error of every fallible function of this crate.
pub struct Error(Box<Repr>);

struct Repr {
    kind: Kind,
    message: String,
    attempts: Vec<Attempt>,
    digests: Option<Digests>,
    path: Option<PathBuf>,
    suggestions: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` names the thing and says what is wrong with it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            attempts: Vec::new(),
            digests: None,
            path: None,
            suggestions: Vec::new(),
            source: None,
        }))
    }

    /// A [`Kind::Local`] error of an operation (`"cannot create"`) on a path.
    pub fn local(doing: &str, path: impl AsRef<Path>, cause: std::io::Error) -> Self {
        let path = path.as_ref();
        Self::new(Kind::Local, format!("{doing} {}", path.display()))
            .with_path(path)
            .with_source(cause)
    }

    /// Adds the cause. It is printed after the message, once.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the file that the error is about.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// Says in front what the error is about.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.0.message = format!("{subject}: {}", self.0.message);
        self
    }

    /// Adds the sources that were tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds both digests of a mismatch.
    #[must_use]
    pub fn with_digests(mut self, digests: Option<Digests>) -> Self {
        self.0.digests = digests;
        self
    }

    /// Adds names that the caller may have meant.
    #[must_use]
    pub fn with_suggestions(mut self, suggestions: Vec<String>) -> Self {
        self.0.suggestions = suggestions;
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message alone, without cause and attempts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Every source that was tried, in order, with its verdict.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// Pinned and received digest, for [`Kind::Integrity`].
    pub fn digests(&self) -> Option<&Digests> {
        self.0.digests.as_ref()
    }

    /// The local file or directory that the error is about.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// What the operating system said, if it is the cause.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        let cause = self.0.source.as_deref()?.downcast_ref::<std::io::Error>()?;
        Some(cause.kind())
    }

    /// Names that the caller may have meant, nearest first.
    pub fn suggestions(&self) -> &[String] {
        &self.0.suggestions
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        for Attempt { url, verdict } in &self.0.attempts {
            write!(f, "\n  {url}\n    {verdict}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The cause is already part of `Display`; what is deeper continues the chain.
        self.0.source.as_deref().and_then(StdError::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_tells_message_cause_and_every_attempt_once() {
        let error = Error::new(Kind::Network, "alpine-3.21 amd64: no source works")
            .with_source(std::io::Error::other("cause"))
            .with_attempts(vec![Attempt {
                url: "https://a/".into(),
                verdict: "503".into(),
            }]);
        assert_eq!(
            error.to_string(),
            "alpine-3.21 amd64: no source works: cause\n  https://a/\n    503"
        );
    }
}
