//! What stands in the documents.

use serde_json::json;

use super::kit::{PLACE, SERIAL, SPLIT, Yard, metadata, sha256, yaml};

#[test]
fn every_kind_of_file_has_its_type_and_its_fingerprint() {
    let yard = Yard::new();
    let path = format!("{PLACE}/{SERIAL}");
    yard.put(
        &path,
        &[
            ("incus.tar.xz", b"incus"),
            ("lxd.tar.xz", b"lxd!"),
            ("root.tar.xz", b"tarball"),
            ("root.squashfs", b"squash"),
            ("disk.qcow2", b"disk of a machine"),
            ("SHA256SUMS", b"not ours"),
            ("root.tar.xz.asc", b"not ours"),
            ("index.html", b""),
        ],
    );
    let report = yard.publish();
    assert_eq!((report.products, report.versions, report.hashed), (1, 1, 5));
    assert!(report.changed);
    let item = |name: &str, ftype: &str, bytes: &[u8]| {
        json!({
            "ftype": ftype, "path": format!("{path}/{name}"), "size": bytes.len(),
            "sha256": sha256(&[bytes]),
        })
    };
    let with = |name: &str, bytes: &[u8]| {
        let mut item = item(name, name, bytes);
        let behind = |root: &[u8]| json!(sha256(&[bytes, root]));
        item["combined_rootxz_sha256"] = behind(b"tarball");
        item["combined_sha256"] = behind(b"tarball");
        item["combined_squashfs_sha256"] = behind(b"squash");
        item["combined_disk-kvm-img_sha256"] = behind(b"disk of a machine");
        item
    };
    assert_eq!(
        yard.items(),
        json!({
            "incus.tar.xz": with("incus.tar.xz", b"incus"),
            "lxd.tar.xz": with("lxd.tar.xz", b"lxd!"),
            "root.tar.xz": item("root.tar.xz", "root.tar.xz", b"tarball"),
            "root.squashfs": item("root.squashfs", "squashfs", b"squash"),
            "disk.qcow2": item("disk.qcow2", "disk-kvm.img", b"disk of a machine"),
        })
    );
}

#[test]
fn metadata_for_one_of_the_two_is_metadata_for_both() {
    for (there, other) in [
        ("incus.tar.xz", "lxd.tar.xz"),
        ("lxd.tar.xz", "incus.tar.xz"),
    ] {
        let yard = Yard::new();
        let path = format!("{PLACE}/{SERIAL}");
        yard.put(&path, &[(there, b"meta"), ("rootfs.tar.zst", b"root")]);
        yard.publish();
        let mut items = yard.items();
        let path = format!("{path}/{there}");
        for name in [there, other] {
            assert_eq!(items[name]["ftype"], name);
            assert_eq!(items[name]["path"], path.as_str());
            assert_eq!(items[name]["combined_sha256"], sha256(&[b"meta", b"root"]));
            items[name]["ftype"].take();
        }
        assert_eq!(items[there], items[other]);
        assert_eq!(items["root.tar.xz"]["ftype"], "root.tar.xz");
    }
}

#[test]
fn the_documents_are_whole_sorted_and_end_in_a_line() {
    let yard = Yard::with_image();
    for place in ["images/b/1/arm64/x", "images/a/2/s390x/cloud"] {
        yard.put(&format!("{place}/20260101"), &SPLIT);
    }
    yard.put("images/empty/1/amd64/default", &[]);
    yard.publish();
    let keys = [
        "a:2:s390x:cloud",
        "alpine:3.21:amd64:default",
        "b:1:arm64:x",
    ];
    assert_eq!(
        yard.json("streams/v1/index.json"),
        json!({ "format": "index:1.0", "index": { "images": {
            "datatype": "image-downloads", "format": "products:1.0",
            "path": "streams/v1/images.json", "products": keys,
        } } })
    );
    let images = yard.images();
    assert_eq!(images["content_id"], "images");
    assert_eq!(images["datatype"], "image-downloads");
    assert_eq!(images["format"], "products:1.0");
    assert_eq!(
        yard.product()
            .as_object_mut()
            .unwrap()
            .remove("versions")
            .map(|_| ()),
        Some(())
    );
    let mut product = yard.product();
    product["versions"].take();
    assert_eq!(
        product,
        json!({
            "aliases": "alpine/3.21/default,alpine/3.21", "arch": "amd64", "os": "alpine",
            "release": "3.21", "release_title": "3.21", "variant": "default",
            "requirements": {}, "lxd_requirements": {}, "versions": null,
        })
    );
    // The same files, made in another order, are the same bytes.
    let other = Yard::new();
    for place in ["images/a/2/s390x/cloud", "images/b/1/arm64/x"] {
        other.put(&format!("{place}/20260101"), &[SPLIT[1], SPLIT[0]]);
    }
    other.put(&format!("{PLACE}/{SERIAL}"), &SPLIT);
    other.publish();
    for name in ["streams/v1/images.json", "streams/v1/index.json"] {
        let read = |yard: &Yard| std::fs::read(yard.root.join(name)).unwrap();
        assert_eq!(read(&yard), read(&other));
        assert!(read(&yard).ends_with(b"}\n"));
    }
    let text = std::fs::read_to_string(yard.root.join("streams/v1/images.json")).unwrap();
    let places = keys.map(|key| text.find(&format!("\"{key}\"")).unwrap());
    assert!(places.is_sorted());
}

#[test]
fn requirements_come_from_four_levels_and_the_deeper_wins() {
    let yard = Yard::with_image();
    let put = |folder: &str, name: &str, text: &str| {
        yard.put(folder, &[(name, text.as_bytes())]);
    };
    put(
        "images/alpine",
        ".requirements",
        r#"{"a": "os", "b": "os", "c": "os", "d": "os"}"#,
    );
    put(
        "images/alpine/3.21",
        ".requirements",
        r#"{"b": "release", "c": "release", "d": "release"}"#,
    );
    put(
        "images/alpine/3.21/amd64",
        ".requirements",
        r#"{"c": "arch", "d": "arch"}"#,
    );
    put(PLACE, ".requirements", r#"{"d": "variant"}"#);
    put(
        "images/alpine/3.21",
        ".lxd_requirements",
        r#"{"d": "release"}"#,
    );
    put("images", ".requirements", r#"{"e": "too high"}"#);
    put(
        &format!("{PLACE}/{SERIAL}"),
        ".requirements",
        r#"{"e": "too low"}"#,
    );
    yard.put("images/alpine/3.20/amd64/default/20260101", &SPLIT);
    yard.publish();
    let product = yard.product();
    assert_eq!(
        product["requirements"],
        json!({ "a": "os", "b": "release", "c": "arch", "d": "variant" })
    );
    assert_eq!(product["lxd_requirements"], json!({ "d": "release" }));
    let other = &yard.images()["products"]["alpine:3.20:amd64:default"];
    assert_eq!(
        other["requirements"],
        json!({ "a": "os", "b": "os", "c": "os", "d": "os" })
    );
    assert_eq!(other["lxd_requirements"], json!({}));
}

#[test]
fn the_newest_image_and_the_folders_say_what_a_product_is() {
    let yard = Yard::new();
    let old = metadata(&yaml("  version: \"1\"\n  release_title: old\n"));
    let new = metadata(&yaml(
        "  version: \"24.04\"\n  codename: noble\n  release_title: Noble Numbat\n  \
         support_eol: 2029-05-31\n  aliases: ubuntu/lts, ../x, a b,ubuntu/lts/default\n",
    ));
    yard.put(
        &format!("{PLACE}/20250101"),
        &[("incus.tar.xz", &old), SPLIT[1]],
    );
    yard.put(
        &format!("{PLACE}/{SERIAL}"),
        &[("lxd.tar.xz", &new), SPLIT[1]],
    );
    let report = yard.publish();
    assert_eq!(report.warnings, []);
    let product = yard.product();
    assert_eq!(product["release_title"], "Noble Numbat");
    assert_eq!(product["release_codename"], "noble");
    assert_eq!(product["version"], "24.04");
    assert_eq!(product["support_eol"], "2029-05-31");
    assert_eq!(
        product["aliases"],
        "alpine/3.21/default,alpine/3.21,alpine/noble/default,alpine/noble,\
         alpine/24.04/default,alpine/24.04,ubuntu/lts,ubuntu/lts/default"
    );
    // It stays so when nothing is read again, and the folders know better.
    assert!(!yard.publish().changed);
    yard.put(
        "images/alpine",
        &[(".product", br#"{"version": "9", "supported": true}"#)],
    );
    yard.put(
        PLACE,
        &[(
            ".product",
            br#"{"aliases": "a/b", "release_codename": "n u"}"#,
        )],
    );
    assert!(yard.publish().changed);
    let product = yard.product();
    assert_eq!(product["version"], "9");
    assert_eq!(product["supported"], true);
    assert_eq!(product["release_title"], "Noble Numbat");
    assert_eq!(
        product["aliases"],
        "alpine/3.21/default,alpine/3.21,alpine/9/default,alpine/9,a/b"
    );
}

#[test]
fn an_alias_means_one_product() {
    let yard = Yard::new();
    let codename = |name: &str| format!(r#"{{"release_codename": "{name}"}}"#).into_bytes();
    for (release, other) in [("1", "2"), ("2", "x"), ("3", "x")] {
        let place = format!("images/a/{release}/amd64/default");
        yard.put(&place, &[(".product", &codename(other))]);
        yard.put(&format!("{place}/20260101"), &SPLIT);
        yard.put(
            &format!("images/a/{release}/arm64/default/20260101"),
            &SPLIT,
        );
    }
    let report = yard.publish();
    let aliases = |key: &str| yard.images()["products"][key]["aliases"].take();
    assert_eq!(aliases("a:1:amd64:default"), "a/1/default,a/1");
    assert_eq!(
        aliases("a:2:amd64:default"),
        "a/2/default,a/2,a/x/default,a/x"
    );
    assert_eq!(aliases("a:3:amd64:default"), "a/3/default,a/3");
    let said = report
        .warnings
        .iter()
        .filter(|it| it.message.contains("alias"));
    assert_eq!(said.count(), 4, "{report:?}");
}

#[test]
fn a_unified_image_is_its_own_fingerprint() {
    let yard = Yard::new();
    yard.put(
        &format!("{PLACE}/{SERIAL}"),
        &[("incus_combined.tar.gz", b"all")],
    );
    yard.publish();
    assert_eq!(
        yard.items(),
        json!({ "incus_combined.tar.gz": {
            "ftype": "incus_combined.tar.gz", "size": 3, "sha256": sha256(&[b"all"]),
            "path": format!("{PLACE}/{SERIAL}/incus_combined.tar.gz"),
        } })
    );
}

#[test]
fn a_delta_is_named_while_its_base_is() {
    let yard = Yard::new();
    let split: [(&str, &[u8]); 3] = [
        ("incus.tar.xz", b"m"),
        ("rootfs.squashfs", b"s"),
        ("disk.qcow2", b"d"),
    ];
    yard.put(&format!("{PLACE}/20260127_13:00"), &split);
    let new = yard.put(&format!("{PLACE}/{SERIAL}"), &split);
    for (name, bytes) in [
        ("delta-20260127_13:00.vcdiff", b"1"),
        ("delta-20260127_13:00.qcow2.vcdiff", b"2"),
        ("delta-20260126_13:00.vcdiff", b"3"),
    ] {
        std::fs::write(new.join(name), bytes).unwrap();
    }
    yard.publish();
    let items = yard.items();
    let root = &items["root.20260127_13:00.vcdiff"];
    assert_eq!(root["ftype"], "squashfs.vcdiff");
    assert_eq!(root["delta_base"], "20260127_13:00");
    assert_eq!(root["sha256"], sha256(&[b"1"]));
    let disk = &items["disk.20260127_13:00.qcow2.vcdiff"];
    assert_eq!(disk["ftype"], "disk-kvm.img.vcdiff");
    assert_eq!(disk["delta_base"], "20260127_13:00");
    assert_eq!(items.as_object().unwrap().len(), 6, "{items}");
    // Without its base it is of no use.
    assert_eq!(yard.retain(1, 0.0).problems, []);
    assert_eq!(yard.items().as_object().unwrap().len(), 4);
}
