//! Settings of a client.

use std::path::PathBuf;
use std::time::Duration;

use super::Proxies;
use crate::io::RateFloor;

/// How a [`Client`](super::Client) talks.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// A transfer that is slower is broken.
    pub floor: RateFloor,
    /// Through whom.
    pub proxies: Proxies,
    /// A PEM file with certificates to trust *instead of* Mozilla's, which are built in. Read
    /// before the first connection: what is cached needs none.
    pub ca: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            floor: RateFloor {
                bytes: 30 << 10,
                window: Duration::from_secs(30),
            },
            proxies: Proxies::default(),
            ca: None,
        }
    }
}

/// How long to wait for what. There is no limit on the whole: a large image over a slow line takes
/// its time, and the [`RateFloor`] says when it takes too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup; and, again, connecting with all of proxy and TLS. Several addresses share it.
    pub connect: Duration,
    /// From the request to the last response header.
    pub first_byte: Duration,
    /// Silence in the middle of a transfer.
    pub inactivity: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            first_byte: Duration::from_secs(30),
            inactivity: Duration::from_secs(30),
        }
    }
}
