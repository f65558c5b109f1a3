//! What is asked of upstream, and what it says.
//!
//! Sources are pure functions: they look into the [`Answers`] so far and say what is missing. So
//! nothing is asked twice, whoever needs it; what may be asked together is asked together; and a
//! test is a table of documents.

use std::collections::BTreeMap;
use std::fmt;

use distro_fetch::{Digest, Url};

/// A question to an upstream server. Addresses are the official ones, whoever answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// A whole document.
    Document {
        /// Its address.
        url: Url,
        /// At most so many bytes.
        limit: u64,
    },
    /// How large a file is, from headers alone.
    Size {
        /// Its address.
        url: Url,
    },
    /// What a whole file hashes to. It is streamed and never stored.
    Hashes {
        /// Its address.
        url: Url,
        /// A small file that is hashed before it, for [`Hashes::combined`].
        before: Option<Url>,
        /// At most so many bytes.
        limit: u64,
    },
    /// A manifest of a registry.
    Manifest {
        /// `docker.io/library/alpine`.
        repository: String,
        /// A tag, or `sha256:…`.
        reference: String,
    },
}

impl Ask {
    /// A document of at most [`MAX_DOCUMENT`] bytes.
    pub fn document(url: Url) -> Self {
        let limit = MAX_DOCUMENT;
        Self::Document { url, limit }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { url, .. } | Self::Size { url } | Self::Hashes { url, .. } => {
                url.fmt(f)
            }
            Self::Manifest {
                repository,
                reference,
            } => write!(f, "{repository}:{reference}"),
        }
    }
}

/// What upstream says to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Document`].
    Document(Vec<u8>),
    /// To [`Ask::Size`]: bytes, if a header tells.
    Size(Option<u64>),
    /// To [`Ask::Hashes`].
    Hashes(Hashes),
    /// To [`Ask::Manifest`]: the manifest, verbatim.
    Manifest(Vec<u8>),
}

/// A file, as it was streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// SHA-512.
    pub sha512: [u8; 64],
    /// MD5, for servers that tell nothing else.
    pub md5: [u8; 16],
    /// SHA-256 over the file `before` and this one.
    pub combined: Option<Digest>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<Ask, Result<Answer, Trouble>>);

impl Answers {
    /// What was said to a question, if it has been asked.
    pub fn get(&self, ask: &Ask) -> Option<&Result<Answer, Trouble>> {
        self.0.get(ask)
    }

    /// Keeps what was said.
    pub fn put(&mut self, ask: Ask, answer: Result<Answer, Trouble>) {
        self.0.insert(ask, answer);
    }

    /// A document: its bytes, why there are none, or [`Stop::Need`] if it has not been asked for.
    ///
    /// # Errors
    /// [`Stop::Need`], or what upstream said.
    pub fn document(&self, url: &Url) -> Result<&[u8], Stop> {
        let ask = Ask::document(url.clone());
        match self.get(&ask) {
            Some(Ok(Answer::Document(bytes))) => Ok(bytes),
            Some(Err(trouble)) => Err(Stop::Trouble(trouble.clone())),
            _ => Err(Stop::Need(vec![ask])),
        }
    }
}

/// Why a source has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has to know these first.
    Need(Vec<Ask>),
    /// There is none.
    Trouble(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Why there is no new pin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// What a reviewer has to think of it.
    pub kind: Problem,
    /// One line, for a person. It may quote upstream: to be escaped wherever it is shown.
    pub message: String,
}

/// Kinds of trouble, the most alarming first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Other bytes under an unchanged snapshot, or two places that disagree on them.
    Changed,
    /// A signature that is missing, wrong, or by an unknown key.
    Signature,
    /// A product that is not what it was.
    Identity,
    /// An older snapshot than the pinned one.
    Older,
    /// A snapshot of the future.
    Future,
    /// A document that does not parse, or says impossible things.
    Malformed,
    /// No answer: worth another try.
    Network,
    /// Upstream answers, and does not have it.
    Unlisted,
}

impl Problem {
    /// The word for a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed bytes",
            Self::Signature => "signature",
            Self::Identity => "identity",
            Self::Older => "older",
            Self::Future => "from the future",
            Self::Malformed => "malformed",
            Self::Network => "network",
            Self::Unlisted => "not listed",
        }
    }

    /// Trouble of this kind.
    pub fn because(self, message: impl Into<String>) -> Trouble {
        Trouble {
            kind: self,
            message: message.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

/// Larger than any real index by a factor of three, smaller than what would hurt: against a
/// server that never ends (A5 of the threat model).
pub const MAX_DOCUMENT: u64 = 64 << 20;
