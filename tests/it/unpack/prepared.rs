//! `ensure --as dir`: trees in the cache, and trees elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::kit::{Scene, as_somebody, gzip, have_somebody_else, is_root, litter, skip, small};
use super::snapshot::{assert_same, snapshot};
use crate::crash::strace::{mounts_work, unshare};
use crate::harness::{Said, distro_fetch, said};

/// A cache, and a catalog of one archive and one disk image beside it.
pub(super) struct Shop {
    pub(super) scene: Scene,
    catalog: PathBuf,
    cache: PathBuf,
    as_somebody: bool,
}

impl Shop {
    pub(super) fn new() -> Self {
        let scene = Scene::new();
        let bytes = gzip(&small());
        let archive = scene.file("rootfs.tar.gz", &bytes);
        let disk = scene.file("disk.qcow2", b"QFI\xfb");
        let url = |path: &Path| format!("file://{}", path.display());
        let catalog = scene.lab.catalog(&[
            ("alpine-3.20", &url(&archive), &bytes),
            ("debian-12", &url(&disk), b"QFI\xfb"),
        ]);
        let cache = scene.lab.cache();
        Self {
            scene,
            catalog,
            cache,
            as_somebody: false,
        }
    }

    /// The same for an ordinary user.
    pub(super) fn of_somebody() -> Self {
        let shop = Self::new();
        let cache = shop.scene.theirs().join("cache");
        Self {
            cache,
            as_somebody: true,
            ..shop
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = distro_fetch();
        command.arg("--cache-dir").arg(&self.cache);
        command.arg("--catalog").arg(&self.catalog);
        command.args(["--arch", "amd64", "--retries", "0"]);
        command.args(arguments);
        if self.as_somebody {
            return as_somebody(&command);
        }
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// The prepared tree.
    pub(super) fn prepare(&self) -> PathBuf {
        let said = self.run(&ENSURE);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        PathBuf::from(said.stdout.trim_end())
    }

    /// Names beside a prepared tree that no entry has.
    pub(super) fn strangers(tree: &Path) -> Vec<String> {
        let names = fs::read_dir(tree.parent().unwrap()).unwrap();
        let own = tree.file_name().unwrap().to_str().unwrap();
        let own = [own.to_owned(), format!("{own}.json")];
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !own.contains(name))
            .collect()
    }
}

pub(super) const ENSURE: [&str; 4] = ["ensure", "alpine-3.20", "--as", "dir"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ENSURE, more].concat()
}

/// Inodes and times of change: what any write would move.
fn marks(folder: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let tree = snapshot(folder);
    let mark = |name: &PathBuf| {
        let meta = fs::symlink_metadata(folder.join(name)).unwrap();
        (name.clone(), meta.ino(), meta.ctime(), meta.ctime_nsec())
    };
    tree.keys().map(mark).collect()
}

fn document(said: &Said) -> Value {
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    document[0].clone()
}

#[test]
fn the_second_time_nothing_is_written() {
    let shop = Shop::new();
    let first = shop.run(&with(&["--json"]));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let first = document(&first);
    assert_eq!(first["form"], "dir");
    assert_eq!(first["cached"], false);
    assert_eq!(first["report"]["entries"], 13, "{first}");
    let path = PathBuf::from(first["path"].as_str().unwrap());
    let folder = if is_root() { "dir-1" } else { "dir-1-rootless" };
    assert!(
        path.ends_with(Path::new("prepared").join(folder)),
        "{first}"
    );
    assert!(path.starts_with(shop.scene.lab.cache()));
    assert_eq!(fs::read(path.join("etc/hostname")).unwrap(), b"small\n");
    let unpacked = shop.scene.path("unpacked");
    let archive = shop.scene.path("rootfs.tar.gz");
    assert_eq!(shop.scene.unpack(&archive, &unpacked, &[]).code, Some(0));
    if is_root() {
        assert_same(&snapshot(&path), &snapshot(&unpacked), "unpack and ensure");
    }
    assert_eq!(Shop::strangers(&path), [] as [&str; 0]);

    // The file can go: from here on the cache has it all.
    fs::remove_file(&archive).unwrap();
    let before = marks(path.parent().unwrap());
    for arguments in [with(&[]), with(&["--offline"]), with(&["--pull", "never"])] {
        let said = shop.run(&arguments);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(Path::new(said.stdout.trim_end()), path);
        assert_eq!(said.stderr, "", "a hit has nothing to tell");
    }
    let again = document(&shop.run(&with(&["--json"])));
    assert_eq!(
        (&again["cached"], &again["path"]),
        (&true.into(), &first["path"])
    );
    assert_eq!(marks(path.parent().unwrap()), before);
    // Nobody else's digest, either.
    if is_root() {
        let digest = |path: &Path| shop.run(&["digest", path.to_str().unwrap()]).stdout;
        assert_eq!(digest(&path), digest(&unpacked));
    }
}

/// Whoever comes second is told what is missing, too.
#[test]
fn what_was_lost_is_told_at_every_hit() {
    if !have_somebody_else() {
        return;
    }
    let shop = Shop::of_somebody();
    let report = shop.scene.theirs().join("report.json");
    let mut seen = Vec::new();
    for run in 0..2 {
        let said = shop.run(&with(&["--json", "--report", report.to_str().unwrap()]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let document = document(&said);
        assert_eq!(document["cached"], run > 0);
        let text = fs::read(&report).expect("a report, if one is asked for");
        let written: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(written, document["report"]);
        assert_eq!(
            written["lost"]["device"]["first"][0]["path"], "null",
            "{written}"
        );
        assert_eq!(
            written["lost"]["set-id"]["first"][0]["path"], "bin",
            "{written}"
        );
        fs::remove_file(&report).unwrap();
        seen.push(written);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_tree_is_left_elsewhere() {
    let shop = Shop::new();
    let at = |name: &str| shop.scene.path(name).to_string_lossy().into_owned();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/old"), "old").unwrap();
    for (arguments, output) in [
        // The slash alone, a directory alone, or the word: each asks for a tree.
        (vec!["ensure", "alpine-3.20"], at("new/")),
        (vec!["ensure", "alpine-3.20"], at("empty")),
        (with(&[]), at("plain")),
    ] {
        let said = shop.run(&[&arguments[..], &["-o", &output]].concat());
        assert_eq!(said.code, Some(0), "{output}: {}", said.stderr);
        assert_eq!(Path::new(said.stdout.trim_end()), Path::new(&output));
        let hostname = Path::new(&output).join("etc/hostname");
        assert_eq!(fs::read(hostname).unwrap(), b"small\n", "{output}");
    }
    let full = at("full");
    let said = shop.run(&with(&["-o", &full]));
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.stderr.contains("not empty"), "{}", said.stderr);
    assert_eq!(fs::read(at("full/old")).unwrap(), b"old");
    let said = shop.run(&with(&["-o", &full, "--force"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!Path::new(&at("full/old")).exists());
    assert_same(
        &snapshot(Path::new(&full)),
        &snapshot(Path::new(&at("plain"))),
        "replaced and new",
    );
    assert_eq!(shop.scene.litter(), [] as [&str; 0]);
    // A tree of one's own, not names in the cache.
    let cache = shop.scene.lab.cache().join("here");
    let said = shop.run(&with(&["-o", cache.to_str().unwrap()]));
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.stderr.contains("lies in"), "{}", said.stderr);
}

#[test]
fn a_disk_is_no_tree() {
    let shop = Shop::new();
    let said = shop.run(&["ensure", "debian-12", "--as", "dir"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.stderr.contains("is a disk image"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
    let said = shop.run(&["ensure", "debian-12"]);
    assert_eq!(said.code, Some(0), "the file itself is fine: {said:?}");
}

#[test]
fn many_at_once_make_one_tree() {
    let shop = Shop::new();
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let mut command = shop.command(&ENSURE);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut paths = Vec::new();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        paths.push(String::from_utf8(output.stdout).unwrap());
    }
    paths.dedup();
    assert_eq!(paths.len(), 1);
    let path = Path::new(paths[0].trim_end());
    assert_eq!(Shop::strangers(path), [] as [&str; 0]);
    assert_eq!(litter(path.parent().unwrap()), [] as [&str; 0]);
    assert_eq!(shop.run(&["verify"]).code, Some(0));
}

/// The owners on disk are part of what was asked for.
#[test]
fn each_range_has_a_tree_of_its_own() {
    if !is_root() {
        return skip("only root moves owners to any range");
    }
    let shop = Shop::new();
    let mut paths = vec![shop.prepare()];
    for first in [100_000, 200_000, 100_000] {
        let range = format!("--map-owner={first}:65536");
        let said = shop.run(&with(&[&range]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let path = PathBuf::from(said.stdout.trim_end());
        assert_eq!(fs::metadata(path.join("user")).unwrap().uid(), first + 1000);
        paths.push(path);
    }
    assert_eq!(paths[1], paths[3]);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 3);
    // Each is known to whoever looks after the cache.
    let said = shop.run(&["verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for path in &paths {
        assert!(
            said.stdout.contains(path.to_str().unwrap()),
            "{}",
            said.stdout
        );
    }
}

#[test]
fn a_read_only_cache_has_its_trees() {
    if !is_root() {
        return skip("another kind of user would look for the tree in the namespace");
    }
    if !mounts_work() {
        return;
    }
    let shop = Shop::new();
    let path = shop.prepare();
    let mut command = unshare(
        "C=$1; shift; mount --bind \"$C\" \"$C\" && mount -o remount,bind,ro \"$C\" || exit 100
         touch \"$C/x\" 2>/dev/null && exit 101; exec \"$@\"",
    );
    command.arg(shop.scene.lab.cache());
    let ensure = shop.command(&ENSURE);
    command.arg(ensure.get_program()).args(ensure.get_args());
    let said = said(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(Path::new(said.stdout.trim_end()), path);
}
