//! How each upstream is followed: from documents to candidates.

mod alpine;
mod checksums;
mod oci;
mod simplestreams;
mod template;

use std::time::{Duration, SystemTime};

use distro_fetch::base::{Timestamp, natural_order};
use distro_fetch::catalog::{Address, Image, Source, SourceType, Trust};
use distro_fetch::{Arch, Catalog, Digest, Snapshot, Url};

use crate::ask::{Answers, Problem, Stop, Trouble};
use crate::keys::Keys;
use crate::signature::{Keyring, Signer};

/// An image for one architecture: what a pin is for.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its source.
    pub source: &'a Source,
    /// The architecture.
    pub arch: Arch,
    /// The origin's name; for registries, the host.
    pub origin: &'a str,
    /// The base that addresses are built on: the origin's, or that of one of its mirrors.
    pub base: Option<&'a Url>,
}

impl<'a> Unit<'a> {
    /// A field of the source, as it is for this architecture.
    fn field(&self, name: &str) -> Result<&'a str, Trouble> {
        self.source.field(name, self.arch).ok_or_else(|| {
            // The schema has seen to it.
            Problem::Malformed.because(format!("the source has no {name:?}"))
        })
    }

    /// An address below the base.
    fn below_base(&self, path: &str) -> Result<Url, Trouble> {
        let base = self
            .base
            .ok_or_else(|| Problem::Malformed.because("the source has no origin"))?;
        base.append(path)
            .map_err(|error| Problem::Malformed.because(error.message()))
    }

    fn trust(&self) -> Trust {
        self.source.trust_of(self.arch)
    }
}

/// What sources look things up in, besides what upstream says.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The pinned keys.
    pub keys: &'a Keys,
    /// The catalog, for the origin of an `alternate`.
    pub catalog: &'a Catalog,
    /// The time at which signatures are judged.
    pub now: Timestamp,
}

impl Desk<'_> {
    /// The payload of a clear-signed document, and who signed it.
    fn clear_signed(
        &self,
        origin: &str,
        path: &str,
        bytes: &[u8],
    ) -> Result<(Vec<u8>, String), Trouble> {
        let signed = self
            .keyring(origin)?
            .verify_clearsigned(bytes, self.time())
            .map_err(|error| Problem::Signature.because(format!("{path}: {error}")))?;
        Ok((signed.payload, in_words(&signed.by)))
    }

    /// Who made a detached signature.
    fn detached(
        &self,
        origin: &str,
        path: &str,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<String, Trouble> {
        let by = self
            .keyring(origin)?
            .verify_detached(bytes, signature, self.time())
            .map_err(|error| Problem::Signature.because(format!("{path}: {error}")))?;
        Ok(in_words(&by))
    }

    fn keyring(&self, origin: &str) -> Result<&Keyring, Trouble> {
        self.keys
            .of(origin)
            .ok_or_else(|| Problem::Signature.because(format!("no key is pinned for {origin}")))
    }

    fn time(&self) -> SystemTime {
        let seconds = u64::try_from(self.now.0).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

fn in_words(signers: &[Signer]) -> String {
    let names = signers
        .iter()
        .map(|it| format!("{} ({})", it.name, it.fingerprint));
    names.collect::<Vec<_>>().join(", ")
}

/// What upstream offers for a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its serial.
    pub snapshot: Snapshot,
    /// Where it is.
    pub address: Address,
    /// Where it is as well.
    pub alternates: Vec<Url>,
    /// What upstream says of its bytes.
    pub sums: Sums,
    /// Bytes, where upstream says so.
    pub size: Option<u64>,
    /// On what that rests.
    pub trust: Trust,
    /// Who signed, in words.
    pub signer: Option<String>,
    /// The metadata tarball with its fingerprint over both, for a deep look.
    pub combined: Option<(Url, Digest)>,
}

/// Published hashes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// SHA-256: what is pinned.
    pub sha256: Option<Digest>,
    /// SHA-512, where that is all.
    pub sha512: Option<[u8; 64]>,
    /// MD5, where that is all: good against accidents, not against people.
    pub md5: Option<[u8; 16]>,
}

/// Follows all units of a run, as far as the answers go. The outcome has their order.
pub fn follow(
    units: &[Unit<'_>],
    answers: &Answers,
    desk: &Desk<'_>,
) -> Vec<Result<Candidate, Stop>> {
    let mut outcomes: Vec<Option<Result<Candidate, Stop>>> = Vec::new();
    outcomes.resize_with(units.len(), || None);
    // A products document is for many units and large: it is parsed once for all of them.
    simplestreams::follow(units, answers, desk, &mut outcomes);
    let one = |unit: &Unit<'_>| match unit.source.kind {
        SourceType::AlpineReleases => alpine::follow(unit, answers, desk),
        SourceType::Checksums => checksums::follow(unit, answers, desk),
        SourceType::Oci => oci::follow(unit, answers),
        SourceType::Simplestreams | SourceType::Fixed => {
            Err(Problem::Unlisted.because("nothing follows it").into())
        }
    };
    let outcomes = outcomes.into_iter().zip(units);
    outcomes
        .map(|(outcome, unit)| outcome.unwrap_or_else(|| one(unit)))
        .collect()
}

/// Whether `a` is older or newer than `b`: by their dates where both have one, and then as people
/// read them.
pub fn age_order(a: &str, b: &str) -> std::cmp::Ordering {
    let date = |text: &str| text.parse::<Snapshot>().ok()?.date();
    match (date(a), date(b)) {
        (Some(x), Some(y)) if x != y => x.cmp(&y),
        _ => natural_order(a, b),
    }
}

/// Those of upstream's words that are serials, newest first.
///
/// A directory of dated builds often has other names in it that a template matches: `latest`,
/// `current-stage3-amd64-openrc`. So what has no digit is none; where some begin with a digit,
/// the others are not; where some have a date, the others are not.
fn newest_first(words: impl IntoIterator<Item = String>) -> Vec<Snapshot> {
    let mut list: Vec<Snapshot> = words
        .into_iter()
        .filter(|word| word.bytes().any(|b| b.is_ascii_digit()))
        .filter_map(|word| word.parse().ok())
        .collect();
    for is_serial in [
        |it: &Snapshot| it.as_str().starts_with(|c: char| c.is_ascii_digit()),
        |it: &Snapshot| it.date().is_some(),
    ] {
        if list.iter().any(is_serial) {
            list.retain(is_serial);
        }
    }
    list.sort_by(|a, b| age_order(b.as_str(), a.as_str()));
    list.dedup();
    list
}

/// Text of a document.
fn text(bytes: &[u8]) -> Result<&str, Trouble> {
    std::str::from_utf8(bytes).map_err(|_| Problem::Malformed.because("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_not_serials() {
        for (words, expect) in [
            (
                "20260712-2537 20260701-2531 latest daily",
                "20260712-2537 20260701-2531",
            ),
            (
                "release-20250624 release release-20250701",
                "release-20250701 release-20250624",
            ),
            (
                "20251228T163057Z current-stage3-amd64-openrc",
                "20251228T163057Z",
            ),
            ("2026.2 2026.1 2025.10 weekly", "2026.2 2026.1 2025.10"),
            ("44-1.7 44-1.10", "44-1.10 44-1.7"),
            (
                "ext4-10.2-20260526.0 10.2-20260526.0 10.1-20250601.0",
                "10.2-20260526.0 10.1-20250601.0",
            ),
            ("b291 b1000", "b1000 b291"),
            // Debian's typing error of 2023-07-23 sorts above every real date.
            (
                "20230711-1438 2023230723-1450 20230717-1444",
                "20230717-1444 20230711-1438",
            ),
            ("../2026 a/2026 latest", ""),
        ] {
            let found = newest_first(words.split(' ').map(str::to_owned));
            let found: Vec<_> = found.iter().map(Snapshot::as_str).collect();
            assert_eq!(found.join(" "), expect, "{words}");
        }
    }
}
