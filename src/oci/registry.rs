//! The read side of a registry: manifests, and the token to ask for them.
//!
//! OCI distribution specification 1.1, "Pulling manifests"; Docker token authentication
//! specification for the token.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::challenge::Challenge;
use super::index::{DOCKER_LIST, OCI_INDEX};
use super::manifest::{DOCKER_MANIFEST, MAX_MANIFEST, OCI_MANIFEST};
use super::name::{is_this_machine, parse_digest};
use super::{Reference, Repository};
use crate::base::{Digest, Scheme, Url};
use crate::fetch::{Verdict, bytes, is_page};
use crate::net::{Client, Failure, Headers, Response, Unread};

/// Asks registries, as anybody may. Tokens are kept as long as it lives, each for its repository.
pub struct Registry<'a> {
    client: &'a Client,
    tokens: Mutex<BTreeMap<Repository, String>>,
}

/// A manifest or an index, with its digest made from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// As they were sent.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub digest: Digest,
    /// What the document is: one of the four types that were asked for.
    pub media_type: String,
    /// How many bytes there are.
    pub size: u64,
}

impl<'a> Registry<'a> {
    /// A view of all registries that this client can reach. Opens nothing.
    pub fn new(client: &'a Client) -> Self {
        Self {
            client,
            tokens: Mutex::default(),
        }
    }

    /// The manifest or index of a tag or digest. A digest asked for is a digest that the bytes
    /// have.
    ///
    /// # Errors
    /// The verdict on the one attempt: as for a file, [`Verdict::Gone`], [`Verdict::Refused`] and
    /// so on. Whoever wants more attempts makes them.
    pub fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Manifest, Verdict> {
        let url = repository
            .api()
            .and_then(|api| api.append(&format!("manifests/{reference}")))
            .map_err(|error| Verdict::Ours(error.to_string()))?;
        let mut response = self.ask(&url, self.token(repository).as_deref())?;
        if response.status == 401
            && let Some(challenge) = Challenge::find(&response.challenges)
        {
            // Any token that was sent has expired.
            let token = self.fetch_token(&url, repository, &challenge)?;
            response = self.ask(&url, Some(&token))?;
        }
        Verdict::check_status(&response)?;
        if response.status != 200 {
            return Err(Verdict::Refused(response.status));
        }
        self.judge(response, reference)
    }

    fn ask(&self, url: &Url, token: Option<&str>) -> Result<Response, Verdict> {
        let headers = Headers {
            accept: Some(ACCEPT),
            bearer: token,
            ..Headers::default()
        };
        Ok(self.client.get_with(url, headers)?)
    }

    fn judge(&self, response: Response, reference: &Reference) -> Result<Manifest, Verdict> {
        let (content_type, said) = (
            response.content_type.clone(),
            response.content_digest.clone(),
        );
        if is_page(content_type.as_deref()) {
            return Err(Verdict::Page("it is HTML".to_owned()));
        }
        let bytes = self.read(response, MAX_MANIFEST)?;
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let wrong = |why: String, actual| Err(Verdict::Wrong { why, actual });
        match reference {
            // What the registry says of its own bytes adds nothing to that.
            Reference::Digest(pinned) if digest != *pinned => {
                let why = format!("a manifest with SHA-256 {digest} where {pinned} is pinned");
                return wrong(why, Some(digest));
            }
            Reference::Digest(_) => {}
            Reference::Tag(_) => {
                // Other algorithms are nothing that could be compared.
                let said = said.and_then(|text| parse_digest(&text).ok());
                if let Some(said) = said.filter(|said| *said != digest) {
                    let why = format!("a manifest with SHA-256 {digest}, announced as {said}");
                    return wrong(why, Some(digest));
                }
            }
        }
        match media_type(&bytes, content_type.as_deref()) {
            Ok(media_type) => Ok(Manifest {
                size: bytes.len() as u64,
                bytes,
                digest,
                media_type,
            }),
            Err(why) => wrong(why, None),
        }
    }

    fn token(&self, repository: &Repository) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(repository).cloned()
    }

    /// Fetches a token as nobody in particular. Nothing secret goes to the realm, which may be any
    /// server; what comes from it goes to the registry alone.
    fn fetch_token(
        &self,
        registry: &Url,
        repository: &Repository,
        challenge: &Challenge,
    ) -> Result<String, Verdict> {
        let refuse = |why: &str| Verdict::Broken {
            why: format!("no token: {why}"),
            retry: false,
        };
        let url = realm(registry, repository, challenge).map_err(|why| refuse(&why))?;
        // That the realm is gone, or sends too much, says nothing about the manifest.
        let body = self
            .client
            .get(&url, None)
            .map_err(Verdict::from)
            .and_then(|response| {
                Verdict::check_status(&response)?;
                self.read(response, MAX_TOKEN_RESPONSE)
            })
            .map_err(|verdict| match verdict {
                Verdict::Gone(_) | Verdict::Wrong { .. } => refuse(&verdict.to_string()),
                verdict => verdict,
            })?;
        let document: Value =
            serde_json::from_slice(&body).map_err(|_| refuse("the answer is not JSON"))?;
        let token = ["token", "access_token"]
            .into_iter()
            .find_map(|key| document.get(key)?.as_str())
            .ok_or_else(|| refuse("there is none in the answer"))?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refuse("it has characters that no header may have"));
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(repository.clone(), token.to_owned());
        Ok(token.to_owned())
    }

    fn read(&self, response: Response, limit: u64) -> Result<Vec<u8>, Verdict> {
        response.read_all(limit).map_err(|unread| match unread {
            Unread::TooLong => Verdict::Wrong {
                why: format!("more than {}", bytes(limit)),
                actual: None,
            },
            Unread::Short { got, length } => Verdict::Broken {
                why: format!("it ended after {} of {}", bytes(got), bytes(length)),
                retry: true,
            },
            Unread::Io(error) => Failure::of_io(&error, &self.client.config().timeouts).into(),
        })
    }
}

/// Where to ask for a token: https, unless the registry and the realm are both this machine.
fn realm(registry: &Url, repository: &Repository, challenge: &Challenge) -> Result<Url, String> {
    let realm: Url = challenge.realm.parse().map_err(|_| {
        let shown: String = challenge.realm.chars().take(MAX_SHOWN).collect();
        format!("the realm {shown:?} is not an address")
    })?;
    let local = registry.scheme() == Scheme::Http
        && realm.scheme() == Scheme::Http
        && is_this_machine(realm.authority());
    if realm.scheme() != Scheme::Https && !local {
        return Err(format!("the realm {realm} is not https"));
    }
    if realm.userinfo().is_some() {
        return Err(format!("the realm {realm} comes with a user"));
    }
    let scope = challenge
        .scope
        .clone()
        .unwrap_or_else(|| format!("repository:{}:pull", repository.path()));
    let mut text = realm.to_string();
    for (key, value) in [
        ("service", challenge.service.as_ref()),
        ("scope", Some(&scope)),
    ] {
        if let Some(value) = value {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(&format!("{key}={}", encode(value)));
        }
    }
    text.parse()
        .map_err(|_| format!("the realm {realm} makes an address that is too long"))
}

/// Percent-encodes all but the unreserved characters of RFC 3986, and what scopes are made of.
fn encode(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What a document is: what it says itself, or else what it was sent as. Where both are said, they
/// must agree: who reads the one and who reads the other must see the same image.
fn media_type(bytes: &[u8], sent_as: Option<&str>) -> Result<String, String> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|_| "a manifest that is not JSON".to_owned())?;
    if !document.is_object() {
        return Err("a manifest that is not an object".to_owned());
    }
    // An index to the one and a manifest to the other (CVE-2021-41190).
    let has = |key: &str| document.get(key).is_some();
    if has("manifests") && (has("layers") || has("config")) {
        return Err("a manifest that is an index as well".to_owned());
    }
    let inside = match document.get("mediaType") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err("a manifest whose mediaType is not a text".to_owned()),
    };
    let known = |text: &&str| MANIFEST_TYPES.contains(text);
    let sent_as = sent_as.filter(known);
    match (inside, sent_as) {
        (Some(inside), Some(sent_as)) if inside != sent_as => {
            Err(format!("{inside:?}, sent as {sent_as:?}"))
        }
        (Some(inside), _) if known(&inside) => Ok(inside.to_owned()),
        (Some(inside), _) => Err(format!("{inside:?} is not a manifest")),
        (None, Some(sent_as)) => Ok(sent_as.to_owned()),
        (None, None) => Err("nobody says what kind of manifest it is".to_owned()),
    }
}

const MANIFEST_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The four types above, in that order.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Tokens are a few KiB; who sends more means to fill memory.
const MAX_TOKEN_RESPONSE: u64 = 64 << 10;

/// As much of a malformed realm as is shown, in characters.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_accepted() {
        assert_eq!(ACCEPT.split(", ").collect::<Vec<_>>(), MANIFEST_TYPES);
    }

    #[test]
    fn a_realm_is_https_unless_all_is_local() {
        let repository: Repository = "docker.io/library/alpine".parse().unwrap();
        for (registry, address, expect) in [
            (
                "https://r/",
                "https://auth/token",
                Some("https://auth/token?service=s%20s&scope=repository:library/alpine:pull"),
            ),
            (
                "https://r/",
                "https://auth/token?a=b",
                Some("https://auth/token?a=b&service=s%20s&scope=repository:library/alpine:pull"),
            ),
            (
                "http://127.0.0.1:1/",
                "http://127.0.0.1:2/t",
                Some("http://127.0.0.1:2/t?service=s%20s&scope=repository:library/alpine:pull"),
            ),
            ("http://127.0.0.1:1/", "http://169.254.169.254/latest", None),
            ("https://r/", "http://127.0.0.1:2/t", None),
            ("https://r/", "http://r/token", None),
            ("https://r/", "file:///etc/passwd", None),
            ("https://r/", "https://me:secret@auth/token", None),
            ("https://r/", "token", None),
        ] {
            let challenge = Challenge {
                realm: address.to_owned(),
                service: Some("s s".to_owned()),
                scope: None,
            };
            let url = realm(&registry.parse().unwrap(), &repository, &challenge);
            match (&url, expect) {
                (Ok(url), Some(expect)) => assert_eq!(url.as_str(), expect),
                (Err(why), None) => assert!(!why.contains("secret"), "{why}"),
                _ => panic!("{registry} {address}: {url:?}"),
            }
        }
    }

    #[test]
    fn a_manifest_is_one_thing() {
        let oci = MANIFEST_TYPES[1];
        let inside = |text: &str| format!(r#"{{"mediaType": "{text}"}}"#);
        for (document, sent_as, expect) in [
            (inside(oci), Some(oci), Some(oci)),
            (inside(oci), Some("application/json"), Some(oci)),
            (inside(oci), None, Some(oci)),
            ("{}".to_owned(), Some(oci), Some(oci)),
            (inside(oci), Some(OCI_INDEX), None),
            (inside("application/x"), Some(oci), None),
            (inside("application/x"), None, None),
            ("{}".to_owned(), None, None),
            ("{}".to_owned(), Some("application/json"), None),
            (r#"{"mediaType": 1}"#.to_owned(), Some(oci), None),
            ("<html>".to_owned(), Some(oci), None),
            ("[]".to_owned(), Some(oci), None),
            (
                r#"{"manifests": [], "layers": []}"#.to_owned(),
                Some(oci),
                None,
            ),
            (
                r#"{"manifests": [], "config": {}}"#.to_owned(),
                Some(OCI_INDEX),
                None,
            ),
        ] {
            let found = media_type(document.as_bytes(), sent_as).ok();
            assert_eq!(found.as_deref(), expect, "{document} {sent_as:?}");
        }
    }
}
