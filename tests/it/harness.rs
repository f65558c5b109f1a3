//! Scratch directories, catalogs made to measure, and the program under test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use distro_fetch::Digest;
use sha2::{Digest as _, Sha256};

pub(crate) use crate::chance::noise;
#[cfg(feature = "cli")]
pub(crate) use crate::shared::shared;

/// A scratch directory with a cache in it. It goes with its value.
pub(crate) struct Lab {
    folder: PathBuf,
}

impl Lab {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "distro-fetch-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Writes a catalog with one image per entry: name (`distro-version`), address, bytes.
    pub(crate) fn catalog(&self, images: &[(&str, &str, &[u8])]) -> PathBuf {
        let images: serde_json::Map<String, serde_json::Value> = images
            .iter()
            .map(|(name, url, bytes)| ((*name).to_owned(), image(name, url, bytes)))
            .collect();
        let document = serde_json::json!({ "schema": 1, "origins": {}, "images": images });
        let path = self.path("catalog.json");
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }

    /// Every file below the cache, relative, sorted; lock files and the tag left out.
    pub(crate) fn cached_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.cache(), &mut files);
        let base = self.cache();
        let mut names: Vec<_> = files
            .iter()
            .map(|path| {
                path.strip_prefix(&base)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| !name.starts_with("v1/locks/") && name != "v1/CACHEDIR.TAG")
            .collect();
        names.sort();
        names
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An image of one architecture, as it stands in a catalog.
pub(crate) fn image(name: &str, url: &str, bytes: &[u8]) -> serde_json::Value {
    let (distro, version) = name.split_once('-').unwrap();
    serde_json::json!({
        "distro": distro, "version": version, "kind": "rootfs", "arches": ["amd64"],
        "pins": { "amd64": {
            "snapshot": "20260101", "url": url,
            "sha256": sha256(bytes).to_string(), "size": bytes.len(),
        } }
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The command under test, with nothing in its environment but what it needs.
#[cfg(feature = "cli")]
pub(crate) fn distro_fetch() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_distro-fetch"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// What a finished command said.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[cfg(feature = "cli")]
impl Lab {
    /// The program with this lab's cache and a catalog.
    pub(crate) fn command(&self, catalog: &Path) -> std::process::Command {
        let mut command = distro_fetch();
        command.arg("--cache-dir").arg(self.cache());
        command.arg("--catalog").arg(catalog);
        command
    }

    /// Runs the program with this lab's cache, without retries, and with the given arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = distro_fetch();
        command
            .arg("--cache-dir")
            .arg(self.cache())
            .args(["--retries", "0"])
            .args(arguments);
        said(&mut command)
    }
}

#[cfg(feature = "cli")]
pub(crate) fn said(command: &mut std::process::Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
