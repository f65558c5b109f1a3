//! Upstream goes, and the pins stay.

use std::fs;

use serde_json::{Value, json};

use super::kit::{DISK_FOLDER, Images, LXC, MINI, MINI_FOLDER, World, images, real_alpine, serve};
use crate::harness::{Said, said, sha256};

/// What `ensure` brings from a mirror alone, into an empty cache.
fn ensured(world: &World, mirror: &str, image: &str) -> Vec<u8> {
    world.forget_cache();
    let mut command = world.lab.command(&world.catalog);
    command.args(["--arch", "amd64", "--retries", "0", "--mirror-only"]);
    let said = said(command.args(["--mirror", mirror, "ensure", image]));
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::read(said.stdout.trim_end()).unwrap()
}

#[test]
fn pins_outlive_upstream() {
    let world = World::new();
    let said = world.run(&["--all", "--blobs"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("added    ").count(), 4, "{said:?}");
    let told = "ubuntu-26.04-raw amd64 release-20260720: not in the index: a disk that is raw";
    assert!(said.stderr.contains(told), "{said:?}");
    let before = world.up.requests();
    let server = serve(&world.mirror);
    let base = server.url("/");
    let template = server.url("/blobs/sha256/{sha256}");
    let file = format!("file://{}/", world.mirror.display());
    let pinned: Value = serde_json::from_slice(&fs::read(&world.catalog).unwrap()).unwrap();
    for image in [
        "alpine-3.21",
        "alpine-3.20-minirootfs",
        "ubuntu-26.04-cloud",
        "ubuntu-26.04-raw",
    ] {
        let hash = &pinned["images"][image]["pins"]["amd64"]["sha256"];
        for mirror in [&base, &template, &file] {
            let got = sha256(&ensured(&world, mirror, image)).to_string();
            assert_eq!(hash, got.as_str(), "{image} from {mirror}");
        }
    }
    assert_eq!(world.up.requests(), before, "nobody asks upstream");
}

#[test]
fn a_tree_has_everything_at_its_place() {
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    for path in [
        &format!("{LXC}/rootfs.tar.xz"),
        &format!("{LXC}/incus.tar.xz"),
        &format!("{LXC}/SHA256SUMS"),
        MINI,
        &format!("{MINI_FOLDER}/rootfs.tar.gz"),
        &format!("{MINI_FOLDER}/incus.tar.xz"),
        &format!("{DISK_FOLDER}/disk.qcow2"),
        "cloud/release-20260720/server.img",
        "raw/release-20260720/disk.img",
        "streams/v1/index.json",
        "streams/v1/images.json",
        "index.html",
    ] {
        assert!(world.at(path).is_file(), "{path}");
    }
    assert!(!world.at("blobs").exists(), "nobody asked for them");
    assert_eq!(
        world.read(MINI),
        world.read(&format!("{MINI_FOLDER}/rootfs.tar.gz"))
    );
    let images: Value = serde_json::from_slice(&world.read("streams/v1/images.json")).unwrap();
    let products: Vec<_> = images["products"].as_object().unwrap().keys().collect();
    assert_eq!(
        products,
        [
            "alpine:3.20:amd64:minirootfs",
            "alpine:3.21:amd64:default",
            "ubuntu:26.04:amd64:cloud"
        ]
    );
    let product = &images["products"]["ubuntu:26.04:amd64:cloud"];
    assert_eq!(
        product["aliases"],
        "ubuntu/26.04/cloud,ubuntu/resolute/cloud"
    );
    let page = String::from_utf8(world.read("index.html")).unwrap();
    for text in [
        "alpine-3.20-minirootfs",
        "release-20260720",
        &sha256(&world.read(MINI)).to_string(),
        &format!("href=\"{MINI}\""),
        "distro-fetch ensure alpine-3.21@20260128_13:00",
        "incus launch mirror:ubuntu/26.04/cloud/amd64 --vm",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<script"), "{page}");
}

#[test]
fn a_mirror_grows_and_reads_nothing_twice() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.21"]).code, Some(0));
    let index = world.read("streams/v1/images.json");
    let asked = world.up.requests();
    // Neither the cache nor upstream is needed for what is there.
    world.forget_cache();
    let again = world.run(&["alpine-3.21", "--offline"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.starts_with("present  "), "{again:?}");
    assert_eq!(world.up.requests(), asked);
    assert_eq!(world.read("streams/v1/images.json"), index);
    // Another catalog: what it does not name any more stays, in the index and on the page.
    let mut images = Images::default();
    let mut pin = world.up.pin("3.20.3", MINI, &super::kit::rootfs_gz("3.20"));
    pin["bumped_at"] = json!("2024-09-06");
    images.add("alpine-3.20-minirootfs", "rootfs", json!({}), pin);
    images.write(&world.catalog);
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let images = String::from_utf8(world.read("streams/v1/images.json")).unwrap();
    assert!(images.contains("alpine:3.21:amd64:default"), "{images}");
    assert!(images.contains("alpine:3.20:amd64:minirootfs"), "{images}");
    let page = String::from_utf8(world.read("index.html")).unwrap();
    assert!(page.contains("alpine-3.21") && page.contains("alpine-3.20"));
}

#[test]
fn names_patterns_and_json() {
    let world = World::new();
    let said = world.run(&["alpine-*", "ubuntu-26.04-raw@release-20260720", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let mirrored = document["mirrored"].as_array().unwrap();
    let names: Vec<_> = mirrored.iter().map(|it| &it["image"]).collect();
    let expect = ["alpine-3.20-minirootfs", "alpine-3.21", "ubuntu-26.04-raw"];
    assert_eq!(names, expect);
    assert_eq!(mirrored[0]["state"], "added");
    assert_eq!(mirrored[0]["index"], MINI_FOLDER);
    assert!(mirrored[2]["not_in_index"].is_string());
    assert_eq!(document["index"]["versions"], 2);
    assert_eq!(document["failed"], json!([]));
    for (arguments, code) in [
        (&["no-such"] as &[&str], 3),
        (&["z*"], 3),
        (&["alpine-3.21@20200101"], 3),
        (&[], 2),
        (&["--all", "alpine-3.21"], 2),
        (&["--all", "--retain", "0"], 2),
    ] {
        let said = world.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
    }
}

/// Alpine's own release file, as its mirrors have it.
#[test]
fn the_real_alpine() {
    let Some((world, body)) = real_alpine() else {
        return;
    };
    assert_eq!(world.run(&["--all", "--blobs"]).code, Some(0));
    let asked = world.up.requests();
    let server = serve(&world.mirror);
    for mirror in [server.url("/"), server.url("/blobs/sha256/{sha256}")] {
        assert!(ensured(&world, &mirror, "alpine-3.20-minirootfs") == body);
    }
    assert_eq!(world.up.requests(), asked);
}

/// A bump is a cache miss: the mirror of yesterday does not have what is pinned today.
#[test]
fn a_mirror_of_yesterday_is_no_answer_for_today() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.21"]).code, Some(0));
    let server = serve(&world.mirror);
    let mut today = images(&world.up);
    let path = "images/alpine/3.21/amd64/default/20260129_13%3A00/rootfs.tar.xz";
    let pin = world
        .up
        .pin("20260129_13:00", path, &super::kit::rootfs_xz("new"));
    today.add("alpine-3.21", "rootfs", json!({}), pin);
    today.write(&world.catalog);
    world.forget_cache();
    let mut command = world.lab.command(&world.catalog);
    command.args(["--arch", "amd64", "--retries", "0", "--mirror-only"]);
    let said: Said = said(command.args(["--mirror", &server.url("/"), "ensure", "alpine-3.21"]));
    assert_eq!(said.code, Some(6), "{said:?}");
}

/// Upstream paths may begin like those of versions, and be none.
#[test]
fn paths_below_images_need_not_be_versions() {
    let world = World::new();
    let mut list = Images::default();
    for (name, snapshot, path) in [
        (
            "debian-13-cloud",
            "20260712-2537",
            "images/cloud/trixie/20260712-2537/d.qcow2",
        ),
        (
            "arch-current-cloud",
            "v20260801.174141",
            "images/v20260801.174141/a.qcow2",
        ),
        ("odd-1", "20260102", "images/a/b/amd64/c/20260102/d.qcow2"),
    ] {
        let pin = world.up.pin(snapshot, path, &super::kit::qcow2());
        list.add(name, "disk", json!({}), pin);
    }
    list.write(&world.catalog);
    let said = world.run(&["--all", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let folders: Vec<_> = document["mirrored"].as_array().unwrap().iter().collect();
    let folders: Vec<_> = folders.iter().map(|it| &it["index"]).collect();
    assert_eq!(
        folders,
        [
            "images/arch/current/amd64/cloud/20260801_17:41",
            "images/debian/13/amd64/cloud/20260712_00:00",
            "images/odd/1/amd64/default/20260102_00:00",
        ]
    );
    assert_eq!(document["index"]["versions"], 3);
}
