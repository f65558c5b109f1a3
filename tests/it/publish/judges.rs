//! The real client, and its own tool for such servers.

use std::fs;

use super::incus::{self, Incus};
use super::kit::{PLACE, SERIAL, Yard, gzip, metadata, tar, xz, yaml};
use crate::harness::noise;

/// A server with every kind of image, and the client that looks at it.
fn world() -> (Yard, Incus) {
    let yard = Yard::new();
    let meta = metadata(&yaml("  codename: holy\n"));
    let root = noise(40_000);
    let split: [(&str, &[u8]); 3] = [
        ("incus.tar.xz", &meta),
        ("rootfs.squashfs", &root),
        ("disk.qcow2", &noise(50_000)),
    ];
    yard.put(&format!("{PLACE}/{SERIAL}"), &split);
    let place = |variant: &str| format!("images/alpine/3.21/amd64/{variant}/{SERIAL}");
    let tarball = xz(&tar(&[("etc/hostname", &noise(60_000))]));
    yard.put(
        &place("tarball"),
        &[("lxd.tar.xz", &meta), ("rootfs.tar.xz", &tarball)],
    );
    let unified = gzip(&tar(&[
        ("metadata.yaml", yaml("").as_bytes()),
        ("rootfs/x", &noise(70_000)),
    ]));
    yard.put(&place("unified"), &[("incus_combined.tar.gz", &unified)]);
    yard.put(PLACE, &[(".requirements", br#"{"secureboot": "false"}"#)]);
    yard.publish();
    let incus = Incus::at(&yard.root);
    (yard, incus)
}

#[test]
fn the_client_sees_and_exports_exactly_our_bytes() {
    if !incus::works() {
        return;
    }
    let (yard, incus) = world();
    let images = incus.images();
    assert_eq!(images.len(), 4, "{images:#?}");
    let read = |variant: &str, name: &str| {
        let path = format!("images/alpine/3.21/amd64/{variant}/{SERIAL}/{name}");
        fs::read(yard.root.join(path)).unwrap()
    };
    for (alias, more, variant, files) in [
        (
            "alpine/3.21/amd64",
            &[][..],
            "default",
            &["incus.tar.xz", "rootfs.squashfs"][..],
        ),
        (
            "alpine/holy/default/amd64",
            &[],
            "default",
            &["incus.tar.xz", "rootfs.squashfs"],
        ),
        (
            "alpine/3.21/amd64",
            &["--vm"],
            "default",
            &["incus.tar.xz", "disk.qcow2"],
        ),
        (
            "alpine/3.21/tarball/amd64",
            &[],
            "tarball",
            &["lxd.tar.xz", "rootfs.tar.xz"],
        ),
        (
            "alpine/3.21/unified/amd64",
            &[],
            "unified",
            &["incus_combined.tar.gz"],
        ),
    ] {
        let exported = incus.export(alias, more).unwrap();
        let expected: Vec<_> = files.iter().map(|name| read(variant, name)).collect();
        assert!(
            exported == expected,
            "{alias} {more:?}: {:?}",
            exported.iter().map(Vec::len)
        );
    }
    let info = incus.good(&["image", "info", "m:alpine/3.21/amd64"]);
    for words in [
        "alpine 3.21 amd64",
        "requirements.secureboot: false",
        "serial: 20260128_13:00",
    ] {
        assert!(info.contains(words), "{words}: {info}");
    }
    incus::verify(&yard.root).unwrap();
}

#[test]
fn a_flipped_byte_is_refused() {
    if !incus::works() {
        return;
    }
    let (yard, incus) = world();
    for (alias, path) in [
        (
            "alpine/3.21/amd64",
            format!("{PLACE}/{SERIAL}/rootfs.squashfs"),
        ),
        (
            "alpine/3.21/tarball/amd64",
            format!("images/alpine/3.21/amd64/tarball/{SERIAL}/rootfs.tar.xz"),
        ),
        (
            "alpine/3.21/unified/amd64",
            format!("images/alpine/3.21/amd64/unified/{SERIAL}/incus_combined.tar.gz"),
        ),
    ] {
        let path = yard.root.join(path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        fs::write(&path, bytes).unwrap();
        let refused = incus.export(alias, &[]);
        assert!(refused.is_err(), "{alias}");
        assert!(incus::verify(&yard.root).is_err());
        // Published anew it is another image, and a good one.
        yard.publish();
        incus.forget();
        assert!(incus.export(alias, &[]).is_ok(), "{alias}");
        incus::verify(&yard.root).unwrap();
    }
}

#[test]
fn the_newest_version_is_what_an_alias_means() {
    if !incus::works() {
        return;
    }
    let (yard, incus) = world();
    let meta = fs::read(yard.root.join(PLACE).join(SERIAL).join("incus.tar.xz")).unwrap();
    let newer = noise(90_000);
    let place = format!("{PLACE}/20260128_13:01");
    yard.put(
        &place,
        &[("incus.tar.xz", &meta), ("rootfs.squashfs", &newer)],
    );
    yard.publish();
    incus.forget();
    let exported = incus.export("alpine/3.21/amd64", &[]).unwrap();
    assert!(exported == [meta, newer]);
}
