//! Bodies that are too short, too long, endless, or something else.

use std::time::Duration;

use distro_fetch::Kind;
use distro_fetch::fetch::Request;

use super::{ALL, Bench, End, body, check, options};
use crate::harness::sha256;
use crate::server::{Server, Step, head, reply};

#[test]
fn an_honest_server() {
    check("none", 1, End::Fetched, |_, _| {
        reply("200 OK", &[], &body())
    });
}

#[test]
fn one_bit_is_wrong() {
    let mut wrong = body();
    wrong[77_777] ^= 1;
    let digest = sha256(&wrong).to_string();
    let end = End::Fails(Kind::Integrity, &digest);
    check("one bit is flipped", 1, end, move |_, _| {
        reply("200 OK", &[], &wrong)
    });
}

#[test]
fn a_mismatch_gives_both_digests_and_keeps_nothing() {
    let wrong = vec![7; body().len()];
    let (digest, server) = (sha256(&wrong).to_string(), Server::with_file(wrong));
    let bench = Bench::new(options());
    let error = bench.fetch(&server.url("/x")).unwrap_err();
    let digests = error.digests().unwrap();
    assert_eq!(
        (&digests.expected, &digests.actual),
        (&sha256(&body()).to_string(), &digest)
    );
    assert!(error.to_string().contains(&server.url("/x")), "{error}");
    assert_eq!(bench.lab.cached_files(), [""; 0]);
}

#[test]
fn a_content_length_that_is_not_the_pinned_size_fails_before_the_body() {
    for (lie, length, words) in [
        ("shorter than the pin", 99_999, "99999 bytes"),
        ("longer than the pin", 100_001, "100001 bytes"),
        ("empty", 0, "0 bytes"),
        ("absurdly long", u64::MAX, "18446744073709551615 bytes"),
    ] {
        // The body never comes: whoever waits for it does not get this verdict.
        let end = End::Fails(Kind::Integrity, words);
        check(lie, 1, end, move |_, _| {
            let head = head("200 OK", &[("Content-Length", &length.to_string())]);
            vec![Step::Send(head), Step::Stall]
        });
    }
}

#[test]
fn endless_data_stops_one_byte_past_the_pin() {
    let chunk = || [b"10000\r\n".as_slice(), &vec![b'x'; 0x1_0000][..], b"\r\n"].concat();
    for (lie, headers) in [
        (
            "endless chunked",
            [("Transfer-Encoding", "chunked")].as_slice(),
        ),
        ("endless until it closes", &[]),
    ] {
        let end = End::Fails(Kind::Integrity, "more than 100000 bytes");
        check(lie, 1, end, move |_, _| {
            vec![
                Step::Send(head("200 OK", headers)),
                Step::Repeat(chunk(), Duration::ZERO),
            ]
        });
    }
}

#[test]
fn chunks_of_the_right_bytes_are_fine() {
    check("none: chunked", 1, End::Fetched, |_, _| {
        let mut steps = vec![Step::Send(head(
            "200 OK",
            &[("Transfer-Encoding", "chunked")],
        ))];
        for part in body().chunks(7000) {
            let size = format!("{:x}\r\n", part.len());
            steps.push(Step::Send([size.as_bytes(), part, b"\r\n"].concat()));
        }
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    });
    check("none: until it closes", 1, End::Fetched, |_, _| {
        vec![Step::Send(head("200 OK", &[])), Step::Send(body())]
    });
}

#[test]
fn a_line_that_breaks_after_the_last_byte_takes_nothing_away() {
    let server = Server::start(|_, _| {
        let head = head("200 OK", &[("Transfer-Encoding", "chunked")]);
        vec![
            Step::Send([head, b"186a0\r\n".to_vec(), body(), b"\r\n".to_vec()].concat()),
            Step::Reset,
        ]
    });
    let bench = Bench::new(options());
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("no last chunk", &outcome, End::Fetched);
    assert!(
        bench.watch.pauses.lock().unwrap().is_empty(),
        "nothing to try again"
    );
}

#[test]
fn a_body_that_ends_early_is_broken_and_not_wrong() {
    // Nothing new comes with a second request either: 200 and the same half.
    let half = || body()[..50_000].to_vec();
    let end = End::Fails(Kind::Network, "50000 bytes");
    check(
        "a Content-Length that is not kept",
        ALL,
        end,
        move |_, _| {
            vec![
                Step::Send(head("200 OK", &[("Content-Length", "100000")])),
                Step::Send(half()),
            ]
        },
    );
    check("closed early, without a length", ALL, end, move |_, _| {
        vec![Step::Send(head("200 OK", &[])), Step::Send(half())]
    });
    check("chunked without its last chunk", ALL, end, move |_, _| {
        let head = head("200 OK", &[("Transfer-Encoding", "chunked")]);
        vec![Step::Send(
            [head, b"c350\r\n".to_vec(), half(), b"\r\n".to_vec()].concat(),
        )]
    });
}

#[test]
fn a_content_encoding_is_never_undone() {
    let gzip = ("Content-Encoding", "gzip");
    check("the header alone", 1, End::Fetched, move |_, _| {
        reply("200 OK", &[gzip], &body())
    });
    let end = End::Fails(Kind::Integrity, "Content-Encoding: gzip");
    check("really encoded", 1, end, move |_, _| {
        reply("200 OK", &[gzip], b"\x1f\x8b\x08 smaller")
    });
    check("really encoded, the same size", 1, end, move |_, _| {
        reply("200 OK", &[gzip], &vec![0x1f; 100_000])
    });
}

#[test]
fn an_error_page_with_status_200_is_no_wrong_image() {
    let html = ("Content-Type", "text/html; charset=utf-8");
    let page = b"<html>please log in</html>";
    let end = End::Fails(Kind::Network, "an error page, not the image: ");
    check("a login page", 1, end, move |_, _| {
        reply("200 OK", &[html], page)
    });
    check("a login page without a length", 1, end, move |_, _| {
        vec![
            Step::Send(head("200 OK", &[html])),
            Step::Send(vec![b' '; 100_001]),
        ]
    });
}

#[test]
fn http_that_is_none() {
    for (lie, requests, bytes) in [
        ("not HTTP at all", ALL, b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("nothing", ALL, Vec::new()),
        ("half a status line", ALL, b"HTTP/1.1 20".to_vec()),
        (
            "two lengths",
            ALL,
            head(
                "200 OK",
                &[("Content-Length", "1"), ("Content-Length", "2")],
            ),
        ),
        (
            "20,000 headers",
            ALL,
            head("200 OK", &vec![("X", "y"); 20_000]),
        ),
    ] {
        let end = End::Fails(Kind::Network, "broken: ");
        check(lie, requests, end, move |_, _| {
            vec![Step::Send(bytes.clone())]
        });
    }
}

#[test]
fn bytes_of_unknown_size_are_bounded() {
    let fetch = |handler: fn() -> Vec<Step>| {
        let server = Server::start(move |_, _| handler());
        let bench = Bench::new(options());
        let url = server.url("/x").parse().unwrap();
        let outcome = bench.ensure(&Request::by_hash(&url, sha256(&body()), None));
        let told = bench.watch.told.lock().unwrap().join("\n");
        (
            outcome.map(|outcome| outcome.entry.record().stamp.size),
            told,
        )
    };
    let (size, told) = fetch(|| reply("200 OK", &[], &body()));
    assert_eq!(size.unwrap(), 100_000);
    assert!(
        told.contains("received: 100000, total: Some(100000)"),
        "the length is the total"
    );

    let (size, _) = fetch(|| vec![Step::Send(head("200 OK", &[])), Step::Send(body())]);
    assert_eq!(size.unwrap(), 100_000);

    let (error, _) = fetch(|| {
        vec![
            Step::Send(head("200 OK", &[("Content-Length", "200001")])),
            Step::Stall,
        ]
    });
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("at most 200000 bytes"),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Integrity);

    let (error, _) = fetch(|| {
        vec![
            Step::Send(head("200 OK", &[])),
            Step::Repeat(vec![0; 8192], Duration::ZERO),
        ]
    });
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("more than 200000 bytes"),
        "{error}"
    );

    let (error, _) = fetch(|| {
        vec![
            Step::Send(head("200 OK", &[("Content-Length", "100000")])),
            Step::Send(body()[..9].to_vec()),
        ]
    });
    assert_eq!(
        error.unwrap_err().kind(),
        Kind::Network,
        "cut short, and the length says so"
    );
}
