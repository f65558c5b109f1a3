//! Simplestreams servers: the index, then the products documents that it names.

use std::collections::{BTreeMap, BTreeSet};

use distro_fetch::catalog::{Address, SourceType, Trust};
use distro_fetch::simplestreams::{
    Index, Item, Product, Products, Version, relative_path, server_base,
};
use distro_fetch::{Arch, Digest, Snapshot, Url};

use super::{Candidate, Desk, Sums, Unit, age_order, template};
use crate::ask::{Answers, Problem, Stop, Trouble};

type Outcome = Result<Candidate, Stop>;

/// Follows every simplestreams unit of the list; the others' places are left as they are.
pub(super) fn follow(
    units: &[Unit<'_>],
    answers: &Answers,
    desk: &Desk<'_>,
    outcomes: &mut [Option<Outcome>],
) {
    let mut servers: BTreeMap<(Option<&Url>, &str, bool), Vec<usize>> = BTreeMap::new();
    for (at, unit) in units.iter().enumerate() {
        if unit.source.kind != SourceType::Simplestreams {
            continue;
        }
        match unit.field("index") {
            Ok(index) => {
                let signed = unit.trust() == Trust::Signature;
                let key = (unit.base, index, signed);
                servers.entry(key).or_default().push(at);
            }
            Err(trouble) => outcomes[at] = Some(Err(trouble.into())),
        }
    }
    for places in servers.values() {
        let of_server: Vec<_> = places.iter().map(|at| units[*at]).collect();
        let results = Server::read(&of_server, answers, desk);
        match results {
            Ok(results) => {
                for (at, result) in places.iter().zip(results) {
                    outcomes[*at] = Some(result);
                }
            }
            Err(stop) => {
                for at in places {
                    outcomes[*at] = Some(Err(stop.clone()));
                }
            }
        }
    }
}

/// A document, and who signed it.
struct Signed<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    signer: Option<String>,
}

struct Server<'a> {
    unit: Unit<'a>,
    base: String,
    signed: bool,
}

impl<'a> Server<'a> {
    /// All units here share server and index.
    fn read(units: &[Unit<'a>], answers: &Answers, desk: &Desk<'_>) -> Result<Vec<Outcome>, Stop> {
        let unit = units[0];
        let path = unit.field("index")?;
        let server = Self {
            unit,
            base: server_base(path).to_owned(),
            signed: unit.trust() == Trust::Signature,
        };
        let index = server.document(path, answers, desk)?;
        let index = Index::parse(&index.bytes).map_err(|error| malformed(path, &error))?;
        let keys: Vec<_> = units.iter().map(product_key).collect::<Result<_, _>>()?;
        let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();

        let mut needs = Vec::new();
        let mut outcomes: Vec<Option<Outcome>> = units.iter().map(|_| None).collect();
        for stream in index.streams.iter().filter(|it| it.is_downloads()) {
            let listed = stream.products.as_ref();
            if listed.is_some_and(|keys| !keys.iter().any(|key| wanted.contains(&**key))) {
                continue;
            }
            let path = match relative_path(&stream.path) {
                Ok(path) => format!("{}{path}", server.base),
                Err(error) => {
                    let trouble = Problem::Malformed.because(error.message());
                    return Err(trouble.into());
                }
            };
            let document = match server.document(&path, answers, desk) {
                Ok(document) => document,
                Err(Stop::Need(asks)) => {
                    needs.extend(asks);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            let products = Products::parse(&document.bytes, &|key| wanted.contains(key))
                .map_err(|error| malformed(&path, &error))?;
            for ((unit, key), outcome) in units.iter().zip(&keys).zip(&mut outcomes) {
                let Some(product) = products.get(key) else {
                    continue;
                };
                let found = server.candidate(unit, product, document.signer.as_deref());
                // The newer of two streams: released and daily may both have a product.
                match (&found, &outcome) {
                    (Ok(new), Some(Ok(old)))
                        if age_order(new.snapshot.as_str(), old.snapshot.as_str()).is_le() => {}
                    (Err(_), Some(Ok(_))) => {}
                    _ => *outcome = Some(found),
                }
            }
        }
        if !needs.is_empty() {
            return Err(Stop::Need(needs));
        }
        let others: Vec<_> = index
            .streams
            .iter()
            .filter(|it| !it.is_downloads())
            .map(|it| format!("{} ({})", it.name, it.datatype))
            .collect();
        let outcomes = outcomes.into_iter().zip(&keys).map(|(outcome, key)| {
            outcome.unwrap_or_else(|| {
                let mut why = format!("the product {key} is not in {path}");
                if others.len() == index.streams.len() {
                    why = format!("nothing to download in {path}: {}", others.join(", "));
                }
                Err(Problem::Unlisted.because(why).into())
            })
        });
        Ok(outcomes.collect())
    }

    /// A document of this server: clear-signed where the source relies on signatures.
    fn document<'d>(
        &self,
        path: &str,
        answers: &'d Answers,
        desk: &Desk<'_>,
    ) -> Result<Signed<'d>, Stop> {
        if !self.signed {
            let bytes = answers.document(&self.unit.below_base(path)?)?;
            return Ok(Signed {
                bytes: bytes.into(),
                signer: None,
            });
        }
        let path = match path.strip_suffix(".json") {
            Some(stem) => format!("{stem}.sjson"),
            None => path.to_owned(),
        };
        let bytes = answers.document(&self.unit.below_base(&path)?)?;
        let (payload, signer) = desk.clear_signed(self.unit.origin, &path, bytes)?;
        Ok(Signed {
            bytes: payload.into(),
            signer: Some(signer),
        })
    }

    fn candidate(&self, unit: &Unit<'_>, product: &Product<'_>, signer: Option<&str>) -> Outcome {
        check_identity(unit, product)?;
        let wanted = unit.field("item")?;
        let mut versions: Vec<&Version<'_>> = product.versions.iter().collect();
        versions.sort_by(|a, b| age_order(&b.serial, &a.serial));
        // The newest build may be half uploaded: the newest that has the item counts.
        let with_item = versions
            .iter()
            .find_map(|version| Some((version, version.item(wanted)?)));
        let Some((version, item)) = with_item else {
            let why = format!("no build of {} has the item {wanted:?}", product.key);
            return Err(Problem::Unlisted.because(why).into());
        };
        let bad = |why: String| {
            Problem::Malformed.because(format!("{} {}: {why}", product.key, version.serial))
        };
        let snapshot: Snapshot = version
            .serial
            .parse()
            .map_err(|error: distro_fetch::Error| bad(error.message().to_owned()))?;
        // Without a day, neither "older" nor "from the future" has a meaning (test 98 of the
        // threat model); the format has always had one.
        if snapshot.date().is_none() {
            return Err(bad("a serial without a date".to_owned()).into());
        }
        let url = self.address(unit, item).map_err(&bad)?;
        let sums = Sums {
            sha256: item.sha256,
            sha512: None,
            md5: item.md5,
        };
        if sums == Sums::default() {
            return Err(bad(format!("{wanted:?} has no hash")).into());
        }
        if item.size == Some(0) {
            return Err(bad(format!("{wanted:?} has the size 0")).into());
        }
        let combined = check_combined(version, item).map_err(&bad)?;
        let combined = match combined {
            Some((metadata, digest)) => Some((self.address(unit, metadata).map_err(&bad)?, digest)),
            None => None,
        };
        Ok(Candidate {
            snapshot,
            address: Address::Url(url),
            alternates: Vec::new(),
            sums,
            size: item.size,
            trust: unit.trust(),
            signer: signer.map(str::to_owned),
            combined,
        })
    }

    fn address(&self, unit: &Unit<'_>, item: &Item<'_>) -> Result<Url, String> {
        let path = relative_path(&item.path).map_err(|error| error.message().to_owned())?;
        unit.below_base(&format!("{}{path}", self.base))
            .map_err(|trouble| trouble.message)
    }
}

fn product_key(unit: &Unit<'_>) -> Result<String, Trouble> {
    Ok(template::for_arch(unit.field("product")?, unit.arch))
}

/// A product that says that it is for another architecture than its key is not to be trusted in
/// anything (test 100 of the threat model).
fn check_identity(unit: &Unit<'_>, product: &Product<'_>) -> Result<(), Trouble> {
    let said = product.arch.as_deref();
    match said.map(str::parse::<Arch>) {
        Some(Ok(arch)) if arch != unit.arch => Err(Problem::Identity.because(format!(
            "the product {} says that it is for {arch}, not for {}",
            product.key, unit.arch
        ))),
        _ => Ok(()),
    }
}

/// The fingerprints of a build, held against each other and against the files' own hashes: what
/// can be said without the files. Gives back the metadata item with the fingerprint that covers
/// `item`, for who wants to compute it (`--deep`).
fn check_combined<'v, 'a>(
    version: &'v Version<'a>,
    item: &Item<'_>,
) -> Result<Option<(&'v Item<'a>, Digest)>, String> {
    let key = match item.ftype.as_ref() {
        "root.tar.xz" => "combined_rootxz_sha256",
        "squashfs" | "root.squashfs" => "combined_squashfs_sha256",
        "disk-kvm.img" => "combined_disk-kvm-img_sha256",
        "disk1.img" => "combined_disk1-img_sha256",
        _ => return Ok(None),
    };
    let mut found = None;
    let metadata = version.items.iter().filter(|it| !it.combined.is_empty());
    for (at, it) in metadata.enumerate() {
        let find = |key: &str| it.combined.iter().find(|combined| combined.key == key);
        let general = find("combined_sha256");
        let own = find(key);
        if let (Some(own), Some(general)) = (own, general)
            && key == "combined_rootxz_sha256"
            && own.sha256 != general.sha256
        {
            return Err(format!("{}: combined_sha256 is not {key}", it.key));
        }
        let Some(own) = own else { continue };
        // The same metadata and the same root have the same fingerprint; a fingerprint that is
        // the hash of one of its parts was put in the wrong place.
        if [it.sha256, item.sha256].contains(&Some(own.sha256)) {
            return Err(format!("{}: {key} is the hash of one file alone", it.key));
        }
        if let Some((other, sha256)) = found {
            let other: &Item<'_> = other;
            if (other.sha256 == it.sha256) != (sha256 == own.sha256) {
                return Err(format!("{} and {} disagree on {key}", other.key, it.key));
            }
        }
        if at == 0 || found.is_none() {
            found = Some((it, own.sha256));
        }
    }
    Ok(found)
}

fn malformed(path: &str, error: &distro_fetch::Error) -> Stop {
    Problem::Malformed
        .because(format!("{path}: {}", error.message()))
        .into()
}
