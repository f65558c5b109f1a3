//! `verify` and `cache`, through the program (HOSTILE 67, 69, 78).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::kit::{flip, flip_unseen, inode};
use crate::harness::{Lab, Said, distro_fetch, noise, said};
use crate::server::Server;

struct Bench {
    lab: Lab,
    server: Server,
    catalog: String,
    bytes: Vec<u8>,
}

impl Bench {
    /// `alpine-3.21` and `alpine-edge` are the same bytes.
    fn new() -> Self {
        let (lab, bytes) = (Lab::new(), noise(50_000));
        let server = Server::with_file(bytes.clone());
        let url = server.url("/rootfs.tar.xz");
        let images = [
            ("alpine-3.21", &*url, &*bytes),
            ("alpine-edge", &*url, &*bytes),
        ];
        let catalog = lab.catalog(&images).to_string_lossy().into_owned();
        Self {
            lab,
            server,
            catalog,
            bytes,
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut all = vec!["--catalog", &*self.catalog, "--arch", "amd64"];
        all.extend(arguments);
        self.lab.run(&all)
    }

    fn ensure(&self, arguments: &[&str]) -> PathBuf {
        let mut all = vec!["ensure", "alpine-3.21"];
        all.extend(arguments);
        let said = self.run(&all);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let path = PathBuf::from(said.stdout.trim_end());
        assert_eq!(fs::read(&path).unwrap(), self.bytes);
        path
    }
}

fn quarantined(lab: &Lab) -> usize {
    fs::read_dir(lab.cache().join("v1/quarantine")).map_or(0, Iterator::count)
}

#[test]
fn verify_finds_sets_aside_and_repairs() {
    let bench = Bench::new();
    let path = bench.ensure(&[]);
    assert_eq!(bench.run(&["verify"]).code, Some(0));
    flip_unseen(&path, 25_000);
    let said = bench.run(&["verify"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(
        said.stdout.contains("damaged") && said.stdout.contains("hashes to"),
        "{said:?}"
    );
    assert!(said.stderr.contains("set aside as"), "{said:?}");
    assert!(!path.exists());
    assert_eq!(quarantined(&bench.lab), 1);
    assert_eq!(bench.run(&["verify"]).code, Some(0), "it is gone now");

    let path = bench.ensure(&[]);
    flip_unseen(&path, 25_000);
    let said = bench.run(&["verify", "--repair"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("repaired"), "{said:?}");
    assert_eq!(fs::read(&path).unwrap(), bench.bytes);

    flip_unseen(&path, 0);
    bench.ensure(&["--verify"]);
    flip(&path, 49_999);
    bench.ensure(&[]);
    assert_eq!(bench.server.seen().len(), 5, "each damage was one download");
}

#[test]
fn damage_of_a_shared_file_is_damage_of_both_names() {
    let bench = Bench::new();
    let path = bench.ensure(&[]);
    let other = PathBuf::from(bench.run(&["ensure", "alpine-edge"]).stdout.trim_end());
    assert_eq!(inode(&path), inode(&other));
    flip_unseen(&path, 3);
    let said = bench.run(&["verify", "--repair"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for path in [&path, &other] {
        assert_eq!(fs::read(path).unwrap(), bench.bytes);
    }
    assert_eq!(bench.run(&["verify"]).code, Some(0));
}

#[test]
fn remove_is_idempotent_and_respects_readers() {
    let bench = Bench::new();
    let path = bench.ensure(&[]);
    // A reader in another process would hold the same lock.
    let record = fs::File::open(path.with_file_name("entry.json")).unwrap();
    record.lock_shared().unwrap();
    let said = bench.run(&["cache", "remove", "alpine-3.21"]);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(
        said.stderr.contains("in use by another process"),
        "{said:?}"
    );
    assert!(path.exists());
    drop(record);
    assert_eq!(
        bench.run(&["cache", "remove", "alpine-3.21@20251231"]).code,
        Some(0)
    );
    assert!(path.exists(), "another snapshot");
    for _ in 0..2 {
        let said = bench.run(&["cache", "remove", "alpine-3.21@20260101"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!path.exists());
    }
    bench.ensure(&[]);
    for _ in 0..2 {
        // The goal holds for what nobody knows, too; a line tells, for it may be misspelt.
        let unknown = bench.run(&["cache", "remove", "alpin-3.21"]);
        assert_eq!(unknown.code, Some(0));
        assert!(unknown.stderr.contains("nothing is cached"), "{unknown:?}");
        assert_eq!(bench.run(&["cache", "remove", "alpine-3.21"]).code, Some(0));
        assert_eq!(bench.lab.cached_files(), [] as [&str; 0]);
    }
}

#[test]
fn a_partial_from_elsewhere_is_reused_or_thrown_away() {
    let bench = Bench::new();
    let digest = crate::harness::sha256(&bench.bytes);
    let part = bench.lab.cache().join(format!("v1/partial/{digest}.part"));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    let sidecar = |url: &str| {
        let text = format!(r#"{{"url":"{url}","validator":"\"other\""}}"#);
        fs::write(part.with_extension("json"), text).unwrap();
    };
    let wrong = vec![0; 20_000];
    let right = &bench.bytes[..20_000];
    let whole = &bench.bytes[..];
    let here = bench.server.url("/rootfs.tar.xz");
    for (what, kept, url, requests) in [
        // A validator of another address is not sent: the range is simply taken.
        ("right bytes, other url", right, "http://elsewhere/x", 1),
        // Ours says "other": the server sends all of it.
        ("right bytes, changed etag", right, &*here, 1),
        ("wrong bytes, other url", &*wrong, "http://elsewhere/x", 2),
        ("complete", whole, "http://elsewhere/x", 0),
        ("too long", &[whole, b"x"].concat(), "http://elsewhere/x", 1),
    ] {
        fs::write(&part, kept).unwrap();
        sidecar(url);
        let before = bench.server.seen().len();
        bench.ensure(&[]);
        assert_eq!(bench.server.seen().len() - before, requests, "{what}");
        assert!(
            !part.exists() && !part.with_extension("json").exists(),
            "{what}"
        );
        assert_eq!(bench.run(&["cache", "remove", "alpine-3.21"]).code, Some(0));
    }
}

#[test]
fn a_cache_of_somebody_else_is_exit_8_with_the_remedy() {
    let bench = Bench::new();
    let cache = bench.lab.cache();
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o775)).unwrap();
    let said = bench.run(&["ensure", "alpine-3.21"]);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.stderr.contains("chmod go-w"), "{said:?}");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    if chown(&cache, Some(65_533), None).is_err() {
        eprintln!("skipped: another user's directory needs root");
        return;
    }
    let said = bench.run(&["ensure", "alpine-3.21"]);
    assert_eq!(said.code, Some(8), "{said:?}");
    for word in [
        "user 65533",
        "user 0",
        "chown",
        "--cache-dir",
        &*cache.to_string_lossy(),
    ] {
        assert!(said.stderr.contains(word), "{word}: {said:?}");
    }
    assert_eq!(bench.server.connections(), 0);
}

#[test]
fn a_cache_in_tmp_itself_is_fine() {
    let bench = Bench::new();
    let cache = bench.lab.cache();
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o1777)).unwrap();
    bench.ensure(&[]);
}

#[test]
fn a_read_only_cache_serves_hits_and_says_why_it_cannot_fetch() {
    let bench = Bench::new();
    bench.ensure(&[]);
    // Not root, who may write anywhere.
    open_up(&bench.lab.cache());
    let run = |image: &str, more: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command
            .arg(distro_fetch().get_program())
            .args(["--catalog", &bench.catalog]);
        command
            .args(["--arch", "amd64", "ensure", image])
            .args(more);
        said(command.arg("--cache-dir").arg(bench.lab.cache()))
    };
    if !probe_setpriv() {
        eprintln!("skipped: no other user without root");
        return;
    }
    let before = bench.lab.cached_files();
    for more in [&[][..], &["--verify"], &["--offline"]] {
        let said = run("alpine-3.21", more);
        assert_eq!(said.code, Some(0), "{more:?}: {said:?}");
    }
    // The other name of the same bytes cannot be made; the bytes are there all the same.
    assert_eq!(run("alpine-edge", &[]).code, Some(0));
    assert_eq!(bench.lab.cached_files(), before);
    assert_eq!(bench.run(&["cache", "remove", "alpine-3.21"]).code, Some(0));
    open_up(&bench.lab.cache());
    let said = run("alpine-3.21", &[]);
    assert_eq!(said.code, Some(8), "{said:?}");
    let text = &said.stderr;
    assert!(
        text.contains("cannot be written") && text.contains("alpine-3.21 amd64"),
        "{text}"
    );
    assert!(
        text.contains(&*bench.lab.cache().to_string_lossy()),
        "{text}"
    );
    assert_eq!(
        bench.server.seen().len(),
        1,
        "nothing is fetched that cannot be kept"
    );
}

pub(crate) fn probe_setpriv() -> bool {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    // The program itself may be in a home that others cannot enter.
    command.arg(distro_fetch().get_program()).arg("--version");
    command.output().is_ok_and(|output| output.status.success())
}

/// Others may read everything, and write nothing.
fn open_up(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            open_up(&path);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}
