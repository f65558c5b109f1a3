//! Simplestreams servers other than the one that we know best, and documents that lie.

use std::path::Path;

use distro_fetch::catalog::Rules;
use distro_fetch::{Arch, Catalog, Digest};
use refresh::ask::{Answer, Ask, Hashes, Trouble};
use refresh::upstream::Upstream;
use serde_json::{Value, json};

use crate::table::{Table, failures, pins, refresh, settings, sha256};

/// The documents of a server, as they were recorded.
fn recorded(name: &str) -> Table {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/simplestreams")
        .join(name)
        .join("streams/v1");
    let mut table = Table::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("%3A", ":");
        let url = format!("https://streams.example/streams/v1/{name}");
        table.put(&url, std::fs::read(path).unwrap());
    }
    table
}

/// A private catalog with one image of `streams.example`.
fn private(name: &str, kind: &str, arches: &[&str], source: &[(&str, &str)]) -> Catalog {
    let (distro, version) = name.split_once('-').unwrap();
    let mut fields = serde_json::Map::new();
    for (key, value) in [
        ("type", "simplestreams"),
        ("origin", "streams"),
        ("index", "streams/v1/index.json"),
    ] {
        fields.insert(key.to_owned(), value.into());
    }
    for (key, value) in source {
        fields.insert((*key).to_owned(), (*value).into());
    }
    let document = json!({
        "schema": 1,
        "origins": { "streams": { "url": "https://streams.example/", "retention": "permanent" } },
        "images": { name: {
            "distro": distro, "version": version, "kind": kind, "arches": arches, "pins": {},
            "source": Value::Object(fields),
        } },
    });
    Catalog::parse(&document.to_string(), Rules::Overlay).unwrap()
}

#[test]
fn kriszos_resolves() {
    // A live server of 2025: files named by fingerprint, serials of twelve digits.
    let catalog = private(
        "chr-7.20.6",
        "disk",
        &["amd64", "arm64"],
        &[
            ("product", "chr:7.20.6:cloud:{arch}"),
            ("item", "disk-kvm.img"),
        ],
    );
    let report = refresh(&catalog, &recorded("kriszos"), &settings("2026-01-15"));
    assert_eq!(failures(&report), Vec::<String>::new());
    let image = report.catalog.get("chr-7.20.6").unwrap();
    let pin = image.pin(Arch::Amd64).unwrap();
    assert!(
        pin.snapshot.as_str().starts_with("2025"),
        "{}",
        pin.snapshot
    );
    assert!(
        pin.address.to_string().contains(".qcow2"),
        "{}",
        pin.address
    );
    assert!(pin.size.is_some());
    assert_eq!(image.pins.len(), 2);
}

#[test]
fn cirros_resolves() {
    // The oldest server that there is: two streams, kernel names, serials of 2011.
    let catalog = private(
        "cirros-0.3",
        "disk",
        &["amd64", "i386"],
        &[
            ("product", "net.cirros-cloud:standard:0.3:{uname}"),
            ("product@i386", "net.cirros-cloud:standard:0.3:i386"),
            ("item", "disk.img"),
        ],
    );
    let world = recorded("cirros");
    let report = refresh(&catalog, &world, &settings("2026-01-15"));
    assert_eq!(failures(&report), Vec::<String>::new());
    assert_eq!(
        pins(&report.catalog),
        ["cirros-0.3 amd64: 20130207", "cirros-0.3 i386: 20130207"]
    );
    let image = report.catalog.get("cirros-0.3").unwrap();
    let pin = image.pin(Arch::I386).unwrap();
    assert_eq!(
        pin.address.to_string(),
        "https://streams.example/0.3.1/cirros-0.3.1-i386-disk.img"
    );
    assert_eq!(
        pin.sha256.to_string(),
        "b8aa1ce5d11939eaa01205fc31348532a31b82790921d45ceb397fbe76492787"
    );
    assert_eq!(pin.size, Some(12_251_136));
    // The stream of development builds lists none of the two: nobody asks for it.
    let asked = world.asked.lock().unwrap();
    assert!(!asked.iter().any(|url| url.contains("devel")), "{asked:?}");
}

/// Documents of a table, and files that have the MD5 sum they are said to have: nobody can make
/// such files for the example's invented sums.
struct Claimed<'a> {
    table: &'a Table,
    size: u64,
    md5: [u8; 16],
}

impl Upstream for Claimed<'_> {
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble> {
        match ask {
            Ask::Hashes { .. } => Ok(Answer::Hashes(Hashes {
                size: self.size,
                sha256: Digest::from_bytes([0x5a; 32]),
                sha512: [0; 64],
                md5: self.md5,
                combined: None,
            })),
            ask => self.table.answer(ask),
        }
    }
}

#[test]
fn foocloud_resolves() {
    // The example of the format's authors: MD5 sums alone, and a stream of image ids beside.
    let catalog = private(
        "foo-pinky",
        "disk",
        &["amd64"],
        &[
            ("product", "com.example.foovendor:pinky:server:{arch}"),
            ("item", "disk1.img"),
        ],
    );
    let table = recorded("foocloud");
    let md5 = [
        0xda, 0x49, 0x9b, 0x24, 0x62, 0x65, 0xa3, 0x4d, 0xb8, 0x57, 0x69, 0x83, 0x37, 0x1c, 0x6c,
        0x2a,
    ];
    for (size, md5, expect) in [
        (60, md5, &[][..]),
        (61, md5, &["foo-pinky amd64: changed bytes"]),
        (60, [0; 16], &["foo-pinky amd64: changed bytes"]),
    ] {
        let table = &table;
        let world = Claimed { table, size, md5 };
        let report = refresh(&catalog, &world, &settings("2026-01-15"));
        assert_eq!(failures(&report), expect);
        if expect.is_empty() {
            assert_eq!(pins(&report.catalog), ["foo-pinky amd64: 20121026.1"]);
            let pin = &report.catalog.get("foo-pinky").unwrap().pins[0];
            assert_eq!(
                pin.address.to_string(),
                "https://streams.example/files/release-20121026.1/foovendor-6.1-server-cloudimg-amd64-disk1.img"
            );
            assert_eq!(pin.sha256, Digest::from_bytes([0x5a; 32]));
        }
    }
}

#[test]
fn image_ids_are_skipped_with_a_reason() {
    let catalog = private(
        "ubuntu-16.04",
        "disk",
        &["amd64"],
        &[
            ("product", "com.ubuntu.cloud:server:16.04:{arch}"),
            ("item", "disk1.img"),
        ],
    );
    let report = refresh(&catalog, &recorded("eumel8"), &settings("2026-01-15"));
    assert_eq!(report.changes.len(), 0);
    assert_eq!(
        report.unpinned[0].trouble.message,
        "nothing to download in streams/v1/index.json: com.ubuntu.cloud:released:otc (image-ids)"
    );
}

#[test]
fn an_sjson_without_a_signature_is_refused() {
    let catalog = private(
        "ubuntu-16.04",
        "disk",
        &["amd64"],
        &[
            ("product", "com.ubuntu.cloud:server:16.04:{arch}"),
            ("item", "disk1.img"),
            ("trust", "signature"),
            ("origin", "streams"),
        ],
    );
    let report = refresh(&catalog, &recorded("eumel8"), &settings("2026-01-15"));
    assert_eq!(failures(&report), ["ubuntu-16.04 amd64: signature"]);
}

/// A document with one product, `a:1:amd64:default`, of which `edit` makes something else; what
/// the refresher says of it.
fn verdict(edit: impl Fn(&mut Value)) -> String {
    let catalog = private(
        "a-1",
        "rootfs",
        &["amd64"],
        &[("product", "a:1:{arch}:default"), ("item", "root.tar.xz")],
    );
    let hash = |text: &str| sha256(text.as_bytes()).to_string();
    let mut documents = json!({
        "index": { "format": "index:1.0", "index": { "images": {
            "datatype": "image-downloads", "path": "streams/v1/images.json",
            "products": ["a:1:amd64:default"],
        } } },
        "images": { "format": "products:1.0", "products": { "a:1:amd64:default": {
            "arch": "amd64",
            "versions": { "20260114_13:00": { "items": {
                "root.tar.xz": {
                    "ftype": "root.tar.xz", "path": "images/20260114_13:00/rootfs.tar.xz",
                    "size": 4, "sha256": hash("root"),
                },
                "incus.tar.xz": {
                    "ftype": "incus.tar.xz", "path": "images/20260114_13:00/incus.tar.xz",
                    "size": 4, "sha256": hash("meta"),
                    "combined_sha256": hash("metaroot"),
                    "combined_rootxz_sha256": hash("metaroot"),
                },
            } } },
        } } },
    });
    edit(&mut documents);
    let mut world = Table::default();
    for name in ["index", "images"] {
        let text = match &documents[name] {
            Value::String(raw) => raw.clone(),
            document => document.to_string(),
        };
        world.put(
            &format!("https://streams.example/streams/v1/{name}.json"),
            text,
        );
    }
    let base = "https://streams.example/images/20260114_13:00";
    world.put(&format!("{base}/rootfs.tar.xz"), "root");
    world.put(&format!("{base}/incus.tar.xz"), "meta");
    let deep = refresh::run::Settings {
        deep: true,
        ..settings("2026-01-15")
    };
    let report = refresh(&catalog, &world, &deep);
    match (report.failures.first(), report.unpinned.first()) {
        (Some(failed), _) | (None, Some(failed)) => failed.trouble.to_string(),
        (None, None) => format!("pinned {}", report.changes[0].new.snapshot),
    }
}

#[test]
fn a_document_that_lies_is_refused() {
    const PRODUCT: &str = "/images/products/a:1:amd64:default";
    const BUILD: &str = "/images/products/a:1:amd64:default/versions/20260114_13:00/items";
    let item = |it: &mut Value, key: &str, value: Value| {
        let root = it.pointer_mut(&format!("{BUILD}/root.tar.xz")).unwrap();
        root[key] = value;
    };
    let meta = |it: &mut Value, key: &str, value: Value| {
        let metadata = it.pointer_mut(&format!("{BUILD}/incus.tar.xz")).unwrap();
        metadata[key] = value;
    };
    assert_eq!(verdict(|_| ()), "pinned 20260114_13:00");

    // Paths that lead elsewhere (test 94 of the threat model).
    for path in [
        "/etc/20260114_13:00",
        "../20260114_13:00/x",
        "//evil/20260114_13:00",
        "https://evil/20260114_13:00",
        "images/%2e%2e/20260114_13:00",
        "images/./20260114_13:00",
    ] {
        let said = verdict(|it| item(it, "path", path.into()));
        assert!(said.starts_with("malformed: "), "{path}: {said}");
        let said = verdict(|it| it["index"]["index"]["images"]["path"] = path.into());
        assert!(
            said.starts_with("malformed: "),
            "{path} in the index: {said}"
        );
    }

    // Values of other types, hashes of other lengths (test 99).
    for (key, value) in [
        ("size", json!("4")),
        ("size", json!(-4)),
        ("size", json!(4.5)),
        ("size", json!(1e300)),
        ("size", json!(0)),
        ("sha256", json!("abc")),
        ("sha256", json!(7)),
        ("path", json!(null)),
    ] {
        let said = verdict(|it| item(it, key, value.clone()));
        assert!(said.starts_with("malformed: "), "{key} {value}: {said}");
    }
    for raw in [
        "",
        "{",
        "[]",
        "<html></html>",
        r#"{"format":"products:1.0"}"#,
        r#"{"format":"products:2.0","products":{}}"#,
        r#"{"format":"products:1.0","products":{"a:1:amd64:default":{},"a:1:amd64:default":{}}}"#,
        r#"{"format":"products:1.0","products":{}} trailing"#,
    ] {
        let said = verdict(|it| it["images"] = raw.into());
        assert!(said.starts_with("malformed: "), "{raw}: {said}");
    }
    let deep = "[".repeat(100_000);
    let said = verdict(|it| it["images"] = format!("{{\"x\":{deep}").into());
    assert!(said.starts_with("malformed: "), "{said}");

    // Fingerprints that do not hold together, without and with the files (test 95).
    for (key, value, told) in [
        (
            "combined_sha256",
            sha256(b"other"),
            "combined_sha256 is not",
        ),
        (
            "combined_rootxz_sha256",
            sha256(b"other"),
            "combined_sha256 is not",
        ),
    ] {
        let said = verdict(|it| meta(it, key, value.to_string().into()));
        assert!(said.contains(told), "{key}: {said}");
    }
    let said = verdict(|it| {
        for key in ["combined_sha256", "combined_rootxz_sha256"] {
            meta(it, key, sha256(b"root").to_string().into());
        }
    });
    assert!(said.contains("is the hash of one file alone"), "{said}");
    let said = verdict(|it| {
        for key in ["combined_sha256", "combined_rootxz_sha256"] {
            meta(it, key, sha256(b"other").to_string().into());
        }
    });
    assert!(said.starts_with("changed bytes: "), "{said}");

    // No such item in any build, no hash, no product.
    let said = verdict(|it| {
        let builds = it.pointer_mut(&format!("{PRODUCT}/versions")).unwrap();
        builds["20260114_13:00"]["items"] = json!({});
    });
    assert!(said.starts_with("not listed: "), "{said}");
    let said = verdict(|it| {
        let root = it.pointer_mut(&format!("{BUILD}/root.tar.xz")).unwrap();
        root.as_object_mut().unwrap().remove("sha256");
    });
    assert!(said.contains("has no hash"), "{said}");
}

#[test]
fn a_million_products_are_only_many() {
    let mut text = String::from("{\"format\":\"products:1.0\",\"products\":{");
    for n in 0..1_000_000 {
        text.push_str(&format!("\"p{n}\":{{}},"));
    }
    text.push_str("\"a:1:amd64:default\":{}}}");
    let said = verdict(|it| it["images"] = text.as_str().into());
    assert!(said.starts_with("not listed: "), "{said}");
}
