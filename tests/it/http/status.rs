//! Statuses, and who is asked again.

use std::time::Duration;

use distro_fetch::Kind;
use distro_fetch::event::What;

use super::{ALL, Bench, End, body, check, options};
use crate::server::{Server, file, reply};

#[test]
fn each_status_has_its_verdict() {
    for (status, requests, kind, words) in [
        ("404 Not Found", 1, Kind::Gone, "gone: HTTP 404"),
        ("410 Gone", 1, Kind::Gone, "gone: HTTP 410"),
        ("401 Unauthorized", 1, Kind::Network, "refused: HTTP 401"),
        ("403 Forbidden", 1, Kind::Network, "refused: HTTP 403"),
        (
            "451 Unavailable For Legal Reasons",
            1,
            Kind::Network,
            "refused: HTTP 451",
        ),
        ("204 No Content", 1, Kind::Network, "refused: HTTP 204"),
        (
            "408 Request Timeout",
            ALL,
            Kind::Network,
            "broken: HTTP 408",
        ),
        (
            "429 Too Many Requests",
            ALL,
            Kind::Network,
            "busy: HTTP 429",
        ),
        (
            "500 Internal Server Error",
            ALL,
            Kind::Network,
            "broken: HTTP 500",
        ),
        ("502 Bad Gateway", ALL, Kind::Network, "broken: HTTP 502"),
        (
            "503 Service Unavailable",
            ALL,
            Kind::Network,
            "busy: HTTP 503",
        ),
        ("206 Partial Content", 1, Kind::Network, "HTTP 206"),
        ("416 Range Not Satisfiable", 1, Kind::Network, "HTTP 416"),
    ] {
        let end = End::Fails(kind, words);
        let seen = check(status, requests, end, move |_, _| reply(status, &[], b""));
        // Not even after an error may a first request have been for a part.
        assert!(
            seen.iter().all(|seen| seen.header("range").is_none()),
            "{status}"
        );
    }
}

#[test]
fn busy_or_broken_once_is_no_failure() {
    for status in [
        "429 Too Many Requests",
        "500 Oops",
        "502 Bad Gateway",
        "503 Busy",
    ] {
        let retry = ("Retry-After", "0");
        check(status, 2, End::Fetched, move |seen, nth| match nth {
            0 => reply(status, &[retry], b"<html>later</html>"),
            _ => file(&body(), seen),
        });
    }
}

#[test]
fn retry_after_is_honoured_and_capped() {
    // The observer hears of the pause before it begins, and cancels: nobody waits here.
    for (header, expect) in [
        ("2", Some(2)),
        ("60", Some(60)),
        ("999999", Some(60)),
        ("99999999999999999999999999", Some(60)),
        ("Fri, 31 Dec 2999 23:59:59 GMT", Some(60)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("soon", None),
    ] {
        let server = Server::start(move |_, _| reply("503 Busy", &[("Retry-After", header)], b""));
        let mut bench = Bench::new(options());
        bench.watch.cancel = Some(|what| matches!(what, What::Retry { .. }));
        let error = bench.fetch(&server.url("/x")).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled, "{header}");
        let pauses = bench.watch.pauses.lock().unwrap();
        match expect {
            Some(seconds) => assert_eq!(*pauses, [Duration::from_secs(seconds)], "{header}"),
            // Our own backoff of 1 ms, with jitter.
            None => assert!(
                pauses[0] <= Duration::from_millis(2),
                "{header}: {pauses:?}"
            ),
        }
    }
}

#[test]
fn our_own_pauses_grow() {
    let server = Server::start(|_, _| reply("500 Oops", &[], b""));
    let mut bench = Bench::new(options());
    bench.options.retries = 4;
    bench.fetch(&server.url("/x")).unwrap_err();
    let pauses = bench.watch.pauses.lock().unwrap();
    assert_eq!(pauses.len(), 4);
    assert!(pauses[3] > pauses[0], "{pauses:?}");
}
