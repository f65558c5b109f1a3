//! The client: one request after the other, redirects included.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ureq::Agent;
use ureq::http::{HeaderMap, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Config, ContentRange, Failure, Response, RetryAfter, authorization, local};
use crate::base::{Scheme, Url};
use crate::io::PacedReader;

/// Which part of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Offset of the first byte that is wanted.
    pub start: u64,
    /// Offset of the last one; without it, everything up to the end. A server may send more.
    pub end: Option<u64>,
    /// The validator of the bytes that are kept: a server whose file has changed since sends all
    /// of it.
    pub if_range: Option<String>,
}

/// What goes with a request besides its address.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Which part of the file.
    pub range: Option<&'a Range>,
    /// Which media types are welcome.
    pub accept: Option<&'a str>,
    /// A bearer token (RFC 6750). Like a password, it is for the host of the address alone: a
    /// redirect to another one goes without it.
    pub bearer: Option<&'a str>,
    /// `user:password`, where the address brings none and there is no token. The same goes for it.
    pub login: Option<&'a str>,
}

/// Asks servers and files for bytes. Cheap to make: the TLS settings, connections and so on come
/// with the first request.
#[derive(Debug)]
pub struct Client {
    config: Config,
    /// One agent per proxy; the empty name is no proxy.
    agents: Mutex<BTreeMap<String, Agent>>,
}

impl Client {
    /// A client with these settings.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            agents: Mutex::default(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks for a file, or for what of it comes after an offset.
    ///
    /// # Errors
    /// A [`Failure`] if there is no response: not for a response with an unwelcome status.
    pub fn get(&self, url: &Url, range: Option<&Range>) -> Result<Response, Failure> {
        self.get_with(
            url,
            Headers {
                range,
                ..Headers::default()
            },
        )
    }

    /// Asks for a file, and says more about what is wanted and who asks.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub fn get_with(&self, url: &Url, headers: Headers<'_>) -> Result<Response, Failure> {
        let bearer = headers.bearer.map(|token| format!("Bearer {token}"));
        let login = || {
            headers
                .login
                .map(|it| authorization::basic_of(it.as_bytes()))
        };
        let authorization = bearer.or_else(|| authorization::basic(url)).or_else(login);
        let mut target = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            if target.scheme() == Scheme::File {
                return local::open(&target, headers.range);
            }
            // A password belongs to one host. Whoever is redirected to is somebody else.
            let same_host =
                target.scheme() == url.scheme() && target.authority() == url.authority();
            let response = self.ask(
                &target,
                headers,
                authorization.as_deref().filter(|_| same_host),
            )?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(self.response(target, response));
            }
            target = follow(&target, response.headers())?;
        }
        Err(Failure::pointless(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    /// Sends a form, as a token is asked for (RFC 6749, section 6). What is in it is secret: no
    /// redirect is followed, but given back like any other status.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub fn post_form(&self, url: &Url, form: &str) -> Result<Response, Failure> {
        let agent = self.agent(self.config.proxies.of(url).unwrap_or_default())?;
        let response = agent
            .post(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .send(form)
            .map_err(|error| Failure::of(error, &self.config.timeouts))?;
        Ok(self.response(url.clone(), response))
    }

    fn response(&self, url: Url, response: ureq::http::Response<ureq::Body>) -> Response {
        let (parts, body) = response.into_parts();
        let body = body.into_with_config().limit(u64::MAX).reader();
        let body = PacedReader::new(body, self.config.floor);
        read_headers(parts.status.as_u16(), url, &parts.headers, Box::new(body))
    }

    fn ask(
        &self,
        url: &Url,
        headers: Headers<'_>,
        authorization: Option<&str>,
    ) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let agent = self.agent(self.config.proxies.of(url).unwrap_or_default())?;
        let mut request = agent.get(url.as_str());
        if let Some(Range {
            start,
            end,
            if_range,
        }) = headers.range
        {
            let end = end.map_or_else(String::new, |end| end.to_string());
            request = request.header(header::RANGE, format!("bytes={start}-{end}"));
            if let Some(validator) = if_range {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        if let Some(value) = headers.accept {
            request = request.header(header::ACCEPT, value);
        }
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request
            .call()
            .map_err(|error| Failure::of(error, &self.config.timeouts))
    }

    fn agent(&self, proxy: &str) -> Result<Agent, Failure> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(proxy) {
            return Ok(agent.clone());
        }
        let timeouts = &self.config.timeouts;
        let through = (!proxy.is_empty())
            .then(|| ureq::Proxy::new(proxy))
            .transpose()
            .map_err(|error| Failure::of(error, timeouts))?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("distro-fetch/", env!("CARGO_PKG_VERSION")))
            // The bytes are hashed as they come: nothing may re-encode them.
            .accept_encoding("identity")
            .input_buffer_size(INPUT)
            .proxy(through)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.first_byte))
            .timeout_per_read(Some(timeouts.inactivity))
            .timeout_per_write(Some(timeouts.inactivity));
        if let Some(path) = &self.config.ca {
            let roots = read_roots(path).map_err(Failure::ours)?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent: Agent = config.build().into();
        agents.insert(proxy.to_owned(), agent.clone());
        Ok(agent)
    }
}

fn follow(from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let location = text(headers, header::LOCATION)
        .ok_or_else(|| Failure::pointless("a redirect without a Location"))?;
    let to = from.join(&location).map_err(|error| {
        Failure::pointless(format!(
            "a redirect that cannot be followed: {}",
            error.message()
        ))
    })?;
    if from.scheme() == Scheme::Https && to.scheme() != Scheme::Https {
        return Err(Failure::pointless(format!(
            "a redirect from https to http is refused: {to}"
        )));
    }
    Ok(to)
}

fn read_headers(
    status: u16,
    url: Url,
    headers: &HeaderMap,
    body: Box<dyn std::io::Read + Send>,
) -> Response {
    let strong_etag = text(headers, header::ETAG).filter(|etag| etag.starts_with('"'));
    Response {
        status,
        url,
        length: text(headers, header::CONTENT_LENGTH).and_then(|text| text.trim().parse().ok()),
        range: text(headers, header::CONTENT_RANGE).and_then(|text| ContentRange::parse(&text)),
        validator: strong_etag.or_else(|| text(headers, header::LAST_MODIFIED)),
        content_type: text(headers, header::CONTENT_TYPE).map(|text| {
            let bare = text.split(';').next().unwrap_or_default();
            bare.trim().to_ascii_lowercase()
        }),
        encoding: text(headers, header::CONTENT_ENCODING)
            .map(|text| text.trim().to_ascii_lowercase())
            .filter(|encoding| !encoding.is_empty() && encoding != "identity"),
        retry_after: text(headers, header::RETRY_AFTER).and_then(|text| RetryAfter::parse(&text)),
        challenges: headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
            .collect(),
        content_digest: text(headers, DOCKER_CONTENT_DIGEST),
        body,
    }
}

/// What a registry says that the digest of a manifest is (OCI distribution specification).
const DOCKER_CONTENT_DIGEST: header::HeaderName =
    header::HeaderName::from_static("docker-content-digest");

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn read_roots(path: &Path) -> Result<RootCerts, String> {
    let bad = |why: &dyn std::fmt::Display| format!("the CA file {}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| bad(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(bad(&"it has no certificate in it"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// What is read from a connection at once: a large one means fewer wake-ups on a fast line.
const INPUT: usize = 256 << 10;

/// As many as curl and browsers follow at least; more is a loop.
const MAX_REDIRECTS: usize = 10;
