//! Passwords are for the server alone; and hosts of every kind.

use distro_fetch::Kind;

use super::{Bench, End, body, options};
use crate::server::{Server, Step, reply};

#[test]
fn no_text_has_the_password_in_it() {
    let answers: [fn() -> Vec<Step>; 5] = [
        || reply("401 Unauthorized", &[], b""),
        || reply("500 Oops", &[], b""),
        || reply("200 OK", &[], b"short"),
        || reply("302 Found", &[("Location", "ftp://me:hunter2@h/")], b""),
        || reply("302 Found", &[("Location", "http://me:hunter2@h:x/")], b""),
    ];
    for answer in answers {
        let server = Server::start(move |_, _| answer());
        let bench = Bench::new(options());
        let error = bench
            .fetch(&server.url_at("me:hunter2@127.0.0.1", "/x"))
            .unwrap_err();
        assert!(server.seen()[0].header("authorization").is_some());
        let told = bench.watch.told.lock().unwrap().join("\n");
        for text in [error.to_string(), format!("{error:?}"), told] {
            assert!(
                text.contains("127.0.0.1") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}

#[test]
fn no_file_of_the_cache_has_the_password_in_it() {
    let server = Server::with_file(body());
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url_at("me:hunter2@127.0.0.1", "/x"));
    bench.judge("none", &outcome, End::Fetched);
    for name in bench.lab.cached_files() {
        let text = std::fs::read(bench.lab.cache().join(&name)).unwrap();
        assert!(
            !String::from_utf8_lossy(&text).contains("hunter2"),
            "{name}"
        );
    }
}

#[test]
fn an_ipv6_address() {
    let Ok(probe) = std::net::TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    drop(probe);
    let server = Server::bind("[::1]:0", |seen, _| crate::server::file(&body(), seen));
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url_at("[::1]", "/x"));
    bench.judge("none", &outcome, End::Fetched);
    let host = format!("[::1]:{}", server.port());
    assert_eq!(server.seen()[0].header("host"), Some(host.as_str()));
}

#[test]
fn a_name_whose_first_address_is_dead() {
    // Where `localhost` is ::1 first, nobody listens there; where it is not, this is plain.
    let server = Server::with_file(body());
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url_at("localhost", "/x"));
    bench.judge("AAAA dead, A alive", &outcome, End::Fetched);
}

#[test]
fn a_name_that_does_not_exist_and_a_port_that_is_closed() {
    let bench = Bench::new(options());
    let outcome = bench.fetch("http://nowhere.invalid/x");
    let end = End::Fails(Kind::Network, "the host name cannot be resolved");
    bench.judge("no such host", &outcome, end);
    assert!(bench.watch.pauses.lock().unwrap().is_empty(), "asked once");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let outcome = bench.fetch(&format!("http://127.0.0.1:{port}/x"));
    bench.judge(
        "closed",
        &outcome,
        End::Fails(Kind::Network, "connection refused"),
    );
}
