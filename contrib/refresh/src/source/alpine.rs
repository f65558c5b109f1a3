//! Alpine's `latest-releases.yaml`: one document per branch and architecture.

use distro_fetch::catalog::Address;
use distro_fetch::{Arch, Snapshot};

use super::checksums::alternate;
use super::{Candidate, Desk, Sums, Unit, age_order, text};
use crate::alpine;
use crate::ask::{Answers, Problem, Stop};

/// Follows one unit.
pub(super) fn follow(
    unit: &Unit<'_>,
    answers: &Answers,
    desk: &Desk<'_>,
) -> Result<Candidate, Stop> {
    let (branch, flavor) = (unit.field("branch")?, unit.field("flavor")?);
    let port = port(unit.arch);
    let directory = format!("{branch}/releases/{port}/");
    let document = answers.document(&unit.below_base(&format!("{directory}{DOCUMENT}"))?)?;
    let releases = alpine::parse(text(document)?)
        .map_err(|error| Problem::Malformed.because(format!("{directory}{DOCUMENT}: {error:#}")))?;
    let newest = releases
        .iter()
        .filter(|it| it.flavor == flavor)
        .max_by(|a, b| age_order(&a.version, &b.version));
    let Some(newest) = newest else {
        let why = format!("no {flavor} in {directory}{DOCUMENT}");
        return Err(Problem::Unlisted.because(why).into());
    };
    if newest.arch != port {
        let why = format!("{directory}{DOCUMENT} is about {}", newest.arch);
        return Err(Problem::Identity.because(why).into());
    }
    let snapshot: Snapshot = newest
        .version
        .parse()
        .map_err(|error: distro_fetch::Error| Problem::Malformed.because(error.message()))?;
    let url = unit.below_base(&format!("{directory}{}", newest.file))?;
    let alternate = alternate(unit, desk, &snapshot, &url)?;
    Ok(Candidate {
        address: Address::Url(url),
        alternates: alternate.into_iter().collect(),
        snapshot,
        sums: Sums {
            sha256: Some(newest.sha256),
            sha512: newest.sha512,
            md5: None,
        },
        size: newest.size,
        trust: unit.trust(),
        signer: None,
        combined: None,
    })
}

/// Alpine's name of an architecture. Its `armhf` is ARMv6.
const fn port(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "x86_64",
        Arch::Arm64 => "aarch64",
        Arch::Armhf => "armv7",
        Arch::Armv6 => "armhf",
        Arch::I386 => "x86",
        Arch::Loong64 => "loongarch64",
        Arch::Ppc64el => "ppc64le",
        arch => arch.as_str(),
    }
}

const DOCUMENT: &str = "latest-releases.yaml";
