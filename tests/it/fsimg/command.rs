//! The command over images of file systems: what `ensure`, `convert`, `digest` and `verify` make of
//! them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Lab, Said, image, said};
use crate::layers::kit::tar;

const TREE: &[&str] = &[
    "d etc",
    "f etc/a=1",
    "d usr",
    "d700 usr/bin",
    "f4755 usr/bin/tool=x",
    "l sbin->usr/bin",
    "p pipe",
];

/// A lab whose catalog has one archive.
fn lab() -> (Lab, PathBuf, PathBuf) {
    let lab = Lab::new();
    let archive = lab.path("base.tar");
    let bytes = tar(TREE);
    fs::write(&archive, &bytes).unwrap();
    let url = format!("file://{}", archive.display());
    let images = json!({ "base-1": image("base-1", &url, &bytes) });
    let catalog = lab.path("catalog.json");
    let text = json!({ "schema": 1, "origins": {}, "images": images });
    fs::write(&catalog, text.to_string()).unwrap();
    (lab, catalog, archive)
}

fn run(lab: &Lab, catalog: &Path, arguments: &[&str]) -> Said {
    said(
        lab.command(catalog)
            .args(["--arch", "amd64"])
            .args(arguments),
    )
}

fn digest(lab: &Lab, catalog: &Path, path: &str) -> String {
    let said = run(lab, catalog, &["digest", path]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout
}

#[test]
fn an_image_in_the_cache_is_made_once_and_verified() {
    let (lab, catalog, archive) = lab();
    let expect = digest(&lab, &catalog, archive.to_str().unwrap());
    for form in ["ext4", "erofs"] {
        let ensure = ["ensure", "base-1", "--as", form];
        let first = run(&lab, &catalog, &ensure);
        assert_eq!(first.code, Some(0), "{first:?}");
        let path = first.stdout.trim_end();
        assert!(
            path.ends_with(&format!("/prepared/{form}-1/rootfs.{form}")),
            "{path}"
        );
        let meta = fs::metadata(path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o444);
        assert_eq!(digest(&lab, &catalog, path), expect, "{form}");
        let again = run(
            &lab,
            &catalog,
            &[&ensure[..], &["--json", "--offline"]].concat(),
        );
        let document: Value = serde_json::from_str(&again.stdout).unwrap();
        assert_eq!(document[0]["cached"], true, "{document}");
        assert_eq!(document[0]["path"], path);
        let sum = document[0]["made"]["sha256"].as_str().unwrap().to_owned();
        assert_eq!(
            crate::harness::sha256(&fs::read(path).unwrap()).to_string(),
            sum
        );
        // Other options are another image.
        let other = run(
            &lab,
            &catalog,
            &[&ensure[..], &["--label", "other"]].concat(),
        );
        assert_eq!(other.code, Some(0), "{other:?}");
        assert_ne!(other.stdout, first.stdout);
        // What somebody has been at is noticed, and made again.
        let bytes = fs::read(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut bad = bytes.clone();
        bad[5000] ^= 1;
        fs::write(path, bad).unwrap();
        let found = run(&lab, &catalog, &["verify"]);
        assert_eq!(found.code, Some(7), "{found:?}");
        let mended = run(&lab, &catalog, &ensure);
        assert_eq!(mended.stdout, first.stdout, "{mended:?}");
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(run(&lab, &catalog, &["verify"]).code, Some(0));
    }
}

#[test]
fn an_image_of_ones_own_has_what_was_added() {
    let (lab, catalog, _) = lab();
    let tool = lab.path("init");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    for form in ["ext4", "erofs"] {
        let target = lab.path(&format!("my.{form}"));
        let output = target.to_str().unwrap();
        let add = format!("{}:/sbin/init:755", tool.display());
        let line = [
            "ensure", "base-1", "--as", form, "-o", output, "--add", &add,
        ];
        let made = run(&lab, &catalog, &line);
        assert_eq!(
            (made.code, made.stdout.trim_end()),
            (Some(0), output),
            "{made:?}"
        );
        // The goal holds already.
        assert_eq!(run(&lab, &catalog, &line).code, Some(0));
        let plain = run(&lab, &catalog, &["ensure", "base-1", "--as", form]);
        assert_ne!(
            digest(&lab, &catalog, output),
            digest(&lab, &catalog, plain.stdout.trim_end())
        );
        // A tar of the image has it, behind the link.
        let list = lab.path("list.tar");
        let tree = ["convert", "base-1", "-o", list.to_str().unwrap()];
        assert_eq!(run(&lab, &catalog, &tree).code, Some(0));
        fs::remove_file(list).unwrap();
    }
}

#[test]
fn sizes_and_options_are_judged_before_anything_is_left() {
    let (lab, catalog, archive) = lab();
    let archive = archive.to_str().unwrap();
    let out = lab.path("out");
    fs::create_dir(&out).unwrap();
    let path = |name: &str| out.join(name).to_str().unwrap().to_owned();
    for (line, code, expect) in [
        ("convert TAR -o x.ext4 --size 16K", 2, "at least"),
        ("convert TAR -o x.ext4 --size 1000001", 2, "4096"),
        ("convert TAR -o x.erofs --size 64M", 2, "ext4"),
        ("convert TAR -o x.erofs --journal", 2, "ext4"),
        ("convert TAR -o x.tar --label x", 2, "--label"),
        ("convert TAR -o x.ext4 --label seventeen-letters", 2, "16"),
        ("convert TAR -o x.erofs --label seventeen-letters", 2, "16"),
        (
            "convert TAR -o x.ext4 --add /nothing/there:/x",
            8,
            "nothing",
        ),
        (
            "ensure base-1 --as ext4 --add /etc/hostname:/x",
            2,
            "--output",
        ),
        ("ensure base-1 --as erofs --max-entries 3", 9, "entries"),
        ("ensure base-1 --as dir --max-bytes 1", 9, "bytes"),
        ("convert TAR -o x.ext4 --max-depth 1", 9, "limit is 1"),
        ("ensure base-1 --as dir --label x", 2, "--label"),
    ] {
        let arguments: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                "TAR" => archive.to_owned(),
                word if word.starts_with("x.") => path(word),
                word => word.to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = run(&lab, &catalog, &arguments);
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        assert!(said.stderr.contains(expect), "{expect}: {said:?}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{line}");
    }
    for size in ["8M", "100M", "127M", "128M", "129M"] {
        let target = path("sized.ext4");
        let line = ["convert", archive, "-o", &target, "--size", size, "--force"];
        assert_eq!(run(&lab, &catalog, &line).code, Some(0), "{size}");
        let expect = distro_fetch::base::parse_bytes(size).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().len(), expect);
    }
}

#[test]
fn whoever_makes_it_makes_the_same_bytes() {
    let (lab, catalog, archive) = lab();
    let folder = lab.path("nobody");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let layout = lab.path("layout");
    let source = format!("oci:{}", layout.display());
    crate::layouts::kit::Maker::one(&layout, &[TREE, &["f etc/.wh.a", "c null"]]);
    let sources = [archive.to_str().unwrap(), &source];
    for (at, source) in sources.into_iter().enumerate() {
        for form in ["ext4", "erofs"] {
            let ours = lab.path(&format!("ours-{at}.{form}"));
            let theirs = folder.join(format!("theirs-{at}.{form}"));
            let line = ["convert", source, "-o", ours.to_str().unwrap()];
            let made = run(&lab, &catalog, &line);
            assert_eq!(made.code, Some(0), "{made:?}");
            // Another user, umask, time zone and clock.
            let script = "umask 077; exec \"$@\"";
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
            command.args(["sh", "-c", script, "sh"]);
            command.arg(crate::harness::distro_fetch().get_program());
            command.arg("--cache-dir").arg(folder.join("cache"));
            command.env("TZ", "Pacific/Auckland").env("TMPDIR", &folder);
            command.args(["convert", source, "-o"]).arg(&theirs);
            if !crate::cache::commands::probe_setpriv() {
                eprintln!("skipped: no other user without root");
                return;
            }
            let made = said(&mut command);
            assert_eq!(made.code, Some(0), "{made:?}");
            assert!(
                fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(),
                "{source} {form}"
            );
        }
    }
}
