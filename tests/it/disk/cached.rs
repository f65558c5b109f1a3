//! `ensure --as raw`: raw disks in the cache, and independent ones elsewhere.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::kit::{
    Cluster, Image, Style, allocated, assert_sparse, folder, mixed, names, salted, text,
};
use super::packed::xz;
use crate::crash::strace;
use crate::harness::{Lab, Said, distro_fetch, image, said};
use crate::server::{Server, file};

/// A cache, a server, and a catalog of what it has.
pub(super) struct Shop {
    pub(super) lab: Lab,
    pub(super) image: Image,
    server: Server,
    catalog: PathBuf,
}

/// Some megabytes: more than one piece of work for more than one thread.
pub(super) fn large() -> Image {
    let style = Style::V3.with_bits(16);
    let cluster = |nth| match nth % 4 {
        0 => Cluster::Data(salted(1 << 16, nth)),
        3 => Cluster::Hole,
        _ => Cluster::Packed(text(1 << 16, nth)),
    };
    let clusters: Vec<_> = (0..128).map(|nth| (nth, cluster(nth))).collect();
    Image::new(style, 128 << 16, &clusters)
}

impl Shop {
    pub(super) fn new() -> Self {
        let lab = Lab::new();
        let disk = large();
        let damaged = &disk.bytes[..disk.bytes.len() - 1000];
        let small = mixed(Style::ZSTD);
        let packed = xz(&small.raw);
        let files = [
            ("debian-12", "/disk.qcow2", Some("qcow2"), &disk.bytes[..]),
            ("debian-13", "/damaged.qcow2", Some("qcow2"), damaged),
            ("fedora-44", "/disk.img", None, &small.bytes),
            ("fedora-45", "/disk.raw.xz", None, &packed),
            ("fedora-46", "/disk.raw", None, &small.raw),
        ]
        .map(|(name, path, format, bytes)| (name, path, format, bytes.to_vec()));
        let listed = files.clone();
        let server = Server::start(move |seen, _| {
            let (.., bytes) = files.iter().find(|it| it.1 == seen.target).unwrap();
            file(bytes, seen)
        });
        let mut images = serde_json::Map::new();
        for (name, path, format, bytes) in &listed {
            let mut image = image(name, &server.url(path), bytes);
            image["kind"] = "disk".into();
            if let Some(format) = format {
                image["format"] = (*format).into();
            }
            images.insert((*name).to_owned(), image);
        }
        let tar = image("alpine-3.20", &server.url("/rootfs.tar.gz"), b"tar");
        images.insert("alpine-3.20".to_owned(), tar);
        let document = serde_json::json!({ "schema": 1, "origins": {}, "images": images });
        let catalog = lab.path("catalog.json");
        fs::write(&catalog, document.to_string()).unwrap();
        Self {
            lab,
            image: disk,
            server,
            catalog,
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = distro_fetch();
        command.arg("--cache-dir").arg(self.lab.cache());
        command.arg("--catalog").arg(&self.catalog);
        command.args(["--arch", "amd64", "--retries", "0"]);
        command.args(arguments);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// The same, which has to succeed: the path.
    pub(super) fn made(&self, arguments: &[&str]) -> PathBuf {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        PathBuf::from(said.stdout.trim_end())
    }

    /// Every file in the cache that has to do with prepared disks.
    pub(super) fn prepared(&self) -> Vec<String> {
        let mut names = self.lab.cached_files();
        names.retain(|name| name.contains("/prepared/"));
        names
    }
}

pub(super) const ENSURE: [&str; 4] = ["ensure", "debian-12", "--as", "raw"];

pub(super) fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ENSURE, more].concat()
}

/// A disk that nobody may write to.
fn assert_prepared(path: &Path, raw: &[u8]) {
    assert_sparse(path, raw, "prepared");
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o444, "{}", path.display());
}

/// Runs under strace: which calls there were besides those of `allowed`.
fn traced(shop: &Shop, arguments: &[&str]) -> (Said, String) {
    let log = shop.lab.path("strace.log");
    let command = shop.command(arguments);
    let said = said(&mut strace::under(&[], &log, &command));
    (said, fs::read_to_string(log).unwrap())
}

#[test]
fn the_second_time_the_source_is_not_read() {
    let shop = Shop::new();
    let path = shop.made(&ENSURE);
    assert!(path.starts_with(shop.lab.cache()) && path.ends_with("prepared/raw-1/disk.raw"));
    assert_prepared(&path, &shop.image.raw);
    let source = shop.made(&["ensure", "debian-12"]);
    let before = fs::metadata(&path).unwrap();
    let files = shop.lab.cached_files();
    for more in [&[][..], &["--offline"], &["--pull", "never"]] {
        let said = shop.run(&with(more));
        assert_eq!((said.code, &*said.stderr), (Some(0), ""), "{said:?}");
        assert_eq!(Path::new(said.stdout.trim_end()), path);
    }
    if strace::works() {
        for more in [&[][..], &["--offline"]] {
            let (said, log) = traced(&shop, &with(more));
            assert_eq!(said.code, Some(0), "{said:?}");
            let source = format!("<{}>", source.display());
            let reads = log.lines().filter(|line| {
                let call = line.split_once('(').map_or("", |(head, _)| head);
                let call = call.rsplit(' ').next().unwrap();
                // Whatever moves content: by itself, by the kernel, or by pages.
                [
                    "read",
                    "pread",
                    "mmap",
                    "copy_file_range",
                    "sendfile",
                    "splice",
                ]
                .iter()
                .any(|it| call.starts_with(it))
                    && (line.contains(&source) || line.contains("disk.raw>"))
            });
            assert_eq!(reads.collect::<Vec<_>>(), [] as [&str; 0]);
            assert!(log.contains("openat("), "{log}");
            assert!(
                !log.contains(" socket(") && !log.contains(" connect("),
                "{log}"
            );
        }
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.ino(), before.ctime_nsec()),
        (after.ino(), after.ctime_nsec())
    );
    assert_eq!(shop.lab.cached_files(), files);
    assert_eq!(shop.server.seen().len(), 1, "one request in all");
}

#[test]
fn a_document_tells_both_sizes() {
    let shop = Shop::new();
    let document = |more: &[&str]| {
        let said = shop.run(&with(more));
        assert_eq!(said.code, Some(0), "{said:?}");
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        document[0].clone()
    };
    for cached in [false, true] {
        let document = document(&["--json"]);
        assert_eq!(document["form"], "raw");
        assert_eq!(document["cached"], cached);
        let path = PathBuf::from(document["path"].as_str().unwrap());
        let sizes = &document["disk"];
        assert_eq!(sizes["virtual_size"], shop.image.raw.len());
        assert_eq!(sizes["allocated"], allocated(&path));
    }
    let target = shop.lab.path("target.raw");
    let document = document(&["--json", "--size", "1G", "-o", target.to_str().unwrap()]);
    assert_eq!(document["disk"]["virtual_size"], 1 << 30);
    assert!(document["disk"]["allocated"].as_u64().unwrap() < 8 << 20);
}

#[test]
fn two_disks_are_two() {
    let shop = Shop::new();
    let place = folder(&shop.lab, "place");
    let paths = ["A", "B"].map(|name| place.join(name));
    for path in &paths {
        let output = path.to_str().unwrap();
        let made = shop.made(&with(&["--size", "20G", "-o", output]));
        assert_eq!(made, *path);
    }
    let cached = shop.made(&with(&["--offline"]));
    assert_prepared(&cached, &shop.image.raw);
    let start = |path: &Path| {
        let mut start = vec![0; shop.image.raw.len()];
        fs::File::open(path)
            .unwrap()
            .read_exact_at(&mut start, 0)
            .unwrap();
        start
    };
    for (nth, path) in paths.iter().enumerate() {
        let meta = fs::metadata(path).unwrap();
        assert_eq!(meta.len(), 20 << 30);
        assert!(meta.permissions().mode() & 0o200 != 0, "not writable");
        let most = super::kit::at_most(&shop.image.raw);
        assert!(allocated(path) <= most);
        assert!(start(path) == shop.image.raw, "{nth}");
        let file = fs::File::options().write(true).open(path).unwrap();
        file.write_all_at(b"a guest was here", 100).unwrap();
        file.write_all_at(b"a guest was here", 19 << 30).unwrap();
    }
    assert_prepared(&cached, &shop.image.raw);
    // One of its own size in the cache is read-only, too.
    let grown = shop.made(&with(&["--size", "1G"]));
    assert_ne!(grown, cached);
    let mut raw = shop.image.raw.clone();
    raw.resize(1 << 30, 0);
    assert_prepared(&grown, &raw);
    assert_eq!(shop.made(&with(&["--size", "1G", "--offline"])), grown);
    assert_eq!(names(&place), ["A", "B"]);
    assert_eq!(shop.server.seen().len(), 1);
}

#[test]
fn what_is_too_small_is_a_mistake_and_makes_nothing() {
    let shop = Shop::new();
    let place = folder(&shop.lab, "place");
    let target = place.join("target.raw");
    let target = target.to_str().unwrap();
    for more in [
        &["--size", "4096"][..],
        &["--size", "8388607", "-o", target],
        &["--size", "8388607", "-o", target, "--force"],
    ] {
        let said = shop.run(&with(more));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains("does not fit"), "{said:?}");
        assert_eq!(said.stdout, "");
        assert_eq!(names(&place), [] as [&str; 0]);
        assert_eq!(shop.prepared(), [] as [&str; 0]);
    }
}

#[test]
fn an_output_is_not_lost() {
    let shop = Shop::new();
    let place = folder(&shop.lab, "place");
    let path = place.join("target.raw");
    let target = path.to_str().unwrap();
    for (size, length) in [(None, 8 << 20), (Some("16M"), 16 << 20)] {
        let more: Vec<_> = size
            .map(|it| ["--size", it])
            .into_iter()
            .flatten()
            .collect();
        let with =
            |more: &[&str], last: &[&str]| shop.run(&with(&[more, &["-o", target], last].concat()));
        // Another size, and the same size with another byte.
        let mut other = shop.image.raw.clone();
        other.resize(length, 0);
        other[length - 1] ^= 1;
        for other in [b"mine".to_vec(), other] {
            fs::write(&path, &other).unwrap();
            let said = with(&more, &[]);
            assert_eq!(said.code, Some(8), "{said:?}");
            assert!(said.stderr.contains("--force"), "{said:?}");
            assert!(fs::read(&path).unwrap() == other);
        }
        let said = with(&more, &["--force"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        // The goal holds.
        let before = fs::metadata(&path).unwrap();
        let said = with(&more, &[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
        assert_eq!(names(&place), ["target.raw"]);
    }
}

#[test]
fn what_was_touched_is_made_again() {
    let shop = Shop::new();
    let path = shop.made(&ENSURE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"?", 100).unwrap();
    drop(file);
    let again = shop.made(&with(&["--offline"]));
    assert_eq!(again, path);
    assert_prepared(&path, &shop.image.raw);
    // Half of it: as if somebody had cut it.
    fs::remove_file(path.with_file_name("made.json")).unwrap();
    assert_eq!(shop.made(&ENSURE), path);
    fs::remove_file(&path).unwrap();
    assert_eq!(shop.made(&ENSURE), path);
    assert_prepared(&path, &shop.image.raw);
    let prepared = path.parent().unwrap().parent().unwrap();
    assert_eq!(names(prepared), ["raw-1"]);
    assert_eq!(names(path.parent().unwrap()), ["disk.raw", "made.json"]);
}

#[test]
fn many_at_once_make_one_disk() {
    let shop = Shop::new();
    shop.made(&["ensure", "debian-12"]);
    let runs: Vec<_> = (0..5)
        .map(|_| {
            let mut command = shop.command(&ENSURE);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut paths = Vec::new();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        paths.push(String::from_utf8(output.stdout).unwrap());
    }
    paths.dedup();
    assert_eq!(paths.len(), 1, "{paths:?}");
    let path = Path::new(paths[0].trim_end());
    assert_prepared(path, &shop.image.raw);
    let prepared = path.parent().unwrap().parent().unwrap();
    assert_eq!(names(prepared), ["raw-1"]);
}

#[test]
fn what_a_file_is_is_said_by_the_catalog() {
    let shop = Shop::new();
    let small = mixed(Style::ZSTD);
    // Nobody says what an image is that could be either.
    let said = shop.run(&["ensure", "fedora-44", "--as", "raw"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.stderr.contains("--from qcow2"), "{said:?}");
    assert_eq!(shop.prepared(), [] as [&str; 0]);
    let path = shop.made(&["ensure", "fedora-44", "--as", "raw", "--from", "qcow2"]);
    assert_prepared(&path, &small.raw);
    // Somebody else says something else: never the one that was made before.
    let path = shop.made(&["ensure", "fedora-44", "--as", "raw", "--from", "raw"]);
    assert!(fs::read(path).unwrap() == small.bytes);
    // A name that tells; of what is raw already, the verified file is the disk.
    let path = shop.made(&["ensure", "fedora-45", "--as", "raw"]);
    assert_prepared(&path, &small.raw);
    let path = shop.made(&["ensure", "fedora-46", "--as", "raw"]);
    assert_eq!(path, shop.made(&["ensure", "fedora-46"]));
    assert!(fs::read(path).unwrap() == small.raw);
    // Damage, and what is no disk.
    let before = shop.prepared();
    let said = shop.run(&["ensure", "debian-13", "--as", "raw"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    let said = shop.run(&["ensure", "alpine-3.20", "--as", "raw"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_eq!(shop.prepared(), before);
}

/// Changes a byte of a prepared disk; and hides it, as whoever meant harm would.
fn tamper(path: &Path, hide: bool) {
    let before = fs::metadata(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"?", 100).unwrap();
    if hide {
        file.set_modified(before.modified().unwrap()).unwrap();
        fs::set_permissions(path, before.permissions()).unwrap();
    }
}

#[test]
fn verify_notices_what_was_changed() {
    let shop = Shop::new();
    let path = shop.made(&ENSURE);
    let text = path.to_str().unwrap();
    let said = shop.run(&["verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout.contains(&format!("ok       {text}")),
        "{said:?}"
    );
    for hide in [false, true] {
        tamper(&path, hide);
        let said = shop.run(&["verify"]);
        assert_eq!(said.code, Some(7), "{said:?}");
        assert!(
            said.stdout.contains(&format!("damaged  {text}")),
            "{said:?}"
        );
        assert!(!path.exists(), "what is damaged goes");
        assert_eq!(shop.made(&with(&["--offline"])), path);
        assert_prepared(&path, &shop.image.raw);
        tamper(&path, hide);
        let said = shop.run(&["verify", "--repair"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.stdout.contains(&format!("repaired {text}")),
            "{said:?}"
        );
        assert_prepared(&path, &shop.image.raw);
    }
    let prepared = path.parent().unwrap().parent().unwrap();
    assert_eq!(names(prepared), ["raw-1"]);
}

#[test]
fn show_tells_both_sizes() {
    let shop = Shop::new();
    let document = || {
        let said = shop.run(&["--offline", "show", "debian-12", "--json"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        document
    };
    assert_eq!(document()["pins"][0]["disk"], Value::Null);
    shop.made(&["ensure", "debian-12"]);
    let disk = document()["pins"][0]["disk"].clone();
    assert_eq!(disk["format"], "qcow2", "{disk}");
    assert_eq!(disk["virtual_size"], 8 << 20, "{disk}");
    assert_eq!(disk["allocated"], 6 << 20, "{disk}");
}
