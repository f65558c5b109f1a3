//! Proxies: who goes through them, and what they do wrong.

use distro_fetch::Kind;
use distro_fetch::fetch::Options;
use distro_fetch::net::{NoProxy, Proxies};

use super::{Bench, End, body, options};
use crate::server::{Server, Step, reply};

/// A proxy that passes on every tunnel to a port of this machine.
fn proxy(port: u16) -> Server {
    Server::start(move |_, _| {
        vec![
            Step::Send(b"HTTP/1.1 200 Connected\r\n\r\n".to_vec()),
            Step::Tunnel(port),
        ]
    })
}

fn through(proxy: &str, except: &str) -> Options {
    let mut options = options();
    options.retries = 0;
    options.net.proxies = Proxies {
        http: Some(proxy.to_owned()),
        https: Some(proxy.to_owned()),
        except: NoProxy::parse(except),
    };
    options
}

#[test]
fn everything_goes_through_the_proxy() {
    let server = Server::with_file(body());
    let proxy = proxy(server.port());
    // A name that only the proxy can know: nobody looks it up here.
    let bench = Bench::new(through(&proxy.url_at("me:hunter2@127.0.0.1", ""), ""));
    let outcome = bench.fetch("http://images.invalid/x");
    bench.judge("none", &outcome, End::Fetched);
    let seen = &proxy.seen()[0];
    // ureq asks for a tunnel also where the target is plain http.
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("CONNECT", "images.invalid:80")
    );
    assert_eq!(server.seen()[0].header("host"), Some("images.invalid"));
    // base64 of `me:hunter2`
    assert_eq!(
        seen.header("proxy-authorization"),
        Some("Basic bWU6aHVudGVyMg==")
    );
    for seen in server.seen() {
        assert_eq!(
            seen.header("proxy-authorization"),
            None,
            "the server is not the proxy"
        );
    }
}

#[test]
fn exceptions_go_straight() {
    for except in ["*", "127.0.0.1", "127.0.0.0/8", "a.example, 127.0.0.1"] {
        let server = Server::with_file(body());
        let proxy = proxy(server.port());
        let bench = Bench::new(through(&proxy.url(""), except));
        let outcome = bench.fetch(&server.url("/x"));
        bench.judge(except, &outcome, End::Fetched);
        assert_eq!(
            (proxy.connections(), server.connections()),
            (0, 1),
            "{except}"
        );
    }
    for except in ["", "127.0.0.2", "10.0.0.0/8", "example"] {
        let server = Server::with_file(body());
        let proxy = proxy(server.port());
        let bench = Bench::new(through(&proxy.url(""), except));
        let outcome = bench.fetch(&server.url("/x"));
        bench.judge(except, &outcome, End::Fetched);
        assert_eq!(proxy.connections(), 1, "{except}");
    }
}

#[test]
fn a_proxy_that_refuses() {
    for (status, scheme, requests, words) in [
        (
            "407 Proxy Authentication Required",
            "http",
            1,
            "HTTP 407, it wants a user and password",
        ),
        (
            "407 Proxy Authentication Required",
            "https",
            1,
            "HTTP 407, it wants a user and password",
        ),
        ("403 Forbidden", "https", 1, "HTTP 403"),
        ("502 Bad Gateway", "https", 2, "HTTP 502"),
        ("503 Service Unavailable", "http", 2, "HTTP 503"),
    ] {
        let proxy =
            Server::start(move |_, _| reply(status, &[("Proxy-Authenticate", "Basic")], b""));
        let mut bench = Bench::new(through(&proxy.url_at("me:hunter2@127.0.0.1", ""), ""));
        bench.options.retries = 1;
        let outcome = bench.fetch(&format!("{scheme}://images.invalid/x"));
        let words = format!("the proxy refuses the connection: {words}");
        bench.judge(status, &outcome, End::Fails(Kind::Network, &words));
        assert_eq!(proxy.connections(), requests, "{status}");
        let text = outcome.unwrap_err().to_string();
        let told = bench.watch.told.lock().unwrap().join("\n");
        for text in [text, told] {
            assert!(
                !text.contains("hunter2") && !text.contains("bWU6"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_proxy_that_is_not_there_or_not_an_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let bench = Bench::new(through(&format!("http://me:hunter2@127.0.0.1:{port}"), ""));
    let outcome = bench.fetch("http://images.invalid/x");
    bench.judge(
        "closed",
        &outcome,
        End::Fails(Kind::Network, "connection refused"),
    );
    assert!(!outcome.unwrap_err().to_string().contains("hunter2"));

    let bench = Bench::new(through("gopher://me:hunter2@127.0.0.1", ""));
    let error = bench.fetch("http://images.invalid/x").unwrap_err();
    assert_eq!(error.kind(), Kind::Local, "{error}");
    assert!(
        error.to_string().contains("proxy") && !error.to_string().contains("hunter2"),
        "{error}"
    );
}
