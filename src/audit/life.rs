//! What an audit finds.

use crate::catalog::{Image, Pin};
use crate::fetch::Verdict;

/// What has become of a pin at a source. Of a pin as a whole: the best of its sources, the first of
/// these that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It is there.
    Alive,
    /// Nobody can say: no answer, a refusal, an error page.
    Unreachable,
    /// Something else is there.
    Drifted,
    /// It is not there.
    Gone,
}

impl Life {
    /// Each of them, best first.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Unreachable, Self::Drifted, Self::Gone];

    /// The word for people and for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Unreachable => "unreachable",
            Self::Drifted => "drifted",
            Self::Gone => "gone",
        }
    }
}

/// What one source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of place it is, for a person.
    pub role: &'static str,
    /// Its address, without any secret in it; `host/path@sha256:…` for a registry.
    pub url: String,
    /// The host, with its port; empty for files.
    pub host: String,
    /// What has become of the pin there.
    pub life: Life,
    /// Why; for what is alive, what agrees with the pin.
    pub detail: String,
    /// How many bytes it has there, if that was told.
    pub size: Option<u64>,
}

/// What all sources of a pin say.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The image.
    pub image: &'a Image,
    /// The pin.
    pub pin: &'a Pin,
    /// One finding per source, in the order in which `ensure` asks them.
    pub sources: Vec<Finding>,
}

impl Report<'_> {
    /// The best that a source says. A pin that nobody could be asked for is gone.
    pub fn life(&self) -> Life {
        let lives = self.sources.iter().map(|finding| finding.life);
        lives.min().unwrap_or(Life::Gone)
    }
}

/// What a look at a source has shown.
pub(super) struct Look {
    /// What agrees with the pin.
    pub(super) agrees: String,
    /// How many bytes it has.
    pub(super) size: Option<u64>,
}

/// How a look ends without life.
pub(super) struct Failed {
    pub(super) verdict: Verdict,
    /// How many bytes it has, if that was told.
    pub(super) size: Option<u64>,
}

impl From<Verdict> for Failed {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            size: None,
        }
    }
}

/// The life and its reason, without the word that the life already says.
pub(super) fn judge(verdict: &Verdict) -> (Life, String) {
    match verdict {
        Verdict::Gone(status) => (Life::Gone, format!("HTTP {status}")),
        Verdict::Wrong { why, .. } => (Life::Drifted, why.clone()),
        Verdict::Broken { why, .. } => (Life::Unreachable, why.clone()),
        Verdict::Refused(_) | Verdict::Busy { .. } | Verdict::Page(_) | Verdict::Ours(_) => {
            (Life::Unreachable, verdict.to_string())
        }
    }
}
