//! Layered images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::archive::{Device, Empty, Entry, Extent, Limits, Packer, Reader};
use distro_fetch::event::Silent;
use distro_fetch::fsimg::erofs::{self, Image, Layered, Options};
use distro_fetch::tree::{Dialect, Keep, Layer, Spool, Thing, Window};

use super::super::grove::{Scratch, noise};
use super::{judge, read};
use crate::layers::kit::{entry, words};

/// A layer of lines (see `layers::kit`) and of large files.
fn layer(lines: &[&str], large: &[(&str, usize)]) -> Layer {
    let mut packer = Packer::new(Vec::new());
    for line in lines {
        let (entry, content) = entry(line);
        packer.add(&entry).unwrap();
        packer.write(&content).unwrap();
    }
    for (name, size) in large {
        let (mut entry, _) = entry(&format!("f {name}"));
        entry.size = *size as u64;
        packer.add(&entry).unwrap();
        packer.write(&noise(*size)).unwrap();
    }
    of_tar(&packer.finish().unwrap())
}

fn of_tar(tar: &[u8]) -> Layer {
    let limits = Limits::default();
    let reader = Reader::new(tar, limits).with_empty(Empty::Allow);
    let spool = Spool::create(&std::env::temp_dir()).unwrap();
    Layer::read(
        reader,
        Dialect::Layer,
        Keep::Spool(spool),
        limits,
        || Ok(()),
    )
    .unwrap()
    .0
}

/// A few layers with everything that matters between layers.
fn several() -> Vec<Layer> {
    let long = format!("f etc/{}=x", "n".repeat(200));
    vec![
        layer(
            &[
                "d755 etc",
                "f600 etc/passwd=root",
                "f etc/gone=1",
                "d etc/old",
                "f etc/old/x=1",
                "d750 opaque",
                "f opaque/below=1",
                "l link->etc/passwd",
                "c null",
                "p pipe",
                "f shared=content",
                "h shared-too->shared",
                &long,
            ],
            &[("large", 200_000), ("replaced", 50_000)],
        ),
        layer(&[], &[]),
        layer(
            &[
                "d700 etc",
                "f etc/.wh.gone",
                "f etc/.wh.old",
                "f opaque/.wh..wh..opq",
                "f opaque/above=2",
                "f replaced=small",
                "h etc/hard->shared",
                "f nowhere/.wh.x",
            ],
            &[("also-large", 70_001)],
        ),
        layer(&["f etc/passwd=changed", "f etc/gone=again"], &[]),
    ]
}

fn write(layers: &[Layer], scratch: &Scratch) -> Layered {
    erofs::layered(layers, &scratch.0, &Options::default(), &Silent, "test").unwrap()
}

fn paths(written: &Layered, scratch: &Scratch) -> Vec<PathBuf> {
    written.names.iter().map(|it| scratch.path(it)).collect()
}

/// Has everybody look at layers.
fn check(layers: &[Layer]) {
    let scratch = Scratch::new();
    let written = write(layers, &scratch);
    let paths = paths(&written, &scratch);
    let (meta, parts) = (&paths[1], &paths[2..]);
    let parts: Vec<&Path> = parts.iter().map(PathBuf::as_path).collect();
    let merged = Layer::merge(layers).unwrap();
    let expect = judge::digest(&merged.tree);
    judge::fsck(meta, &parts);
    assert_eq!(judge::digest(&read(meta, &parts).unwrap()), expect);
    for (layer, image) in layers.iter().zip(&parts) {
        judge::fsck(image, &[]);
        let overlay = judge::digest(&layer.overlay().unwrap());
        assert_eq!(judge::digest(&read(image, &[]).unwrap()), overlay);
        if let Some(seen) = judge::mounted("erofs", image) {
            assert_eq!(seen, overlay, "what the kernel shows of a layer");
        }
    }
    // One after the other they are one image.
    let mut whole = Vec::new();
    for path in &paths[1..] {
        whole.extend(fs::read(path).unwrap());
    }
    let one = scratch.path("whole");
    fs::write(&one, &whole).unwrap();
    assert_eq!(judge::digest(&read(&one, &[]).unwrap()), expect);
    if let Some(seen) = judge::mounted("erofs", &one) {
        assert_eq!(seen, expect, "what the kernel shows of all layers");
    }
    let there = Command::new("qemu-img").arg("--version").output().is_ok();
    if !judge::required("qemu-img", there) {
        return;
    }
    let raw = scratch.path("raw");
    judge::run(
        Command::new("qemu-img")
            .args(["convert", "-f", "vmdk", "-O", "raw"])
            .args([&paths[0], &raw]),
    );
    assert!(
        fs::read(raw).unwrap() == whole,
        "what QEMU reads of the descriptor"
    );
}

#[test]
fn of_everything_between_layers_something() {
    check(&several());
}

#[test]
fn layers_of_nothing() {
    check(&[]);
    check(&[layer(&[], &[])]);
}

/// More than the first block has room for.
#[test]
fn sixty_layers() {
    let layers: Vec<_> = (0..60)
        .map(|at| {
            let mine = format!("f of-{at}={at}");
            let ours = format!("f of-all={at}");
            layer(&[&mine, &ours, "d755 etc"], &[("large", 5000 + at)])
        })
        .collect();
    check(&layers);
}

/// A layer's image depends on the layer alone, and says what the layer says.
#[test]
fn a_layer_says_its_whiteouts() {
    let layers = several();
    let overlay = layers[2].overlay().unwrap();
    let expect = [
        "f also-large",
        "d700 etc",
        "c etc/gone",
        "c etc/old",
        "d nowhere",
        "c nowhere/x",
        "d opaque",
        "f opaque/above=2",
        "f replaced=small",
    ];
    let names = |words: Vec<String>| -> Vec<String> {
        let cut = |it: String| {
            if it.contains("also-large") {
                "f also-large".to_owned()
            } else if let Some(path) = it.strip_prefix("h ") {
                format!("c {}", path.split("->").next().unwrap())
            } else {
                it.replacen("c0 ", "c ", 1)
            }
        };
        words.into_iter().map(cut).collect()
    };
    let mut plain = Vec::new();
    for visit in overlay.walk().skip(1) {
        if let Thing::Character(device) = visit.node.thing() {
            assert_eq!(device, Device { major: 0, minor: 0 });
            assert_eq!(visit.node.names(), 3);
        }
        plain.push(visit.path);
    }
    assert_eq!(plain.len(), expect.len());
    let opaque = overlay.find(b"opaque").unwrap();
    let attribute = b"trusted.overlay.opaque".as_slice();
    assert_eq!(opaque.xattrs().get(attribute).unwrap(), b"y");
    assert!(overlay.find(b"etc").unwrap().xattrs().is_empty());
    assert!(overlay.find(b"etc/hard").is_none(), "of a lower layer");
    let small: Vec<_> = expect.iter().map(|it| (*it).to_owned()).collect();
    let scratch = Scratch::new();
    write(&layers, &scratch);
    let alone = scratch.file("alone");
    let image = Image::of_layer(&overlay, &Options::default()).unwrap();
    image.write(&alone, &Silent, "x").unwrap();
    let there = fs::read(scratch.path("layer-2.erofs")).unwrap();
    assert!(fs::read(scratch.path("alone")).unwrap() == there);
    // The kit reads contents as text: without the large one.
    let lines = layer(
        &[
            "f also-large",
            "d700 etc",
            "f etc/.wh.gone",
            "f etc/.wh.old",
            "f nowhere/.wh.x",
            "f opaque/.wh..wh..opq",
            "f opaque/above=2",
            "f replaced=small",
        ],
        &[],
    );
    assert_eq!(names(words(&lines.overlay().unwrap())), small);
}

/// Images of layers are what overlayfs wants: it merges them as we do.
#[test]
fn the_kernel_merges_layers_too() {
    let layers = [
        layer(
            &[
                "d755 etc",
                "f etc/passwd=root",
                "f etc/gone=1",
                "d old",
                "f old/x=1",
                "d750 opaque",
                "f opaque/below=1",
                "f replaced=1",
                "d file",
                "f file/x=1",
                "f folder=1",
                "c null",
                "h same->replaced",
            ],
            &[],
        ),
        layer(
            &[
                "d700 etc",
                "f etc/.wh.gone",
                "f etc/shadow=2",
                "f .wh.old",
                "d opaque",
                "f opaque/.wh..wh..opq",
                "f opaque/above=2",
                "f replaced=2",
                "f file=2",
                "d folder",
                "l folder/link->x",
            ],
            &[],
        ),
        layer(
            &["d etc", "f etc/gone=3", "d old", "f old/y=3"],
            &[("large", 70_000)],
        ),
    ];
    let scratch = Scratch::new();
    let written = write(&layers, &scratch);
    let paths = paths(&written, &scratch);
    let parts: Vec<&Path> = paths[2..].iter().map(PathBuf::as_path).collect();
    if let Some(seen) = judge::overlaid(&parts) {
        let merged = Layer::merge(&layers).unwrap();
        assert_eq!(seen, judge::digest(&merged.tree));
    }
}

/// Files with holes keep them, in the layer and in what points at it.
#[test]
fn holes_of_layers() {
    let file = distro_fetch::sys::unnamed_file(&std::env::temp_dir()).unwrap();
    let bytes = noise(300_000);
    let mut packer = Packer::new(Vec::new());
    let (entry, _) = entry("f before");
    let before = Entry {
        size: 300_000,
        ..entry
    };
    packer.add(&before).unwrap();
    packer.write(&bytes).unwrap();
    let mut tar = packer.finish().unwrap();
    // GNU's sparse format 1.0 is written by nobody here: the map is in the data.
    let map = "2\n0\n4096\n104853504\n4096\n";
    let data = [map.as_bytes(), &vec![0; 512 - map.len()], &bytes[..8192]].concat();
    let name = "GNUSparseFile.0/sparse";
    let sparse = gnu_sparse(name, &data);
    tar.truncate(tar.len() - 1024);
    tar.extend(sparse);
    tar.extend([0; 1024]);
    std::io::Write::write_all(&mut &file, &tar).unwrap();
    let window = Window::whole(file.into()).unwrap();
    let limits = Limits::default();
    let reader = Reader::new(window.clone(), limits);
    let keep = Keep::InPlace(window);
    let (layer, _) = Layer::read(reader, Dialect::Layer, keep, limits, || Ok(())).unwrap();
    let tree = &Layer::merge(std::slice::from_ref(&layer)).unwrap().tree;
    let extents = tree.find(b"sparse").unwrap().extents().unwrap();
    let end = Extent {
        offset: 104_853_504,
        length: 4096,
    };
    assert_eq!(extents[1], end);
    check(&[layer]);
}

/// An entry as GNU tar writes it with `--format=posix --sparse`.
fn gnu_sparse(name: &str, data: &[u8]) -> Vec<u8> {
    let record = |key: &str, value: &str| {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        format!("{length} {key}={value}\n")
    };
    let records = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.minor", "0"),
        record("GNU.sparse.name", "sparse"),
        record("GNU.sparse.realsize", "104857600"),
    ]
    .concat();
    [
        header("PaxHeaders/sparse", b'x', records.as_bytes()),
        header(name, b'0', data),
    ]
    .concat()
}

fn header(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", data.len()));
    put(136, "14524516400\0");
    put(148, "        ");
    put(257, "ustar\x0000");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

#[test]
fn devices_must_be_those_of_the_image() {
    let scratch = Scratch::new();
    let written = write(&several(), &scratch);
    let paths = paths(&written, &scratch);
    let parts: Vec<&Path> = paths[2..].iter().map(PathBuf::as_path).collect();
    let refuse = |devices: &[&Path], words: &str| {
        let error = read(&paths[1], devices).unwrap_err();
        assert_eq!(error.kind(), distro_fetch::Kind::Format);
        assert!(error.message().contains(words), "{error}");
    };
    refuse(&[], "neither given nor behind it");
    refuse(&parts[..3], "it has 4 devices, and 3 are given");
    let swapped = [parts[1], parts[0], parts[2], parts[3]];
    refuse(&swapped, "another size");
}
