//! Redirects: where to, how often, and who learns the password.

use distro_fetch::Kind;

use super::{Bench, End, body, check, options};
use crate::server::{Seen, Server, Step, file, reply};

fn to(location: &str) -> Vec<Step> {
    reply(
        "302 Found",
        &[("Location", location)],
        b"<html>moved</html>",
    )
}

#[test]
fn followed_as_rfc_3986_says() {
    for (location, expect) in [
        ("/other", "/other"),
        ("other", "/a/other"),
        ("../other?q=1#frag", "/other?q=1"),
        ("./", "/a/"),
        ("?q", "/a/b?q"),
        ("//HOST/other", "/other"),
        ("http://HOST/other", "/other"),
    ] {
        let server = Server::start(move |seen, nth| match nth {
            0 => to(&location.replace("HOST", seen.header("host").unwrap())),
            _ => file(&body(), seen),
        });
        let bench = Bench::new(options());
        let outcome = bench.fetch(&server.url("/a/b"));
        bench.judge(location, &outcome, End::Fetched);
        let targets: Vec<_> = server.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(targets, ["/a/b", expect], "{location}");
    }
}

#[test]
fn every_status_of_a_redirect() {
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        check(status, 2, End::Fetched, move |seen, nth| match nth {
            0 => reply(status, &[("Location", "/x")], b""),
            _ => file(&body(), seen),
        });
    }
}

#[test]
fn refused_without_a_second_try() {
    for (lie, location, words) in [
        ("a local file", "file:///etc/passwd", "cannot be followed"),
        (
            "another protocol",
            "ftp://127.0.0.1/x",
            "cannot be followed",
        ),
        ("no address", "http://", "cannot be followed"),
        ("empty", "", "cannot be followed"),
    ] {
        check(lie, 1, End::Fails(Kind::Network, words), move |_, _| {
            to(location)
        });
    }
    let end = End::Fails(Kind::Network, "a redirect without a Location");
    check("nowhere", 1, end, |_, _| reply("302 Found", &[], b""));
}

#[test]
fn ten_hops_and_not_eleven() {
    let hops = |last: usize| {
        move |seen: &Seen, nth: usize| {
            if nth < last {
                to(&format!("/{nth}"))
            } else {
                file(&body(), seen)
            }
        }
    };
    check("ten hops", 11, End::Fetched, hops(10));
    let end = End::Fails(Kind::Network, "more than 10 redirects");
    check("eleven hops", 11, end, hops(11));
    check("a loop", 11, end, |seen, _| to(&seen.target));
}

#[test]
fn a_range_goes_along() {
    let seen = check("none", 3, End::Fetched, |seen, nth| match nth {
        0 => {
            let headers = [("Content-Length", "100000"), ("ETag", "\"one\"")];
            let head = crate::server::head("200 OK", &headers);
            vec![Step::Send(head), Step::Send(body()[..9].to_vec())]
        }
        1 => to("/elsewhere"),
        _ => file(&body(), seen),
    });
    assert_eq!(
        (seen[2].range_start(), seen[2].header("if-range")),
        (Some(9), Some("\"one\""))
    );
}

#[test]
fn a_password_stays_with_its_host() {
    let elsewhere = Server::with_file(body());
    let away = elsewhere.url("/x");
    let server = Server::start(move |seen, _| match seen.target.as_str() {
        "/a/x" => to("/b/x"),
        _ => to(&away),
    });
    let mut options = options();
    options.mirrors = vec![server.url_at("me:pa%40ss@127.0.0.1", "/a").parse().unwrap()];
    options.mirrors_only = true;
    let bench = Bench::new(options);
    let outcome = bench.fetch("https://upstream.invalid/x");
    bench.judge("a redirect to another host", &outcome, End::Fetched);
    // base64 of `me:pa@ss`
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|it| it.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(
        sent,
        [
            Some("Basic bWU6cGFAc3M=".to_owned()),
            Some("Basic bWU6cGFAc3M=".to_owned())
        ]
    );
    let there = &elsewhere.seen()[0];
    for name in [
        "authorization",
        "cookie",
        "private-token",
        "referer",
        "proxy-authorization",
    ] {
        assert_eq!(there.header(name), None, "{name}");
    }
}

#[test]
fn a_password_in_a_location_is_not_ours_to_send() {
    let elsewhere = Server::with_file(body());
    let away = elsewhere.url_at("you:theirs@127.0.0.1", "/x");
    let server = Server::start(move |_, _| to(&away));
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("a Location with a password", &outcome, End::Fetched);
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
}
