//! https on loopback, with certificates that are right or wrong in one way each.

use std::path::PathBuf;

use distro_fetch::Kind;
use distro_fetch::net::Proxies;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::http::{ALL, Bench, End, body, options};
use crate::server::{Server, Step, file, head, reply};

/// A certificate authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("the right one")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What a server needs that shows a certificate of ours.
    pub(crate) fn server(
        &self,
        hosts: &[&str],
        change: impl Fn(&mut CertificateParams),
    ) -> ServerConfig {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        config(certificate.der().clone(), &key)
    }

    /// The certificate, for those who are to trust it.
    #[cfg(feature = "cli")]
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Trusts us and nobody else.
    fn trust(&self, bench: &mut Bench) {
        bench.options.net.ca = Some(write(bench, self.0.pem().as_bytes()));
    }
}

fn config(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let provider = rustls::crypto::ring::default_provider();
    ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap()
}

fn write(bench: &Bench, pem: &[u8]) -> PathBuf {
    let path = bench.lab.path("ca.pem");
    std::fs::write(&path, pem).unwrap();
    path
}

/// A bench that trusts an authority, and a server with a good certificate of it.
fn good(
    handler: impl Fn(&crate::server::Seen, usize) -> Vec<Step> + Send + Sync + 'static,
) -> (Bench, Server, Authority) {
    let authority = Authority::new();
    let server = Server::with_tls(authority.server(&["127.0.0.1"], |_| {}), handler);
    let mut bench = Bench::new(options());
    authority.trust(&mut bench);
    (bench, server, authority)
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let (bench, server, _) = good(|seen, _| file(&body(), seen));
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("none", &outcome, End::Fetched);
    assert_eq!(server.connections(), 1);
}

#[test]
fn each_wrong_certificate_has_its_own_words_and_no_second_try() {
    let (ours, other) = (Authority::new(), Authority::named("another one"));
    let impostor = Authority::new();
    let own = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let self_signed = config(alone.self_signed(&own).unwrap().der().clone(), &own);
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2999, 1, 1);
        params.not_after = date_time_ymd(3000, 1, 1);
    };
    for (lie, config, words) in [
        (
            "another issuer",
            other.server(&["127.0.0.1"], |_| {}),
            "its issuer is not trusted",
        ),
        (
            "an issuer of the same name",
            impostor.server(&["127.0.0.1"], |_| {}),
            "it is not signed by the trusted issuer of that name",
        ),
        ("self-signed", self_signed, "its issuer is not trusted"),
        (
            "expired",
            ours.server(&["127.0.0.1"], expired),
            "it has expired",
        ),
        (
            "not valid yet",
            ours.server(&["127.0.0.1"], early),
            "it is not valid yet",
        ),
        (
            "another host",
            ours.server(&["other.example", "127.0.0.2"], |_| {}),
            "it belongs to another host",
        ),
    ] {
        let server = Server::with_tls(config, |seen, _| file(&body(), seen));
        let mut bench = Bench::new(options());
        ours.trust(&mut bench);
        let outcome = bench.fetch(&server.url_at("me:hunter2@127.0.0.1", "/x"));
        bench.judge(lie, &outcome, End::Fails(Kind::Network, words));
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains("the server's TLS certificate is not acceptable"),
            "{text}"
        );
        assert!(
            !text.contains("insecure") && !text.contains("hunter2"),
            "{text}"
        );
        assert_eq!(server.connections(), 1, "{lie}: it will be the same");
        assert_eq!(
            server.seen().len(),
            0,
            "{lie}: nobody without a name is asked"
        );
    }
}

#[test]
fn the_built_in_authorities_do_not_know_ours() {
    let (mut bench, server, _) = good(|seen, _| file(&body(), seen));
    bench.options.net.ca = None;
    let outcome = bench.fetch(&server.url("/x"));
    let end = End::Fails(Kind::Network, "its issuer is not trusted");
    bench.judge("another issuer", &outcome, end);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let plain = Server::with_file(body());
    let away = plain.url("/x");
    let (bench, server, _) = good(move |_, _| reply("302 Found", &[("Location", &away)], b""));
    let outcome = bench.fetch(&server.url("/x"));
    let end = End::Fails(Kind::Network, "a redirect from https to http is refused");
    bench.judge("downgrade", &outcome, end);
    assert_eq!((plain.connections(), server.seen().len()), (0, 1));
}

#[test]
fn a_password_stays_with_its_host() {
    let authority = Authority::new();
    let config = || authority.server(&["127.0.0.1"], |_| {});
    let elsewhere = Server::with_tls(config(), |seen, _| file(&body(), seen));
    let away = elsewhere.url("/x");
    let server = Server::with_tls(config(), move |_, _| {
        reply("307 Away", &[("Location", &away)], b"")
    });
    let mut bench = Bench::new(options());
    authority.trust(&mut bench);
    let outcome = bench.fetch(&server.url_at("me:hunter2@127.0.0.1", "/x"));
    bench.judge("none", &outcome, End::Fetched);
    assert!(server.seen()[0].header("authorization").is_some());
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
}

#[test]
fn a_ca_file_that_is_no_use_is_a_local_fault() {
    for (lie, pem, words) in [
        ("missing", None, "No such file"),
        ("empty", Some(b"".as_slice()), "it has no certificate in it"),
        (
            "text",
            Some(b"not a certificate\n"),
            "it has no certificate in it",
        ),
        (
            "cut",
            Some(b"-----BEGIN CERTIFICATE-----\nMIIB\n"),
            "ca.pem",
        ),
    ] {
        let (mut bench, server, _) = good(|seen, _| file(&body(), seen));
        let path = write(&bench, pem.unwrap_or_default());
        if pem.is_none() {
            std::fs::remove_file(&path).unwrap();
        }
        bench.options.net.ca = Some(path);
        let error = bench.fetch(&server.url("/x")).unwrap_err();
        assert_eq!(error.kind(), Kind::Local, "{lie}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("ca.pem") && text.contains(words),
            "{lie}: {text}"
        );
        assert_eq!(server.connections(), 0, "{lie}");
        assert_eq!(bench.lab.cached_files(), [""; 0], "{lie}");
    }
}

#[test]
fn what_is_cached_needs_no_ca_file() {
    let (mut bench, server, _) = good(|seen, _| file(&body(), seen));
    bench.fetch(&server.url("/x")).unwrap();
    bench.options.net.ca = Some(bench.lab.path("gone.pem"));
    assert!(bench.fetch(&server.url("/x")).unwrap().cached);
}

#[test]
fn cut_in_the_middle_without_a_goodbye_and_resumed() {
    let (bench, server, _) = good(|seen, nth| match nth {
        0 => {
            let headers = [("Content-Length", "100000"), ("ETag", "\"one\"")];
            vec![
                Step::Send(head("200 OK", &headers)),
                Step::Send(body()[..9].to_vec()),
            ]
        }
        _ => file(&body(), seen),
    });
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("cut", &outcome, End::Fetched);
    let seen = &server.seen()[1];
    assert_eq!(
        (seen.range_start(), seen.header("if-range")),
        (Some(9), Some("\"one\""))
    );
}

#[test]
fn all_bytes_and_no_goodbye() {
    // The server ends TLS without close_notify. The hash says that nothing is missing.
    let (mut bench, server, _) =
        good(|_, _| vec![Step::Send(head("200 OK", &[])), Step::Send(body())]);
    bench.options.retries = 0;
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("no close_notify", &outcome, End::Fetched);
}

#[test]
fn too_few_bytes_and_no_goodbye() {
    let (bench, server, _) = good(|_, _| {
        vec![
            Step::Send(head("200 OK", &[])),
            Step::Send(body()[..9].to_vec()),
        ]
    });
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge(
        "no close_notify",
        &outcome,
        End::Fails(Kind::Network, "9 bytes of 100000"),
    );
    assert_eq!(server.seen().len(), ALL);
}

#[test]
fn a_tunnel_through_a_proxy() {
    let authority = Authority::new();
    let config = authority.server(&["images.invalid"], |_| {});
    let server = Server::with_tls(config, |seen, _| file(&body(), seen));
    let port = server.port();
    let proxy = Server::start(move |_, _| {
        vec![
            Step::Send(b"HTTP/1.1 200 Connected\r\n\r\n".to_vec()),
            Step::Tunnel(port),
        ]
    });
    let mut bench = Bench::new(options());
    authority.trust(&mut bench);
    bench.options.net.proxies = Proxies {
        https: Some(proxy.url_at("me:hunter2@127.0.0.1", "")),
        ..Proxies::default()
    };
    let outcome = bench.fetch("https://images.invalid/x");
    bench.judge("none", &outcome, End::Fetched);
    let asked = &proxy.seen()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("CONNECT", "images.invalid:443")
    );
    assert_eq!(
        asked.header("proxy-authorization"),
        Some("Basic bWU6aHVudGVyMg==")
    );
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.target.as_str(), seen.header("proxy-authorization")),
        ("/x", None)
    );
}
