//! Catalogs that mean harm, and two pins for one path (HOSTILE 94).

use std::fs;

use serde_json::json;

use super::kit::{Images, LXC, Up, World, images, is_servable, rootfs_gz, rootfs_xz};

#[test]
fn no_pin_leaves_its_mirror_or_takes_its_own_names() {
    let world = World::new();
    fs::create_dir_all(&world.mirror).unwrap();
    fs::write(world.lab.path("victim"), "mine").unwrap();
    for path in [
        "..%2fvictim",
        "%2e%2e/victim",
        "a/%2e%2e/%2e%2e/victim",
        "a%252f..%252fvictim",
        "a%5c..%5cvictim",
        "streams/v1/images.json",
        "Streams/v1/images.json",
        "blobs/sha256/x",
        "oci/index.json",
        "index.html",
        ".distro-fetch/mirror.json",
        ".publish.state",
        "images/alpine/3.21/amd64/default/20260128_13:00/incus.tar.xz",
        "images/alpine/3.21/amd64/default/20260128_13:00/SHA256SUMS",
        "a//b",
        "a/",
    ] {
        let mut list = images(&world.up);
        let url = world.up.server.url(&format!("/{path}"));
        let mut pin = world.up.pin("20260101", "somewhere", &rootfs_gz("bad"));
        pin["url"] = json!(url);
        list.add("evil-1", "rootfs", json!({}), pin);
        list.write(&world.catalog);
        let said = world.run(&["--all"]);
        assert_eq!(said.code, Some(9), "{path}: {said:?}");
        assert_eq!(fs::read(world.lab.path("victim")).unwrap(), b"mine");
        // Some of them are refused before anybody looks at a path.
        if said.stderr.contains("catalog.json") {
            continue;
        }
        assert!(said.stderr.contains("the path"), "{path}: {said:?}");
        // Nobody else pays for it.
        assert!(said.stdout.contains("alpine-minirootfs"), "{said:?}");
        is_servable(&world.mirror, path);
    }
    let outside: Vec<_> = fs::read_dir(world.lab.path("")).unwrap().collect();
    assert_eq!(outside.len(), 4, "cache, catalog, mirror, victim");
}

#[test]
fn two_hosts_with_one_path_are_a_conflict() {
    let world = World::new();
    let other = Up::new();
    let mut list = images(&world.up);
    let path = "alpine/v3.20/x86_64/alpine-minirootfs-3.20.3-x86_64.tar.gz";
    list.add(
        "other-1",
        "rootfs",
        json!({}),
        other.pin("3.20.3", path, &rootfs_gz("other")),
    );
    // The same bytes at the same path are no conflict.
    list.add(
        "twin-1",
        "rootfs",
        json!({}),
        other.pin(
            "20260128_13:00",
            &format!("{}/rootfs.tar.xz", LXC.replace(':', "%3A")),
            &rootfs_xz("3.21"),
        ),
    );
    list.write(&world.catalog);
    for _ in 0..2 {
        let said = world.run(&["--all"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        for text in [
            "other-1 amd64 3.20.3",
            "alpine-3.20-minirootfs amd64 3.20.3",
            "{host}/{path}",
        ] {
            assert!(said.stderr.contains(text), "{text}: {said:?}");
        }
        assert!(world.read(path) == rootfs_gz("3.20"));
        is_servable(&world.mirror, "conflict");
    }
    // Whoever came first stays, also when only the other one is asked for.
    let said = world.run(&["other-1"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(world.read(path) == rootfs_gz("3.20"));
}

#[test]
fn a_file_cannot_be_a_directory() {
    let world = World::new();
    let mut list = Images::default();
    for (name, path) in [("a-1", "x/20260101"), ("b-1", "x/20260101/y")] {
        let pin = world.up.pin("20260101", path, &rootfs_gz(name));
        list.add(name, "rootfs", json!({}), pin);
    }
    list.write(&world.catalog);
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("b-1 amd64 20260101"), "{said:?}");
    assert!(world.read("x/20260101") == rootfs_gz("a-1"));
}

#[test]
fn what_somebody_else_put_there_stays() {
    let world = World::new();
    let path = "raw/release-20260720/disk.img";
    fs::create_dir_all(world.at("raw/release-20260720")).unwrap();
    fs::write(world.at(path), "mine").unwrap();
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("is something else"), "{said:?}");
    assert_eq!(world.read(path), b"mine");
    assert_eq!(said.stdout.matches("added    ").count(), 3, "{said:?}");
    // What is right is adopted, whoever put it there.
    let disk = crate::harness::noise(9000);
    fs::write(world.at(path), &disk).unwrap();
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("present  ").count(), 4, "{said:?}");
}

#[test]
fn two_snapshots_of_one_serial_are_told() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.20-minirootfs"]).code, Some(0));
    let mut list = Images::default();
    let mut pin = world
        .up
        .pin("3.20.4", "alpine/3.20.4.tar.xz", &rootfs_xz("3.20.4"));
    pin["bumped_at"] = json!("2024-09-06");
    list.add("alpine-3.20-minirootfs", "rootfs", json!({}), pin);
    let pin = world.up.pin("4.0", "x/4.0.tar.xz", &rootfs_xz("4.0"));
    list.add("x-4", "rootfs", json!({}), pin);
    list.write(&world.catalog);
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for text in [
        "has the same serial, 20240906_00:00",
        "has no day for the snapshot 4.0",
    ] {
        assert!(said.stderr.contains(text), "{text}: {said:?}");
    }
    is_servable(&world.mirror, "one serial");
}
