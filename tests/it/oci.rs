//! What registries do, and what those do that lie: tokens, digests, redirects, sizes.

use distro_fetch::Kind;
use distro_fetch::fetch::Verdict;
use distro_fetch::net::{Client, Config};
use distro_fetch::oci::{Manifest, Reference, Registry, Repository};

use crate::harness::sha256;
use crate::server::{Seen, Server, Step, reply};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn document() -> Vec<u8> {
    let text = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    text.to_string().into_bytes()
}

fn manifest() -> Vec<Step> {
    reply("200 OK", &[("Content-Type", INDEX)], &document())
}

fn unauthorized(challenge: &str) -> Vec<Step> {
    reply(
        "401 Unauthorized",
        &[("WWW-Authenticate", challenge)],
        b"{}",
    )
}

fn repository(server: &Server) -> Repository {
    let host = format!("127.0.0.1:{}", server.port());
    format!("{host}/library/alpine").parse().unwrap()
}

fn pull(server: &Server, reference: &str) -> Result<Manifest, Verdict> {
    let client = Client::new(Config::default());
    let reference: Reference = reference.parse().unwrap();
    Registry::new(&client).manifest(&repository(server), &reference)
}

fn pinned() -> String {
    format!("sha256:{}", sha256(&document()))
}

/// A registry that wants a token from this realm, and takes this one.
fn guarded(realm: String, token: &'static str) -> Server {
    Server::start(move |seen, _| {
        if seen.header("authorization") == Some(&format!("Bearer {token}")) {
            return manifest();
        }
        unauthorized(&format!(
            r#"Bearer realm="{realm}",service="registry.test",scope="repository:library/alpine:pull""#
        ))
    })
}

fn realm(body: &'static str) -> Server {
    Server::start(move |_, _| reply("200 OK", &[], body.as_bytes()))
}

#[test]
fn a_manifest_by_tag_and_by_digest() {
    let server = Server::start(|_, _| manifest());
    for reference in ["3.21", &pinned()] {
        let found = pull(&server, reference).unwrap();
        assert_eq!(found.bytes, document());
        assert_eq!(found.digest, sha256(&document()));
        assert_eq!(
            (found.media_type.as_str(), found.size),
            (INDEX, document().len() as u64)
        );
    }
    let seen = server.seen();
    assert_eq!(seen[0].target, "/v2/library/alpine/manifests/3.21");
    assert_eq!(
        seen[1].target,
        format!("/v2/library/alpine/manifests/{}", pinned())
    );
    let accept = seen[0].header("accept").unwrap();
    assert_eq!(accept.split(", ").count(), 4, "{accept}");
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

#[test]
fn a_token_from_another_host_is_for_the_registry() {
    for body in [
        r#"{"token": "t0ken"}"#,
        r#"{"access_token": "t0ken", "expires_in": 300}"#,
    ] {
        let realm = realm(body);
        let server = guarded(realm.url("/token"), "t0ken");
        let client = Client::new(Config::default());
        let registry = Registry::new(&client);
        for _ in 0..2 {
            let found = registry.manifest(&repository(&server), &"3.21".parse().unwrap());
            assert_eq!(found.unwrap().digest, sha256(&document()));
        }
        let asked = realm.seen();
        assert_eq!(asked.len(), 1, "one token is enough");
        assert_eq!(
            asked[0].target,
            "/token?service=registry.test&scope=repository:library/alpine:pull"
        );
        assert_eq!(asked[0].header("authorization"), None);
        assert_eq!(server.seen().len(), 3, "401, and two that go");
    }
}

#[test]
fn realms_that_give_no_token() {
    for (lie, body) in [
        ("not JSON", "<html>"),
        ("nothing in it", "{}"),
        ("no text", r#"{"token": 1}"#),
        ("a header of its own", "{\"token\": \"a\\r\\nX: y\"}"),
        ("empty", r#"{"token": ""}"#),
    ] {
        let realm = realm(body);
        let server = guarded(realm.url("/token"), "t0ken");
        let verdict = pull(&server, "3.21").unwrap_err();
        assert!(verdict.to_string().contains("no token"), "{lie}: {verdict}");
        assert_eq!(verdict.kind(), Kind::Network, "{lie}");
        assert_eq!(server.seen().len(), 1, "{lie}");
    }
    for (lie, steps) in [
        ("gone", reply("404 Not Found", &[], b"")),
        (
            "too much",
            reply("200 OK", &[], &vec![b' '; (64 << 10) + 1]),
        ),
        ("refused", reply("403 Forbidden", &[], b"")),
    ] {
        let realm = Server::start(move |_, _| steps.clone());
        let server = guarded(realm.url("/token"), "t0ken");
        let verdict = pull(&server, "3.21").unwrap_err();
        assert_eq!(verdict.kind(), Kind::Network, "{lie}: {verdict}");
    }
    for address in [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ftp://h/",
    ] {
        let server = guarded(address.to_owned(), "t0ken");
        let verdict = pull(&server, "3.21").unwrap_err();
        assert!(verdict.to_string().contains("the realm"), "{verdict}");
    }
    // A token that does not help is asked for once.
    let realm = realm(r#"{"token": "other"}"#);
    let server = guarded(realm.url("/token"), "t0ken");
    assert_eq!(pull(&server, "3.21").unwrap_err(), Verdict::Refused(401));
    assert_eq!((server.seen().len(), realm.seen().len()), (2, 1));
}

#[test]
fn a_token_does_not_follow_a_redirect() {
    let elsewhere = Server::start(|_, _| manifest());
    let target = elsewhere.url("/blob");
    let realm = realm(r#"{"token": "t0ken"}"#);
    let address = realm.url("/token");
    let server = Server::start(move |seen: &Seen, _| match seen.header("authorization") {
        Some("Bearer t0ken") => reply("307 Temporary", &[("Location", &target)], b""),
        _ => unauthorized(&format!(r#"Bearer realm="{address}""#)),
    });
    assert!(pull(&server, &pinned()).is_ok());
    assert_eq!(elsewhere.seen().len(), 1);
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
}

#[test]
fn bytes_are_what_was_asked_for() {
    let digest_of = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
    let announced = digest_of(b"something else");
    let by_digest = pinned();
    let good = document();
    let both = format!(r#"{{"mediaType": "{INDEX}"}}"#);
    let other = "application/vnd.oci.image.manifest.v1+json";
    let long = vec![b' '; (4 << 20) + 1];
    for (lie, reference, headers, body, expect) in [
        (
            "other bytes",
            &*by_digest,
            vec![("Content-Type", INDEX)],
            &b"{}"[..],
            Err("is pinned"),
        ),
        // For a digest that was asked for, nothing else is asked.
        (
            "a false header",
            &by_digest,
            vec![
                ("Content-Type", INDEX),
                ("Docker-Content-Digest", &announced),
            ],
            &good,
            Ok(()),
        ),
        (
            "a false header",
            "3.21",
            vec![
                ("Content-Type", INDEX),
                ("Docker-Content-Digest", &announced),
            ],
            &good,
            Err("announced as"),
        ),
        (
            "two types",
            "3.21",
            vec![("Content-Type", other)],
            both.as_bytes(),
            Err("sent as"),
        ),
        (
            "a page",
            "3.21",
            vec![("Content-Type", "text/html")],
            &b"<html>"[..],
            Err("error page"),
        ),
        ("no type", "3.21", vec![], &b"{}"[..], Err("nobody says")),
        (
            "too long",
            "3.21",
            vec![("Content-Type", INDEX)],
            &long,
            Err("more than"),
        ),
    ] {
        let headers: Vec<(String, String)> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = body.to_vec();
        let server = Server::start(move |_, _| {
            let headers: Vec<_> = headers
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            reply("200 OK", &headers, &body)
        });
        match (pull(&server, reference), expect) {
            (Ok(_), Ok(())) => {}
            (Err(verdict), Err(words)) => {
                assert!(verdict.to_string().contains(words), "{lie}: {verdict}");
            }
            (got, _) => panic!("{lie}: {got:?}"),
        }
    }
}

#[test]
fn statuses_are_told_apart() {
    for (status, expect) in [
        ("404 Not Found", Kind::Gone),
        ("403 Forbidden", Kind::Network),
        ("401 Unauthorized", Kind::Network),
        ("503 Busy", Kind::Network),
        ("206 Partial Content", Kind::Network),
    ] {
        let server = Server::start(move |_, _| reply(status, &[], b"{}"));
        assert_eq!(
            pull(&server, "3.21").unwrap_err().kind(),
            expect,
            "{status}"
        );
    }
}
