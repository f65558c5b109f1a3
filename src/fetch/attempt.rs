//! One attempt at one source.

use super::verdict::{Verdict, bytes, is_page};
use super::{Download, Source};
use crate::base::Scheme;
use crate::cache::{Partial, Validator};
use crate::error::{Error, Kind};
use crate::event::What;
use crate::io::{Expect, Fault, Verified, VerifyingReader};
use crate::net::{Failure, Range, Response};

/// How an attempt ends without the bytes.
pub(super) enum Stop {
    /// The source failed.
    Source(Verdict),
    /// What we kept does not go with what the source sends: forget it and ask once more.
    StartOver(Verdict),
    /// We failed, or were cancelled: no other source would help.
    Here(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

/// Everything that an attempt needs.
pub(super) struct Attempt<'a> {
    pub(super) download: &'a Download<'a>,
    pub(super) source: &'a Source,
}

impl Attempt<'_> {
    /// Where bytes of unknown number end.
    fn limit(&self) -> u64 {
        self.download.options.unknown_size_limit
    }

    /// Fills the partial file from the source, from where it stops.
    pub(super) fn run(&self, partial: &mut Partial) -> Result<Verified, Stop> {
        let Download { size, tell, .. } = *self.download;
        // Of an unknown size, too, there is an end: past it, the kept part is not worth a request.
        if partial.length() > size.unwrap_or(self.limit()) {
            partial.truncate(0)?;
        }
        let kept = partial.length();
        tell(What::Source {
            url: self.source.url.as_str(),
            resumed: kept,
            total: size,
        })?;
        if size == Some(kept) && kept > 0 {
            // It was complete and the program died before it said so.
            return self.receive(partial, std::io::empty(), None, Resumed::Yes);
        }
        let range = (kept > 0).then(|| Range {
            start: kept,
            end: None,
            // Only for whoever said it; anyone else would send everything.
            if_range: partial
                .validator()
                .filter(|known| known.url == self.source.url.as_str())
                .map(|known| known.value),
        });
        let response =
            (self.download.ask)(&self.source.url, range.as_ref()).map_err(no_response)?;
        let resumed = self.judge_headers(&response, kept, range.as_ref())?;
        if let (None, Some(length)) = (size, response.length) {
            // Nobody knew before.
            (self.download.check_space)(length)?;
        }
        if resumed == Resumed::No {
            partial.truncate(0)?;
            let validator = response.validator.clone().map(|value| Validator {
                url: self.source.url.to_string(),
                value,
            });
            partial.remember(validator.as_ref());
        }
        let notes = Notes::of(&response);
        self.receive(partial, response.body, Some(notes), resumed)
    }

    /// Judges status and headers before a byte of the body is read.
    fn judge_headers(
        &self,
        response: &Response,
        kept: u64,
        range: Option<&Range>,
    ) -> Result<Resumed, Stop> {
        let resumed = match response.status {
            200 => Resumed::No,
            206 if range.is_some() => Resumed::Yes,
            416 if range.is_some() => {
                let why = format!("HTTP 416 for bytes from {kept} on");
                return Err(Stop::StartOver(Verdict::Broken { why, retry: false }));
            }
            _ => {
                Verdict::check_status(response).map_err(Stop::Source)?;
                // A part that nobody asked for.
                return Err(Stop::Source(Verdict::Refused(response.status)));
            }
        };
        match resumed {
            Resumed::No => self.judge_whole(response).map_err(Stop::Source)?,
            Resumed::Yes => self.judge_part(response, kept, range)?,
        }
        Ok(resumed)
    }

    fn judge_whole(&self, response: &Response) -> Result<(), Verdict> {
        let Some(length) = response.length else {
            return Ok(());
        };
        let notes = Notes::of(response);
        match self.download.size {
            Some(size) if size != length => {
                let why = format!("{} where {} are pinned{notes}", bytes(length), bytes(size));
                Err(if notes.is_page() {
                    Verdict::Page(why)
                } else {
                    Verdict::Wrong { why, actual: None }
                })
            }
            None if length > self.limit() => Err(Verdict::Wrong {
                why: format!(
                    "{} where at most {} are accepted without a pinned size",
                    bytes(length),
                    bytes(self.limit())
                ),
                actual: None,
            }),
            _ => Ok(()),
        }
    }

    /// A 206 must be exactly the rest of the file that we have the beginning of.
    fn judge_part(
        &self,
        response: &Response,
        kept: u64,
        range: Option<&Range>,
    ) -> Result<(), Stop> {
        let lie = |why: String| {
            let why = format!("HTTP 206 that cannot be true: {why}");
            Err(Stop::StartOver(Verdict::Broken { why, retry: false }))
        };
        let Some(part) = response.range else {
            return lie("no single Content-Range".to_owned());
        };
        if part.first != kept {
            return lie(format!("it starts at {} and not at {kept}", part.first));
        }
        let size = self.download.size.or(part.total);
        if let (Some(total), Some(size)) = (part.total, size)
            && total != size
        {
            return lie(format!(
                "of {} where {} are pinned",
                bytes(total),
                bytes(size)
            ));
        }
        if size.is_some_and(|size| part.last != size - 1) {
            return lie(format!("it ends at {}", part.last));
        }
        if response
            .length
            .is_some_and(|length| length != part.last - part.first + 1)
        {
            return lie("its length is not that of its range".to_owned());
        }
        let known = range.and_then(|range| range.if_range.as_ref());
        if let (Some(known), Some(validator)) = (known, &response.validator)
            && known != validator
        {
            return lie("the file has changed since".to_owned());
        }
        Ok(())
    }

    /// Writes what comes, hashes it on the way, and believes the hash only.
    fn receive(
        &self,
        partial: &mut Partial,
        body: impl std::io::Read,
        notes: Option<Notes>,
        resumed: Resumed,
    ) -> Result<Verified, Stop> {
        let size = self.download.size;
        let expect = Expect {
            digest: self.download.digest,
            size,
            limit: self.limit(),
        };
        let mut reader = VerifyingReader::new(body, expect);
        let kept = partial.length();
        if kept > 0 {
            reader
                .absorb(partial.rewind()?, kept)
                .map_err(|error| Error::local("cannot read", partial.path(), error))?;
        }
        let notes = notes.unwrap_or_default();
        let total = size.or(notes.length.map(|length| kept + length));
        loop {
            let block = match reader.next_block() {
                Ok([]) => break,
                Ok(block) => block,
                Err(fault) => {
                    return Err(self.judge_fault(partial, fault, &notes, resumed)?);
                }
            };
            partial.append(block)?;
            (self.download.tell)(What::Progress {
                received: partial.length(),
                total,
            })?;
        }
        reader
            .finish()
            .ok_or_else(|| Stop::Source(Verdict::Page("no verdict at the end".to_owned())))
    }

    fn judge_fault(
        &self,
        partial: &mut Partial,
        fault: Fault,
        notes: &Notes,
        resumed: Resumed,
    ) -> Result<Stop, Error> {
        let got = partial.length();
        let of = self
            .download
            .size
            .map_or_else(String::new, |size| format!(" of {}", bytes(size)));
        let (why, actual) = match fault {
            Fault::Io(error) => {
                let failure = Failure::of_io(&error, &self.download.options.net.timeouts);
                return Ok(Stop::Source(Verdict::Broken {
                    why: format!("{} after {}{of}", failure.text, bytes(got)),
                    retry: true,
                }));
            }
            Fault::Short { got, expected } if self.source.url.scheme() == Scheme::File => {
                // A file that is too short will not grow.
                partial.truncate(0)?;
                let why = format!("{} where {} are pinned", bytes(got), bytes(expected));
                return Ok(Stop::Source(Verdict::Wrong { why, actual: None }));
            }
            Fault::Short { got, expected } => {
                return Ok(Stop::Source(Verdict::Broken {
                    why: format!("it ended after {} of {}", bytes(got), bytes(expected)),
                    retry: true,
                }));
            }
            Fault::Long { allowed } => (format!("more than {}{notes}", bytes(allowed)), None),
            Fault::Mismatch { actual, size } => {
                let why = format!(
                    "{} with SHA-256 {actual} where {} is pinned{notes}",
                    bytes(size),
                    self.download.digest
                );
                (why, Some(actual))
            }
        };
        // Nothing of it may ever be taken for the beginning of the right file.
        partial.truncate(0)?;
        let verdict = if notes.is_page() {
            Verdict::Page(why)
        } else {
            Verdict::Wrong { why, actual }
        };
        Ok(match resumed {
            // The kept part may have been the wrong one: the source gets one fair chance.
            Resumed::Yes => Stop::StartOver(verdict),
            Resumed::No => Stop::Source(verdict),
        })
    }
}

/// Whether the body continues what was kept.
#[derive(Clone, Copy, PartialEq)]
enum Resumed {
    Yes,
    No,
}

/// What the headers add to the explanation of wrong bytes.
#[derive(Default)]
struct Notes {
    length: Option<u64>,
    content_type: Option<String>,
    encoding: Option<String>,
}

impl Notes {
    fn of(response: &Response) -> Self {
        Self {
            length: response.length,
            content_type: response.content_type.clone(),
            encoding: response.encoding.clone(),
        }
    }

    fn is_page(&self) -> bool {
        is_page(self.content_type.as_deref())
    }
}

impl std::fmt::Display for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(kind) = self.content_type.as_ref().filter(|_| self.is_page()) {
            write!(f, ", sent as {kind}")?;
        }
        if let Some(encoding) = &self.encoding {
            write!(
                f,
                ", re-encoded by the server (Content-Encoding: {encoding})"
            )?;
        }
        Ok(())
    }
}

fn no_response(verdict: Verdict) -> Stop {
    match verdict {
        Verdict::Ours(why) => Stop::Here(Error::new(Kind::Local, why)),
        verdict => Stop::Source(verdict),
    }
}
