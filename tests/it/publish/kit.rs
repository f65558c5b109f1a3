//! Folders of images made to measure, and what becomes of them.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use distro_fetch::event::Silent;
use distro_fetch::simplestreams::publish::{Options, Publisher, Report};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A folder to publish, in a scratch folder that goes with its value.
pub(crate) struct Yard {
    pub(crate) folder: PathBuf,
    pub(crate) root: PathBuf,
}

/// Where most tests have their image.
pub(crate) const PLACE: &str = "images/alpine/3.21/amd64/default";
pub(crate) const SERIAL: &str = "20260128_13:00";

impl Yard {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("distro-fetch-publish-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let root = folder.join("root");
        fs::create_dir_all(root.join("images")).unwrap();
        Self { folder, root }
    }

    /// With one split image.
    pub(crate) fn with_image() -> Self {
        let yard = Self::new();
        yard.put(&format!("{PLACE}/{SERIAL}"), &SPLIT);
        yard
    }

    /// Writes files into a folder below the root.
    pub(crate) fn put(&self, folder: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        folder
    }

    /// Writes a build beside the root, with this metadata.
    pub(crate) fn build(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        self.put(&format!("../{name}"), files)
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::open(&self.root).unwrap()
    }

    /// Publishes, and everything is good.
    pub(crate) fn publish(&self) -> Report {
        let report = self.try_publish(options());
        assert_eq!(report.problems, [], "{report:?}");
        report
    }

    pub(crate) fn try_publish(&self, options: Options) -> Report {
        self.publisher().publish(&options, &Silent).unwrap()
    }

    /// Keeps this many versions of each product, at this time.
    pub(crate) fn retain(&self, newest: usize, hours: f64) -> Report {
        let retain = NonZeroUsize::new(newest);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let now = now + Duration::from_secs_f64(hours * 3600.0);
        self.try_publish(Options {
            retain,
            now,
            ..options()
        })
    }

    pub(crate) fn images(&self) -> Value {
        self.json("streams/v1/images.json")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.root.join(path)).unwrap()).unwrap()
    }

    /// The product of most tests.
    pub(crate) fn product(&self) -> Value {
        self.images()["products"]["alpine:3.21:amd64:default"].take()
    }

    /// The items of its version.
    pub(crate) fn items(&self) -> Value {
        self.product()["versions"][SERIAL]["items"].take()
    }

    /// `KEY SERIAL` of everything that is published.
    pub(crate) fn listed(&self) -> Vec<String> {
        let images = self.images();
        let mut list = Vec::new();
        for (key, product) in images["products"].as_object().unwrap() {
            let serials = product["versions"].as_object().unwrap().keys();
            list.extend(serials.map(|serial| format!("{key} {serial}")));
        }
        list
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Metadata that nobody can read, and a root.
pub(crate) const SPLIT: [(&str, &[u8]); 2] =
    [("incus.tar.xz", b"metadata"), ("rootfs.tar.xz", b"root")];

pub(crate) fn options() -> Options {
    Options {
        dry_run: false,
        retain: None,
        jobs: NonZeroUsize::new(2).unwrap(),
        now: SystemTime::now(),
    }
}

/// In hex, over several pieces.
pub(crate) fn sha256(pieces: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    let hex = hash.finalize();
    hex.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tar with these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", bytes.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = xz2::write::XzEncoder::new(Vec::new(), 6);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A metadata tarball.
pub(crate) fn metadata(yaml: &str) -> Vec<u8> {
    xz(&tar(&[
        ("metadata.yaml", yaml.as_bytes()),
        ("templates/hostname.tpl", b"{{ container.name }}\n"),
    ]))
}

/// What an image says of itself that belongs to [`PLACE`] and [`SERIAL`].
pub(crate) fn yaml(more: &str) -> String {
    format!(
        "architecture: x86_64\ncreation_date: 1769605200\nproperties:\n  os: alpine\n  \
         release: \"3.21\"\n  variant: default\n  description: x\n{more}"
    )
}

/// Every path below a folder, relative and sorted.
pub(crate) fn paths(folder: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path();
            let name = name.strip_prefix(folder).unwrap().to_string_lossy();
            found.push(name.into_owned());
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
