//! Who we are to a registry.
//!
//! Docker's `config.json` and containers' `auth.json` have the same shape: `auths` with passwords or
//! tokens, `credHelpers` per registry, one `credsStore` for all. Nothing is read, and no helper run,
//! before a registry asks who we are: an anonymous pull never comes here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::name::DOCKER;
use super::program::Helpers;
use crate::error::{Error, Kind, Result};
use crate::net::decode_base64;

/// What proves who we are. It prints without what is secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// Who.
        user: String,
        /// The secret.
        password: String,
    },
    /// A refresh token, which a token server takes (RFC 6749, section 6).
    Identity(String),
    /// A token for the registry itself.
    Token(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

/// Where logins are to be found. The default has none.
///
/// ```
/// use distro_fetch::oci::{Credentials, Login};
///
/// let credentials = Credentials::default()
///     .with_file("/home/me/.docker/config.json")
///     .with_helpers_in(["/usr/bin"]);
/// assert!(!format!("{credentials:?}").contains("password"));
/// # let _: Option<Login> = None;
/// ```
#[derive(Debug, Default)]
pub struct Credentials {
    explicit: BTreeMap<String, Login>,
    files: Vec<PathBuf>,
    helpers: Helpers,
    /// What was found for a registry and a path in it.
    known: Mutex<BTreeMap<(String, String), Option<Login>>>,
}

impl Credentials {
    /// A login for this registry and no other, before all that files say.
    #[must_use]
    pub fn with_login(mut self, host: &str, login: Login) -> Self {
        self.explicit.insert(normal(host), login);
        self
    }

    /// One more file to look into; the first that knows a registry counts. It need not exist.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// The directories in which helpers (`docker-credential-NAME`) are looked for. Without any,
    /// none is run.
    #[must_use]
    pub fn with_helpers_in(
        mut self,
        folders: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Self {
        self.helpers = Helpers::new(folders.into_iter().map(Into::into).collect());
        self
    }

    /// The login for a repository, if anybody knows one.
    ///
    /// # Errors
    /// [`Kind::Local`]: a file that cannot be read or understood, a helper that fails.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<Option<Login>> {
        let host = normal(host);
        if let Some(login) = self.explicit.get(&host) {
            return Ok(Some(login.clone()));
        }
        // Held while a helper runs: it asks its user once, however many layers there are.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host, path.to_owned());
        if let Some(login) = known.get(&key) {
            return Ok(login.clone());
        }
        let mut found = None;
        for file in &self.files {
            found = self.look_into(file, &key.0, path)?;
            if found.is_some() {
                break;
            }
        }
        known.insert(key, found.clone());
        Ok(found)
    }

    fn look_into(&self, file: &Path, host: &str, path: &str) -> Result<Option<Login>> {
        let Some(document) = read(file)? else {
            return Ok(None);
        };
        let about = |error: Error| error.about(&file.display().to_string()).with_path(file);
        let helpers = document.get("credHelpers").and_then(Value::as_object);
        let helper = helpers.into_iter().flatten().find_map(|(key, name)| {
            let name = name.as_str().filter(|name| !name.is_empty())?;
            (normal(key) == host).then_some(name)
        });
        if let Some(name) = helper {
            return self.helpers.ask(name, server(host)).map_err(about);
        }
        let auths = document.get("auths").and_then(Value::as_object);
        let mut auths: Vec<(String, &Value)> = auths
            .into_iter()
            .flatten()
            .map(|(key, value)| (normal(key), value))
            .filter(|(key, _)| names(key, host, path))
            .collect();
        // The longest name says most about the repository.
        auths.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
        for (_, value) in auths {
            if let Some(login) = login(value).map_err(about)? {
                return Ok(Some(login));
            }
        }
        match document.get("credsStore").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => self.helpers.ask(name, server(host)).map_err(about),
            _ => Ok(None),
        }
    }
}

/// What a file says of one registry; nothing, where it only says that a store knows it.
fn login(value: &Value) -> Result<Option<Login>> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let malformed = || {
        Error::new(
            Kind::Local,
            "\"auth\" is not a user and a password in base64",
        )
    };
    if let Some(token) = text("identitytoken") {
        return checked(Login::Identity(token)).map(Some);
    }
    if let Some(token) = text("registrytoken") {
        return checked(Login::Token(token)).map(Some);
    }
    let pair = match text("auth") {
        Some(auth) => {
            let bytes = decode_base64(&auth).ok_or_else(malformed)?;
            let pair = String::from_utf8(bytes).map_err(|_| malformed())?;
            let (user, password) = pair.split_once(':').ok_or_else(malformed)?;
            // Docker once wrote them with zeros behind.
            Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
        }
        None => text("username").zip(text("password")),
    };
    let login = pair.map(|(user, password)| checked(Login::Password { user, password }));
    login.transpose()
}

/// Refuses what no header may carry.
pub(super) fn checked(login: Login) -> Result<Login> {
    let sound = match &login {
        Login::Password { user, password } => {
            let plain = |text: &str| !text.contains(|c: char| c.is_control());
            !user.contains(':') && plain(user) && plain(password)
        }
        Login::Identity(token) | Login::Token(token) => {
            !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
        }
    };
    if sound {
        Ok(login)
    } else {
        let message = "a user, password or token has characters that none may have";
        Err(Error::new(Kind::Local, message))
    }
}

fn read(file: &Path) -> Result<Option<Value>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if crate::sys::is_damage(&error) => return Ok(None),
        Err(error) => return Err(Error::local("cannot read the credentials in", file, error)),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // What is wrong with it is not shown: it would be a piece of a secret.
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error) => {
            let message = format!(
                "{}: credentials that are not JSON, at line {}",
                file.display(),
                error.line()
            );
            Err(Error::new(Kind::Local, message).with_path(file))
        }
    }
}

/// One spelling for a registry, and a path behind it if there is one: `https://index.docker.io/v1/`
/// is how Docker writes its own.
fn normal(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let bare = ["/v1", "/v2"]
        .iter()
        .find_map(|end| bare.strip_suffix(end))
        .unwrap_or(bare);
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER,
        host => host,
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

/// Whether a key of a file names this repository, its registry, or something between.
fn names(key: &str, host: &str, path: &str) -> bool {
    let Some(rest) = key.strip_prefix(host) else {
        return false;
    };
    match rest.strip_prefix('/') {
        None => rest.is_empty(),
        Some(prefix) => path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

/// What a helper knows a registry by.
fn server(host: &str) -> &str {
    if host == DOCKER {
        "https://index.docker.io/v1/"
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(document: &Value, host: &str, path: &str) -> Result<Option<Login>> {
        let name = format!("df-credentials-{}", crate::sys::unique_suffix());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, document.to_string()).unwrap();
        let found = Credentials::default().with_file(&file).find(host, path);
        std::fs::remove_file(&file).unwrap();
        found
    }

    fn password(user: &str, password: &str) -> Login {
        let (user, password) = (user.to_owned(), password.to_owned());
        Login::Password { user, password }
    }

    #[test]
    fn files_of_docker_and_of_containers() {
        let document = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": "bWU6c2VjcmV0" },
            "quay.io": { "username": "you", "password": "p" },
            "quay.io/team": { "auth": "dGVhbTpw" },
            "h:5000": { "identitytoken": "refresh" },
            "t.example": { "registrytoken": "bearer" },
            "zeros.example": { "auth": "bWU6c2VjcmV0AAA=" },
            "https://store.example": {},
        } });
        for (host, path, expect) in [
            (
                "docker.io",
                "library/alpine",
                Some(password("me", "secret")),
            ),
            ("index.docker.io", "a/b", Some(password("me", "secret"))),
            ("quay.io", "other/a", Some(password("you", "p"))),
            ("quay.io", "team/a", Some(password("team", "p"))),
            ("quay.io", "teams/a", Some(password("you", "p"))),
            ("h:5000", "a", Some(Login::Identity("refresh".into()))),
            ("t.example", "a", Some(Login::Token("bearer".into()))),
            ("zeros.example", "a", Some(password("me", "secret"))),
            ("store.example", "a", None),
            ("h", "a", None),
            ("evil-quay.io", "a", None),
            ("quay.io.evil", "a", None),
        ] {
            assert_eq!(
                find(&document, host, path).unwrap(),
                expect,
                "{host}/{path}"
            );
        }
    }

    #[test]
    fn what_is_malformed_is_said_without_its_secret() {
        for document in [
            json!({ "auths": { "h": { "auth": "!secret!" } } }),
            json!({ "auths": { "h": { "auth": "c2VjcmV0" } } }),
            json!({ "auths": { "h": { "registrytoken": "secret\r\nX: y" } } }),
            json!({ "credHelpers": { "h": "../../secret/evil" } }),
            json!({ "credsStore": "/bin/secret" }),
            json!({ "credsStore": "secret evil" }),
        ] {
            let error = find(&document, "h", "a").unwrap_err();
            assert_eq!(error.kind(), Kind::Local, "{error}");
            let quoted = document.get("auths").is_some() && error.to_string().contains("secret");
            assert!(!quoted, "{error}");
        }
        let missing = Credentials::default().with_file("/does/not/exist");
        assert_eq!(missing.find("h", "a").unwrap(), None);
        let explicit = missing.with_login("index.docker.io", Login::Token("t".into()));
        assert!(explicit.find("docker.io", "a").unwrap().is_some());
        assert_eq!(explicit.find("h", "a").unwrap(), None);
        assert!(!format!("{explicit:?}").contains("\"t\""));
    }
}
