//! Registries that lie (HOSTILE 84 to 87, 89 to 91).

use serde_json::{Value, json};

use super::kit::{CONFIG, INDEX, LAYER, MANIFEST, Shelf, asked, blobs, digest, name, small};
use crate::harness::{Lab, noise};
use crate::server::{Server, reply};

/// A flipped byte, one too many, one too few: of a manifest, a configuration and each layer. None
/// of it is ever kept, and nothing says that the image is there.
#[test]
fn wrong_bytes_are_exit_7_and_leave_nothing() {
    let (shelf, _, pinned) = small();
    let (_, manifest) = shelf.get(&format!("manifests/{pinned}")).unwrap();
    let document: Value = serde_json::from_slice(&manifest).unwrap();
    let of = |part: &Value| part["digest"].as_str().unwrap().to_owned();
    let victims = [
        ("manifest", format!("manifests/{pinned}")),
        ("config", format!("blobs/{}", of(&document["config"]))),
        ("layer 0", format!("blobs/{}", of(&document["layers"][0]))),
        ("layer 1", format!("blobs/{}", of(&document["layers"][1]))),
    ];
    for (victim, path) in victims {
        for lie in ["flipped", "longer", "shorter"] {
            let (shelf, server, pinned) = small();
            let (media_type, mut bytes) = shelf.get(&path).unwrap();
            match lie {
                "flipped" => bytes[5] ^= 1,
                "longer" => bytes.push(b'\n'),
                _ => {
                    bytes.pop();
                }
            }
            shelf.put(&path, &media_type, &bytes);
            let lab = Lab::new();
            let said = lab.run(&["pull", &name(&server, &format!("@{pinned}"))]);
            assert_eq!(said.code, Some(7), "{victim} {lie}: {said:?}");
            assert_eq!(said.stdout, "", "{victim} {lie}");
            let hash = path.rsplit(':').next().unwrap();
            assert!(!blobs(&lab).iter().any(|it| it == hash), "{victim} {lie}");
            let index = lab.cache().join("v1/oci/index.json");
            assert!(!index.exists(), "{victim} {lie}");
        }
    }
}

/// A part that is not as long as the manifest says, however right its hash.
#[test]
fn sizes_count_as_much_as_hashes() {
    for part in ["config", "layer", "manifest"] {
        for by in [1_i64, -1] {
            let shelf = Shelf::default();
            let mut image = shelf.image("linux/amd64", &[b"a layer"]);
            let bend = |entry: &mut Value| {
                entry["size"] = json!(entry["size"].as_i64().unwrap() + by);
            };
            match part {
                "config" => bend(&mut image["config"]),
                "layer" => bend(&mut image["layers"][0]),
                _ => {
                    let mut index = shelf.index(&[("linux/amd64", &image)]);
                    bend(&mut index["manifests"][0]);
                    image = index;
                }
            }
            let pinned = shelf.manifest(None, &image);
            let server = shelf.serve();
            let lab = Lab::new();
            let said = lab.run(&[
                "pull",
                "--platform",
                "linux/amd64",
                &name(&server, &format!("@{pinned}")),
            ]);
            assert_eq!(said.code, Some(7), "{part} {by}: {said:?}");
        }
    }
}

/// For a digest that was asked for, nobody's word adds anything. For a tag it can only take away.
#[test]
fn what_a_registry_says_of_its_own_digests_is_not_believed() {
    let (shelf, _, pinned) = small();
    let lie = digest(b"something else");
    let liar = {
        let shelf = shelf.clone();
        Server::start(move |seen, _| {
            let path = &seen.target["/v2/demo/".len()..];
            if path.starts_with("blobs/") {
                return shelf.answer(seen);
            }
            let (media_type, bytes) = shelf.get(path).unwrap();
            let headers = [
                ("Content-Type", &*media_type),
                ("Docker-Content-Digest", &lie),
            ];
            reply("200 OK", &headers, &bytes)
        })
    };
    let lab = Lab::new();
    let said = lab.run(&["pull", &name(&liar, &format!("@{pinned}"))]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = Lab::new().run(&["pull", &name(&liar, ":one")]);
    assert_eq!((said.code, &*said.stdout), (Some(7), ""), "{said:?}");
}

/// Right by their hash, and no image.
#[test]
fn documents_that_are_no_image_are_exit_9() {
    let shelf = Shelf::default();
    let good = shelf.image("linux/amd64", &[b"a layer"]);
    let with = |key: &str, value: Value| {
        let mut document = good.clone();
        document[key] = value;
        document
    };
    let layer = |key: &str, value: Value| {
        let mut document = good.clone();
        document["layers"][0][key] = value;
        document
    };
    let mut deep = shelf.index(&[("linux/amd64", &good)]);
    for _ in 0..3 {
        deep = shelf.index(&[("-", &deep)]);
    }
    let mut foreign = shelf.index(&[("linux/amd64", &good)]);
    foreign["config"] = json!({});
    let many = vec![good["layers"][0].clone(); 10_000];
    let ids = json!({
        "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let other = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for (lie, document) in [
        ("an index as well", with("manifests", json!([]))),
        ("a manifest as well", foreign),
        ("schema 1", with("schemaVersion", json!(1))),
        ("another type", with("mediaType", json!("application/x"))),
        (
            "of schema 1",
            with(
                "mediaType",
                json!("application/vnd.docker.distribution.manifest.v1+prettyjws"),
            ),
        ),
        ("no layers", with("layers", json!(null))),
        ("urls", layer("urls", json!(["http://127.0.0.1:9/evil"]))),
        ("foreign", layer("mediaType", json!(other))),
        ("unknown layer", layer("mediaType", json!("application/x"))),
        ("a path", layer("digest", json!("sha256:../../x"))),
        ("md5", layer("digest", json!("md5:00"))),
        (
            "sha512",
            layer("digest", json!(format!("sha512:{}", "ab".repeat(64)))),
        ),
        ("10,000 layers", with("layers", json!(many))),
        (
            "other layers",
            with("config", shelf.blob(CONFIG, ids.to_string().as_bytes())),
        ),
        ("no config", with("config", shelf.blob(CONFIG, b"[]"))),
        ("too deep", deep),
    ] {
        let pinned = shelf.manifest(None, &document);
        let server = shelf.serve();
        let said = Lab::new().run(&[
            "pull",
            "--platform",
            "linux/amd64",
            &name(&server, &format!("@{pinned}")),
        ]);
        assert_eq!((said.code, &*said.stdout), (Some(9), ""), "{lie}: {said:?}");
        // Nothing but documents was asked for, and nobody else.
        let layers = asked(&server).into_iter().filter(|it| it.contains("blobs"));
        assert!(layers.count() <= 2, "{lie}");
    }
    // Sent as one thing, and another inside.
    let pinned = shelf.manifest(None, &good);
    let (_, bytes) = shelf.get(&format!("manifests/{pinned}")).unwrap();
    shelf.put(&format!("manifests/{pinned}"), INDEX, &bytes);
    let said = Lab::new().run(&["pull", &name(&shelf.serve(), &format!("@{pinned}"))]);
    assert_eq!(said.code, Some(9), "{said:?}");
}

#[test]
fn a_manifest_has_an_end() {
    let long = vec![b' '; (4 << 20) + 1];
    let pinned = digest(&long);
    let shelf = Shelf::default();
    shelf.put(&format!("manifests/{pinned}"), MANIFEST, &long);
    let server = shelf.serve();
    let lab = Lab::new();
    let said = lab.run(&["pull", &name(&server, &format!("@{pinned}"))]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.stderr.contains("more than 4194304 bytes"), "{said:?}");
}

#[test]
fn what_is_no_reference_is_wrong_usage() {
    let upper = format!("demo@sha256:{}", "AB".repeat(32));
    for bad in [
        "demo@sha256:../../x",
        "demo@md5:00",
        &upper,
        "Demo",
        "../demo",
        "demo:",
        "demo:a b",
        "https://h/demo",
        "me:secret@h.example/demo",
        "demo?x",
    ] {
        let said = Lab::new().run(&["pull", bad]);
        assert_eq!(said.code, Some(2), "{bad}: {said:?}");
    }
}

/// Two layers of the same bytes are one blob, fetched once; layers are shared between images.
#[test]
fn layers_are_fetched_once() {
    let shelf = Shelf::default();
    let base = noise(300_000);
    let one = shelf.image("linux/amd64", &[&base, b"one", b"one"]);
    let two = shelf.image("linux/amd64", &[&base, b"two"]);
    shelf.manifest(Some("one"), &one);
    shelf.manifest(Some("two"), &two);
    let server = shelf.serve();
    let lab = Lab::new();
    let (one, two) = (name(&server, ":one"), name(&server, ":two"));
    let said = lab.run(&["pull", &one, &two, "-j", "8"]);
    assert_eq!(
        (said.code, said.stdout.lines().count()),
        (Some(0), 2),
        "{said:?}"
    );
    let mut asked = asked(&server);
    let all = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), all, "each once");
    assert_eq!(
        asked.iter().filter(|it| it.starts_with("blobs/")).count(),
        5
    );
    assert_eq!(blobs(&lab).len(), 7, "and the two manifests");
}

#[test]
fn a_platform_is_chosen_and_never_guessed() {
    let shelf = Shelf::default();
    let image = |platform: &str| shelf.image(platform, &[platform.as_bytes()]);
    let v6 = image("linux/arm/v6");
    let v7 = image("linux/arm/v7");
    let amd64 = image("linux/amd64");
    let arm64 = image("linux/arm64/v8");
    let attestation = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": shelf.blob("application/x", b"{}"), "layers": [] });
    let index = shelf.index(&[
        ("unknown/unknown", &attestation),
        ("linux/arm/v6", &v6),
        ("linux/arm/v7", &v7),
        ("linux/amd64", &amd64),
    ]);
    // Two more levels, the second one without a word about it.
    let inner = shelf.index(&[("linux/arm64/v8", &arm64)]);
    let middle = shelf.index(&[("-", &inner)]);
    let mut index = index;
    index["manifests"]
        .as_array_mut()
        .unwrap()
        .push(shelf.descriptor(&middle));
    let top = shelf.manifest(Some("all"), &index);
    let server = shelf.serve();
    let lab = Lab::new();
    for (platform, expect) in [
        ("linux/amd64", Some(&amd64)),
        ("linux/x86_64", Some(&amd64)),
        ("linux/arm/v6", Some(&v6)),
        ("linux/arm/v7", Some(&v7)),
        ("armhf", Some(&v7)),
        ("linux/arm64", Some(&arm64)),
        ("linux/arm/v5", None),
        ("linux/riscv64", None),
        ("windows/amd64", None),
        ("unknown/unknown", None),
    ] {
        let said = lab.run(&[
            "--json",
            "pull",
            "--platform",
            platform,
            &name(&server, ":all"),
        ]);
        let Some(expect) = expect else {
            assert_eq!(said.code, Some(3), "{platform}: {said:?}");
            let there = "linux/amd64, linux/arm/v6, linux/arm/v7";
            assert!(said.stderr.contains(there), "{platform}: {said:?}");
            continue;
        };
        assert_eq!(said.code, Some(0), "{platform}: {said:?}");
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(
            told[0]["digest"],
            digest(expect.to_string().as_bytes()),
            "{platform}"
        );
        assert_eq!(
            told[0]["pinned"],
            name(&server, &format!("@{top}")),
            "{platform}"
        );
    }
    // Each is there by now, under the one tag: no server is needed to tell them apart.
    drop(server);
    let tag = format!("{}:all", lab_name(&lab));
    for platform in ["linux/arm/v6", "linux/arm64/v8"] {
        let said = lab.run(&["--offline", "pull", "--platform", platform, &tag]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// One image that is for another machine: told where a platform was named.
#[test]
fn a_single_image_says_what_it_is_for() {
    let shelf = Shelf::default();
    let image = shelf.image("linux/s390x", &[b"a layer"]);
    let pinned = shelf.manifest(Some("one"), &image);
    let server = shelf.serve();
    let lab = Lab::new();
    let said = lab.run(&["pull", "--platform", "linux/arm64", &name(&server, ":one")]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("linux/s390x"), "{said:?}");
    let layers = asked(&server)
        .into_iter()
        .filter(|it| it.contains(&digest(b"a layer")));
    assert_eq!(layers.count(), 0, "it was not fetched");
    let said = lab.run(&["pull", &name(&server, ":one")]);
    assert_eq!(
        said.stdout.trim_end(),
        name(&server, &format!("@{pinned}")),
        "{said:?}"
    );
}

/// The repository that the cache knows.
fn lab_name(lab: &Lab) -> String {
    let text = std::fs::read_to_string(lab.cache().join("v1/oci/index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    let names = index["manifests"].as_array().unwrap().iter();
    let name = names
        .filter_map(|it| it["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .find(|name| name.ends_with(":all"));
    name.unwrap().trim_end_matches(":all").to_owned()
}

#[test]
fn docker_s_own_types_are_as_good() {
    let shelf = Shelf::default();
    let mut image = shelf.image("linux/amd64", &[b"a layer"]);
    let docker = "application/vnd.docker";
    image["mediaType"] = json!(format!("{docker}.distribution.manifest.v2+json"));
    image["config"]["mediaType"] = json!(format!("{docker}.container.image.v1+json"));
    image["layers"][0]["mediaType"] = json!(format!("{docker}.image.rootfs.diff.tar.gzip"));
    let mut list = shelf.index(&[("linux/amd64", &image)]);
    list["mediaType"] = json!(format!("{docker}.distribution.manifest.list.v2+json"));
    let pinned = shelf.manifest(Some("one"), &list);
    let server = shelf.serve();
    let said = Lab::new().run(&["pull", "--platform", "linux/amd64", &name(&server, ":one")]);
    assert_eq!(
        said.stdout.trim_end(),
        name(&server, &format!("@{pinned}")),
        "{said:?}"
    );
    assert_ne!(image["layers"][0]["mediaType"], LAYER);
}
