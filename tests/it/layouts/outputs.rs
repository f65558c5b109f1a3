//! `convert` of what lies here: every output of every source is the same tree, or nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::kit::{Maker, Scratch, host, tar, text, with_platform};
use crate::harness::{Said, distro_fetch, image, noise, said};

const LOWER: &[&str] = &[
    "d etc mode=755",
    "f etc/a",
    "f etc/b",
    "d srv mode=700",
    "f srv/kept",
    "l link -> etc/a",
];
const UPPER: &[&str] = &["f etc/.wh.a", "f etc/c", "f srv/.wh..wh..opq", "f srv/new"];

fn run(scratch: &Scratch, arguments: &[&str]) -> Said {
    let cache = scratch.path("cache");
    let mut command = distro_fetch();
    command.arg("--cache-dir").arg(cache).args(arguments);
    said(&mut command)
}

fn convert(scratch: &Scratch, source: &str, output: &str, more: &[&str]) -> Said {
    run(
        scratch,
        &[&["convert", source, "-o", output], more].concat(),
    )
}

fn digest(scratch: &Scratch, path: &str) -> String {
    let said = run(scratch, &["digest", path]);
    assert_eq!(said.code, Some(0), "{path}: {said:?}");
    said.stdout
}

/// What is beside the sources and the cache.
fn left(scratch: &Scratch, known: &[&str]) -> Vec<String> {
    let mut names = scratch.names();
    names.retain(|name| !known.contains(&name.as_str()) && name != "cache");
    names
}

#[test]
fn every_output_is_the_same_tree() {
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    Maker::one(&layout, &[LOWER, UPPER]);
    let expect = digest(&scratch, text(&layout));
    let path = |name: &str| text(&scratch.path(name)).to_owned();
    let mut sources = vec![text(&layout).to_owned()];
    for (from, more) in [
        ("one.tar", &[][..]),
        ("one.oci", &["--to", "oci-archive"]),
        ("one.docker", &["--to", "docker-archive", "--name", "one:1"]),
        ("one/", &[]),
    ] {
        let said = convert(&scratch, text(&layout), &path(from), more);
        assert_eq!(said.code, Some(0), "{from}: {said:?}");
        assert_eq!(said.stdout.trim_end(), path(from), "{said:?}");
        sources.push(path(from));
    }
    // As root everything is kept; others keep what they may.
    let all = distro_fetch::sys::is_root();
    for source in &sources {
        if all || !source.ends_with('/') {
            assert_eq!(digest(&scratch, source), expect, "{source}");
        }
    }
    for source in &sources[..4] {
        for (output, more) in [
            ("again.tar", &[][..]),
            ("again.oci", &["--to", "oci-archive"]),
        ] {
            let said = convert(&scratch, source, &path(output), more);
            assert_eq!(said.code, Some(0), "{source}: {said:?}");
            assert_eq!(digest(&scratch, &path(output)), expect, "{source}");
            fs::remove_file(path(output)).unwrap();
        }
    }
    // A tar is a function of the tree.
    let first = fs::read(path("one.tar")).unwrap();
    let said = convert(&scratch, &path("one.oci"), &path("two.tar"), &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(first == fs::read(path("two.tar")).unwrap());
    let known = [
        "layout",
        "one.tar",
        "one.oci",
        "one.docker",
        "one",
        "two.tar",
    ];
    assert!(left(&scratch, &known).is_empty(), "{:?}", scratch.names());
}

#[test]
fn what_cannot_be_is_said_by_its_code_and_leaves_nothing() {
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    let mut maker = Maker::new(&layout);
    maker.add(maker.image(&host(), &[LOWER]), Some("one"));
    let other = with_platform(maker.image("plan9/mips", &[UPPER]), "plan9/mips");
    maker.add(maker.index(&[other]), Some("two"));
    let path = |name: &str| text(&scratch.path(name)).to_owned();
    let one = format!("{}:one", path("layout"));
    let two = format!("{}:two", path("layout"));
    fs::write(path("mine.tar"), "mine").unwrap();
    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/mine"), "mine").unwrap();
    fs::write(path("not.tar"), "not a tar").unwrap();
    let known = ["layout", "mine.tar", "full", "not.tar"];
    for (code, source, output, more, expect) in [
        (3, path("layout").as_str(), "o.tar", &[][..], "one"),
        (3, &two, "o/", &[], "plan9/mips"),
        (3, &one, "o.tar", &["--platform", "linux/s390x"], "s390x"),
        (3, "nothing-like-it", "o.tar", &[], "no such file"),
        (2, &one, "o.unknown", &[], "--to"),
        (2, &one, "o.tar", &["--size", "1G"], "--to raw"),
        (2, &one, "o.tar", &["--name", "x"], "--name"),
        (2, &one, "o.tar", &["--from", "rar"], "rar"),
        (2, &path("layout"), "o.raw", &[], "is not a file"),
        (8, &path("nothing/like/it"), "o.tar", &[], "it"),
        (8, &one, "mine.tar", &[], "--force"),
        (8, &one, "full/", &[], "full"),
        (9, &path("not.tar"), "o.tar", &[], "not.tar"),
        (9, &path("not.tar"), "o/", &[], "not.tar"),
    ] {
        let said = convert(&scratch, source, &path(output), more);
        assert_eq!(
            said.code,
            Some(code),
            "{source} {output} {more:?}: {said:?}"
        );
        assert!(said.stderr.contains(expect), "{expect}: {said:?}");
        assert!(said.stdout.is_empty(), "{said:?}");
        assert!(left(&scratch, &known).is_empty(), "{:?}", scratch.names());
    }
    assert_eq!(fs::read(path("mine.tar")).unwrap(), b"mine");
    let said = convert(&scratch, &one, &path("mine.tar"), &["--force"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(digest(&scratch, &path("mine.tar")), digest(&scratch, &one));
    // One changed byte of anything, in a layout that has nothing else.
    fs::remove_file(path("mine.tar")).unwrap();
    fs::remove_dir_all(&layout).unwrap();
    Maker::one(&layout, &[LOWER, UPPER]);
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        let good = fs::read(&blob).unwrap();
        let mut bad = good.clone();
        bad[10] ^= 1;
        fs::write(&blob, bad).unwrap();
        for output in ["o.tar", "o/"] {
            let said = convert(&scratch, &path("layout"), &path(output), &[]);
            assert_eq!(said.code, Some(7), "{said:?}");
            assert!(left(&scratch, &known).is_empty(), "{:?}", scratch.names());
        }
        fs::write(&blob, good).unwrap();
    }
}

#[test]
fn an_image_of_the_catalog_is_fetched_first() {
    let scratch = Scratch::new();
    let archive = tar(LOWER);
    let file = scratch.path("base.tar");
    fs::write(&file, &archive).unwrap();
    let url = format!("file://{}", file.display());
    let images = serde_json::json!({ "base-1": image("base-1", &url, &archive) });
    let catalog = serde_json::json!({ "schema": 1, "origins": {}, "images": images });
    let path = scratch.path("catalog.json");
    fs::write(&path, catalog.to_string()).unwrap();
    let arch = ["--catalog", text(&path), "--arch", "amd64"];
    let output = scratch.path("out.tar");
    let made = convert(&scratch, "base-1", text(&output), &arch);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(
        digest(&scratch, text(&output)),
        digest(&scratch, text(&file))
    );
    let raw = convert(&scratch, "base-1", text(&scratch.path("o.raw")), &arch);
    assert_eq!(raw.code, Some(2), "{raw:?}");
    // The name is the image's, whatever lies here.
    fs::write(scratch.path("base-1"), "mine").unwrap();
    let mut command = distro_fetch();
    command.current_dir(scratch.path(""));
    command.arg("--cache-dir").arg(scratch.path("cache"));
    command
        .args(["convert", "base-1", "-o", "two.tar"])
        .args(arch);
    assert_eq!(said(&mut command).code, Some(0));
}

#[test]
fn a_kill_leaves_no_output_and_the_next_run_tidies() {
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    let mut maker = Maker::new(&layout);
    let layer = big();
    maker.add(
        maker.image_of(&host(), &[(super::kit::LAYER, layer, None)]),
        None,
    );
    let expect = digest(&scratch, text(&layout));
    let (tar, folder) = (scratch.path("o.tar"), scratch.path("o"));
    let outputs = [text(&tar).to_owned(), format!("{}/", folder.display())];
    for delay in [0, 3, 7, 12, 20, 30, 45, 60] {
        for output in &outputs {
            let mut child = distro_fetch()
                .arg("--cache-dir")
                .arg(scratch.path("cache"))
                .args(["convert", text(&layout), "-o", output])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(delay));
            let _ = child.kill();
            child.wait().unwrap();
            // It was whole before it had its name, however late we came.
            if whole(output) {
                assert_eq!(
                    digest(&scratch, output),
                    expect,
                    "{output} after {delay} ms"
                );
                remove(output);
            }
        }
    }
    for output in &outputs {
        assert_eq!(convert(&scratch, text(&layout), output, &[]).code, Some(0));
        assert_eq!(digest(&scratch, output), expect);
    }
    let known = ["layout", "o", "o.tar"];
    assert!(left(&scratch, &known).is_empty(), "{:?}", scratch.names());
}

fn whole(output: &str) -> bool {
    Path::new(output.trim_end_matches('/')).exists()
}

fn remove(output: &str) {
    let path = PathBuf::from(output.trim_end_matches('/'));
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

/// A tar of many files of ours, so that anybody makes the same tree of it.
fn big() -> Vec<u8> {
    use distro_fetch::archive::{Entry, Kind, Packer, Time};
    let mut packer = Packer::new(Vec::new());
    let content = noise(64 << 10);
    let own = fs::metadata("/proc/self").unwrap();
    for number in 0..200 {
        let entry = Entry {
            path: format!("f{number:03}").into_bytes(),
            kind: Kind::File,
            mode: 0o644,
            uid: own.uid().into(),
            gid: own.gid().into(),
            mtime: Time {
                seconds: 1_700_000_000,
                nanos: 0,
            },
            size: content.len() as u64,
            xattrs: std::collections::BTreeMap::default(),
            extents: None,
        };
        packer.add(&entry).unwrap();
        packer.write(&content).unwrap();
    }
    packer.finish().unwrap()
}
