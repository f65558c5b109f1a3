//! Files of this machine in a tree.

use distro_fetch::Kind;
use distro_fetch::archive::Limits;
use distro_fetch::fsimg::ext4::Options;
use distro_fetch::tree::{Addition, Thing};

use super::ext4::{check, dump};
use super::kit::{Bench, Planting};

#[test]
fn they_land_where_a_system_looks_for_them() {
    let bench = Bench::new();
    let host = bench.path("host");
    std::fs::write(&host, b"#!/bin/sh\n").unwrap();
    let plain = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&host, plain).unwrap();
    let plant = || {
        let mut planting = Planting::new();
        planting
            .with("", Thing::Folder, &[], |it| it.mode = 0o1777)
            .add("sbin", Thing::Symlink(b"usr/sbin"))
            .add("abs", Thing::Symlink(b"/usr/./sbin/../sbin"))
            .add("loop", Thing::Symlink(b"loop"))
            .with("usr/sbin", Thing::Folder, &[], |it| it.mode = 0o750)
            .add("usr/sbin/init", Thing::Symlink(b"../lib/systemd"))
            .file("one", b"1")
            .link("two", "one");
        planting.tree()
    };
    let add = |to: &[&str]| {
        let text = |to: &&str| {
            format!("{}:{to}", host.display())
                .parse::<Addition>()
                .unwrap()
        };
        let all: Vec<_> = to.iter().map(text).collect();
        plant().with_files(&all, None, Limits::default())
    };
    let tree = add(&[
        "/sbin/init:755",
        "/abs/other",
        "/new/deep/file",
        "/two:4711",
    ])
    .unwrap();
    check(&bench, "added", &tree, &Options::default());
    let time = "1700000000.000000000";
    let said = dump(&tree);
    for line in [
        format!("d 1777 0:0 {time} - ."),
        format!("d 750 0:0 {time} - usr/sbin"),
        format!("f 755 0:0 {time} 10 usr/sbin/init"),
        format!("f 644 0:0 {time} 10 usr/sbin/other"),
        format!("d 755 0:0 {time} - new/deep"),
        format!("f 644 0:0 {time} 10 new/deep/file"),
        format!("f 644 0:0 {time} 1 one"),
        format!("f 4711 0:0 {time} 10 two"),
    ] {
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    }
    for bad in ["/usr/sbin", "/loop/x", "/one/x"] {
        assert_eq!(add(&[bad]).unwrap_err().kind(), Kind::Format, "{bad}");
    }
    assert_eq!(dump(&add(&[]).unwrap()), dump(&plant()));
}
