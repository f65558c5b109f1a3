//! One image, one server, and a fresh cache for every run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use distro_fetch::cache::{Cache, Condition, PruneOptions, Rehash};

use super::strace;
use crate::harness::{Lab, noise};
use crate::server::Server;

pub(super) const SIZE: usize = 300_000;

pub(super) struct Bench {
    pub(super) lab: Lab,
    pub(super) bytes: Vec<u8>,
    pub(super) server: Server,
    catalog: PathBuf,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (lab, bytes) = (Lab::new(), noise(SIZE));
        let server = Server::with_file(bytes.clone());
        let catalog = lab.catalog(&[("alpine-3.21", &server.url("/rootfs.tar.xz"), &bytes)]);
        Self {
            lab,
            bytes,
            server,
            catalog,
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(&self.catalog);
        command
            .args(["--arch", "amd64", "--retries", "0"])
            .args(arguments);
        command
    }

    pub(super) fn ensure(&self) -> Command {
        self.command(&["ensure", "alpine-3.21"])
    }

    pub(super) fn log(&self) -> PathBuf {
        self.lab.path("strace.log")
    }

    /// A cold run under strace.
    pub(super) fn cold(&self, options: &[&str]) -> Output {
        let _ = fs::remove_dir_all(self.lab.cache());
        strace::under(options, &self.log(), &self.ensure())
            .output()
            .unwrap()
    }

    /// How often the main thread makes each system call of a cold run before it turns to the
    /// cache: loading the program is the same in every run, and not ours.
    pub(super) fn prelude(&self) -> (BTreeMap<String, usize>, Vec<String>) {
        let output = self.cold(&[]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let calls = strace::calls(&self.log());
        let cache = self.lab.cache().to_string_lossy().into_owned();
        let turn = calls.iter().position(|it| {
            it.name != "execve" && it.quoted().iter().any(|path| path.starts_with(&cache))
        });
        let (before, after) = calls.split_at(turn.unwrap());
        let mut counts = BTreeMap::new();
        for call in before {
            *counts.entry(call.name.clone()).or_default() += 1;
        }
        let mut names: Vec<_> = after.iter().map(|it| it.name.clone()).collect();
        names.sort();
        names.dedup();
        (counts, names)
    }

    /// Whatever is visible is right.
    pub(super) fn no_wrong_entry(&self, when: &str) {
        let cache = Cache::at(self.lab.cache()).unwrap();
        for found in cache.survey(Rehash::Always).unwrap() {
            match found.unwrap().condition {
                Condition::Sound(entry) => assert_eq!(fs::read(entry.path()).unwrap(), self.bytes),
                Condition::Damaged(why) => panic!("{when}: a damaged entry: {why}"),
            }
        }
    }

    /// An ordinary run then succeeds, and nothing is left that could not be swept.
    pub(super) fn recovers(&self, when: &str) {
        let output = self.ensure().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{when}: {text}");
        self.is_right(&output, when);
        let all = PruneOptions {
            all: true,
            ..PruneOptions::default()
        };
        Cache::at(self.lab.cache()).unwrap().prune(&all).unwrap();
        assert_eq!(self.lab.cached_files(), [] as [&str; 0], "{when}: litter");
    }

    /// The path that was printed has the pinned bytes.
    pub(super) fn is_right(&self, output: &Output, when: &str) {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let path = Path::new(stdout.trim_end());
        assert!(
            path.starts_with(self.lab.cache()),
            "{when}: {}",
            path.display()
        );
        assert_eq!(fs::read(path).unwrap(), self.bytes, "{when}");
    }
}
