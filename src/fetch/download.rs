//! All attempts at all sources, until one has the bytes.

use super::Source;
use super::attempt::{Attempt, Stop};
use super::fetcher::Options;
use super::patience::{Patience, wait};
use super::verdict::{Verdict, more_actionable};
use crate::base::{Digest, Url};
use crate::cache::Partial;
use crate::error::{self, Digests, Error, Kind, Result};
use crate::event::What;
use crate::io::Verified;
use crate::net::{Range, Response};

/// Bytes of a known hash on their way into a partial file, from whichever source has them.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// What people call the bytes.
    pub subject: &'a str,
    /// What they hash to.
    pub digest: Digest,
    /// How many there are, if known.
    pub size: Option<u64>,
    /// How patient to be.
    pub options: &'a Options,
    /// How an address is asked.
    pub ask: &'a Ask<'a>,
    /// Who hears how it goes, and may stop it.
    pub tell: &'a (dyn Fn(What<'_>) -> Result<()> + Sync),
    /// Fails if so many more bytes will not fit.
    pub check_space: &'a (dyn Fn(u64) -> Result<()> + Sync),
}

/// Asks an address for a file, or for what of it comes after an offset. No response is a verdict;
/// an unwelcome status is not.
pub type Ask<'a> = dyn Fn(&Url, Option<&Range>) -> Result<Response, Verdict> + Sync + 'a;

impl Download<'_> {
    /// Fills the partial file with the pinned bytes; the source that completed it.
    ///
    /// # Errors
    /// As of [`Fetcher::ensure`](super::Fetcher::ensure).
    pub fn run<'s>(
        &self,
        sources: &'s [Source],
        partial: &mut Partial,
    ) -> Result<(Verified, &'s Source)> {
        let mut verdicts: Vec<(Url, Verdict)> = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            match self.ask(source, partial)? {
                Ok(verified) => return Ok((verified, source)),
                Err(verdict) => {
                    (self.tell)(What::Failed {
                        url: source.url.as_str(),
                        verdict: &verdict.to_string(),
                        next: sources.get(at + 1).map(|next| next.url.as_str()),
                    })?;
                    verdicts.push((source.url.clone(), verdict));
                }
            }
        }
        Err(exhausted(self.subject, Some(self.digest), &verdicts))
    }

    /// Asks one source until it delivers or has had its chances.
    fn ask(&self, source: &Source, partial: &mut Partial) -> Result<Result<Verified, Verdict>> {
        let mut patience = Patience::new(self.options.retries, self.options.backoff);
        let mut fresh_start = false;
        loop {
            let before = partial.length();
            let attempt = Attempt {
                download: self,
                source,
            };
            let verdict = match attempt.run(partial) {
                Ok(verified) => return Ok(Ok(verified)),
                Err(Stop::Here(error)) => return Err(error),
                Err(Stop::StartOver(verdict)) => {
                    partial.truncate(0)?;
                    if !fresh_start {
                        fresh_start = true;
                        continue;
                    }
                    verdict
                }
                Err(Stop::Source(verdict)) => verdict,
            };
            // A source that brings us on keeps its chances: a long download over a bad line is
            // not over after three cuts.
            if partial.length() >= before.saturating_add(PROGRESS) {
                patience.restore();
            }
            let Some(pause) = patience.pause(&verdict) else {
                return Ok(Err(verdict));
            };
            (self.tell)(What::Retry {
                url: source.url.as_str(),
                verdict: &verdict.to_string(),
                pause,
            })?;
            wait(pause, || {
                (self.tell)(What::Progress {
                    received: partial.length(),
                    total: self.size,
                })
            })?;
        }
    }
}

/// What is said when every address has been asked, and none has delivered.
pub fn exhausted(subject: &str, digest: Option<Digest>, verdicts: &[(Url, Verdict)]) -> Error {
    let attempts = verdicts.iter().map(|(url, verdict)| error::Attempt {
        url: url.to_string(),
        verdict: verdict.to_string(),
    });
    let kind = verdicts
        .iter()
        .map(|(_, verdict)| verdict.kind())
        .reduce(more_actionable);
    let Some(kind) = kind else {
        // `--mirror-only` with presets that do not carry this origin.
        return Error::new(
            Kind::Network,
            format!("{subject}: there is no source to ask"),
        );
    };
    let digests = verdicts.iter().find_map(|(_, verdict)| match verdict {
        Verdict::Wrong {
            actual: Some(actual),
            ..
        } => Some(Digests {
            expected: digest?.to_string(),
            actual: actual.to_string(),
        }),
        _ => None,
    });
    let what = match kind {
        Kind::Integrity => "no source has the pinned bytes",
        Kind::Gone => "every source says that it is gone",
        _ => "no source could be reached",
    };
    Error::new(kind, format!("{subject}: {what}"))
        .with_attempts(attempts.collect())
        .with_digests(digests)
}

/// So many new bytes make up for earlier failures.
const PROGRESS: u64 = 1 << 20;
