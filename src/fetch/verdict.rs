//! What became of one attempt.

use std::fmt;
use std::time::Duration;

use crate::base::{Digest, HumanBytes};
use crate::error::Kind;
use crate::net::{Failure, Response, Retry};

/// Why a source did not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 404 or 410.
    Gone(u16),
    /// 401, 403, 451 and other statuses that will stay.
    Refused(u16),
    /// 429 or 503.
    Busy {
        /// The status.
        status: u16,
        /// How long the server asked us to stay away.
        pause: Option<Duration>,
    },
    /// Unreachable, too slow, cut short, another 5xx.
    Broken {
        /// What happened.
        why: String,
        /// Whether the same source may do better in a moment.
        retry: bool,
    },
    /// A page for people came with status 200.
    Page(String),
    /// Complete bytes, but not the pinned ones.
    Wrong {
        /// What is wrong with them.
        why: String,
        /// What they hash to, if all of them came.
        actual: Option<Digest>,
    },
    /// The fault is on this side: no other source would do better.
    Ours(String),
}

impl Verdict {
    /// What a status means, where it is not one with which a file comes.
    ///
    /// # Errors
    /// The verdict.
    pub fn check_status(response: &Response) -> Result<(), Self> {
        Err(match response.status {
            200 | 206 => return Ok(()),
            status @ (404 | 410) => Self::Gone(status),
            status @ (429 | 503) => Self::Busy {
                status,
                pause: response
                    .retry_after
                    .map(|after| after.pause(crate::sys::now(), RETRY_AFTER_CAP)),
            },
            status @ (500..=599 | 408) => Self::Broken {
                why: format!("HTTP {status}"),
                retry: true,
            },
            status => Self::Refused(status),
        })
    }

    /// Whether the same source is asked again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Broken { retry: true, .. })
    }

    /// What a caller can do if every source says so.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Gone(_) => Kind::Gone,
            Self::Wrong { .. } => Kind::Integrity,
            Self::Ours(_) => Kind::Local,
            // A refusal may be a rate limit or a gateway in front of the file: nobody said that
            // the file is gone.
            Self::Refused(_) | Self::Busy { .. } | Self::Broken { .. } | Self::Page(_) => {
                Kind::Network
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(status) => write!(f, "gone: HTTP {status}"),
            Self::Refused(status) => write!(f, "refused: HTTP {status}"),
            Self::Busy { status, .. } => write!(f, "busy: HTTP {status}"),
            Self::Broken { why, .. } => write!(f, "broken: {why}"),
            Self::Page(why) => write!(f, "an error page, not the image: {why}"),
            Self::Wrong { why, .. } => write!(f, "wrong bytes: {why}"),
            Self::Ours(why) => f.write_str(why),
        }
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        let why = failure.text;
        match failure.retry {
            Retry::Sensible => Self::Broken { why, retry: true },
            Retry::Pointless => Self::Broken { why, retry: false },
            Retry::Ours => Self::Ours(why),
        }
    }
}

/// Whether a response is a page for people. No image is HTML: this is a login, a block page, or an
/// error with status 200.
pub fn is_page(content_type: Option<&str>) -> bool {
    matches!(content_type, Some("text/html" | "application/xhtml+xml"))
}

/// Which of two kinds is told to the user if sources fail differently: the most actionable.
pub(super) fn more_actionable(a: Kind, b: Kind) -> Kind {
    let rank = |kind: Kind| match kind {
        Kind::Integrity => 2,
        Kind::Network => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// `3490290 bytes (3.3 MiB)`: exact for a machine, readable for a person.
pub fn bytes(count: u64) -> String {
    if count < 1024 {
        format!("{count} bytes")
    } else {
        format!("{count} bytes ({})", HumanBytes(count))
    }
}

/// The longest that a server's Retry-After makes us wait.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(60);
