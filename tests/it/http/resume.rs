//! Downloads that stop and go on, and servers that lie about the rest.

use std::sync::Arc;

use distro_fetch::Kind;
use distro_fetch::event::What;
use distro_fetch::fetch::Request;

use super::{ALL, Bench, End, body, check, options};
use crate::harness::sha256;
use crate::server::{Seen, Server, Step, file, head, reply};

/// What it is called, and the headers and bytes it is told with.
type Lie = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>);

/// Half of the file, with the length of all of it and a strong ETag.
fn half() -> Vec<Step> {
    let headers = [("Content-Length", "100000"), ("ETag", "\"one\"")];
    vec![
        Step::Send(head("200 OK", &headers)),
        Step::Send(body()[..HALF].to_vec()),
    ]
}

fn resumed_at(seen: &Seen) -> (Option<u64>, Option<&str>) {
    (seen.range_start(), seen.header("if-range"))
}

/// Keeps half of the file, then asks a server that answers a Range like this.
fn check_kept(
    lie: &str,
    kept: &[u8],
    requests: usize,
    end: End<'_>,
    handler: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
) -> Vec<Seen> {
    let server = Server::start(handler);
    let bench = Bench::new(options());
    let url = server.url("/rootfs.tar.xz");
    bench.keep(kept, Some((&url, "\"one\"")));
    let outcome = bench.fetch(&url);
    bench.judge(lie, &outcome, end);
    assert_eq!(server.seen().len(), requests, "{lie}: requests");
    server.seen()
}

#[test]
fn cut_in_the_middle_and_resumed() {
    let seen = check("cut once", 2, End::Fetched, |seen, nth| match nth {
        0 => half(),
        _ => file(&body(), seen),
    });
    assert_eq!(resumed_at(&seen[0]), (None, None));
    assert_eq!(resumed_at(&seen[1]), (Some(HALF as u64), Some("\"one\"")));
    // How much of it came through is up to the kernel: what did is continued as its server said.
    let seen = check("dropped once", 2, End::Fetched, |seen, nth| match nth {
        0 => [half(), vec![Step::Reset]].concat(),
        _ => file(&body(), seen),
    });
    assert_eq!(
        seen[1].header("if-range"),
        seen[1].header("range").map(|_| "\"one\"")
    );
}

#[test]
fn cut_again_and_again_until_the_chances_are_used_up() {
    // Each answer brings 1000 bytes more.
    let cut = |seen: &Seen, _: usize| {
        let start = seen.range_start().unwrap_or(0);
        let range = format!("bytes {start}-99999/100000");
        let length = (100_000 - start).to_string();
        let status = if start > 0 {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let start = usize::try_from(start).unwrap();
        vec![
            Step::Send(head(
                status,
                &[("Content-Length", &length), ("Content-Range", &range)],
            )),
            Step::Send(body()[start..start + 1000].to_vec()),
        ]
    };
    let end = End::Fails(Kind::Network, "3000 bytes");
    let seen = check("always cut", ALL, end, cut);
    let starts: Vec<_> = seen.iter().map(Seen::range_start).collect();
    assert_eq!(starts, [None, Some(1000), Some(2000)]);
}

#[test]
fn a_range_answered_with_the_whole_file_starts_over() {
    let seen = check("200 to a Range", 2, End::Fetched, |_, nth| match nth {
        0 => half(),
        _ => reply("200 OK", &[], &body()),
    });
    assert_eq!(seen[1].range_start(), Some(HALF as u64));
}

#[test]
fn a_changed_file_comes_whole() {
    let seen = check_kept(
        "the ETag is another",
        &body()[..HALF],
        1,
        End::Fetched,
        |seen, _| {
            assert_eq!(seen.header("if-range"), Some("\"one\""));
            reply("200 OK", &[("ETag", "\"two\"")], &body())
        },
    );
    assert_eq!(resumed_at(&seen[0]), (Some(HALF as u64), Some("\"one\"")));
}

#[test]
fn an_if_range_is_for_whoever_said_it_and_never_weak() {
    let server = Server::with_file(body());
    let bench = Bench::new(options());
    bench.keep(
        &body()[..HALF],
        Some(("http://elsewhere.invalid/x", "\"other\"")),
    );
    let outcome = bench.fetch(&server.url("/x"));
    bench.judge("none", &outcome, End::Fetched);
    assert_eq!(resumed_at(&server.seen()[0]), (Some(HALF as u64), None));

    let seen = check("a weak ETag", 2, End::Fetched, |seen, nth| match nth {
        0 => {
            let headers = [("Content-Length", "100000"), ("ETag", "W/\"weak\"")];
            vec![
                Step::Send(head("200 OK", &headers)),
                Step::Send(body()[..HALF].to_vec()),
            ]
        }
        _ => file(&body(), seen),
    });
    assert_eq!(resumed_at(&seen[1]), (Some(HALF as u64), None));
}

#[test]
fn a_lying_206_is_discarded_and_the_source_gets_one_more_chance() {
    let rest = || body()[HALF..].to_vec();
    let one = ("ETag", "\"one\"");
    let lies: [Lie; 9] = [
        (
            "another start",
            vec![one, ("Content-Range", "bytes 49999-99999/100000")],
            body()[HALF - 1..].to_vec(),
        ),
        (
            "from the beginning",
            vec![one, ("Content-Range", "bytes 0-99999/100000")],
            body(),
        ),
        (
            "another total",
            vec![one, ("Content-Range", "bytes 50000-99999/100001")],
            rest(),
        ),
        (
            "another end",
            vec![one, ("Content-Range", "bytes 50000-99998/100000")],
            rest(),
        ),
        (
            "another length",
            vec![one, ("Content-Range", "bytes 50000-99999/100000")],
            rest()[1..].to_vec(),
        ),
        (
            "another ETag",
            vec![
                ("ETag", "\"two\""),
                ("Content-Range", "bytes 50000-99999/100000"),
            ],
            rest(),
        ),
        ("no Content-Range", vec![one], rest()),
        (
            "a malformed Content-Range",
            vec![one, ("Content-Range", "bytes 9-5/x")],
            rest(),
        ),
        (
            "multipart",
            vec![one, ("Content-Type", "multipart/byteranges; boundary=x")],
            b"--x\r\n".to_vec(),
        ),
    ];
    for (lie, headers, bytes) in lies {
        let headers: Arc<[(String, String)]> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let answer = move || {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            reply("206 Partial Content", &headers, &bytes)
        };
        let lying = answer.clone();
        let seen = check_kept(
            lie,
            &body()[..HALF],
            2,
            End::Fetched,
            move |seen, nth| match nth {
                0 => lying(),
                _ => file(&body(), seen),
            },
        );
        assert_eq!(seen[1].range_start(), None, "{lie}: from the start");

        let end = End::Fails(Kind::Network, "HTTP 206");
        check_kept(lie, &body()[..HALF], 2, end, move |_, _| answer());
    }
}

#[test]
fn a_206_whose_bytes_do_not_belong_there() {
    let other = vec![1; 100_000];
    let seen = check_kept(
        "another file's end",
        &body()[..HALF],
        2,
        End::Fetched,
        move |seen, _| {
            // It says what it should, and sends something else; asked for all of it, it is honest.
            match seen.range_start() {
                Some(_) => file(&other, seen),
                None => file(&body(), seen),
            }
        },
    );
    assert_eq!(seen[1].range_start(), None);
}

#[test]
fn a_kept_part_that_was_damaged_on_disk_costs_a_download_and_no_error() {
    let mut kept = body()[..HALF].to_vec();
    kept[123] ^= 1;
    let seen = check_kept("our own disk", &kept, 2, End::Fetched, |seen, _| {
        file(&body(), seen)
    });
    assert_eq!(seen[1].range_start(), None);
}

#[test]
fn a_kept_part_that_is_complete_needs_nobody() {
    check_kept("none", &body(), 0, End::Fetched, |seen, _| {
        file(&body(), seen)
    });
    let mut damaged = body();
    damaged[0] ^= 1;
    let seen = check_kept(
        "complete and wrong",
        &damaged,
        1,
        End::Fetched,
        |seen, _| file(&body(), seen),
    );
    assert_eq!(seen[0].range_start(), None);
}

#[test]
fn a_kept_part_that_is_too_long_is_forgotten() {
    let long = [body(), vec![0]].concat();
    let seen = check_kept("too long", &long, 1, End::Fetched, |seen, _| {
        file(&body(), seen)
    });
    assert_eq!(seen[0].range_start(), None);
}

#[test]
fn a_416_starts_over_once() {
    let status = "416 Range Not Satisfiable";
    let seen = check_kept(
        status,
        &body()[..HALF],
        2,
        End::Fetched,
        move |seen, nth| match nth {
            0 => reply(status, &[("Content-Range", "bytes */10")], b""),
            _ => file(&body(), seen),
        },
    );
    assert_eq!(seen[1].range_start(), None);
    let end = End::Fails(Kind::Network, "HTTP 416");
    check_kept(status, &body()[..HALF], 2, end, move |_, _| {
        reply(status, &[], b"")
    });
}

#[test]
fn a_kept_part_of_unknown_size() {
    // Above the limit, complete, and a true beginning.
    for (kept, starts) in [
        (vec![9; 300_000], vec![None]),
        (body(), vec![Some(100_000), None]),
        (body()[..HALF].to_vec(), vec![Some(HALF as u64)]),
    ] {
        let server = Server::with_file(body());
        let bench = Bench::new(options());
        bench.keep(&kept, None);
        let url = server.url("/x").parse().unwrap();
        let outcome = bench.ensure(&Request::by_hash(&url, sha256(&body()), None));
        bench.judge("unknown size", &outcome, End::Fetched);
        let seen: Vec<_> = server.seen().iter().map(Seen::range_start).collect();
        assert_eq!(seen, starts);
    }
}

#[test]
fn cancelled_and_resumed() {
    let server = Server::start(|seen, nth| match nth {
        // The rest would never come: who is not cancelled here runs into the timeout.
        0 => [half(), vec![Step::Stall]].concat(),
        _ => file(&body(), seen),
    });
    let url = server.url("/x");
    let mut bench = Bench::new(options());
    bench.watch.cancel =
        Some(|what| matches!(what, What::Progress { received, .. } if *received > 0));
    let error = bench.fetch(&url).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    let kept = bench.kept().unwrap();
    assert!(!kept.is_empty() && body().starts_with(&kept));

    bench.watch.cancel = None;
    let outcome = bench.fetch(&url);
    bench.judge("none", &outcome, End::Fetched);
    assert_eq!(
        resumed_at(&server.seen()[1]),
        (Some(kept.len() as u64), Some("\"one\""))
    );
}

#[test]
fn the_next_mirror_goes_on_where_the_first_one_broke_off() {
    let (broken, good) = (Server::start(|_, _| half()), Server::with_file(body()));
    let mut options = options();
    options.mirrors = vec![broken.url("/").parse().unwrap()];
    options.retries = 0;
    let bench = Bench::new(options);
    let outcome = bench.fetch(&good.url("/x"));
    bench.judge("none", &outcome, End::Fetched);
    assert_eq!(resumed_at(&good.seen()[0]), (Some(HALF as u64), None));
}

const HALF: usize = 50_000;
