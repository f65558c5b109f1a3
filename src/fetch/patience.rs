//! More chances for a source that is busy or broken.

use std::time::{Duration, Instant};

use super::Verdict;
use crate::error::Result;
use crate::sys;

/// How often a source is asked again, and after which pauses.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    retries: u32,
    backoff: Duration,
    failures: u32,
}

impl Patience {
    /// So many more chances; the first pause before one of them, which doubles.
    pub fn new(retries: u32, backoff: Duration) -> Self {
        Self {
            retries,
            backoff,
            failures: 0,
        }
    }

    /// Forgets earlier failures: the source has brought us on.
    pub fn restore(&mut self) {
        self.failures = 0;
    }

    /// How long to stay away before the source is asked again; `None` if it has had its chances,
    /// or would say the same.
    pub fn pause(&mut self, verdict: &Verdict) -> Option<Duration> {
        if !verdict.is_transient() {
            return None;
        }
        self.failures += 1;
        if self.failures > self.retries {
            return None;
        }
        if let Verdict::Busy {
            pause: Some(pause), ..
        } = verdict
        {
            return Some(*pause);
        }
        let doubled = self
            .backoff
            .saturating_mul(1 << (self.failures - 1).min(16));
        Some(sys::jitter(doubled.min(BACKOFF_CAP)))
    }
}

/// Sleeps in short steps, so that whoever is told in between can cancel.
///
/// # Errors
/// What `tell` returns.
pub fn wait(pause: Duration, tell: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while let Some(left) = pause
        .checked_sub(start.elapsed())
        .filter(|left| !left.is_zero())
    {
        std::thread::sleep(left.min(STEP));
        tell()?;
    }
    Ok(())
}

/// The longest pause of our own choice.
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// How soon a cancellation is noticed in a pause.
const STEP: Duration = Duration::from_millis(100);
