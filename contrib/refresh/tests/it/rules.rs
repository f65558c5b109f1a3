//! The rules of a refresh, each with what it refuses and what it lets pass.

use distro_fetch::Catalog;
use distro_fetch::catalog::Rules;
use refresh::ask::Problem;
use refresh::rules::Older;
use refresh::run::Settings;
use refresh::summary::{Outcome, render};
use serde_json::{Value, json};

use crate::table::{Table, catalog, failures, image, pin, pins, refresh, settings, sha256};

const ROOT: &[u8] = b"a root file system";

/// The key of a product, and its builds as `serial, bytes of the root file`.
type Product<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

/// A simplestreams server.
fn streams(products: &[Product<'_>]) -> Table {
    streams_at("https://up.example/", products)
}

fn streams_at(base: &str, products: &[Product<'_>]) -> Table {
    let mut all = serde_json::Map::new();
    let mut table = Table::default();
    for (key, builds) in products {
        let mut versions = serde_json::Map::new();
        for (serial, bytes) in *builds {
            let path = format!("images/{}/{serial}/rootfs.tar.xz", key.replace(':', "/"));
            table.put(&format!("{base}{path}"), *bytes);
            let item = json!({
                "ftype": "root.tar.xz", "path": path, "size": bytes.len(),
                "sha256": sha256(bytes).to_string(),
            });
            versions.insert(
                (*serial).to_owned(),
                json!({ "items": { "root.tar.xz": item } }),
            );
        }
        let arch = key.split(':').nth(2).unwrap();
        all.insert(
            (*key).to_owned(),
            json!({ "arch": arch, "versions": versions }),
        );
    }
    let keys: Vec<_> = all.keys().cloned().collect();
    let index = json!({ "format": "index:1.0", "index": { "images": {
        "datatype": "image-downloads", "path": "streams/v1/images.json", "products": keys,
    } } });
    let document = json!({ "format": "products:1.0", "products": all });
    table.put(&format!("{base}streams/v1/index.json"), index.to_string());
    table.put(
        &format!("{base}streams/v1/images.json"),
        document.to_string(),
    );
    table
}

fn follows(product: &str) -> Value {
    json!({
        "type": "simplestreams", "origin": "up", "index": "streams/v1/index.json",
        "product": product, "item": "root.tar.xz",
    })
}

/// `alpine-3.21` for amd64, and `debian-13` for two architectures.
fn two_images() -> Catalog {
    let (alpine, a) = image(
        "alpine-3.21",
        &["amd64"],
        &follows("alpine:3.21:{arch}:default"),
    );
    let (debian, b) = image(
        "debian-13",
        &["amd64", "arm64"],
        &follows("debian:trixie:{arch}:default"),
    );
    catalog(&json!("permanent"), &[(&alpine, a), (&debian, b)])
}

const ALPINE: &str = "alpine:3.21:amd64:default";
const DEBIAN: &str = "debian:trixie:amd64:default";
const DEBIAN_ARM: &str = "debian:trixie:arm64:default";

/// Both images with all their architectures, on 2026-01-15.
fn january() -> (Catalog, Table) {
    let table = streams(&[
        (
            ALPINE,
            &[("20260114_13:00", b"alpine"), ("20260113_13:00", b"old")],
        ),
        (DEBIAN, &[("20260114_05:24", b"debian")]),
        (DEBIAN_ARM, &[("20260114_05:24", b"debian, arm")]),
    ]);
    let report = refresh(&two_images(), &table, &settings("2026-01-15"));
    assert_eq!(failures(&report), Vec::<String>::new());
    (report.catalog, table)
}

#[test]
fn the_newest_build_of_each_architecture_is_pinned() {
    let (catalog, table) = january();
    assert_eq!(
        pins(&catalog),
        [
            "alpine-3.21 amd64: 20260114_13:00",
            "debian-13 amd64: 20260114_05:24",
            "debian-13 arm64: 20260114_05:24"
        ]
    );
    let alpine = pin(&catalog, "alpine-3.21");
    assert_eq!(
        alpine.address.to_string(),
        "https://up.example/images/alpine/3.21/amd64/default/20260114_13:00/rootfs.tar.xz"
    );
    assert_eq!(alpine.sha256, sha256(b"alpine"));
    assert_eq!(alpine.size, Some(6));
    assert_eq!(alpine.bumped_at.unwrap().to_string(), "2026-01-15");
    // One question per document, however many images have something in it.
    assert_eq!(
        *table.asked.lock().unwrap(),
        [
            "https://up.example/streams/v1/index.json",
            "https://up.example/streams/v1/images.json"
        ]
    );
    // What was written is what the build accepts.
    assert_eq!(
        Catalog::parse(&catalog.to_json(), Rules::Embedded).unwrap(),
        catalog
    );
}

#[test]
fn an_unchanged_world_changes_nothing() {
    let (catalog, table) = january();
    let report = refresh(&catalog, &table, &settings("2026-01-16"));
    assert_eq!(report.changes.len(), 0);
    assert_eq!(report.unchanged, 3);
    assert_eq!(report.catalog.to_json(), catalog.to_json());
    assert_eq!(report.subject(), "catalog: nothing has changed");
}

#[test]
fn the_same_upstream_gives_the_same_bytes() {
    let (catalog, _) = january();
    let news = streams(&[
        (ALPINE, &[("20260115_13:00", b"alpine 2")]),
        (DEBIAN, &[("20260115_05:24", b"debian 2")]),
    ]);
    let made = |jobs: usize| {
        let settings = Settings {
            jobs: jobs.try_into().unwrap(),
            ..settings("2026-01-16")
        };
        let report = refresh(&catalog, &news, &settings);
        let summary = render(&report, Outcome::Accepted).unwrap();
        (report.catalog.to_json(), summary, report.subject())
    };
    let first = made(1);
    assert_eq!(first, made(8));
    assert_eq!(first, made(1));
}

/// A rule, the world in which it is broken, and how it is told; the pin stays as it was.
fn refused(world: &Table, day: &str, expect: &[&str]) {
    let (catalog, _) = january();
    let report = refresh(&catalog, world, &settings(day));
    let only_alpine: Vec<_> = failures(&report)
        .into_iter()
        .filter(|it| it.starts_with("alpine"))
        .collect();
    assert_eq!(only_alpine, expect);
    assert_eq!(
        pin(&report.catalog, "alpine-3.21"),
        pin(&catalog, "alpine-3.21")
    );
}

#[test]
fn a_pin_does_not_move_back() {
    let older = streams(&[(ALPINE, &[("20260113_13:00", b"old")])]);
    refused(&older, "2026-01-16", &["alpine-3.21 amd64: older"]);

    let (catalog, _) = january();
    let allowed = Settings {
        older: Older::Allowed,
        ..settings("2026-01-16")
    };
    let report = refresh(&catalog, &older, &allowed);
    assert_eq!(
        pin(&report.catalog, "alpine-3.21").snapshot.as_str(),
        "20260113_13:00"
    );
}

#[test]
fn other_bytes_under_one_snapshot_are_an_alarm() {
    let other = streams(&[(ALPINE, &[("20260114_13:00", b"ALPINE")])]);
    refused(&other, "2026-01-16", &["alpine-3.21 amd64: changed bytes"]);
    // A newer build does not make up for it: nobody looks at the old one any more.
    let (catalog, _) = january();
    let newer = streams(&[(
        ALPINE,
        &[("20260114_13:00", b"ALPINE"), ("20260115_13:00", b"new")],
    )]);
    let report = refresh(&catalog, &newer, &settings("2026-01-16"));
    assert_eq!(
        pin(&report.catalog, "alpine-3.21").snapshot.as_str(),
        "20260115_13:00"
    );
}

#[test]
fn a_snapshot_of_the_future_is_refused() {
    for (serial, day, expect) in [
        (
            "20260119_13:00",
            "2026-01-16",
            &["alpine-3.21 amd64: from the future"][..],
        ),
        (
            "99991231_00:00",
            "2026-01-16",
            &["alpine-3.21 amd64: from the future"],
        ),
        ("latest", "2026-01-16", &["alpine-3.21 amd64: malformed"]),
    ] {
        // The impossible one alone: it must not hide behind an older one either.
        refused(&streams(&[(ALPINE, &[(serial, b"new")])]), day, expect);
    }
    // Tomorrow's may be today's elsewhere.
    let (catalog, _) = january();
    let tomorrow = streams(&[(ALPINE, &[("20260117_13:00", b"new")])]);
    let report = refresh(&catalog, &tomorrow, &settings("2026-01-16"));
    assert_eq!(
        pin(&report.catalog, "alpine-3.21").snapshot.as_str(),
        "20260117_13:00"
    );
}

#[test]
fn what_upstream_no_longer_has_is_lost_and_stays() {
    let without_arm = streams(&[
        (ALPINE, &[("20260115_13:00", b"alpine 2")]),
        (DEBIAN, &[("20260115_05:24", b"debian 2")]),
    ]);
    let (catalog, _) = january();
    let report = refresh(&catalog, &without_arm, &settings("2026-01-16"));
    assert_eq!(failures(&report), ["debian-13 arm64: not listed"]);
    assert!(report.failures[0].is_lost());
    assert_eq!(
        pins(&report.catalog),
        [
            "alpine-3.21 amd64: 20260115_13:00",
            "debian-13 amd64: 20260115_05:24",
            "debian-13 arm64: 20260114_05:24"
        ]
    );
    let summary = render(&report, Outcome::Accepted).unwrap();
    assert!(summary.contains("## Lost upstream"), "{summary}");
    assert!(
        summary.contains("| debian-13 arm64 `20260114_05:24` |"),
        "{summary}"
    );
    // What never was there is no failure: it is listed to be pinned one day.
    let fresh = refresh(&two_images(), &without_arm, &settings("2026-01-16"));
    assert_eq!(fresh.failures.len(), 0);
    assert_eq!(fresh.unpinned.len(), 1);
}

#[test]
fn a_product_is_what_it_was() {
    let mut swapped = streams(&[(ALPINE, &[("20260115_13:00", ROOT)])]);
    let document = json!({ "format": "products:1.0", "products": { ALPINE: {
        "arch": "arm64",
        "versions": { "20260115_13:00": { "items": { "root.tar.xz": {
            "ftype": "root.tar.xz", "path": "images/20260115_13:00/x", "size": 1,
            "sha256": sha256(ROOT).to_string(),
        } } } },
    } } });
    swapped.put(
        "https://up.example/streams/v1/images.json",
        document.to_string(),
    );
    refused(&swapped, "2026-01-16", &["alpine-3.21 amd64: identity"]);
}

#[test]
fn another_place_or_size_is_shown() {
    let mut moved = streams(&[]);
    let large = vec![7; 100];
    let document = json!({ "format": "products:1.0", "products": { ALPINE: {
        "versions": { "20260115_13:00": { "items": { "root.tar.xz": {
            "ftype": "root.tar.xz", "path": "elsewhere/20260115_13:00/x.tar.xz", "size": 100,
            "sha256": sha256(&large).to_string(),
        } } } },
    } } });
    let index = json!({ "format": "index:1.0", "index": { "i": {
        "datatype": "image-downloads", "path": "streams/v1/images.json",
    } } });
    moved.put(
        "https://up.example/streams/v1/index.json",
        index.to_string(),
    );
    moved.put(
        "https://up.example/streams/v1/images.json",
        document.to_string(),
    );
    let (catalog, _) = january();
    let report = refresh(&catalog, &moved, &settings("2026-01-16"));
    assert!(report.changes[0].other_place && report.changes[0].other_size);
    let summary = render(&report, Outcome::Accepted).unwrap();
    for part in ["## Look twice", "**another place**", "**another size**"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}

#[test]
fn mirrors_that_disagree_stop_a_pin() {
    let settings = Settings {
        cross_check: true,
        ..settings("2026-01-16")
    };
    let near = "https://near.example/up/";
    for (there, expect) in [
        // The same, and one that lags behind.
        (&[("20260115_13:00", b"alpine 2" as &[u8])][..], &[][..]),
        (&[("20260114_13:00", b"alpine")], &[]),
        // Another hash; another size.
        (
            &[("20260115_13:00", b"ALPINE 2")],
            &["alpine-3.21 amd64: changed bytes"],
        ),
        (
            &[("20260115_13:00", b"alpine 22")],
            &["alpine-3.21 amd64: changed bytes"],
        ),
    ] {
        let mut world = streams(&[(ALPINE, &[("20260115_13:00", b"alpine 2")])]);
        let mirror = streams_at(near, &[(ALPINE, there)]);
        for name in ["streams/v1/index.json", "streams/v1/images.json"] {
            let url = format!("{near}{name}");
            let ask = refresh::ask::Ask::document(url.parse().unwrap());
            let Ok(refresh::ask::Answer::Document(bytes)) =
                refresh::upstream::Upstream::answer(&mirror, &ask)
            else {
                panic!("{url}");
            };
            world.put(&url, bytes);
        }
        let (alpine, a) = image(
            "alpine-3.21",
            &["amd64"],
            &follows("alpine:3.21:{arch}:default"),
        );
        let catalog = catalog(&json!("permanent"), &[(&alpine, a)]);
        let report = refresh(&catalog, &world, &settings);
        assert_eq!(failures(&report), expect, "{there:?}");
        if let Some(failed) = report.failures.first() {
            assert!(
                failed.trouble.message.contains("its mirror near"),
                "{}",
                failed.trouble
            );
        }
    }
}

#[test]
fn what_is_forgotten_sooner_than_it_is_looked_at_is_not_added() {
    let world = streams(&[(ALPINE, &[("20260114_13:00", b"alpine")])]);
    for (retention, ephemeral, interval, added) in [
        (json!({ "builds": 3 }), false, 7, false),
        (json!({ "builds": 3 }), true, 7, true),
        (json!({ "builds": 3 }), false, 1, true),
        (json!({ "days": 6 }), false, 7, false),
        (json!({ "days": 7 }), false, 7, true),
        (json!("permanent"), false, 7, true),
    ] {
        let (name, mut it) = image(
            "alpine-3.21",
            &["amd64"],
            &follows("alpine:3.21:{arch}:default"),
        );
        if ephemeral {
            it["ephemeral"] = true.into();
        }
        let catalog = catalog(&retention, &[(&name, it)]);
        let settings = Settings {
            interval,
            ..settings("2026-01-15")
        };
        let report = refresh(&catalog, &world, &settings);
        let case = format!("{retention} {ephemeral} {interval}");
        assert_eq!(report.changes.len(), usize::from(added), "{case}");
        assert_eq!(report.forgetful.len(), usize::from(!added), "{case}");
        assert_eq!(report.failures.len(), 0, "{case}");
        let summary = render(&report, Outcome::Accepted).unwrap();
        assert_eq!(summary.contains("## Not added"), !added, "{summary}");
    }
}

#[test]
fn an_upstream_that_stands_still_is_told() {
    let (catalog, table) = january();
    for (max_age, day, frozen) in [
        (None, "2027-01-01", 0),
        (Some(30), "2026-02-13", 0),
        (Some(30), "2026-02-14", 3),
    ] {
        let settings = Settings {
            max_age,
            ..settings(day)
        };
        let report = refresh(&catalog, &table, &settings);
        assert_eq!(report.frozen.len(), frozen, "{max_age:?} {day}");
    }
}

#[test]
fn a_deep_look_reads_the_bytes() {
    let deep = Settings {
        deep: true,
        ..settings("2026-01-15")
    };
    let fresh = two_images();
    let world = streams(&[(ALPINE, &[("20260114_13:00", b"alpine")])]);
    assert_eq!(
        failures(&refresh(&fresh, &world, &deep)),
        Vec::<String>::new()
    );
    // The document says one thing, the file is another.
    let url = "https://up.example/images/alpine/3.21/amd64/default/20260114_13:00/rootfs.tar.xz";
    let lying = world.with(url, "ALPINE");
    assert_eq!(
        failures(&refresh(&fresh, &lying, &deep)),
        ["alpine-3.21 amd64: changed bytes"]
    );
}

#[test]
fn sha512_alone_is_streamed_once() {
    let source = json!({
        "type": "checksums", "origin": "up", "directory": "trixie/{snapshot}/",
        "file": "debian-13-genericcloud-{arch}-{snapshot}.qcow2", "sums": "SHA512SUMS",
    });
    let (name, it) = image("debian-13-cloud", &["amd64"], &source);
    let catalog = catalog(&json!("permanent"), &[(&name, it)]);
    let sha512: String = <sha2::Sha512 as sha2::Digest>::digest(ROOT)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let folder = "https://up.example/trixie/20260112-2355/";
    let file = format!("{folder}debian-13-genericcloud-amd64-20260112-2355.qcow2");
    let sums = format!("{sha512}  debian-13-genericcloud-amd64-20260112-2355.qcow2\n");
    let page = "<a href=\"../\">..</a><a href=\"20260112-2355/\">x</a><a href=\"latest/\">y</a>\
                <a href=\"20260101-2300/\">z</a><a href=\"2023230723-1450/\">no date</a>";
    let world = Table::default()
        .with("https://up.example/trixie/", page)
        .with(&format!("{folder}SHA512SUMS"), sums)
        .with(&file, ROOT);
    let report = refresh(&catalog, &world, &settings("2026-01-15"));
    assert_eq!(failures(&report), Vec::<String>::new());
    let found = pin(&report.catalog, "debian-13-cloud");
    assert_eq!(found.sha256, sha256(ROOT));
    assert_eq!(found.size, Some(ROOT.len() as u64));

    // The same snapshot again: the file is not read.
    world.asked.lock().unwrap().clear();
    let again = refresh(&report.catalog, &world, &settings("2026-01-16"));
    assert_eq!(again.unchanged, 1);
    assert!(!world.asked.lock().unwrap().contains(&file));

    // Other bytes than published.
    let lying = world.with(&file, "other bytes");
    let report = refresh(&catalog, &lying, &settings("2026-01-15"));
    assert_eq!(failures(&report), ["debian-13-cloud amd64: changed bytes"]);
}

#[test]
fn a_glob_that_matches_nothing_is_a_mistake() {
    let settings = Settings {
        only: vec!["alpin".to_owned()],
        ..settings("2026-01-15")
    };
    let outcome = refresh::run::run(
        &two_images(),
        &Table::default(),
        &crate::table::keys(),
        &settings,
    );
    assert_eq!(outcome.unwrap_err(), "no image is called \"alpin\"");
    assert!(Problem::Changed < Problem::Unlisted, "alarms come first");
}
