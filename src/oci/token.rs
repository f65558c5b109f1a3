//! Tokens: who gives them, and what may be shown to whom for one.
//!
//! Docker token authentication specification; its OAuth2 flavour for identity tokens.

use serde_json::Value;

use super::challenge::Challenge;
use super::credentials::Login;
use super::name::is_this_machine;
use super::registry::read;
use crate::base::{Scheme, Url};
use crate::fetch::Verdict;
use crate::net::{Client, Headers};

/// What a registry lets us in for.
#[derive(Clone)]
pub(super) enum Grant {
    /// A token.
    Bearer(String),
    /// `user:password`.
    Login(String),
}

impl Grant {
    pub(super) fn bearer(&self) -> Option<&str> {
        match self {
            Self::Bearer(token) => Some(token),
            Self::Login(_) => None,
        }
    }

    pub(super) fn login(&self) -> Option<&str> {
        match self {
            Self::Login(pair) => Some(pair),
            Self::Bearer(_) => None,
        }
    }
}

/// Fetches a token: as nobody in particular, or with a login. What comes from the realm goes to the
/// registry alone.
pub(super) fn fetch_token(
    client: &Client,
    registry: &Url,
    path: &str,
    challenge: &Challenge,
    login: Option<&Login>,
) -> Result<Grant, Verdict> {
    let refuse = |why: &str| Verdict::Broken {
        why: format!("no token: {why}"),
        retry: false,
    };
    let realm = realm(registry, challenge).map_err(|why| refuse(&why))?;
    let scope = challenge
        .scope
        .clone()
        .unwrap_or_else(|| format!("repository:{path}:pull"));
    let mut query = vec![("scope", scope)];
    if let Some(service) = &challenge.service {
        query.insert(0, ("service", service.clone()));
    }
    let response = match login {
        Some(Login::Identity(token)) => {
            query.push(("grant_type", "refresh_token".to_owned()));
            query.push(("client_id", CLIENT.to_owned()));
            query.push(("refresh_token", token.clone()));
            client.post_form(&realm, &form(&query))
        }
        other => {
            let pair = match other {
                Some(Login::Password { user, password }) => Some(format!("{user}:{password}")),
                _ => None,
            };
            let headers = Headers {
                login: pair.as_deref(),
                ..Headers::default()
            };
            let joint = if realm.as_str().contains('?') {
                '&'
            } else {
                '?'
            };
            let url = format!("{realm}{joint}{}", form(&query));
            let url: Url = url
                .parse()
                .map_err(|_| refuse("the realm makes an address that is too long"))?;
            client.get_with(&url, headers)
        }
    };
    // That the realm is gone, or sends too much, says nothing about the manifest.
    let body = response
        .map_err(Verdict::from)
        .and_then(|response| {
            Verdict::check_status(&response)?;
            read(client, response, MAX_TOKEN_RESPONSE)
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
    Ok(Grant::Bearer(token.to_owned()))
}

/// Where to ask for a token: at the registry or a neighbour of it, by https unless the registry
/// itself is spoken to without.
fn realm(registry: &Url, challenge: &Challenge) -> Result<Url, String> {
    let realm: Url = challenge.realm.parse().map_err(|_| {
        let shown: String = challenge.realm.chars().take(MAX_SHOWN).collect();
        format!("the realm {shown:?} is not an address")
    })?;
    let plain = registry.scheme() == Scheme::Http && realm.scheme() == Scheme::Http;
    if realm.scheme() != Scheme::Https && !plain {
        return Err(format!("the realm {realm} is not https"));
    }
    if realm.userinfo().is_some() {
        return Err(format!("the realm {realm} comes with a user"));
    }
    let local = is_this_machine(registry.authority()) && is_this_machine(realm.authority());
    if !local && !are_neighbours(registry.host(), realm.host()) {
        return Err(format!(
            "the realm {realm} is not of {}'s house",
            registry.host()
        ));
    }
    Ok(realm)
}

/// Whether two hosts belong to one owner: they are the same, or the one lies in the domain that the
/// other one lies in. Without a list of public suffixes this errs to the safe side.
fn are_neighbours(registry: &str, realm: &str) -> bool {
    if registry == realm || FRIENDS.contains(&(registry, realm)) {
        return true;
    }
    let Some((_, domain)) = registry.split_once('.') else {
        return false;
    };
    let is_name = |host: &str| !host.contains(':') && host.parse::<std::net::Ipv4Addr>().is_err();
    let owned = match domain.split_once('.') {
        // `example` of `registry.example`, or an address.
        None => return registry_above(registry, realm),
        // `co.uk`, `com.au`: nobody's.
        Some((second, top)) if !top.contains('.') => !(top.len() == 2 && second.len() <= 3),
        Some(_) => true,
    };
    let inside = realm == domain
        || realm
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'));
    is_name(registry)
        && is_name(realm)
        && (owned && inside && !SHARED.contains(&domain) || registry_above(registry, realm))
}

/// Whether the realm is `auth.` of the registry's own name.
fn registry_above(registry: &str, realm: &str) -> bool {
    realm
        .strip_suffix(registry)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// Pairs the key and the value of a form, percent-encoded.
fn form(pairs: &[(&str, String)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
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

/// Registries whose tokens come from another house, which is known: LinuxServer's images are
/// GitHub's.
const FRIENDS: &[(&str, &str)] = &[("lscr.io", "ghcr.io")];

/// Domains in which every name is somebody else's.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "azurecr.io",
    "github.io",
    "pages.dev",
    "run.app",
    "workers.dev",
];

/// What we are called where that has to be said.
const CLIENT: &str = "distro-fetch";

/// Tokens are a few KiB; who sends more means to fill memory.
const MAX_TOKEN_RESPONSE: u64 = 64 << 10;

/// As much of a malformed realm as is shown, in characters.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_of_the_house_and_https() {
        for (registry, address, sound) in [
            ("https://r.example/", "https://r.example/token?a=b", true),
            ("https://r.example:5000/", "https://r.example/token", true),
            ("https://r.example/", "https://auth.r.example/t", true),
            (
                "https://registry-1.docker.io/",
                "https://auth.docker.io/token",
                true,
            ),
            (
                "https://registry.gitlab.com/",
                "https://gitlab.com/jwt/auth",
                true,
            ),
            (
                "https://docker.elastic.co/",
                "https://docker-auth.elastic.co/auth",
                true,
            ),
            ("https://lscr.io/", "https://ghcr.io/token", true),
            ("https://quay.io/", "https://quay.io/v2/auth", true),
            ("https://quay.io/", "https://evil.io/v2/auth", false),
            ("https://r.co.uk/", "https://evil.co.uk/t", false),
            ("https://r.co.uk/", "https://auth.r.co.uk/t", true),
            ("https://me.azurecr.io/", "https://evil.azurecr.io/t", false),
            ("https://docker.io/", "https://auth.evil-docker.io/t", false),
            (
                "https://registry-1.docker.io/",
                "https://evil.example/t",
                false,
            ),
            (
                "https://registry-1.docker.io/",
                "https://docker.io.evil.example/t",
                false,
            ),
            ("https://10.0.0.1/", "https://11.0.0.1/t", false),
            ("https://10.0.0.1/", "https://10.0.0.1:8443/t", true),
            ("https://[fd00::1]/", "https://[fd00::2]/t", false),
            ("http://127.0.0.1:1/", "http://127.0.0.1:2/t", true),
            ("http://127.0.0.1:1/", "http://localhost:2/t", true),
            (
                "http://127.0.0.1:1/",
                "http://169.254.169.254/latest",
                false,
            ),
            ("http://127.0.0.1:1/", "http://10.0.0.1/t", false),
            ("http://10.0.0.1:5000/", "http://10.0.0.1:5001/t", true),
            ("https://r.example/", "http://127.0.0.1:2/t", false),
            ("https://r.example/", "http://r.example/token", false),
            ("https://r.example/", "file:///etc/passwd", false),
            ("https://r.example/", "https://me:secret@r.example/t", false),
            ("https://r.example/", "token", false),
        ] {
            let challenge = Challenge {
                realm: address.to_owned(),
                service: Some("s s".to_owned()),
                scope: None,
            };
            let url = realm(&registry.parse().unwrap(), &challenge);
            match &url {
                Ok(url) => assert_eq!(url.as_str(), address),
                Err(why) => assert!(!why.contains("secret"), "{why}"),
            }
            assert_eq!(url.is_ok(), sound, "{registry} {address}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        let pairs = [
            ("service", "s s&x=y".to_owned()),
            ("scope", "repository:a/b:pull".to_owned()),
        ];
        assert_eq!(
            form(&pairs),
            "service=s%20s%26x%3Dy&scope=repository:a/b:pull"
        );
    }
}
