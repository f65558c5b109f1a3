//! Several sources, several names, no source at all.

use distro_fetch::catalog::Rules;
use distro_fetch::fetch::{MirrorSpec, Reach, Request};
use distro_fetch::{Arch, Catalog, Kind};

use super::{Bench, End, body, options};
use crate::harness::{image, sha256};
use crate::server::{Server, reply};

fn catalog(images: &[(&str, serde_json::Value)]) -> Catalog {
    let images: serde_json::Map<_, _> = images
        .iter()
        .map(|(name, image)| ((*name).to_owned(), image.clone()))
        .collect();
    let document = serde_json::json!({ "schema": 1, "origins": {}, "images": images });
    Catalog::parse(&document.to_string(), Rules::Overlay).unwrap()
}

fn pinned(catalog: &Catalog, name: &str) -> Request {
    let (image, pin) = catalog
        .resolve(&name.parse().unwrap(), Arch::Amd64)
        .unwrap();
    Request::pinned(catalog, image, pin).unwrap()
}

#[test]
fn wrong_bytes_on_the_first_mirror_and_the_right_ones_on_the_second() {
    let (bad, good) = (
        Server::with_file(vec![0; body().len()]),
        Server::with_file(body()),
    );
    let upstream = Server::with_file(body());
    let mut options = options();
    options.mirrors = [&bad, &good]
        .map(|it| it.url("/").parse::<MirrorSpec>().unwrap())
        .to_vec();
    let bench = Bench::new(options);
    let outcome = bench.fetch(&upstream.url("/a/rootfs.tar.xz"));
    bench.judge("the first mirror lies", &outcome, End::Fetched);
    assert_eq!(bad.seen().len(), 1, "wrong bytes are not asked for again");
    assert_eq!(good.seen()[0].target, "/a/rootfs.tar.xz");
    assert_eq!(
        good.seen()[0].range_start(),
        None,
        "nothing of the wrong bytes is built upon"
    );
    assert_eq!(upstream.connections(), 0);
    let told = bench.watch.told.lock().unwrap();
    let named = |line: &String| line.contains("Failed") && line.contains(&bad.url("/"));
    assert!(told.iter().any(named), "{told:?}");
}

#[test]
fn every_source_has_other_wrong_bytes() {
    let wrong: Vec<_> = (1..=3u8).map(|fill| vec![fill; body().len()]).collect();
    let servers: Vec<_> = wrong.iter().cloned().map(Server::with_file).collect();
    let mut entry = image("tiny-1", &servers[0].url("/x"), &body());
    entry["pins"]["amd64"]["alternates"] =
        serde_json::json!([servers[1].url("/y"), servers[2].url("/z")]);
    let bench = Bench::new(options());
    let error = bench
        .ensure(&pinned(&catalog(&[("tiny-1", entry)]), "tiny-1"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(
        error.to_string().contains("tiny-1 amd64 20260101"),
        "{error}"
    );
    assert_eq!(error.attempts().len(), 3);
    for ((attempt, wrong), server) in error.attempts().iter().zip(&wrong).zip(&servers) {
        assert!(attempt.url.starts_with(&server.url("/")), "{error}");
        assert!(
            attempt.verdict.contains(&sha256(wrong).to_string()),
            "{error}"
        );
    }
    assert_eq!(bench.lab.cached_files(), [""; 0]);
}

#[test]
fn the_most_actionable_verdict_wins() {
    let gone = || Server::start(|_, _| reply("404 Not Found", &[], b""));
    let refused = || Server::start(|_, _| reply("403 Forbidden", &[], b""));
    let wrong = || Server::with_file(vec![0; body().len()]);
    for (first, second, expect) in [
        (gone(), gone(), Kind::Gone),
        (gone(), refused(), Kind::Network),
        (refused(), wrong(), Kind::Integrity),
        (wrong(), gone(), Kind::Integrity),
    ] {
        let mut options = options();
        options.mirrors = vec![first.url("/").parse().unwrap()];
        let error = Bench::new(options).fetch(&second.url("/x")).unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts().len()),
            (expect, 2),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_name_asks_nobody() {
    let server = Server::with_file(body());
    let catalog = catalog(&[("tiny-1", image("tiny-1", &server.url("/x"), &body()))]);
    let error = catalog
        .resolve(&"tinny-1".parse().unwrap(), Arch::Amd64)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    assert_eq!(error.suggestions(), ["tiny-1"]);
    let error = catalog
        .resolve(&"tiny-1".parse().unwrap(), Arch::Arm64)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    assert_eq!(server.connections(), 0);
}

#[test]
fn offline_opens_no_socket_warm_or_cold() {
    let server = Server::with_file(body());
    let mut bench = Bench::new(options());
    bench.options.reach = Reach::CacheOnly;
    let error = bench.fetch(&server.url("/x")).unwrap_err();
    assert_eq!(error.kind(), Kind::Offline);
    assert_eq!(
        (server.connections(), bench.lab.cached_files().len()),
        (0, 0)
    );

    bench.options.reach = Reach::Network;
    assert!(!bench.fetch(&server.url("/x")).unwrap().cached);
    assert_eq!(server.connections(), 1);
    for reach in [Reach::CacheOnly, Reach::Network] {
        bench.options.reach = reach;
        assert!(bench.fetch(&server.url("/x")).unwrap().cached);
    }
    assert_eq!(server.connections(), 1, "a hit asks nobody");
}

#[test]
fn two_names_for_the_same_bytes_are_fetched_once() {
    use std::os::unix::fs::MetadataExt;
    let server = Server::with_file(body());
    let catalog = catalog(&[
        ("tiny-1", image("tiny-1", &server.url("/x"), &body())),
        ("tiny-2", image("tiny-2", &server.url("/x"), &body())),
    ]);
    let bench = Bench::new(options());
    let inode = |name| {
        let outcome = bench.ensure(&pinned(&catalog, name)).unwrap();
        std::fs::metadata(outcome.entry.path()).unwrap().ino()
    };
    assert_eq!(inode("tiny-1"), inode("tiny-2"), "one file on disk");
    assert_eq!(server.connections(), 1);
}
