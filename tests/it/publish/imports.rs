//! A build comes to its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use distro_fetch::event::Silent;
use distro_fetch::simplestreams::publish::{Import, Imported, Transfer};
use distro_fetch::{Kind, Result};

use super::kit::{PLACE, SERIAL, Yard, gzip, metadata, paths, tar, xz, yaml};

const COPY: Import = Import {
    transfer: Transfer::Copy,
    dry_run: false,
};

fn import(yard: &Yard, build: &Path, how: Import) -> Result<Imported> {
    yard.publisher().import(build, how, &Silent)
}

fn there(yard: &Yard) -> Vec<String> {
    paths(&yard.root.join(PLACE))
}

#[test]
fn a_build_is_moved_or_copied_to_where_its_metadata_says() {
    for how in [Import::default(), COPY] {
        let yard = Yard::new();
        let meta = metadata(&yaml(""));
        let files: [(&str, &[u8]); 4] = [
            ("incus.tar.xz", &meta),
            ("rootfs.squashfs", b"root"),
            ("disk.qcow2", b"disk"),
            ("build.log", b"stays"),
        ];
        let build = yard.build("build", &files);
        let imported = import(&yard, &build, how).unwrap();
        assert_eq!(imported.path, format!("{PLACE}/{SERIAL}"));
        assert!(!imported.already);
        let names = ["", "/disk.qcow2", "/incus.tar.xz", "/rootfs.squashfs"];
        assert_eq!(there(&yard), names.map(|name| format!("{SERIAL}{name}")));
        let place = yard.root.join(&imported.path);
        assert_eq!(fs::read(place.join("rootfs.squashfs")).unwrap(), b"root");
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let left = paths(&build);
        if how == COPY {
            assert_eq!(left.len(), 4);
        } else {
            assert_eq!(left, ["build.log"]);
        }
        assert_eq!(yard.publish().versions, 1);
        // The same build again is fine, and more of it is added.
        let again = yard.build("again", &[("lxd.tar.xz", &meta), files[0], files[1]]);
        let imported = import(&yard, &again, how).unwrap();
        assert!(!imported.already);
        assert_eq!(there(&yard).len(), 5);
        let again = yard.build("again", &[files[0], files[1]]);
        assert!(import(&yard, &again, how).unwrap().already);
        assert_eq!(paths(&again).is_empty(), how != COPY);
    }
}

#[test]
fn other_bytes_under_the_same_serial_are_an_alarm() {
    let yard = Yard::new();
    let meta = metadata(&yaml(""));
    let build = yard.build("a", &[("incus.tar.xz", &meta), ("rootfs.tar.xz", b"root")]);
    import(&yard, &build, COPY).unwrap();
    let before = there(&yard);
    let other = yard.build("b", &[("incus.tar.xz", &meta), ("rootfs.tar.xz", b"tree")]);
    for how in [
        Import::default(),
        COPY,
        Import {
            dry_run: true,
            ..COPY
        },
    ] {
        let error = import(&yard, &other, how).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(
            error.to_string().contains("rootfs.tar.xz has other bytes"),
            "{error}"
        );
        assert!(error.digests().is_some());
        assert_eq!(there(&yard), before);
        assert_eq!(paths(&other).len(), 2);
        let kept = yard.root.join(PLACE).join(SERIAL).join("rootfs.tar.xz");
        assert_eq!(fs::read(kept).unwrap(), b"root");
    }
    // What would be two of one is as bad.
    let other = yard.build("c", &[("incus.tar.xz", &meta), ("root.tar.gz", b"root")]);
    let error = import(&yard, &other, COPY).unwrap_err();
    assert_eq!(error.kind(), Kind::Format, "{error}");
    assert_eq!(there(&yard), before);
}

#[test]
fn a_version_can_be_imported_onto_itself() {
    let yard = Yard::new();
    let meta = metadata(&yaml(""));
    let build = yard.build("a", &[("incus.tar.xz", &meta), ("rootfs.tar.xz", b"root")]);
    let place = yard.root.join(import(&yard, &build, COPY).unwrap().path);
    assert!(import(&yard, &place, Import::default()).unwrap().already);
    assert_eq!(paths(&place), ["incus.tar.xz", "rootfs.tar.xz"]);
    // Nor are two names of one file in each other's way.
    let links = yard.build("b", &[]);
    for name in ["incus.tar.xz", "rootfs.tar.xz"] {
        fs::hard_link(place.join(name), links.join(name)).unwrap();
    }
    assert!(import(&yard, &links, Import::default()).unwrap().already);
    assert_eq!(paths(&place).len(), 2);
}

#[test]
fn a_dry_run_names_the_place() {
    let yard = Yard::new();
    let meta = metadata(&yaml(""));
    let build = yard.build("a", &[("lxd.tar.xz", &meta), ("rootfs.tar.xz", b"root")]);
    let dry = Import {
        dry_run: true,
        ..Import::default()
    };
    let imported = import(&yard, &build, dry).unwrap();
    assert_eq!(
        (&*imported.path, imported.already),
        (&*format!("{PLACE}/{SERIAL}"), false)
    );
    assert_eq!(paths(&yard.root), ["images"]);
    assert_eq!(paths(&build).len(), 2);
}

#[test]
fn metadata_is_read_in_every_compression() {
    let plain = tar(&[
        ("./templates/x", b"x"),
        ("./metadata.yaml", yaml("").as_bytes()),
    ]);
    let zst = zstd::encode_all(&*plain, 1).unwrap();
    let mut bz2 = Vec::new();
    let mut encoder = bzip2::write::BzEncoder::new(&mut bz2, bzip2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    encoder.finish().unwrap();
    for bytes in [xz(&plain), gzip(&plain), zst, bz2, plain] {
        let yard = Yard::new();
        let build = yard.build("a", &[("incus.tar.xz", &bytes), ("rootfs.tar.xz", b"root")]);
        assert_eq!(
            import(&yard, &build, COPY).unwrap().path,
            format!("{PLACE}/{SERIAL}")
        );
        let yard = Yard::new();
        let build = yard.build("a", &[("incus_combined.tar.gz", &bytes)]);
        assert_eq!(
            import(&yard, &build, COPY).unwrap().path,
            format!("{PLACE}/{SERIAL}")
        );
    }
}

#[test]
fn architectures_have_debians_names() {
    for (kernel, debian) in [
        ("x86_64", "amd64"),
        ("aarch64", "arm64"),
        ("armv7l", "armhf"),
        ("armv6l", "armv6l"),
        ("i686", "i386"),
        ("ppc64le", "ppc64el"),
        ("loongarch64", "loong64"),
        ("mips", "mips"),
    ] {
        let yard = Yard::new();
        let meta = metadata(&yaml("").replace("x86_64", kernel));
        let build = yard.build("a", &[("incus.tar.xz", &meta), ("rootfs.tar.xz", b"root")]);
        let path = import(&yard, &build, COPY).unwrap().path;
        assert_eq!(
            path,
            format!("images/alpine/3.21/{debian}/default/{SERIAL}")
        );
        assert_eq!(yard.publish().versions, 1, "{kernel}");
    }
}

#[test]
fn a_build_that_is_none_changes_nothing() {
    let good = yaml("");
    let with = |from: &str, to: &str| metadata(&good.replace(from, to));
    let huge = format!("{good}x: {}\n", "y".repeat(1 << 20));
    let twice = xz(&tar(&[
        ("metadata.yaml", good.as_bytes()),
        ("metadata.yaml", good.replace("alpine", "evil").as_bytes()),
    ]));
    let bomb = xz(&tar(&[
        ("x", &vec![0; 65 << 20]),
        ("metadata.yaml", good.as_bytes()),
    ]));
    for (bytes, words) in [
        (with("os: alpine", "os: ../../x"), "os is \"../../x\""),
        (with("os: alpine", "os: .."), "os is"),
        (with("os: alpine", "os: [a]"), "no os"),
        (with("os: alpine", "os: 'a:b'"), "os is"),
        (with("variant: default", "variant: ''"), "variant is"),
        (with("release: \"3.21\"", "releases: 3"), "no release"),
        (with("x86_64", "vax"), "knows no architecture"),
        (with("architecture: x86_64\n", ""), "no architecture"),
        (with("1769605200", "yesterday"), "creation_date"),
        (with("1769605200", "-1"), "creation_date"),
        (with("1769605200", "99999999999999"), "creation_date"),
        (with("creation_date: 1769605200\n", ""), "no creation_date"),
        (with("os: alpine", "os: *x"), "anchor"),
        (metadata(&huge), "at most"),
        (metadata("\u{0}"), "metadata.yaml"),
        (twice, "twice"),
        (bomb, "limit"),
        (xz(&tar(&[("other.yaml", b"x")])), "no metadata.yaml"),
        (b"what is this".to_vec(), "incus.tar.xz"),
        (xz(b"")[..12].to_vec(), "incus.tar.xz"),
    ] {
        let yard = Yard::new();
        let build = yard.build("a", &[("incus.tar.xz", &bytes), ("rootfs.tar.xz", b"root")]);
        let error = import(&yard, &build, Import::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{words}: {error}");
        let text = error.to_string();
        assert!(
            text.contains(words) && text.contains("/a: "),
            "{words}: {text}"
        );
        assert_eq!(paths(&build).len(), 2, "{words}");
        assert_eq!(paths(&yard.root), ["images"], "{words}");
    }
    let yard = Yard::new();
    for files in [
        &[("rootfs.tar.xz", &b"x"[..])][..],
        &[],
        &[("incus.tar.xz", b"x")],
    ] {
        let build = yard.build("b", files);
        let error = import(&yard, &build, Import::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{error}");
        fs::remove_dir_all(build).unwrap();
    }
    let error = import(&yard, &yard.folder.join("nowhere"), Import::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
}
