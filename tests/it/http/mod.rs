//! What servers do wrong, played by a server on loopback, and what must come of each lie.
//!
//! [`check`] holds for every one of them: nothing but the pinned bytes gets a final name, and what
//! is kept for a resume is the true beginning of the file.

mod body;
mod mirrors;
mod proxy;
mod redirect;
mod resume;
mod secrets;
mod status;
mod time;

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use distro_fetch::cache::Cache;
use distro_fetch::event::{Event, Observer, What};
use distro_fetch::fetch::{Fetcher, Options, Outcome, Request};
use distro_fetch::io::RateFloor;
use distro_fetch::net::{Config, Timeouts};
use distro_fetch::{Kind, Result};

use crate::harness::{Lab, noise, sha256};
use crate::server::{Seen, Server, Step};

/// How a fetch must end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// With the pinned bytes.
    Fetched,
    /// With this kind, and with these words in the only verdict.
    Fails(Kind, &'a str),
}

/// Fetches [`body`] from a server that answers like this: how it must end, after how many
/// requests. Gives the requests back.
pub(crate) fn check(
    lie: &str,
    requests: usize,
    end: End<'_>,
    handler: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
) -> Vec<Seen> {
    let server = Server::start(handler);
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url("/rootfs.tar.xz"));
    bench.judge(lie, &outcome, end);
    let seen = server.seen();
    assert_eq!(seen.len(), requests, "{lie}: requests");
    assert!(seen.iter().all(|seen| seen.method == "GET"), "{lie}");
    // The bytes are hashed as they come: nobody may re-encode them on our behalf.
    let identity = |seen: &Seen| seen.header("accept-encoding") == Some("identity");
    assert!(seen.iter().all(identity), "{lie}: {seen:?}");
    seen
}

/// A cache, a way to fetch into it, and everything that was told meanwhile.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) options: Options,
    pub(crate) watch: Watch,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            lab: Lab::new(),
            options,
            watch: Watch::default(),
        }
    }

    /// Fetches [`body`] from an address.
    pub(crate) fn fetch(&self, url: &str) -> Result<Outcome> {
        let size = Some(body().len() as u64);
        self.ensure(&Request::by_hash(
            &url.parse().unwrap(),
            sha256(&body()),
            size,
        ))
    }

    pub(crate) fn ensure(&self, request: &Request) -> Result<Outcome> {
        let cache = Cache::at(self.lab.cache()).unwrap();
        Fetcher::new(cache, self.options.clone()).ensure(request, &self.watch)
    }

    /// Puts bytes where an interrupted download leaves them, with the validator it was told.
    pub(crate) fn keep(&self, bytes: &[u8], validator: Option<(&str, &str)>) {
        let folder = self.lab.cache().join("v1/partial");
        std::fs::create_dir_all(&folder).unwrap();
        let name = sha256(&body()).to_string();
        std::fs::write(folder.join(format!("{name}.part")), bytes).unwrap();
        if let Some((url, value)) = validator {
            let sidecar = serde_json::json!({ "url": url, "validator": value });
            std::fs::write(folder.join(format!("{name}.json")), sidecar.to_string()).unwrap();
        }
    }

    /// What is kept for a resume.
    pub(crate) fn kept(&self) -> Option<Vec<u8>> {
        let name = format!("v1/partial/{}.part", sha256(&body()));
        std::fs::read(self.lab.cache().join(name)).ok()
    }

    /// Judges the outcome, and what the cache looks like after it.
    pub(crate) fn judge(&self, lie: &str, outcome: &Result<Outcome>, end: End<'_>) {
        let files = self.lab.cached_files();
        let entries = files
            .iter()
            .filter(|name| name.starts_with("v1/images/"))
            .count();
        match (outcome, end) {
            (Ok(outcome), End::Fetched) => {
                assert_eq!(
                    std::fs::read(outcome.entry.path()).unwrap(),
                    body(),
                    "{lie}"
                );
                assert_eq!((entries, files.len()), (2, 2), "{lie}: {files:?}");
            }
            (Err(error), End::Fails(kind, words)) => {
                assert_eq!(error.kind(), kind, "{lie}: {error}");
                let [attempt] = error.attempts() else {
                    panic!("{lie}: {error}")
                };
                assert!(attempt.verdict.contains(words), "{lie}: {error}");
                assert_eq!(entries, 0, "{lie}: {files:?}");
                let kept = self.kept().unwrap_or_default();
                assert!(
                    body().starts_with(&kept),
                    "{lie}: a poisoned partial is kept"
                );
            }
            (Ok(_), End::Fails(..)) => panic!("{lie}: it was believed"),
            (Err(error), End::Fetched) => panic!("{lie}: {error}"),
        }
    }
}

/// Writes down what it is told, and cancels where it was asked to.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) pauses: Mutex<Vec<Duration>>,
    pub(crate) cancel: Option<fn(&What<'_>) -> bool>,
}

impl Observer for Watch {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        self.told.lock().unwrap().push(format!("{event:?}"));
        if let What::Retry { pause, .. } = event.what {
            self.pauses.lock().unwrap().push(pause);
        }
        match self.cancel {
            Some(cancel) if cancel(&event.what) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Settings with which nothing takes long: two more chances, hardly a pause between them.
pub(crate) fn options() -> Options {
    let second = Duration::from_secs(10);
    Options {
        retries: RETRIES,
        backoff: Duration::from_millis(1),
        unknown_size_limit: 2 * body().len() as u64,
        net: Config {
            timeouts: Timeouts {
                connect: second,
                first_byte: second,
                inactivity: second,
            },
            floor: RateFloor {
                bytes: 1,
                window: second,
            },
            ..Config::default()
        },
        ..Options::default()
    }
}

/// The file that every server here pretends to have.
pub(crate) fn body() -> Vec<u8> {
    noise(100_000)
}

pub(crate) const RETRIES: u32 = 2;

/// Requests to a source that stays broken.
pub(crate) const ALL: usize = RETRIES as usize + 1;
