//! Many processes want one image, cold (HOSTILE 75).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cache::kit::{flip, inode};
use crate::crash::strace;
use crate::harness::{Lab, distro_fetch, noise};
use crate::server::{Server, Step, file};

struct Herd {
    lab: Lab,
    server: Server,
    catalog: PathBuf,
    bytes: Vec<u8>,
}

impl Herd {
    fn new() -> Self {
        let (lab, bytes) = (Lab::new(), noise(200_000));
        let body = bytes.clone();
        // Slow enough that everybody comes while the first one is at it.
        let server = Server::start(move |seen, _| {
            let mut steps = vec![Step::Pause(Duration::from_millis(300))];
            steps.extend(file(&body, seen));
            steps
        });
        let catalog = lab.catalog(&[("alpine-3.21", &server.url("/rootfs.tar.xz"), &bytes)]);
        Self {
            lab,
            server,
            catalog,
            bytes,
        }
    }

    fn command(&self) -> Command {
        let mut command = self.lab.command(&self.catalog);
        command.args(["--arch", "amd64", "--retries", "0", "--progress", "plain"]);
        command.args(["ensure", "alpine-3.21"]);
        command
    }

    /// Runs so many at once; what they said on stderr, and the one path that all of them printed.
    fn run(&self, count: usize, command: impl Fn() -> Command) -> (Vec<String>, PathBuf) {
        let children: Vec<_> = (0..count)
            .map(|_| {
                command()
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let (mut paths, mut texts) = (BTreeSet::new(), Vec::new());
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{text}");
            let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
            paths.insert((path.clone(), inode(&path)));
            texts.push(text);
        }
        assert_eq!(paths.len(), 1, "one path, one inode: {paths:?}");
        let path = paths.pop_first().unwrap().0;
        assert_eq!(fs::read(&path).unwrap(), self.bytes);
        let files = self.lab.cached_files();
        let files: Vec<_> = files
            .iter()
            .filter(|it| !it.contains("quarantine"))
            .collect();
        assert_eq!(files.len(), 2, "nothing else is left: {files:?}");
        (texts, path)
    }
}

#[test]
fn thirty_two_processes_download_once() {
    let herd = Herd::new();
    herd.run(32, || herd.command());
    assert_eq!(herd.server.seen().len(), 1);
}

#[test]
fn thirty_two_processes_mend_once() {
    let herd = Herd::new();
    let (_, path) = herd.run(1, || herd.command());
    flip(&path, 77);
    // Whoever is slow to see the damage must not take the mended file away from the others.
    herd.run(32, || herd.command());
    assert_eq!(herd.server.seen().len(), 2);
    assert_eq!(
        fs::read_dir(herd.lab.cache().join("v1/quarantine"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn without_locks_several_may_download_and_all_are_right() {
    if !strace::works() {
        return;
    }
    for error in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let herd = Herd::new();
        let inject = format!("inject=flock:error={error}");
        let options = ["-e", "trace=flock", "-e", &inject];
        let (texts, path) = herd.run(8, || {
            strace::under(&options, Path::new("/dev/null"), &herd.command())
        });
        let downloads = herd.server.seen().len();
        assert!((1..=8).contains(&downloads), "{error}: {downloads}");
        assert!(
            texts
                .iter()
                .any(|text| text.contains("locks do not work here")),
            "{texts:?}"
        );
        // Nobody can know who reads: nothing is removed.
        for arguments in [
            &["cache", "prune", "--all"][..],
            &["cache", "remove", "alpine-3.21"],
        ] {
            let mut command = distro_fetch();
            command
                .arg("--cache-dir")
                .arg(herd.lab.cache())
                .arg("--catalog")
                .arg(&herd.catalog);
            command.args(arguments);
            let output = strace::under(&options, Path::new("/dev/null"), &command)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(8),
                "{error} {arguments:?}: {text}"
            );
            assert!(text.contains("locks do not work here"), "{text}");
            assert!(path.exists());
        }
    }
}
