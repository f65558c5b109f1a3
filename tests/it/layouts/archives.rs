//! Images as one file: read in place, and written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::archive::{Kind as What, Limits, Packer, Reader};
use distro_fetch::oci::{Carrier, ImageLayer};
use distro_fetch::sys::Overwrite;
use distro_fetch::{Kind, Result};
use serde_json::json;

use super::kit::{
    LAYER, Maker, Scratch, config, host, list, open, opening, refusal, sha256, tar, text,
};
use crate::layers::kit::entry;

/// A tar with these files, and links to them.
fn archive(files: &[(&str, &[u8])], links: &[&str]) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new());
    for (name, bytes) in files {
        let (mut entry, _) = entry(&format!("f {name}"));
        entry.size = bytes.len() as u64;
        packer.add(&entry).unwrap();
        packer.write(bytes).unwrap();
    }
    for line in links {
        packer.add(&entry(line).0).unwrap();
    }
    packer.finish().unwrap()
}

fn carry(source: &str, target: &Path, carrier: Carrier, name: Option<&str>) -> Result<()> {
    let spool = std::env::temp_dir();
    let made = open(source)?.to_archive(target, carrier, name, Overwrite::No, opening(&spool))?;
    assert_eq!(made, target);
    Ok(())
}

const LAYERS: &[&[&str]] = &[
    &["d etc", "f etc/a=1", "f gone"],
    &["f .wh.gone", "f4755 etc/b=2", "h c->etc/a"],
];
const TREE: [&str; 4] = ["f c=1", "d etc", "h etc/a->c", "f4755 etc/b=2"];

/// A layout with one image of these layers, of which the second is compressed.
fn layout(scratch: &Scratch) -> PathBuf {
    let path = scratch.path("layout");
    let mut maker = Maker::new(&path);
    let [one, two] = LAYERS else { unreachable!() };
    let plain = tar(two);
    let zstd = format!("{LAYER}+zstd");
    let packed = zstd::encode_all(&plain[..], 3).unwrap();
    let layers = [
        (LAYER, tar(one), None),
        (zstd.as_str(), packed, Some(plain)),
    ];
    maker.add(maker.image_of(&host(), &layers), None);
    path
}

#[test]
fn an_oci_archive_keeps_the_image() {
    let scratch = Scratch::new();
    let path = layout(&scratch);
    let (a, b) = (scratch.path("a.tar"), scratch.path("b.tar"));
    carry(text(&path), &a, Carrier::Oci, Some("x:1")).unwrap();
    carry(text(&a), &b, Carrier::Oci, Some("x:1")).unwrap();
    assert_eq!(
        fs::read(&a).unwrap(),
        fs::read(&b).unwrap(),
        "the same image"
    );
    let digest = |text: &str| open(text).unwrap().image().unwrap().digest();
    assert_eq!(digest(text(&a)), digest(text(&path)));
    for spelled in ["", "oci-archive:"] {
        let spelled = format!("{spelled}{}", text(&a));
        assert_eq!(list(&spelled).unwrap(), TREE);
        assert_eq!(list(&format!("{spelled}:1")).unwrap(), TREE);
        assert_eq!(refusal(&format!("{spelled}:2")).kind(), Kind::Unknown);
    }
    // In place: a layer that is not compressed is a part of the archive.
    let source = open(text(&a)).unwrap();
    let ImageLayer::Blob { blob, .. } = &source.image().unwrap().layers[0] else {
        panic!("no blob")
    };
    assert!(blob.open().offset() > 0);
    // Compressed as a whole, it is decoded first.
    let zst = scratch.path("c.tar.zst");
    fs::write(
        &zst,
        zstd::encode_all(&fs::read(&a).unwrap()[..], 1).unwrap(),
    )
    .unwrap();
    assert_eq!(list(text(&zst)).unwrap(), TREE);
    // What is in the way stays.
    let error = carry(text(&path), &a, Carrier::Oci, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
    assert_eq!(scratch.names(), ["a.tar", "b.tar", "c.tar.zst", "layout"]);
}

#[test]
fn a_docker_archive_has_its_layers_unpacked() {
    let scratch = Scratch::new();
    let path = layout(&scratch);
    let (a, b) = (scratch.path("a.tar"), scratch.path("b.tar"));
    carry(text(&path), &a, Carrier::Docker, Some("local/x")).unwrap();
    carry(text(&a), &b, Carrier::Docker, Some("local/x:latest")).unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    assert_eq!(list(text(&a)).unwrap(), TREE);
    assert_eq!(
        list(&format!("docker-archive:{}:local/x:latest", text(&a))).unwrap(),
        TREE
    );
    assert_eq!(list(&format!("{}:latest", text(&a))).unwrap(), TREE);
    assert_eq!(
        refusal(&format!("{}:other", text(&a))).kind(),
        Kind::Unknown
    );
    // And back into OCI, where its parts get descriptors.
    let c = scratch.path("c.tar");
    carry(text(&a), &c, Carrier::Oci, None).unwrap();
    assert_eq!(list(text(&c)).unwrap(), TREE);
}

#[test]
fn what_older_dockers_wrote_is_read() {
    let scratch = Scratch::new();
    let path = scratch.path("saved.tar");
    let layer = tar(&["f a=1"]);
    let id = sha256(&layer).to_string();
    let both = config(
        &host(),
        &json!([format!("sha256:{id}"), format!("sha256:{id}")]),
    );
    let both = both.to_string();
    let name = format!("{}.json", sha256(both.as_bytes()));
    let manifest = json!([{
        "Config": name, "RepoTags": null, "Layers": ["one/layer.tar", "two/layer.tar"],
    }]);
    let manifest = manifest.to_string();
    let files: [(&str, &[u8]); 3] = [
        ("one/layer.tar", &layer),
        (&name, both.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ];
    fs::write(
        &path,
        archive(&files, &["l two/layer.tar->../one/layer.tar"]),
    )
    .unwrap();
    let spelled = format!("docker-archive:{}", text(&path));
    assert_eq!(list(&spelled).unwrap(), ["f a=1"]);
    for (lie, link) in [
        ("nowhere", "l two/layer.tar->../three"),
        ("a circle", "l two/layer.tar->layer.tar"),
        ("out", "l two/layer.tar->../../../../../etc/passwd"),
    ] {
        fs::write(&path, archive(&files, &[link])).unwrap();
        assert_eq!(refusal(&spelled).kind(), Kind::Format, "{lie}");
    }
    let other: [(&str, &[u8]); 3] = [
        ("one/layer.tar", &tar(&["f a=2"])),
        (&name, both.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ];
    let links = ["h two/layer.tar->one/layer.tar"];
    fs::write(&path, archive(&other, &links)).unwrap();
    assert_eq!(refusal(&spelled).kind(), Kind::Integrity, "another layer");
    let changed = both.replace("/bin/sh", "/bin/xx");
    let other: [(&str, &[u8]); 3] = [files[0], (&name, changed.as_bytes()), files[2]];
    fs::write(&path, archive(&other, &links)).unwrap();
    assert_eq!(
        refusal(&spelled).kind(),
        Kind::Integrity,
        "another configuration"
    );
}

#[test]
fn a_tree_becomes_an_image_of_one_layer() {
    let scratch = Scratch::new();
    let rootfs = scratch.path("rootfs.tar");
    fs::write(
        &rootfs,
        tar(&["d700 .", "d etc", "f etc/a=1", "h b->etc/a"]),
    )
    .unwrap();
    for carrier in [Carrier::Oci, Carrier::Docker] {
        let path = scratch.path("made.tar");
        carry(text(&rootfs), &path, carrier, None).unwrap();
        assert_eq!(list(text(&path)).unwrap(), ["f b=1", "d etc", "h etc/a->b"]);
        let source = open(text(&path)).unwrap();
        let config = &source.image().unwrap().config.as_ref().unwrap().value;
        assert_eq!(config.platform().to_string(), host());
        fs::remove_file(&path).unwrap();
    }
    // What would be a whiteout cannot be in a layer.
    fs::write(&rootfs, tar(&["f .wh.a"])).unwrap();
    let error = carry(text(&rootfs), &scratch.path("made.tar"), Carrier::Oci, None);
    assert_eq!(error.unwrap_err().kind(), Kind::Format);
    assert_eq!(scratch.names(), ["rootfs.tar"]);
}

#[test]
fn a_tar_is_sorted_and_the_same_each_time() {
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    Maker::one(&path, LAYERS);
    let spool = std::env::temp_dir();
    let source = open(text(&path)).unwrap();
    let make = |name: &str| {
        let target = scratch.path(name);
        source
            .to_tar(&target, Overwrite::No, opening(&spool))
            .unwrap();
        fs::read(&target).unwrap()
    };
    let bytes = make("a.tar");
    assert_eq!(make("b.tar"), bytes);
    let mut reader = Reader::new(&bytes[..], Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if let What::Hardlink(to) = &entry.kind {
            assert!(names.contains(to), "after its first name");
        }
        names.push(entry.path);
    }
    assert!(names.is_sorted());
    assert_eq!(list(text(&scratch.path("a.tar"))).unwrap(), TREE);
}

/// skopeo and umoci read what we write, and we what they do.
#[test]
fn others_agree() {
    let have = |judge: &str| {
        let found = Command::new(judge).arg("--version").output();
        crate::crash::strace::required(judge, found.is_ok_and(|it| it.status.success()))
    };
    if !have("skopeo") {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path("layout");
    let mut maker = Maker::new(&path);
    maker.add(maker.image(&host(), LAYERS), Some("tag"));
    let skopeo = |from: &str, to: &str| {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", from, to]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{from} to {to}: {said}");
    };
    let at = |name: &str| text(&scratch.path(name)).to_owned();
    let layout = format!("oci:{}:tag", at("layout"));
    // Theirs.
    skopeo(&layout, &format!("oci-archive:{}:t", at("their-oci.tar")));
    skopeo(
        &layout,
        &format!("docker-archive:{}:t:1", at("their-docker.tar")),
    );
    skopeo(&layout, &format!("dir:{}", at("their-dir")));
    for name in ["their-oci.tar", "their-docker.tar", "their-dir"] {
        assert_eq!(list(&at(name)).unwrap(), TREE, "{name}");
    }
    // Ours.
    carry(
        &at("layout"),
        &scratch.path("our-oci.tar"),
        Carrier::Oci,
        Some("t"),
    )
    .unwrap();
    carry(
        &at("their-dir"),
        &scratch.path("our-docker.tar"),
        Carrier::Docker,
        Some("t:1"),
    )
    .unwrap();
    skopeo(
        &format!("oci-archive:{}:t", at("our-oci.tar")),
        &format!("oci:{}:t", at("back-oci")),
    );
    skopeo(
        &format!("docker-archive:{}:t:1", at("our-docker.tar")),
        &format!("oci:{}:t", at("back-docker")),
    );
    for name in ["back-oci", "back-docker"] {
        assert_eq!(list(&at(name)).unwrap(), TREE, "{name}");
    }
}
