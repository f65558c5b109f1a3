//! Time and chance: for records and pauses only, never for what ends up in an output.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use crate::base::Timestamp;

/// The wall clock. It may jump: nothing may depend on it but a record of "when" and the age of
/// what is swept.
pub fn now() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    };
    Timestamp(seconds)
}

/// A pause somewhere between half of `pause` and all of it, so that a fleet that failed together
/// does not come back together.
pub fn jitter(pause: Duration) -> Duration {
    // Every `RandomState` has its own keys: an empty hash is random enough for a pause.
    let random = RandomState::new().build_hasher().finish() % 1024;
    let random = u32::try_from(random).unwrap_or(0);
    pause / 2 + pause / 2 * random / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_bounds() {
        let pause = Duration::from_secs(8);
        for _ in 0..100 {
            let got = jitter(pause);
            assert!((pause / 2..=pause).contains(&got), "{got:?}");
        }
    }
}
