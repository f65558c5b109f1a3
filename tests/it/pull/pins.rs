//! Container images that are pinned: in a catalog, or on the command line of `ensure`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::kit::{asked, name, small};
use crate::harness::{Lab, said};
use crate::server::{Server, reply};

/// A catalog with one container image, for two architectures of which one is there.
fn catalog(lab: &Lab, server: &Server, pinned: &str) -> PathBuf {
    let pin = |digest: &str| {
        json!({
            "snapshot": "20260101", "url": name(server, ""), "sha256": digest,
        })
    };
    let document = json!({ "schema": 1, "origins": {}, "images": { "demo-1-oci": {
        "distro": "demo", "version": "1", "variant": "oci", "kind": "oci",
        "arches": ["amd64", "arm64"],
        "pins": { "amd64": pin(pinned.trim_start_matches("sha256:")), "arm64": pin(&"ab".repeat(32)) },
    } } });
    let path = lab.path("catalog.json");
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

#[test]
fn ensure_of_a_pin_prints_where_it_is_in_the_layout() {
    let (_, server, pinned) = small();
    let lab = Lab::new();
    let catalog = catalog(&lab, &server, &pinned);
    let run = |arguments: &[&str]| {
        let mut command = lab.command(&catalog);
        said(
            command
                .args(["--retries", "0", "--arch", "amd64"])
                .args(arguments),
        )
    };
    let layout = lab.cache().join("v1/oci");
    let address = format!(
        "{}:{}",
        layout.display(),
        name(&server, &format!("@{pinned}"))
    );
    let first = run(&["ensure", "demo-1-oci"]);
    assert_eq!(
        (first.code, first.stdout.trim_end()),
        (Some(0), &*address),
        "{first:?}"
    );
    let connections = server.connections();
    let again = run(&["--json", "ensure", "demo-1-oci"]);
    assert_eq!(server.connections(), connections);
    let told: Value = serde_json::from_str(&again.stdout).unwrap();
    for (key, expect) in [
        ("image", json!("demo-1-oci")),
        ("arch", json!("amd64")),
        ("snapshot", json!("20260101")),
        ("sha256", json!(&pinned["sha256:".len()..])),
        ("path", json!(address)),
        ("cached", json!(true)),
    ] {
        assert_eq!(told[0][key], expect, "{key}");
    }
    let shown = run(&["--json", "show", "demo-1-oci"]);
    let told: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(told["pins"][0]["path"], json!(address), "{shown:?}");
    assert_eq!(told["pins"][0]["config"]["cmd"], json!(["/bin/sh"]));
    let listed = run(&["--json", "list"]);
    let told: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(told[0]["cached"], json!(true), "{listed:?}");
    assert_eq!(run(&["verify", "demo-1-oci"]).code, Some(0));
    // The catalog pins it: it stays. Another one does not: it goes.
    run(&["cache", "prune"]);
    assert_eq!(run(&["--offline", "ensure", "demo-1-oci"]).code, Some(0));
    let pruned = lab.run(&["cache", "prune"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_eq!(run(&["--offline", "ensure", "demo-1-oci"]).code, Some(4));
    run(&["ensure", "demo-1-oci"]);
    let removed = run(&["cache", "remove", "demo-1-oci"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(run(&["--offline", "ensure", "demo-1-oci"]).code, Some(4));
}

#[test]
fn a_pin_that_is_gone_or_elsewhere() {
    let (_, server, pinned) = small();
    let lab = Lab::new();
    let catalog = catalog(&lab, &server, &pinned);
    let mut command = lab.command(&catalog);
    let said = said(command.args(["ensure", "demo-1-oci", "--arch", "arm64"]));
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.stderr.contains("demo-1-oci"), "{said:?}");
}

#[test]
fn a_bare_tag_is_wrong_usage_and_told_its_pin() {
    let (_, server, pinned) = small();
    let lab = Lab::new();
    let tag = format!("docker://{}", name(&server, ":one"));
    let pin = format!("docker://{}", name(&server, &format!("@{pinned}")));
    let said = lab.run(&["ensure", &tag]);
    assert_eq!((said.code, &*said.stdout), (Some(2), ""), "{said:?}");
    assert!(said.stderr.contains(&pin), "{said:?}");
    let layers = asked(&server).into_iter().filter(|it| it.contains("blobs"));
    assert_eq!(layers.count(), 0, "nothing was fetched for it");
    let said = lab.run(&["--offline", "ensure", &tag]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("@sha256:…"), "{said:?}");
    // A tag beside its digest is no more than a word.
    let both = format!("{tag}@{pinned}");
    for reference in [&pin, &both] {
        let said = lab.run(&["ensure", reference]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let end = name(&server, &format!("@{pinned}\n"));
        assert!(said.stdout.ends_with(&end), "{said:?}");
    }
    // Nobody has said yet what the tag means; now somebody does.
    let said = lab.run(&["--offline", "pull", &tag]);
    assert_eq!(said.code, Some(4), "{said:?}");
    lab.run(&["pull", &tag]);
    let said = lab.run(&["--offline", "ensure", &tag]);
    assert!(said.stderr.contains(&pin), "the cache knows: {said:?}");
}

#[test]
fn show_asks_for_words_and_not_for_layers() {
    let (_, server, pinned) = small();
    let lab = Lab::new();
    let said = lab.run(&[
        "--json",
        "show",
        &format!("docker://{}", name(&server, ":one")),
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["config"]["labels"], json!({ "made": "for tests" }));
    assert_eq!(told["digest"], json!(pinned));
    assert_eq!(told["layers"].as_array().unwrap().len(), 2);
    assert_eq!(told["path"], Value::Null);
    assert_eq!(asked(&server).len(), 2, "a manifest and a configuration");
    let kept = lab.cached_files();
    assert!(!kept.iter().any(|it| it.contains("oci/")), "{kept:?}");
    let said = lab.run(&["--offline", "show", &name(&server, ":one")]);
    assert_eq!(said.code, Some(4), "{said:?}");
}

#[test]
fn a_page_is_no_manifest() {
    let page = Server::start(|_, _| reply("200 OK", &[("Content-Type", "text/html")], b"<html>"));
    let said = Lab::new().run(&["pull", &name(&page, ":one")]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("error page"), "{said:?}");
}
