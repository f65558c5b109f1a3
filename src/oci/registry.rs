//! The read side of a registry: manifests, blobs, and how to be let in.
//!
//! OCI distribution specification 1.1, "Pulling manifests" and "Pulling blobs".

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::challenge::{Challenge, wants_basic};
use super::credentials::Login;
use super::index::{DOCKER_LIST, OCI_INDEX};
use super::manifest::{DOCKER_MANIFEST, MAX_MANIFEST, OCI_MANIFEST};
use super::name::{Line, is_this_machine, parse_digest};
use super::token::{Grant, fetch_token};
use super::{Credentials, Reference, Repository};
use crate::base::{Digest, Scheme, Url};
use crate::fetch::{Verdict, bytes, is_page};
use crate::net::{Client, Failure, Headers, Range, Response, Unread};

/// Asks registries: as anybody may, or as somebody whom they know. Tokens are kept as long as it
/// lives, each for its repository.
pub struct Registry<'a> {
    client: &'a Client,
    credentials: Option<&'a Credentials>,
    /// Hosts that may be spoken to without TLS.
    plain: Vec<String>,
    grants: Mutex<BTreeMap<Url, Grant>>,
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

/// One place where a repository is: its registry, or a mirror of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `https://registry/v2/path/`.
    pub(super) api: Url,
    /// What the credentials for it stand under.
    host: String,
    path: String,
    /// What kind of place it is, for a person.
    pub(super) role: &'static str,
}

impl Endpoint {
    /// A mirror whose API is here.
    pub(super) fn mirror(api: Url) -> Self {
        Self {
            host: api.authority().to_owned(),
            path: api
                .path()
                .trim_start_matches("/v2")
                .trim_matches('/')
                .to_owned(),
            api,
            role: "your mirror",
        }
    }

    pub(super) fn manifest(&self, reference: &Reference) -> Result<Url, Verdict> {
        self.at(&format!("manifests/{reference}"))
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Url, Verdict> {
        self.at(&format!("blobs/sha256:{digest}"))
    }

    fn at(&self, path: &str) -> Result<Url, Verdict> {
        let url = self.api.append(path);
        url.map_err(|error| Verdict::Ours(error.to_string()))
    }
}

/// Bytes that are what was asked for, and what they were sent as.
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) content_type: Option<String>,
}

impl<'a> Registry<'a> {
    /// A view of all registries that this client can reach. Opens nothing.
    pub fn new(client: &'a Client) -> Self {
        Self {
            client,
            credentials: None,
            plain: Vec::new(),
            grants: Mutex::default(),
        }
    }

    /// The same for somebody: where a registry asks who we are, it is told.
    #[must_use]
    pub fn with_credentials(mut self, credentials: &'a Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Speaks to the registry of this repository, and to no other, without TLS.
    #[must_use]
    pub fn without_tls_for(mut self, repository: &Repository) -> Self {
        self.plain.push(repository.host().to_owned());
        self
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
        let document = self.document(&self.endpoint(repository)?, reference)?;
        let Document {
            bytes,
            digest,
            content_type,
        } = document;
        match media_type(&bytes, content_type.as_deref()) {
            Ok(media_type) => Ok(Manifest {
                size: bytes.len() as u64,
                bytes,
                digest,
                media_type,
            }),
            Err(why) => Err(Verdict::Wrong { why, actual: None }),
        }
    }

    pub(super) fn client(&self) -> &Client {
        self.client
    }

    /// Where a repository is.
    pub(super) fn endpoint(&self, repository: &Repository) -> Result<Endpoint, Verdict> {
        let line = if self.plain.iter().any(|host| host == repository.host()) {
            Line::Plain
        } else {
            Line::Safe
        };
        let api = repository.api(line);
        Ok(Endpoint {
            api: api.map_err(|error| Verdict::Ours(error.to_string()))?,
            host: repository.host().to_owned(),
            path: repository.path().to_owned(),
            role: "upstream",
        })
    }

    /// Any manifest, whatever it says of itself: its bytes are the ones that were asked for.
    pub(super) fn document(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<Document, Verdict> {
        let url = endpoint.manifest(reference)?;
        let response = self.get(endpoint, &url, None, Some(ACCEPT))?;
        Verdict::check_status(&response)?;
        if response.status != 200 {
            return Err(Verdict::Refused(response.status));
        }
        self.judge(response, reference)
    }

    /// Asks an address of an endpoint, and says who we are if that is wanted.
    pub(super) fn get(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        range: Option<&Range>,
        accept: Option<&str>,
    ) -> Result<Response, Verdict> {
        let ask = |grant: Option<&Grant>| {
            let headers = Headers {
                range,
                accept,
                bearer: grant.and_then(Grant::bearer),
                login: grant.and_then(Grant::login),
            };
            self.client.get_with(url, headers).map_err(Verdict::from)
        };
        let grant = self.grants().get(&endpoint.api).cloned();
        let response = ask(grant.as_ref())?;
        // Who wants to know may be somebody that we were sent to: that is none of its business.
        let same =
            response.url.scheme() == url.scheme() && response.url.authority() == url.authority();
        if response.status != 401 || !same {
            return Ok(response);
        }
        // Any token that was sent has expired.
        match self.earn(endpoint, &response)? {
            Some(grant) => ask(Some(&grant)),
            None => Ok(response),
        }
    }

    /// What opens the door, as the registry says; `None` if we have nothing.
    fn earn(&self, endpoint: &Endpoint, response: &Response) -> Result<Option<Grant>, Verdict> {
        let challenge = Challenge::find(&response.challenges);
        let basic = wants_basic(&response.challenges);
        if challenge.is_none() && !basic {
            return Ok(None);
        }
        let login = self.login(endpoint)?;
        let grant = match (challenge, login) {
            (Some(_), Some(Login::Token(token))) => Some(Grant::Bearer(token)),
            (Some(challenge), login) => {
                let login = login.as_ref();
                let path = &endpoint.path;
                fetch_token(self.client, &endpoint.api, path, &challenge, login).map(Some)?
            }
            (None, Some(Login::Password { user, password })) => {
                Some(Grant::Login(format!("{user}:{password}")))
            }
            (None, _) => None,
        };
        if let Some(grant) = &grant {
            self.grants().insert(endpoint.api.clone(), grant.clone());
        }
        Ok(grant)
    }

    fn login(&self, endpoint: &Endpoint) -> Result<Option<Login>, Verdict> {
        let host = &endpoint.host;
        // Nobody said that this line may carry a password.
        let open = endpoint.api.scheme() == Scheme::Http
            && !is_this_machine(endpoint.api.authority())
            && !self.plain.contains(host);
        let Some(credentials) = self.credentials.filter(|_| !open) else {
            return Ok(None);
        };
        let found = credentials.find(host, &endpoint.path);
        found.map_err(|error| Verdict::Ours(error.to_string()))
    }

    fn grants(&self) -> std::sync::MutexGuard<'_, BTreeMap<Url, Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, response: Response, reference: &Reference) -> Result<Document, Verdict> {
        let (content_type, said) = (
            response.content_type.clone(),
            response.content_digest.clone(),
        );
        if is_page(content_type.as_deref()) {
            return Err(Verdict::Page("it is HTML".to_owned()));
        }
        let bytes = read(self.client, response, MAX_MANIFEST)?;
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let wrong = |why: String| {
            let actual = Some(digest);
            Err(Verdict::Wrong { why, actual })
        };
        match reference {
            // What the registry says of its own bytes adds nothing to that.
            Reference::Digest(pinned) if digest != *pinned => {
                return wrong(format!(
                    "a manifest with SHA-256 {digest} where {pinned} is pinned"
                ));
            }
            Reference::Digest(_) => {}
            Reference::Tag(_) => {
                // Other algorithms are nothing that could be compared.
                let said = said.and_then(|text| parse_digest(&text).ok());
                if let Some(said) = said.filter(|said| *said != digest) {
                    return wrong(format!(
                        "a manifest with SHA-256 {digest}, announced as {said}"
                    ));
                }
            }
        }
        Ok(Document {
            bytes,
            digest,
            content_type,
        })
    }
}

/// A whole body of at most so many bytes.
pub(super) fn read(client: &Client, response: Response, limit: u64) -> Result<Vec<u8>, Verdict> {
    response.read_all(limit).map_err(|unread| match unread {
        Unread::TooLong => Verdict::Wrong {
            why: format!("more than {}", bytes(limit)),
            actual: None,
        },
        Unread::Short { got, length } => Verdict::Broken {
            why: format!("it ended after {} of {}", bytes(got), bytes(length)),
            retry: true,
        },
        Unread::Io(error) => Failure::of_io(&error, &client.config().timeouts).into(),
    })
}

/// What a document is: what it says itself, or else what it was sent as. Where both are said, they
/// must agree: who reads the one and who reads the other must see the same image.
pub(super) fn media_type(bytes: &[u8], sent_as: Option<&str>) -> Result<String, String> {
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

/// What a document of the cache is: no server says it. One that says nothing itself is told by its
/// shape, and is OCI's: Docker's always say it.
pub(super) fn own_type(bytes: &[u8]) -> Result<String, String> {
    let document: Option<Value> = serde_json::from_slice(bytes).ok();
    let has = |key: &str| document.as_ref().is_some_and(|it| it.get(key).is_some());
    let shape = if has("manifests") {
        OCI_INDEX
    } else {
        OCI_MANIFEST
    };
    media_type(bytes, (!has("mediaType")).then_some(shape))
}

const MANIFEST_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The four types above, in that order.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_accepted() {
        assert_eq!(ACCEPT.split(", ").collect::<Vec<_>>(), MANIFEST_TYPES);
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
