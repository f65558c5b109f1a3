//! Servers that take their time. Each has a budget, and says which one was used up.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use distro_fetch::Kind;
use distro_fetch::io::RateFloor;

use super::{Bench, End, options};
use crate::server::{Server, Step, head};

/// Far more than any budget here, far less than the lifetime of a server.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn check(
    lie: &str,
    words: &str,
    shrink: impl Fn(&mut distro_fetch::net::Config),
    steps: Vec<Step>,
) {
    let server = Server::start(move |_, _| steps.clone());
    let mut bench = Bench::new(options());
    bench.options.retries = 1;
    shrink(&mut bench.options.net);
    let start = Instant::now();
    let outcome = bench.fetch(&server.url("/x"));
    assert!(start.elapsed() < PATIENCE, "{lie}: {:?}", start.elapsed());
    bench.judge(lie, &outcome, End::Fails(Kind::Network, words));
    assert_eq!(
        server.seen().len(),
        2,
        "{lie}: it may pass, so it is asked again"
    );
}

#[test]
fn accepted_and_then_silence() {
    let shrink = |net: &mut distro_fetch::net::Config| net.timeouts.first_byte = SHORT;
    check(
        "silence",
        "timed out: no complete answer within 200ms",
        shrink,
        vec![Step::Stall],
    );
}

#[test]
fn headers_that_drip() {
    let drip = Step::Repeat(b"X-More: y\r\n".to_vec(), Duration::from_millis(20));
    let steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), drip];
    let shrink = |net: &mut distro_fetch::net::Config| net.timeouts.first_byte = SHORT;
    check(
        "a header now and then",
        "timed out: no complete answer within 200ms",
        shrink,
        steps,
    );
}

#[test]
fn a_body_that_stops() {
    let head = head("200 OK", &[("Content-Length", "100000")]);
    let shrink = |net: &mut distro_fetch::net::Config| net.timeouts.inactivity = SHORT;
    check(
        "no body",
        "timed out: nothing arrived for 200ms",
        shrink,
        vec![Step::Send(head), Step::Stall],
    );
}

#[test]
fn a_body_that_drips() {
    let head = head("200 OK", &[("Content-Length", "100000")]);
    let drip = Step::Repeat(b"x".to_vec(), Duration::from_millis(10));
    let shrink = |net: &mut distro_fetch::net::Config| {
        net.floor = RateFloor {
            bytes: 1000,
            window: SHORT,
        };
    };
    // The drip is never the true beginning: what is kept of it must go with the verdict.
    let server = Server::start(move |_, _| vec![Step::Send(head.clone()), drip.clone()]);
    let mut bench = Bench::new(options());
    bench.options.retries = 1;
    shrink(&mut bench.options.net);
    let start = Instant::now();
    let error = bench.fetch(&server.url("/x")).unwrap_err();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error.attempts()[0].verdict.contains("too slow: "),
        "{error}"
    );
}

#[test]
fn a_tls_handshake_that_stalls() {
    // The backlog of the kernel accepts, and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bench = Bench::new(options());
    bench.options.retries = 0;
    bench.options.net.timeouts.connect = SHORT;
    let start = Instant::now();
    let url = format!(
        "https://127.0.0.1:{}/x",
        listener.local_addr().unwrap().port()
    );
    let outcome = bench.fetch(&url);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let end = End::Fails(Kind::Network, "timed out: no connection within 200ms");
    bench.judge("no handshake", &outcome, end);
}
