//! Registries: a tag, its index, one manifest per platform.

use std::collections::BTreeMap;

use distro_fetch::base::Timestamp;
use distro_fetch::catalog::Address;
use distro_fetch::oci::Index;

use super::{Candidate, Sums, Unit};
use crate::ask::{Answer, Answers, Ask, Problem, Stop};

/// Follows one unit.
pub(super) fn follow(unit: &Unit<'_>, answers: &Answers) -> Result<Candidate, Stop> {
    let (repository, tag) = (unit.field("repository")?, unit.field("tag")?);
    let name = format!("{repository}:{tag}");
    let bad = |why: &str| Problem::Malformed.because(format!("{name}: {why}"));
    let index = manifest(answers, repository, tag)?;
    let index = Index::parse(index).map_err(|error| bad(error.message()))?;
    let Some(found) = index.manifest(unit.arch) else {
        let why = format!("{name} has no manifest for {}", unit.arch);
        return Err(Problem::Unlisted.because(why).into());
    };
    if found.is_index() {
        return Err(bad("an index within an index").into());
    }
    let name_of = |annotations: &_| serial(tag, annotations);
    let serial = if let Some(serial) = name_of(&found.annotations) {
        serial
    } else {
        // The indexes of some builders say nothing: their manifests may.
        let bytes = manifest(answers, repository, &format!("sha256:{}", found.digest))?;
        let annotations = annotations(bytes).map_err(|why| bad(&why))?;
        name_of(&annotations).ok_or_else(|| {
            bad("neither a version nor a date is in its annotations: nothing to call it by")
        })?
    };
    let snapshot = serial
        .parse()
        .map_err(|error: distro_fetch::Error| bad(error.message()))?;
    Ok(Candidate {
        snapshot,
        address: Address::Repository(repository.to_owned().into()),
        alternates: Vec::new(),
        sums: Sums {
            sha256: Some(found.digest),
            ..Sums::default()
        },
        size: found.size,
        trust: unit.trust(),
        signer: None,
        combined: None,
    })
}

fn manifest<'a>(answers: &'a Answers, repository: &str, reference: &str) -> Result<&'a [u8], Stop> {
    let ask = Ask::Manifest {
        repository: repository.to_owned(),
        reference: reference.to_owned(),
    };
    match answers.get(&ask) {
        Some(Ok(Answer::Manifest(bytes))) => Ok(bytes),
        Some(Err(trouble)) => Err(trouble.clone().into()),
        _ => Err(Stop::Need(vec![ask])),
    }
}

/// What a manifest is called: its version, if that says more than the tag, or else its day.
///
/// Annotation keys are those of the OCI image specification 1.1, "Pre-Defined Annotation Keys".
fn serial(tag: &str, annotations: &BTreeMap<String, String>) -> Option<String> {
    let version = annotations.get("org.opencontainers.image.version");
    if let Some(version) = version.filter(|it| is_more_than(tag, it)) {
        return Some(version.clone());
    }
    let created = annotations.get("org.opencontainers.image.created")?;
    let moment: Timestamp = created.parse().ok()?;
    Some(moment.date()?.to_string().replace('-', ""))
}

/// `3.24.2` says more than `3.24`, and `trixie-20260907` more than `trixie`; `3.24` and `latest`
/// do not.
fn is_more_than(tag: &str, version: &str) -> bool {
    version != tag
        && version.len() > tag.len().min(4)
        && version.bytes().any(|b| b.is_ascii_digit())
        && (version.starts_with(tag) || !tag.starts_with(|c: char| c.is_ascii_digit()))
}

/// The annotations of a manifest.
fn annotations(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let document: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut annotations = BTreeMap::new();
    let listed = document.get("annotations").and_then(|it| it.as_object());
    for (key, value) in listed.into_iter().flatten() {
        let value = value
            .as_str()
            .ok_or_else(|| format!("the annotation {key:?} is no text"))?;
        annotations.insert(key.clone(), value.to_owned());
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_is_called() {
        for (tag, version, created, expect) in [
            ("3.24", "3.24.2", "2026-09-17T10:00:00Z", Some("3.24.2")),
            ("trixie", "trixie-20260907", "", Some("trixie-20260907")),
            ("24.04", "24.04", "2026-09-01T00:00:00Z", Some("20260901")),
            (
                "base",
                "20260901.0.5",
                "2026-09-01T00:00:00Z",
                Some("20260901.0.5"),
            ),
            ("43", "", "2026-09-01T00:00:00Z", Some("20260901")),
            ("43", "", "yesterday", None),
            ("43", "latest", "", None),
        ] {
            let mut annotations = BTreeMap::new();
            for (key, value) in [("version", version), ("created", created)] {
                if !value.is_empty() {
                    let key = format!("org.opencontainers.image.{key}");
                    annotations.insert(key, value.to_owned());
                }
            }
            assert_eq!(
                serial(tag, &annotations).as_deref(),
                expect,
                "{tag} {version}"
            );
        }
    }
}
