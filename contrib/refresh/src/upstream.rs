//! Who answers: the real upstream, by the library's own client.

use std::io::Read;
use std::time::Duration;

use distro_fetch::fetch::{Patience, Verdict, is_page};
use distro_fetch::net::{Client, Failure, Range, Response, Unread};
use distro_fetch::oci::{Reference, Registry, Repository};
use distro_fetch::{Digest, Error, Url};
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};

use crate::ask::{Answer, Ask, Hashes, Problem, Trouble};

/// Whoever answers.
pub trait Upstream: Sync {
    /// Answers one question.
    ///
    /// # Errors
    /// Why there is no answer: [`Problem::Unlisted`] if the server says that it has no such
    /// thing, [`Problem::Network`] if it does not say anything of use.
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble>;
}

/// The real upstream, or other servers in its place for a rehearsal.
#[derive(Debug)]
pub struct Network {
    client: Client,
    retries: u32,
    instead: Vec<(Url, Url)>,
    registries: Vec<(String, String)>,
}

impl Network {
    /// Asks by this client; whoever is busy or broken is asked `retries` times more.
    pub fn new(client: Client, retries: u32) -> Self {
        Self {
            client,
            retries,
            instead: Vec::new(),
            registries: Vec::new(),
        }
    }

    /// Asks `there` for whatever lies below the base address `official`.
    pub fn ask_instead(&mut self, official: Url, there: Url) {
        self.instead.push((official, there));
    }

    /// Asks the registry `there`, a host with its port, for whatever `host` has.
    pub fn ask_registry(&mut self, host: String, there: String) {
        self.registries.push((host, there));
    }

    fn whom(&self, url: &Url) -> Result<Url, Verdict> {
        let bases = self.instead.iter();
        let found = bases
            .filter_map(|(base, there)| Some((base, url.below(base)?, there)))
            .max_by_key(|(base, ..)| base.as_str().len());
        match found {
            Some((_, below, there)) => there.append(below).map_err(|error| ours(&error)),
            None => Ok(url.clone()),
        }
    }

    fn get(&self, url: &Url, range: Option<&Range>) -> Result<Response, Verdict> {
        let response = self.client.get(&self.whom(url)?, range)?;
        Verdict::check_status(&response)?;
        match &response.encoding {
            Some(encoding) => Err(Verdict::Broken {
                why: format!("encoded as {encoding}"),
                retry: false,
            }),
            None => Ok(response),
        }
    }

    fn document(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Verdict> {
        let read = self.get(url, None)?.read_all(limit);
        read.map_err(|unread| match unread {
            Unread::TooLong => too_large(limit),
            Unread::Short { got, length } => cut_short(got, length),
            Unread::Io(error) => self.broken(&error),
        })
    }

    /// The first byte is asked for: what is told with it is the size of the whole.
    fn size(&self, url: &Url) -> Result<Option<u64>, Verdict> {
        let first = Range {
            start: 0,
            end: Some(0),
            if_range: None,
        };
        let response = self.get(url, Some(&first))?;
        if is_page(response.content_type.as_deref()) {
            return Err(Verdict::Page("it is HTML".to_owned()));
        }
        Ok(match response.range {
            Some(range) => range.total,
            None if response.status == 200 => response.length,
            None => None,
        })
    }

    fn hashes(&self, url: &Url, before: Option<&Url>, limit: u64) -> Result<Hashes, Verdict> {
        let mut combined = match before {
            Some(before) => Some(Sha256::new().chain_update(self.document(before, MAX_METADATA)?)),
            None => None,
        };
        let mut response = self.get(url, None)?;
        if is_page(response.content_type.as_deref()) {
            return Err(Verdict::Page("it is HTML".to_owned()));
        }
        let (mut sha256, mut sha512, mut md5) = (Sha256::new(), Sha512::new(), Md5::new());
        let mut block = vec![0; BLOCK];
        let mut size = 0;
        loop {
            let read = response.body.read(&mut block);
            let n = read.map_err(|error| self.broken(&error))?;
            if n == 0 {
                break;
            }
            size += n as u64;
            if size > limit {
                return Err(too_large(limit));
            }
            sha256.update(&block[..n]);
            sha512.update(&block[..n]);
            md5.update(&block[..n]);
            if let Some(combined) = &mut combined {
                combined.update(&block[..n]);
            }
        }
        if let Some(length) = response.length.filter(|length| *length != size) {
            return Err(cut_short(size, length));
        }
        Ok(Hashes {
            size,
            sha256: Digest::from_bytes(sha256.finalize().into()),
            sha512: sha512.finalize().into(),
            md5: md5.finalize().into(),
            combined: combined.map(|it| Digest::from_bytes(it.finalize().into())),
        })
    }

    fn manifest(&self, repository: &str, reference: &str) -> Result<Answer, Verdict> {
        let (host, path) = repository.split_once('/').unwrap_or((repository, ""));
        let instead = self.registries.iter().find(|(name, _)| name == host);
        let host = instead.map_or(host, |(_, there)| there);
        let repository: Repository = format!("{host}/{path}")
            .parse()
            .map_err(|error| ours(&error))?;
        let reference: Reference = reference.parse().map_err(|error| ours(&error))?;
        let manifest = Registry::new(&self.client).manifest(&repository, &reference)?;
        Ok(Answer::Manifest {
            bytes: manifest.bytes,
            digest: manifest.digest,
        })
    }

    fn broken(&self, error: &std::io::Error) -> Verdict {
        Failure::of_io(error, &self.client.config().timeouts).into()
    }

    fn once(&self, ask: &Ask) -> Result<Answer, Verdict> {
        match ask {
            Ask::Document { url, limit } => self.document(url, *limit).map(Answer::Document),
            Ask::Size { url } => self.size(url).map(Answer::Size),
            Ask::Hashes { url, before, limit } => self
                .hashes(url, before.as_ref(), *limit)
                .map(Answer::Hashes),
            Ask::Manifest {
                repository,
                reference,
            } => self.manifest(repository, reference),
        }
    }
}

impl Upstream for Network {
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let mut patience = Patience::new(self.retries, BACKOFF);
        loop {
            let verdict = match self.once(ask) {
                Ok(answer) => return Ok(answer),
                Err(verdict) => verdict,
            };
            if let Some(pause) = patience.pause(&verdict) {
                std::thread::sleep(pause);
                continue;
            }
            let problem = match verdict {
                Verdict::Gone(_) => Problem::Unlisted,
                Verdict::Wrong { .. } => Problem::Malformed,
                _ => Problem::Network,
            };
            return Err(problem.because(format!("{ask}: {verdict}")));
        }
    }
}

fn too_large(limit: u64) -> Verdict {
    Verdict::Wrong {
        why: format!("larger than {limit} bytes"),
        actual: None,
    }
}

fn cut_short(got: u64, length: u64) -> Verdict {
    Verdict::Broken {
        why: format!("it ended after {got} of {length} bytes"),
        retry: true,
    }
}

fn ours(error: &Error) -> Verdict {
    Verdict::Ours(error.message().to_owned())
}

const BLOCK: usize = 256 << 10;
const BACKOFF: Duration = Duration::from_secs(1);
/// Metadata tarballs are a few kilobytes.
const MAX_METADATA: u64 = 16 << 20;
