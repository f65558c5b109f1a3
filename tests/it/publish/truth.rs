//! Does the index tell the truth?

use std::fs;
use std::num::NonZeroUsize;

use distro_fetch::event::Silent;
use distro_fetch::simplestreams::publish::Verified;
use distro_fetch::{Kind, Result};
use serde_json::{Value, json};

use super::kit::{PLACE, SERIAL, SPLIT, Yard, sha256};

fn verify(yard: &Yard) -> Result<Verified> {
    let jobs = NonZeroUsize::new(2).unwrap();
    yard.publisher().verify(jobs, &Silent)
}

fn yard() -> Yard {
    let yard = Yard::with_image();
    let more: [(&str, &[u8]); 3] = [
        ("lxd.tar.xz", b"other metadata"),
        ("rootfs.squashfs", b"squash"),
        ("disk.qcow2", b"disk"),
    ];
    yard.put(&format!("{PLACE}/{SERIAL}"), &more);
    yard.put(
        "images/u/1/amd64/default/20260101",
        &[("incus_combined.tar.gz", b"all")],
    );
    yard.put(
        "images/l/1/amd64/default/20260101",
        &[("lxd.tar.xz", b"m"), SPLIT[1]],
    );
    yard.publish();
    yard
}

#[test]
fn what_was_published_is_true() {
    let verified = verify(&yard()).unwrap();
    assert_eq!(verified.problems, []);
    // Metadata for both is one file.
    assert_eq!(verified.files, 5 + 1 + 2);
    assert_eq!(verified.bytes, 8 + 4 + 14 + 6 + 4 + 3 + 1 + 4);
}

#[test]
fn every_flipped_byte_has_a_name() {
    let yard = yard();
    let version = yard.root.join(PLACE).join(SERIAL);
    for entry in fs::read_dir(version).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[0] ^= 1;
        for (bytes, words) in [
            (bad, "SHA-256"),
            (b"longer than before it was".to_vec(), "bytes in"),
        ] {
            fs::write(&path, bytes).unwrap();
            let problems = verify(&yard).unwrap().problems;
            let name = path.file_name().unwrap().to_str().unwrap();
            let found = problems.iter().find(|it| it.path.ends_with(name)).unwrap();
            assert!(found.message.contains(words), "{name}: {problems:?}");
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(verify(&yard).unwrap().problems, []);
    fs::remove_file(yard.root.join(PLACE).join(SERIAL).join("disk.qcow2")).unwrap();
    let problems = verify(&yard).unwrap().problems;
    assert_eq!(problems[0].path, format!("{PLACE}/{SERIAL}/disk.qcow2"));
    assert!(problems[0].message.contains("No such file"), "{problems:?}");
}

/// HOSTILE 94, 95 and 99.
#[test]
fn an_index_that_lies_is_found_out() {
    type Bend = fn(&mut Value);
    fn item(images: &mut Value) -> &mut Value {
        &mut images["products"]["alpine:3.21:amd64:default"]["versions"][SERIAL]["items"]
    }
    let bends: [(&str, Bend); 11] = [
        ("no root", |it| {
            drop(item(it).as_object_mut().unwrap().remove("root.squashfs"));
        }),
        ("combined_squashfs_sha256 is", |it| {
            item(it)["incus.tar.xz"]["combined_squashfs_sha256"] = json!(sha256(&[b"x"]));
        }),
        ("combined_sha256 is", |it| {
            item(it)["lxd.tar.xz"]["combined_sha256"] = json!(sha256(&[b"x"]));
        }),
        ("SHA-256", |it| {
            item(it)["disk.qcow2"]["sha256"] = json!(sha256(&[b"x"]));
        }),
        ("bytes in the index", |it| {
            item(it)["disk.qcow2"]["size"] = json!(5);
        }),
        ("no size or SHA-256", |it| {
            drop(
                item(it)["disk.qcow2"]
                    .as_object_mut()
                    .unwrap()
                    .remove("sha256"),
            );
        }),
        ("somewhere else", |it| {
            item(it)["disk.qcow2"]["path"] = json!("/etc/passwd");
        }),
        ("`..`", |it| {
            item(it)["disk.qcow2"]["path"] = json!("images/../../x");
        }),
        ("somewhere else", |it| {
            item(it)["disk.qcow2"]["path"] = json!("//evil/x");
        }),
        ("somewhere else", |it| {
            item(it)["disk.qcow2"]["path"] = json!("https://evil/x");
        }),
        ("may hide", |it| {
            item(it)["disk.qcow2"]["path"] = json!("images/%2e%2e/x");
        }),
    ];
    for (words, bend) in bends {
        let yard = yard();
        let mut images = yard.images();
        bend(&mut images);
        fs::write(yard.root.join("streams/v1/images.json"), images.to_string()).unwrap();
        let words = if words == "no root" {
            "no such root"
        } else {
            words
        };
        let problems = verify(&yard).unwrap().problems;
        assert!(
            problems.iter().any(|it| it.message.contains(words)),
            "{words}: {problems:?}"
        );
        // Publishing again makes it true.
        assert!(yard.publish().changed, "{words}");
        assert_eq!(verify(&yard).unwrap().problems, [], "{words}");
    }
    for text in [
        "",
        "{",
        "[]",
        r#"{"format":"products:1.0"}"#,
        r#"{"format":"products:2.0","products":{}}"#,
    ] {
        let yard = yard();
        fs::write(yard.root.join("streams/v1/images.json"), text).unwrap();
        assert_eq!(verify(&yard).unwrap_err().kind(), Kind::Format, "{text}");
        assert!(yard.publish().changed, "{text}");
    }
    let yard = yard();
    let images = yard
        .images()
        .to_string()
        .replace("\"size\":4", "\"size\":-4");
    fs::write(yard.root.join("streams/v1/images.json"), images).unwrap();
    assert_eq!(verify(&yard).unwrap_err().kind(), Kind::Format);
    fs::remove_dir_all(yard.root.join("streams")).unwrap();
    assert_eq!(verify(&yard).unwrap_err().kind(), Kind::Local);
}

#[test]
fn an_index_names_no_product_that_the_images_do_not_have() {
    let yard = yard();
    let index = yard.json("streams/v1/index.json").to_string();
    let index = index.replace("u:1:amd64:default", "v:1:amd64:default");
    fs::write(yard.root.join("streams/v1/index.json"), index).unwrap();
    let problems = verify(&yard).unwrap().problems;
    assert_eq!(problems[0].path, "v:1:amd64:default");
}
