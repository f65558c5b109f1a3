//! What is bad is named and left out, and stops nothing else.

use std::fs;
use std::path::Path;

use super::kit::{PLACE, SPLIT, Yard, options, paths};

/// Spoils a tree that has one good image and, beside it, what `spoil` makes of the version
/// `images/bad/1/amd64/default/20260101`.
fn check(what: &str, spoil: impl Fn(&Path), path: &str, words: &str) {
    let yard = Yard::with_image();
    let bad = yard.put("images/bad/1/amd64/default/20260101", &[]);
    spoil(&bad);
    let report = yard.try_publish(options());
    let listed = yard.listed();
    let [problem] = report.problems.as_slice() else {
        panic!("{what}: {report:?}");
    };
    assert_eq!(problem.path, format!("images/bad/1/amd64{path}"), "{what}");
    assert!(problem.message.contains(words), "{what}: {problem:?}");
    assert_eq!(
        listed,
        ["alpine:3.21:amd64:default 20260128_13:00"],
        "{what}"
    );
    assert_eq!((report.products, report.versions), (1, 1), "{what}");
    // It is there tomorrow, too.
    assert_eq!(
        yard.try_publish(options()).problems,
        report.problems,
        "{what}"
    );
}

#[test]
fn a_bad_version_is_named_and_left_out() {
    let version = "/default/20260101";
    let split = |folder: &Path| {
        for (name, bytes) in SPLIT {
            fs::write(folder.join(name), bytes).unwrap();
        }
    };
    check("empty", |_| {}, version, "no image");
    check(
        "no metadata",
        |folder| fs::write(folder.join("rootfs.tar.xz"), b"x").unwrap(),
        version,
        "no metadata",
    );
    check(
        "no root",
        |folder| fs::write(folder.join("incus.tar.xz"), b"x").unwrap(),
        version,
        "no root",
    );
    check(
        "an empty file",
        |folder| {
            split(folder);
            fs::write(folder.join("incus.tar.xz"), b"").unwrap();
        },
        version,
        "incus.tar.xz is empty",
    );
    check(
        "a folder for a file",
        |folder| {
            split(folder);
            fs::create_dir(folder.join("disk.qcow2")).unwrap();
        },
        version,
        "disk.qcow2 is no regular file",
    );
    check(
        "both kinds",
        |folder| {
            split(folder);
            fs::write(folder.join("incus_combined.tar.gz"), b"x").unwrap();
        },
        version,
        "variant of its own",
    );
    check(
        "two of one",
        |folder| {
            split(folder);
            fs::write(folder.join("root.tar.gz"), b"x").unwrap();
        },
        version,
        "root.tar.gz and rootfs.tar.xz",
    );
    for serial in ["11111111_99:99", "20261301_00:00", "latest"] {
        check(
            serial,
            |folder| {
                split(folder);
                fs::rename(folder, folder.with_file_name(serial)).unwrap();
            },
            &format!("/default/{serial}"),
            "no serial",
        );
    }
}

#[test]
fn bad_settings_leave_out_what_is_below_them() {
    let with = |name: &'static str, text: &'static str| {
        move |folder: &Path| {
            for (name, bytes) in SPLIT {
                fs::write(folder.join(name), bytes).unwrap();
            }
            fs::write(folder.parent().unwrap().join(name), text).unwrap();
        }
    };
    for (name, text, words) in [
        (
            ".requirements",
            r#"{"secureboot": false}"#,
            "boolean `false`",
        ),
        (".requirements", r#"{"a": "1", "a": "2"}"#, "stands twice"),
        (".requirements", r#"{"a": {}}"#, "map"),
        (".requirements", "[]", "sequence"),
        (".requirements", "", "EOF"),
        (".lxd_requirements", "{", "EOF"),
        (".product", r#"{"support_eol": "soon"}"#, "YYYY-MM-DD"),
        (".product", r#"{"aliases": "a,,b"}"#, "aliases"),
        (".product", r#"{"relase_title": "x"}"#, "not known"),
        (".product", r#"{"version": 3.1}"#, "3.1"),
    ] {
        check(text, with(name, text), &format!("/default/{name}"), words);
    }
    check(
        "endless",
        |folder| {
            let file = fs::File::create(folder.with_file_name(".requirements")).unwrap();
            file.set_len(1 << 30).unwrap();
        },
        "/default/.requirements",
        "more than",
    );
}

#[test]
fn names_that_no_index_can_have_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let yard = Yard::with_image();
    let bytes = std::ffi::OsStr::from_bytes(b"\xff");
    for name in ["a b", "a:b", "a,b", "a%2e", "ä", "x\ny"] {
        yard.put(&format!("images/{name}/1/amd64/default/20260101"), &SPLIT);
    }
    yard.put("images/ok/1/vax/default/20260101", &SPLIT);
    yard.put("images/ok/1/armv6/default/20260101", &SPLIT);
    fs::create_dir(yard.root.join("images").join(bytes)).unwrap();
    // Hidden things and files are somebody's, but not ours.
    yard.put("images/.cache/1/amd64/default/20260101", &SPLIT);
    yard.put("images", &[("README ", b"")]);
    yard.put(PLACE, &[("latest", b"20260128")]);
    let report = yard.try_publish(options());
    let names: Vec<_> = report.problems.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(
        names,
        [
            "images/\\xc3\\xa4",
            "images/\\xff",
            "images/a b",
            "images/a%2e",
            "images/a,b",
            "images/a:b",
            "images/ok/1/armv6",
            "images/ok/1/vax",
            "images/x\\ny",
        ]
    );
    assert_eq!(yard.listed().len(), 1);
}

#[test]
fn without_images_there_is_nothing_to_publish() {
    let yard = Yard::new();
    fs::remove_dir(yard.root.join("images")).unwrap();
    let error = yard
        .publisher()
        .publish(&options(), &distro_fetch::event::Silent)
        .unwrap_err();
    assert_eq!(error.kind(), distro_fetch::Kind::Local);
    assert!(error.to_string().contains("root/images"), "{error}");
    assert!(!yard.root.join("streams").exists());
    // An empty folder is a server without images.
    fs::create_dir(yard.root.join("images")).unwrap();
    let report = yard.publish();
    assert_eq!((report.products, report.changed), (0, true));
    assert_eq!(yard.images()["products"], serde_json::json!({}));
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let yard = Yard::with_image();
    let before = paths(&yard.root);
    let dry = distro_fetch::simplestreams::publish::Options {
        dry_run: true,
        ..options()
    };
    let report = yard.try_publish(dry);
    assert_eq!((report.products, report.versions, report.hashed), (1, 1, 2));
    assert!(report.changed);
    assert_eq!(paths(&yard.root), before);
    yard.publish();
    let report = yard.try_publish(dry);
    assert!(!report.changed);
    assert_eq!(report.reused, 2);
}
