//! Alpine's own files, at their upstream paths, over http and from a directory.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha512};

use crate::harness::{Lab, distro_fetch, shared};
use crate::server::{Server, Step, file, reply};

const FILES: [(&str, &str); 2] = [("x86_64", "amd64"), ("aarch64", "arm64")];

/// The real files, laid out as on the upstream server.
fn upstream(lab: &Lab) -> Option<PathBuf> {
    let real = shared("images/alpine")?;
    let root = lab.path("upstream");
    for (arch, _) in FILES {
        let folder = root.join(format!("alpine/v3.20/releases/{arch}"));
        std::fs::create_dir_all(&folder).unwrap();
        let name = format!("alpine-minirootfs-3.20.3-{arch}.tar.gz");
        std::fs::write(folder.join(&name), std::fs::read(real.join(&name)).unwrap()).unwrap();
    }
    Some(root)
}

/// What Alpine published beside the files.
fn published(arch: &str) -> String {
    let sums = std::fs::read_to_string(shared("images/alpine/checksums.sha512").unwrap()).unwrap();
    let line = sums
        .lines()
        .find(|line| line.ends_with(&format!("3.20.3-{arch}.tar.gz")))
        .unwrap();
    line.split(' ').next().unwrap().to_owned()
}

fn sha512(path: &str) -> String {
    let digest = Sha512::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(root: PathBuf) -> Server {
    Server::start(
        move |seen, _| match std::fs::read(root.join(&seen.target[1..])) {
            Ok(body) => file(&body, seen),
            Err(_) => reply("404 Not Found", &[], b""),
        },
    )
}

const ENSURE: [&str; 4] = ["ensure", "alpine-3.20-minirootfs", "--arch", "amd64,arm64"];

fn with<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    [&ENSURE, extra].concat()
}

#[test]
fn both_architectures_are_what_alpine_published() {
    let lab = Lab::new();
    let Some(root) = upstream(&lab) else { return };
    let server = serve(root.clone());
    let mirror = server.url("/");
    let first = lab.run(&with(&["--mirror", &mirror]));
    assert_eq!(first.code, Some(0), "{first:?}");
    let paths: Vec<_> = first.stdout.lines().collect();
    assert_eq!(paths.len(), 2);
    for (path, (arch, debian)) in paths.iter().zip(FILES) {
        assert!(path.contains(&format!("/{debian}/3.20.3-")), "{path}");
        assert_eq!(sha512(path), published(arch));
    }
    drop(server);
    let again = lab.run(&with(&["--offline"]));
    assert_eq!((again.code, &again.stdout), (Some(0), &first.stdout));

    // The same from a directory, into a fresh cache.
    let other = Lab::new();
    let mirror = format!("file://{}/", root.display());
    let local = other.run(&with(&["--mirror", &mirror, "--mirror-only"]));
    assert_eq!(local.code, Some(0), "{local:?}");
    for (path, (arch, _)) in local.stdout.lines().zip(FILES) {
        assert_eq!(sha512(path), published(arch));
    }
}

#[test]
fn one_changed_byte_is_refused_and_a_good_mirror_makes_up_for_it() {
    let lab = Lab::new();
    let Some(root) = upstream(&lab) else { return };
    let good = serve(root.clone());
    let bad = Server::start(move |seen, _| {
        let mut body = std::fs::read(root.join(&seen.target[1..])).unwrap();
        body[1_000_000] ^= 1;
        file(&body, seen)
    });
    let (bad, good) = (bad.url("/"), good.url("/"));
    let amd64 = [
        "ensure",
        "alpine-3.20-minirootfs",
        "--arch",
        "amd64",
        "--mirror-only",
    ];
    let refused = lab.run(&[&amd64[..], &["--mirror", &bad]].concat());
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert_eq!(
        refused.stderr.matches("SHA-256").count(),
        1,
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("d4e6fd67dcf7"),
        "the pinned one: {}",
        refused.stderr
    );
    assert_eq!(lab.cached_files(), [] as [&str; 0]);

    let mended = lab.run(&[&amd64[..], &["--mirror", &bad, "--mirror", &good]].concat());
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert!(
        mended.stderr.contains("wrong bytes"),
        "the first mirror is named: {}",
        mended.stderr
    );
    assert_eq!(sha512(mended.stdout.trim_end()), published("x86_64"));
}

#[test]
fn a_killed_transfer_goes_on_where_it_stopped() {
    let lab = Lab::new();
    let Some(root) = upstream(&lab) else { return };
    let server = Server::start(move |seen, nth| {
        let body = std::fs::read(root.join(&seen.target[1..])).unwrap();
        let mut steps = file(&body, seen);
        if nth == 0 {
            // Half of it, and then nothing.
            let Step::Send(bytes) = &mut steps[1] else {
                unreachable!()
            };
            bytes.truncate(bytes.len() / 2);
            steps.push(Step::Stall);
        }
        steps
    });
    let mirror = server.url("/");
    let arguments = [
        "ensure",
        "alpine-3.20-minirootfs",
        "--arch",
        "amd64",
        "--mirror",
        &mirror,
    ];
    let mut child = distro_fetch()
        .arg("--cache-dir")
        .arg(lab.cache())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let kept = || {
        let parts = std::fs::read_dir(lab.cache().join("v1/partial"))
            .into_iter()
            .flatten();
        parts
            .map(|part| part.unwrap().metadata().unwrap().len())
            .max()
            .unwrap_or(0)
    };
    while kept() < 1_745_145 {
        assert!(Instant::now() < deadline, "half of it never arrived");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let said = lab.run(&arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(sha512(said.stdout.trim_end()), published("x86_64"));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].range_start(), Some(1_745_145));
    assert_eq!(seen[1].header("if-range"), Some("\"one\""));
    assert_eq!(
        lab.cached_files().len(),
        2,
        "entry.json and the file: {:?}",
        lab.cached_files()
    );
}
