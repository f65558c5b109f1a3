//! The list of manifests behind one name: OCI image index, Docker manifest list.
//!
//! OCI image specification 1.1, "Image Index" and "Content Descriptors".

use std::collections::BTreeMap;

use super::Platform;
use super::fields::{self, Fields};
use super::manifest::MAX_MANIFEST;
use crate::base::{Arch, Digest};
use crate::error::Result;

/// What an index says. Manifests that no machine runs (attestations) are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// In the order of the document.
    pub manifests: Vec<Descriptor>,
}

/// One manifest of an index, or another index: whoever follows it decides how deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// What its bytes hash to.
    pub digest: Digest,
    /// How many bytes it has, if that is said.
    pub size: Option<u64>,
    /// Which machine it is for, if that is said.
    pub platform: Option<Platform>,
    /// What else is said about it.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it is another index.
    pub fn is_index(&self) -> bool {
        is_index(&self.media_type)
    }

    fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(Platform::is_nowhere)
            || self.annotations.get(REFERENCE_TYPE).map(String::as_str) == Some(ATTESTATION)
    }
}

impl Index {
    /// Reads the document.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::Kind::Format): it is no index, is one and a manifest at once, or has a value of another
    /// type than the specification gives it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let document = fields::parse(bytes, MAX_MANIFEST, DOCUMENT)?;
        let fields = Fields::of(&document, DOCUMENT)?;
        if fields.number("schemaVersion")? != Some(2) {
            return Err(fields.refuse("schemaVersion is not 2"));
        }
        if let Some(text) = fields.text("mediaType")?
            && !is_index(text)
        {
            return Err(fields.refuse(&format!("it is {text:?}")));
        }
        // Read as the one here and as the other there, it would be two images of one digest
        // (CVE-2021-41190).
        if let Some(key) = ["config", "layers", "fsLayers"]
            .into_iter()
            .find(|key| fields.get(key).is_some())
        {
            return Err(fields.refuse(&format!("an index has no {key:?}")));
        }
        let Some(list) = fields.list("manifests")? else {
            return Err(fields.refuse("there is no list of manifests"));
        };
        let mut manifests = Vec::new();
        for (at, item) in list.iter().enumerate() {
            let fields = fields.inside(item, format!("manifest {at}"))?;
            let descriptor = fields.descriptor()?;
            if !descriptor.is_attestation() {
                manifests.push(descriptor);
            }
        }
        Ok(Self { manifests })
    }

    /// The manifest for an architecture: the first one that says so.
    pub fn manifest(&self, arch: Arch) -> Option<&Descriptor> {
        self.manifests.iter().find(|descriptor| {
            let platform = descriptor.platform.as_ref();
            platform.and_then(Platform::arch) == Some(arch)
        })
    }
}

/// Whether a media type is that of an index.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const DOCUMENT: &str = "image index";

/// How BuildKit marks an attestation.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Kind;

    fn entry(platform: &Value) -> Value {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", "ab".repeat(32)), "size": 528, "platform": platform,
        })
    }

    fn index(manifests: &Value) -> Value {
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
    }

    fn parse(document: &Value) -> Result<Index> {
        Index::parse(document.to_string().as_bytes())
    }

    #[test]
    fn platforms_are_found_and_attestations_are_not() {
        let mut marked = entry(&json!({ "os": "linux", "architecture": "amd64" }));
        marked["annotations"] = json!({ REFERENCE_TYPE: ATTESTATION });
        let document = index(&json!([
            entry(&json!({ "os": "unknown", "architecture": "unknown" })),
            marked,
            entry(&json!({ "os": "linux", "architecture": "amd64" })),
            entry(&json!({ "os": "linux", "architecture": "arm", "variant": "v6" })),
            entry(&json!(null)),
        ]));
        let index = parse(&document).unwrap();
        assert_eq!(index.manifests.len(), 3);
        let amd64 = index.manifest(Arch::Amd64).unwrap();
        assert_eq!((amd64.size, amd64.is_index()), (Some(528), false));
        assert!(index.manifest(Arch::Armv6).is_some());
        assert!(index.manifest(Arch::Armhf).is_none());
        assert_eq!(index.manifests[2].platform, None);
    }

    #[test]
    fn what_is_not_an_index_is_refused() {
        let amd64 = json!({ "os": "linux", "architecture": "amd64" });
        let with = |key: &str, value: Value| {
            let mut entry = entry(&amd64);
            entry[key] = value;
            index(&json!([entry]))
        };
        let top = |key: &str, value: Value| {
            let mut document = index(&json!([entry(&amd64)]));
            document[key] = value;
            document
        };
        assert!(parse(&with("size", json!(0))).is_ok());
        assert!(parse(&with("annotations", json!({ "a": "b" }))).is_ok());
        assert!(parse(&top("mediaType", json!(null))).is_ok());
        for (lie, document) in [
            ("both", top("layers", json!([]))),
            ("both", top("config", json!({}))),
            ("schema 1", top("schemaVersion", json!(1))),
            ("schema", top("schemaVersion", json!("2"))),
            ("no list", top("manifests", json!(null))),
            ("no list", top("manifests", json!({}))),
            ("another type", top("mediaType", json!("text/html"))),
            ("no object", json!([])),
            ("an entry", index(&json!(["x"]))),
            ("size", with("size", json!("528"))),
            ("size", with("size", json!(-1))),
            ("size", with("size", json!(1.5))),
            ("digest", with("digest", json!("sha256:../../x"))),
            ("digest", with("digest", json!("md5:00"))),
            ("digest", with("digest", json!(null))),
            ("type", with("mediaType", json!(null))),
            ("platform", with("platform", json!("linux/amd64"))),
            ("platform", with("platform", json!({ "os": "linux" }))),
            (
                "platform",
                with("platform", json!({ "os": 1, "architecture": "x" })),
            ),
            ("annotations", with("annotations", json!({ "a": 1 }))),
        ] {
            let error = parse(&document).unwrap_err();
            assert_eq!(error.kind(), Kind::Format, "{lie}: {document}");
        }
        assert!(Index::parse(b"{").is_err());
    }
}
