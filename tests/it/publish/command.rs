//! The command.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::kit::{PLACE, SERIAL, SPLIT, Yard, metadata, yaml};
use crate::crash::strace::{mounts_work, unshare};
use crate::harness::{Said, distro_fetch, said, shared};

fn publish(yard: &Yard, arguments: &[&str]) -> Said {
    said(
        distro_fetch()
            .arg("publish")
            .arg(&yard.root)
            .args(arguments),
    )
}

/// The three imports of `shared/`, and what another generator makes of them.
#[test]
fn what_the_other_generator_makes_of_real_images_we_make() {
    let Some(shared) = shared("images/simplestreams-py") else {
        return;
    };
    for (case, files) in [
        ("lxd", &["lxd.tar.xz", "root.tar.xz"][..]),
        ("incus", &["incus.tar.xz", "root.tar.xz"]),
        ("both", &["incus.tar.xz", "lxd.tar.xz", "root.tar.xz"]),
    ] {
        let yard = Yard::new();
        let build = yard.build("build", &[]);
        for name in files {
            fs::copy(shared.join("files").join(name), build.join(name)).unwrap();
        }
        let build = build.to_str().unwrap();
        let made = publish(&yard, &["--import", build]);
        assert_eq!(made.code, Some(0), "{made:?}");
        assert_eq!(
            made.stdout.trim_end(),
            yard.root.join("streams/v1/index.json").to_str().unwrap()
        );
        assert_eq!(fs::read_dir(build).unwrap().count(), 0);
        for name in ["images.json", "index.json"] {
            let expected = fs::read(shared.join("expected").join(case).join(name)).unwrap();
            let expected: Value = serde_json::from_slice(&expected).unwrap();
            assert_eq!(yard.json(&format!("streams/v1/{name}")), expected, "{case}");
        }
        let tree = fs::read_to_string(shared.join("expected").join(case).join("tree.txt")).unwrap();
        for path in tree.lines().filter(|path| !path.ends_with(".items.json")) {
            assert!(yard.root.join(path).is_file(), "{case}: {path}");
        }
        assert_eq!(publish(&yard, &["--verify"]).code, Some(0));
    }
}

#[test]
fn codes_say_what_came_of_it() {
    let yard = Yard::with_image();
    let good = publish(&yard, &[]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stderr.contains("1 product, 1 version; 2 files hashed"),
        "{good:?}"
    );
    let quiet = publish(&yard, &["--quiet"]);
    assert_eq!((quiet.code, &*quiet.stderr), (Some(0), ""));
    // Something is left out, and named, also for those who want quiet.
    yard.put("images/bad/1/amd64/default/20260101", &[]);
    for arguments in [&[][..], &["--quiet"]] {
        let bad = publish(&yard, arguments);
        assert_eq!(bad.code, Some(1));
        assert!(
            bad.stderr
                .contains("images/bad/1/amd64/default/20260101: there is no image"),
            "{bad:?}"
        );
    }
    let bad = publish(&yard, &["--json"]);
    let document: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(
        document["problems"][0]["path"],
        "images/bad/1/amd64/default/20260101"
    );
    assert_eq!(
        (&document["versions"], &document["reused"]),
        (&1.into(), &2.into())
    );
    assert_eq!(document["changed"], false);
    // A byte is flipped.
    let root = yard.root.join(PLACE).join(SERIAL).join("rootfs.tar.xz");
    fs::write(&root, b"r00t").unwrap();
    let lie = publish(&yard, &["--verify"]);
    assert_eq!(lie.code, Some(7));
    assert!(lie.stderr.contains("rootfs.tar.xz: SHA-256"), "{lie:?}");
    assert_eq!(lie.stdout, "");
    let lie = publish(&yard, &["--verify", "--json"]);
    let document: Value = serde_json::from_str(&lie.stdout).unwrap();
    assert_eq!(lie.code, Some(7));
    assert_eq!(
        document["problems"].as_array().unwrap().len(),
        1,
        "{document}"
    );
    // Other bytes under a serial that is taken.
    let meta = metadata(&yaml(""));
    let build = yard.build("b", &[("incus.tar.xz", &meta), SPLIT[1]]);
    let taken = publish(&yard, &["--import", build.to_str().unwrap()]);
    assert_eq!(taken.code, Some(7), "{taken:?}");
    for (arguments, code) in [
        (&["--copy"][..], 2),
        (&["--retain", "0"], 2),
        (&["--verify", "--retain", "1"], 2),
        (&["--import", "/nowhere/at/all"], 8),
    ] {
        assert_eq!(publish(&yard, arguments).code, Some(code), "{arguments:?}");
    }
    assert_eq!(
        said(distro_fetch().args(["publish", "/nowhere/at/all"])).code,
        Some(8)
    );
    assert_eq!(
        said(distro_fetch().args(["publish", "/nowhere/at/all", "--verify"])).code,
        Some(8)
    );
}

#[test]
fn a_first_build_makes_the_root() {
    let yard = Yard::new();
    let meta = metadata(&yaml(""));
    let build = yard.build("b", &[("incus.tar.xz", &meta), SPLIT[1]]);
    let root = yard.folder.join("new/root");
    let mut command = distro_fetch();
    command
        .arg("publish")
        .arg(&root)
        .args(["--copy", "--import"])
        .arg(&build);
    let made = said(&mut command);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(root.join("streams/v1/index.json").is_file());
    assert_eq!(said(&mut command).code, Some(0));
}

/// HOSTILE 72: on every size of disk there is the old index or the new one, and nothing half.
#[test]
fn a_full_disk_leaves_a_whole_index() {
    if !mounts_work() {
        return;
    }
    let yard = Yard::new();
    for day in 1..=9 {
        yard.put(&format!("{PLACE}/2026010{day}_13:00"), &SPLIT);
    }
    let (mut full, mut whole) = (0, 0);
    for kibibytes in [4, 8, 12, 16, 20, 24, 32, 64, 256] {
        // Images elsewhere, everything that is written on the small disk.
        let script = format!(
            "mkdir -p \"$1/small\" && mount -t tmpfs -o size={kibibytes}k none \"$1/small\" && \
             mkdir \"$1/small/images\" && mount --bind \"$1/root/images\" \"$1/small/images\" && \
             \"$2\" publish \"$1/small\"; code=$?; \
             find \"$1/small\" -path '*/images' -prune -o -type f -print0 | sort -z | \
             xargs -0 -I{{}} sh -c 'echo \"{{}}\"; tail -c 2 \"{{}}\"'; exit $code"
        );
        let said = said(
            unshare(&script)
                .arg(&yard.folder)
                .arg(env!("CARGO_BIN_EXE_distro-fetch")),
        );
        let files = said.stdout.matches("streams/v1/").count();
        match said.code {
            Some(0) => whole += 1,
            Some(8) => {
                full += 1;
                assert!(
                    said.stderr.contains("disk is full") || said.stderr.contains("No space"),
                    "{said:?}"
                );
            }
            _ => panic!("{kibibytes}: {said:?}"),
        }
        assert!(files <= 3, "nothing but the documents: {said:?}");
        for name in ["images.json", "index.json"] {
            let whole = said.stdout.contains(&format!("{name}\n}}\n"));
            assert!(
                whole || !said.stdout.contains(&format!("v1/{name}\n")),
                "{kibibytes} {name}: {said:?}"
            );
        }
    }
    assert!(full > 0 && whole > 0, "{full} full, {whole} whole");
}

#[test]
fn the_help_shows_the_tree() {
    let help = said(distro_fetch().args(["publish", "--help"]));
    for words in [
        "disk.qcow2",
        ".requirements",
        "support_eol",
        "--retain",
        "Exit codes",
    ] {
        assert!(help.stdout.contains(words), "{words}");
    }
    assert!(Path::new(env!("CARGO_BIN_EXE_distro-fetch")).exists());
}
