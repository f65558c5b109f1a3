//! Directories with a checksum file: what lies in them that is not meant.

use distro_fetch::catalog::Pin;
use distro_fetch::{Catalog, Url};
use serde_json::{Value, json};

use crate::table::{Table, catalog, failures, image, pin, pins, refresh, settings, sha256};

/// A page that links these names.
fn page(names: &str) -> String {
    let links = names
        .split_whitespace()
        .map(|name| format!("<a href=\"{name}\">{name}</a>\n"));
    links.collect()
}

fn sums(names: &str) -> String {
    let lines = names
        .split_whitespace()
        .map(|name| format!("{}  {name}\n", sha256(name.as_bytes())));
    lines.collect()
}

/// An image whose source is this, besides what all of these have in common.
fn follows(name: &str, fields: &Value) -> Catalog {
    let mut source = json!({ "type": "checksums", "origin": "up", "trust": "https" });
    for (key, value) in fields.as_object().unwrap() {
        source[key] = value.clone();
    }
    let (name, image) = image(name, &["amd64"], &source);
    catalog(&json!("permanent"), &[(name.as_str(), image)])
}

/// Builds of another point release lie beside those of this one, newer and older.
#[test]
fn a_build_of_another_point_release_is_passed_over() {
    let catalog = follows(
        "alma-9",
        &json!({
            "directory": "{point}/images/", "file": "alma-{snapshot}.qcow2", "sums": "CHECKSUM",
            "point": "9.",
        }),
    );
    let world = |in_8: &str| {
        let top = page("9.8/ 9.7/ 9/ 10.2/ 9.8.old/ latest/");
        let mut world = Table::default().with("https://up.example/", top);
        for (release, files) in [("9.8", in_8), ("9.7", "alma-9.7-20251101.qcow2")] {
            let directory = format!("https://up.example/{release}/images/");
            world.put(&format!("{directory}CHECKSUM"), sums(files));
            for file in files.split_whitespace() {
                world.put(&format!("{directory}{file}"), file);
            }
        }
        world
    };
    for (in_8, expect) in [
        (
            "alma-9.7-20260601.qcow2 alma-9.8-20260526.qcow2 alma-9.9-20260602.qcow2",
            "9.8-20260526",
        ),
        // A directory that is prepared has nothing of its own yet.
        ("alma-9.7-20260601.qcow2", "9.7-20251101"),
        ("alma-latest.qcow2", "9.7-20251101"),
    ] {
        let report = refresh(&catalog, &world(in_8), &settings("2026-07-01"));
        assert_eq!(failures(&report), [""; 0], "{in_8}");
        assert_eq!(
            pins(&report.catalog),
            [format!("alma-9 amd64: {expect}")],
            "{in_8}"
        );
    }
}

fn places(pin: &Pin) -> Vec<&str> {
    let alternates = pin.alternates.iter().map(Url::as_str);
    let own = pin.address.url().unwrap().as_str();
    std::iter::once(own).chain(alternates).collect()
}

const TEMPLATED: &str = "https://up.example/by-version/24.04.4/base-24.04.4.tar.gz";
const REVIEWED: &str = "https://near.example/found/base-24.04.4.tar.gz";

fn with_alternate(directory: &str) -> Catalog {
    follows(
        "ubuntu-24.04-base",
        &json!({
            "directory": directory, "file": "base-{snapshot}.tar.gz", "sums": "SHA256SUMS",
            "alternate": "up:by-version/{snapshot}/base-{snapshot}.tar.gz",
        }),
    )
}

fn in_directory(directory: &str) -> Table {
    let name = "base-24.04.4.tar.gz";
    let directory = format!("https://up.example/{directory}");
    Table::default()
        .with("https://up.example/by-version/", page("24.04.4/"))
        .with(&format!("{directory}SHA256SUMS"), sums(name))
        .with(&format!("{directory}{name}"), "x")
}

/// What a template gives comes before what a person added, whichever was there first.
#[test]
fn other_places_are_in_one_order() {
    let (directory, own) = ("24.04/", "https://up.example/24.04/base-24.04.4.tar.gz");
    let catalog = with_alternate(directory);
    let world = in_directory(directory);
    let first = refresh(&catalog, &world, &settings("2026-03-01")).catalog;
    let made = pin(&first, "ubuntu-24.04-base");
    assert_eq!(places(made), [own, TEMPLATED]);
    for reviewed in [vec![REVIEWED], vec![REVIEWED, TEMPLATED, own]] {
        let mut before = first.clone();
        let pins = before.images.to_mut()[0].pins.to_mut();
        pins[0].alternates = reviewed.iter().map(|url| url.parse().unwrap()).collect();
        let after = refresh(&before, &world, &settings("2026-03-08")).catalog;
        let kept = pin(&after, "ubuntu-24.04-base");
        assert_eq!(places(kept), [own, TEMPLATED, REVIEWED], "{reviewed:?}");
        let again = refresh(&after, &world, &settings("2026-03-15"));
        assert!(again.changes.is_empty(), "{reviewed:?}");
    }
}

/// A file is not its own other place.
#[test]
fn the_other_place_is_another_place() {
    let catalog = with_alternate("by-version/{snapshot}/");
    let world = in_directory("by-version/24.04.4/");
    let report = refresh(&catalog, &world, &settings("2026-03-01"));
    let made = pin(&report.catalog, "ubuntu-24.04-base");
    assert_eq!(places(made), [TEMPLATED]);
}
