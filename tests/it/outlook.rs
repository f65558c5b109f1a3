//! What `list` and `show` expect of upstream, by the age of a pin and nobody's word.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Lab, Said, said, sha256};
use crate::server::Server;

/// A catalog of three pins of one day, on an origin that keeps three builds, with an alternate
/// that keeps it for good; without one; and on an origin that nobody knows.
fn catalog(lab: &Lab, base: &str) -> PathBuf {
    let pin = |name: &str, host: &str, alternates: Value| {
        json!({
            "distro": "demo", "version": name, "kind": "rootfs", "arches": ["amd64"],
            "pins": { "amd64": {
                "snapshot": "20260128_13:00", "url": format!("{host}20260128_13:00/{name}.tar.xz"),
                "alternates": alternates,
                "sha256": sha256(name.as_bytes()).to_string(), "size": name.len(),
            } }
        })
    };
    let alternate = json!(["https://archive.example/20260128_13:00/a.tar.xz"]);
    let document = json!({
        "schema": 1,
        "origins": {
            "archive": { "url": "https://archive.example/", "retention": "permanent" },
            "builds": { "url": base, "retention": { "builds": 3 } },
        },
        "images": {
            "demo-a": pin("a", base, alternate),
            "demo-b": pin("b", base, json!([])),
            "demo-c": pin("c", "https://elsewhere.example/", json!([])),
        },
    });
    let path = lab.path("catalog.json");
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

fn on(lab: &Lab, epoch: &str, arguments: &[&str]) -> Said {
    let mut command = lab.command(&lab.path("catalog.json"));
    command.env("SOURCE_DATE_EPOCH", epoch);
    said(command.args(["--arch", "amd64"]).args(arguments))
}

/// 2026-01-31 and 2026-02-01.
const LAST_DAY: &str = "1769817600";
const DAY_AFTER: &str = "1769904000";

#[test]
fn list_marks_what_is_probably_gone() {
    let lab = Lab::new();
    catalog(&lab, "https://builds.example/");
    for (epoch, a, b) in [
        (LAST_DAY, "kept", "kept"),
        (DAY_AFTER, "probably gone", "probably gone"),
    ] {
        let said = on(&lab, epoch, &["--json", "list"]);
        let rows: Value = serde_json::from_str(&said.stdout).unwrap();
        let words: Vec<_> = (0..3).map(|at| &rows[at]["upstream"]).collect();
        assert_eq!(words, [a, b, "unknown"], "{epoch}");
        let archive = "https://archive.example/20260128_13:00/a.tar.xz";
        assert_eq!(rows[0]["elsewhere"], json!([archive]));
        assert_eq!(rows[1]["elsewhere"], json!([]));
    }
    let text = on(&lab, LAST_DAY, &["list"]).stdout;
    assert!(!text.contains("gone"), "{text}");
    let text = on(&lab, DAY_AFTER, &["list"]).stdout;
    let ends = [
        "probably gone upstream, kept at archive.example",
        "probably gone upstream",
        "1 B",
    ];
    for (line, end) in text.lines().skip(1).zip(ends) {
        assert!(line.ends_with(end), "{text}");
    }
}

#[test]
fn show_tells_who_still_has_it() {
    let lab = Lab::new();
    let server = Server::with_file(*b"b");
    catalog(&lab, &server.url("/"));
    let outlook = |arguments: &[&str]| {
        let text = on(&lab, DAY_AFTER, arguments).stdout;
        let line = text.lines().find(|line| line.trim().starts_with("outlook"));
        line.map(|line| line.trim()["outlook".len()..].trim().to_owned())
    };
    let gone = "probably gone upstream since 2026-02-01; ";
    let expect = |end: &str| Some(format!("{gone}{end}"));
    assert_eq!(
        outlook(&["show", "demo-a"]),
        expect("still at https://archive.example/20260128_13:00/a.tar.xz")
    );
    assert_eq!(
        outlook(&["show", "demo-b"]),
        expect("only a --mirror of your own may have it")
    );
    assert_eq!(
        outlook(&["show", "demo-b", "--mirror", "https://mine.example/"]),
        expect("your mirror may have it")
    );
    assert_eq!(outlook(&["show", "demo-c"]), None);
    on(&lab, DAY_AFTER, &["ensure", "demo-b"]);
    assert_eq!(outlook(&["show", "demo-b"]), expect("the cache has it"));

    let said = on(&lab, DAY_AFTER, &["--json", "show", "demo-b"]);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["pins"][0]["upstream"], "probably gone");
    assert_eq!(document["pins"][0]["gone_since"], "2026-02-01");
}

#[test]
fn a_malformed_epoch_is_usage() {
    let lab = Lab::new();
    catalog(&lab, "https://builds.example/");
    for epoch in ["yesterday", "-1", "99999999999999"] {
        let said = on(&lab, epoch, &["list"]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains("SOURCE_DATE_EPOCH"), "{said:?}");
    }
    assert_eq!(on(&lab, "", &["list"]).code, Some(0), "empty is unset");
    // Warm or cold, `ensure` does not ask what day it is.
    let said = on(&lab, "yesterday", &["--offline", "ensure", "demo-b"]);
    assert_eq!(said.code, Some(4), "{said:?}");
}
