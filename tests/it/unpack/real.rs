//! Published root file systems, and one tree in every dialect: GNU tar is the judge.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kit::{Scene, as_somebody, have, have_somebody_else, is_root, skip};
use super::snapshot::{Snapshot, assert_same, snapshot};
use crate::harness::{said, shared};

/// The archives, and whether they have an entry for their root.
const ARCHIVES: [(&str, bool); 7] = [
    ("alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz", true),
    ("alpine/alpine-minirootfs-3.20.3-aarch64.tar.gz", true),
    ("tar/almalinux-9-docker-aarch64-micro.tar.xz", false),
    ("tar/gnu-sparse.tar.zst", true),
    ("tar/posix-sparse-1.0-xattrs.tar.zst", true),
    ("tar/ustar.tar.zst", true),
    (BSDTAR, true),
];

/// Its attributes are in `LIBARCHIVE.xattr` records, which GNU tar does not know.
const BSDTAR: &str = "tar/bsdtar-pax.tar.zst";

/// GNU tar's extraction. Without being told it dresses a directory before the last of its files is
/// there, if they are not all behind it.
fn judge(archive: &Path, target: &Path, options: &[&str]) -> Command {
    fs::create_dir_all(target).unwrap();
    let mut command = Command::new("tar");
    command
        .args([
            "--numeric-owner",
            "--xattrs",
            "--same-permissions",
            "--delay-directory-restore",
        ])
        .args(options)
        .arg("--extract")
        .arg("--directory")
        .arg(target)
        .arg("--file")
        .arg(archive);
    command
}

fn digest(scene: &Scene, path: &Path) -> String {
    let said = said(scene.program().arg("digest").arg(path));
    assert_eq!(said.code, Some(0), "{}: {}", path.display(), said.stderr);
    said.stdout
}

#[test]
fn root_gets_what_gnu_tar_gives() {
    let (Some(folder), true) = (shared("images"), have("tar") && have("xz") && have("zstd")) else {
        return;
    };
    if !is_root() {
        return skip("only root gets everything");
    }
    for (name, rooted) in ARCHIVES {
        let scene = Scene::new();
        let (archive, ours, theirs) = (folder.join(name), scene.path("ours"), scene.path("theirs"));
        let said = scene.unpack(&archive, &ours, &[]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        assert!(!said.stderr.contains("not kept"), "{name}: {}", said.stderr);
        assert_eq!(said.stdout.trim_end(), ours.to_str().unwrap());
        let options = ["--xattrs-include=*", "--acls"];
        let output = judge(&archive, &theirs, &options).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");

        let mut left = snapshot(&ours);
        let mut right = snapshot(&theirs);
        if !rooted {
            left.remove(Path::new(""));
            right.remove(Path::new(""));
        }
        if name == BSDTAR {
            let has_xattrs = left
                .values()
                .any(|node| node.xattrs.contains_key("security.capability"));
            assert!(has_xattrs, "{name}");
            for node in left.values_mut().chain(right.values_mut()) {
                node.xattrs.retain(|name, _| name.starts_with("system."));
            }
        }
        assert_same(&left, &right, name);
        assert_eq!(digest(&scene, &archive), digest(&scene, &ours), "{name}");
        if name.contains(".tar.zst") {
            as_expected(&folder.join("tar"), name, &snapshot(&ours));
        }
    }
}

/// The tables beside the archives.
fn as_expected(folder: &Path, name: &str, tree: &Snapshot) {
    let table = fs::read_to_string(folder.join("EXPECTED-STAT.tsv")).unwrap();
    let sums = fs::read_to_string(folder.join("EXPECTED-FILES.sha256")).unwrap();
    let sums: BTreeMap<_, _> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name, sum))
        .collect();
    let is_ustar = name.contains("ustar");
    let mut missing = 0;
    for line in table.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [path, kind, mode, uid, gid, size, time, link] = fields[..] else {
            panic!("{line}");
        };
        let place = PathBuf::from(path.trim_start_matches('.').trim_start_matches('/'));
        let Some(node) = tree.get(&place) else {
            missing += 1;
            continue;
        };
        let when = format!("{name}: {path}");
        assert_eq!(node.kind.to_string(), kind, "{when}");
        assert_eq!(format!("{:o}", node.mode), mode, "{when}");
        let owner = (uid.parse().unwrap(), gid.parse().unwrap());
        assert_eq!(node.owner, owner, "{when}");
        assert_eq!(
            node.mtime.0.to_string(),
            time.split_once('.').unwrap().0,
            "{when}"
        );
        match kind {
            "f" => {
                assert_eq!(node.size.to_string(), size, "{when}");
                assert_eq!(node.content.unwrap().to_string(), sums[path], "{when}");
            }
            "l" => {
                // What ustar has no room for was cut off when it was made.
                let link = &link[..link.len().min(if is_ustar { 100 } else { 4096 })];
                assert_eq!(node.link.as_deref(), Some(Path::new(link)), "{when}");
            }
            _ => {}
        }
    }
    assert_eq!(missing, if is_ustar { 5 } else { 0 }, "{name}");
    assert_eq!(tree.len() + missing, table.lines().count(), "{name}");
}

#[test]
fn an_ordinary_user_gets_what_gnu_tar_gives_as_far_as_one_may() {
    let (Some(folder), true) = (shared("images"), have("tar") && have("xz") && have("zstd")) else {
        return;
    };
    if !have_somebody_else() {
        return;
    }
    let (mut devices, mut set_ids, mut attributes) = (0, 0, 0);
    for (name, rooted) in ARCHIVES {
        let scene = Scene::new();
        let place = scene.theirs();
        let (archive, ours, theirs) = (folder.join(name), place.join("ours"), place.join("theirs"));
        let report = place.join("report.json");
        let mut command = scene.program();
        command.arg("unpack").arg(&archive).arg(&ours);
        command.arg("--report").arg(&report);
        let said = said(&mut as_somebody(&command));
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        let mut judge = judge(&archive, &theirs, &["--xattrs-include=user.*"]);
        if is_root() {
            std::os::unix::fs::chown(&theirs, Some(super::kit::NOBODY), Some(super::kit::NOBODY))
                .unwrap();
        }
        judge.env("PATH", std::env::var_os("PATH").unwrap());
        // It tells of the devices, and goes on.
        as_somebody(&judge).output().unwrap();

        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        let lost = |kind: &str| report["lost"][kind]["total"].as_u64().unwrap_or(0);
        assert!(lost("owner") > 100, "{name}: {report}");
        devices += lost("device");
        set_ids += lost("set-id");
        attributes += lost("xattr");

        let mut left = snapshot(&ours);
        let mut right = snapshot(&theirs);
        if !rooted {
            left.remove(Path::new(""));
            right.remove(Path::new(""));
        }
        let mut dropped = 0;
        for node in right.values_mut() {
            if node.kind == 'f' && node.mode & 0o6000 != 0 && node.twin.is_none() {
                dropped += 1;
            }
            if node.kind == 'f' {
                node.mode &= 0o1777;
            }
        }
        assert_eq!(lost("set-id"), dropped, "{name}: {report}");
        if name == BSDTAR {
            for node in left.values_mut() {
                node.xattrs.clear();
            }
        }
        assert!(
            left.values()
                .all(|node| node.kind != 'c' && node.kind != 'b')
        );
        assert_same(&left, &right, name);
    }
    assert!(
        devices > 0 && set_ids > 0 && attributes > 0,
        "{devices} {set_ids} {attributes}"
    );
}

/// Neither the umask nor the way of the tree matters: the digest is that of the archive.
#[test]
fn a_digest_survives_umasks_and_copies() {
    let (Some(folder), true) = (shared("images"), have("tar")) else {
        return;
    };
    if !is_root() {
        return skip("only root gets everything");
    }
    for name in [ARCHIVES[0].0, "tar/posix-sparse-1.0-xattrs.tar.zst"] {
        let scene = Scene::new();
        let archive = folder.join(name);
        let expect = digest(&scene, &archive);
        for umask in ["000", "077"] {
            let target = scene.path(umask);
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            let mut command = scene.program();
            command.arg("unpack").arg(&archive).arg(&target);
            let mut command = super::kit::inside("sh", &[&["-c", &script]], &command);
            let said = said(&mut command);
            assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
            assert_eq!(digest(&scene, &target), expect, "{name}: umask {umask}");
        }
        for format in ["posix", "gnu"] {
            let copy = scene.path(&format!("{format}.tar"));
            // Only one of the formats can say it all.
            let options: &[&str] = match format {
                "posix" => &["--xattrs", "--xattrs-include=*", "--acls", "--sparse"],
                _ if name.starts_with("alpine") => &["--sparse"],
                _ => continue,
            };
            let made = Command::new("tar")
                .args(["--create", "--numeric-owner", "--format", format])
                .args(options)
                .arg("--directory")
                .arg(scene.path("077"))
                .arg("--file")
                .arg(&copy)
                .arg(".")
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            assert_eq!(digest(&scene, &copy), expect, "{name}: {format}");
            let again = scene.path(format);
            assert_eq!(scene.unpack(&copy, &again, &[]).code, Some(0));
            assert_eq!(digest(&scene, &again), expect, "{name}: {format}");
        }
    }
}
