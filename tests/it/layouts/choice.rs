//! Which of several images is meant. HOSTILE 86, 87, 91.

use std::fs;

use distro_fetch::Kind;
use distro_fetch::oci::Layout;
use distro_fetch::rootfs::{Shape, Spelled};
use serde_json::{Value, json};

use super::kit::{
    INDEX, MANIFEST, Maker, Scratch, host, list, refusal, sha256, text, tree_of, with_platform,
    words,
};

#[test]
fn names_pick_one_of_several() {
    let scratch = Scratch::new();
    let path = scratch.path("l:a:y");
    let mut maker = Maker::new(&path);
    for name in ["one", "docker.io/library/two:3.20", "three:with:colons"] {
        let file = format!("f {}", name.replace('/', "-"));
        maker.add(maker.image(&host(), &[&[&file]]), Some(name));
    }
    let path = text(&path);
    assert_eq!(list(&format!("{path}:one")).unwrap(), ["f one"]);
    let two = ["f docker.io-library-two:3.20"];
    assert_eq!(
        list(&format!("{path}:docker.io/library/two:3.20")).unwrap(),
        two
    );
    assert_eq!(list(&format!("oci:{path}:3.20")).unwrap(), two);
    assert_eq!(
        list(&format!("{path}:three:with:colons")).unwrap(),
        ["f three:with:colons"]
    );
    for wrong in [path.to_owned(), format!("{path}:four"), format!("{path}:")] {
        let error = refusal(&wrong);
        assert_eq!(error.kind(), Kind::Unknown, "{wrong}: {error}");
        for name in ["one", "docker.io/library/two:3.20", "three:with:colons"] {
            assert!(error.message().contains(name), "{error}");
        }
    }
    let layout = Layout::open(path.as_ref()).unwrap();
    assert_eq!(layout.tags().count(), 3);
    let image = layout.image(Some("one"), None).unwrap();
    let digest = image.digest().unwrap();
    assert_eq!(list(&format!("{path}:sha256:{digest}")).unwrap(), ["f one"]);
    let again = layout.image_of(digest, None).unwrap();
    assert_eq!(words(&tree_of(&again).unwrap()), ["f one"]);
}

#[test]
fn platforms_pick_one_of_several() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let mut maker = Maker::new(&path);
    let entry = |platform: &str| {
        let file = format!("f {}", platform.replace('/', "-"));
        with_platform(maker.image(platform, &[&[&file]]), platform)
    };
    let mut attestation = entry("linux/amd64");
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let inner = maker.index(&[
        attestation,
        entry("linux/amd64"),
        entry("linux/arm/v6"),
        entry("linux/arm/v7"),
    ]);
    let nowhere = with_platform(maker.image("linux/amd64", &[]), "unknown/unknown");
    let outer = maker.index(&[
        nowhere,
        inner,
        entry("linux/arm64/v8"),
        entry("linux/s390x"),
    ]);
    maker.add(outer, Some("tag"));
    let layout = Layout::open(&path).unwrap();
    let look = |platform: &str| {
        let image = layout.image(None, Some(&platform.parse().unwrap()))?;
        Ok::<_, distro_fetch::Error>(words(&tree_of(&image)?))
    };
    for (platform, expect) in [
        ("linux/amd64", "f linux-amd64"),
        ("linux/arm64", "f linux-arm64-v8"),
        ("linux/arm64/v8", "f linux-arm64-v8"),
        ("linux/arm/v6", "f linux-arm-v6"),
        ("linux/arm/v7", "f linux-arm-v7"),
        ("linux/s390x", "f linux-s390x"),
    ] {
        assert_eq!(look(platform).unwrap(), [expect], "{platform}");
    }
    for platform in ["linux/riscv64", "linux/arm/v5", "windows/amd64"] {
        let error = look(platform).unwrap_err();
        assert_eq!(error.kind(), Kind::Unknown, "{platform}");
        assert!(
            error.message().contains("linux/arm/v6, linux/arm/v7"),
            "{error}"
        );
        assert!(!error.message().contains("unknown/unknown"), "{error}");
    }
}

#[test]
fn a_lone_image_is_what_it_is() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let mut maker = Maker::new(&path);
    maker.add(maker.image("linux/s390x", &[&["f a"]]), None);
    assert_eq!(list(text(&path)).unwrap(), ["f a"]);
    let layout = Layout::open(&path).unwrap();
    let error = layout.image(None, Some(&"linux/arm64".parse().unwrap()));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    assert!(error.message().contains("linux/s390x"), "{error}");
}

#[test]
fn documents_that_lie_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let check = |lie: &str, made: &dyn Fn(&Maker) -> Value| {
        let _ = fs::remove_dir_all(&path);
        let mut maker = Maker::new(&path);
        maker.add(made(&maker), None);
        let error = refusal(text(&path));
        assert_eq!(error.kind(), Kind::Format, "{lie}: {error}");
    };
    let manifest = |maker: &Maker| -> Value {
        let descriptor = maker.image(&host(), &[&["f a"]]);
        let digest = descriptor["digest"].as_str().unwrap();
        let path = maker.path.join("blobs/sha256").join(&digest[7..]);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let with = |key: &'static str, value: Value| {
        move |maker: &Maker| {
            let mut manifest = manifest(maker);
            manifest[key] = value.clone();
            maker.blob(MANIFEST, manifest.to_string().as_bytes())
        }
    };
    check("both", &with("manifests", json!([])));
    check("another type than said", &|maker| {
        let mut manifest = manifest(maker);
        manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
        maker.blob(MANIFEST, manifest.to_string().as_bytes())
    });
    check("a manifest as an index", &|maker| {
        let bytes = manifest(maker).to_string();
        maker.blob(INDEX, bytes.as_bytes())
    });
    check("an index as a manifest", &|maker| {
        let bytes = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
        maker.blob(MANIFEST, bytes.to_string().as_bytes())
    });
    check("more layers than ids", &|maker| {
        let mut manifest = manifest(maker);
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!([layer.clone(), layer]);
        maker.blob(MANIFEST, manifest.to_string().as_bytes())
    });
    check("a digest that is a path", &|maker| {
        let mut manifest = manifest(maker);
        manifest["layers"][0]["digest"] = "sha256:../../index.json".into();
        maker.blob(MANIFEST, manifest.to_string().as_bytes())
    });
    check("a foreign layer", &|maker| {
        let mut manifest = manifest(maker);
        manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:1/x"]);
        maker.blob(MANIFEST, manifest.to_string().as_bytes())
    });
    check("too deep", &|maker| {
        let mut inner = with_platform(maker.image(&host(), &[&["f a"]]), &host());
        for _ in 0..3 {
            inner = maker.index(&[inner]);
        }
        inner
    });
    check("too large", &|maker| {
        let mut bytes = manifest(maker).to_string().into_bytes();
        bytes.resize((4 << 20) + 1, b' ');
        maker.blob(MANIFEST, &bytes)
    });
    check("not there", &|maker| {
        let mut manifest = manifest(maker);
        manifest["layers"][0]["digest"] = format!("sha256:{}", sha256(b"?")).into();
        maker.blob(MANIFEST, manifest.to_string().as_bytes())
    });
    check("no layout", &|maker| {
        fs::write(
            maker.path.join("oci-layout"),
            r#"{"imageLayoutVersion":"2.0"}"#,
        )
        .unwrap();
        maker.image(&host(), &[])
    });
}

#[test]
fn two_levels_of_indexes_are_fine() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let mut maker = Maker::new(&path);
    let image = with_platform(maker.image(&host(), &[&["f a"]]), &host());
    maker.add(maker.index(&[maker.index(&[image])]), None);
    assert_eq!(list(text(&path)).unwrap(), ["f a"]);
}

#[test]
fn sources_are_what_they_look_like() {
    let scratch = Scratch::new();
    let here = |text: &str| match Spelled::parse(text).unwrap() {
        Spelled::Here { kind, name, .. } => (kind, name),
        other => panic!("{text}: {other:?}"),
    };
    let path = scratch.path("layout");
    Maker::one(&path, &[&["f a"]]);
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    let rootfs = scratch.path("rootfs.tar");
    fs::write(&rootfs, super::kit::tar(&["d etc", "f etc/x=1"])).unwrap();
    let (layout, tree, rootfs) = (text(&path), text(&tree), text(&rootfs));
    assert_eq!(here(layout), (Shape::Layout, None));
    assert_eq!(
        here(&format!("{layout}:x")),
        (Shape::Layout, Some("x".to_owned()))
    );
    assert_eq!(here(&format!("file:{layout}")).0, Shape::Folder);
    assert_eq!(here(tree).0, Shape::Folder);
    assert_eq!(here(&format!("dir:{tree}")).0, Shape::Folder);
    assert_eq!(here(&format!("overlay2:{tree}")).0, Shape::Overlay);
    assert_eq!(here(rootfs).0, Shape::Archive);
    assert_eq!(list(rootfs).unwrap(), ["d etc", "f etc/x=1"]);
    for (spelled, expect) in [
        (
            "docker://alpine:3.21",
            Spelled::Registry("alpine:3.21".to_owned()),
        ),
        (
            "docker:h:5000/a@sha256:x",
            Spelled::Registry("h:5000/a@sha256:x".to_owned()),
        ),
        ("alpine-3.21", Spelled::Unknown),
        ("alpine:3.21", Spelled::Unknown),
        ("/nowhere/at/all", Spelled::Unknown),
    ] {
        assert_eq!(Spelled::parse(spelled).unwrap(), expect, "{spelled}");
    }
    assert_eq!(
        Spelled::parse("oci:/nowhere").unwrap_err().kind(),
        Kind::Local
    );
    // What is no layout says so, whatever somebody calls it.
    for wrong in ["oci:", "overlay2:"] {
        assert_eq!(refusal(&format!("{wrong}{tree}")).kind(), Kind::Format);
    }
    assert_eq!(
        refusal(&format!("oci-archive:{rootfs}")).kind(),
        Kind::Format
    );
    assert_eq!(
        refusal(&format!("docker-archive:{rootfs}")).kind(),
        Kind::Format
    );
}
