//! Upstreams with hand-made files, catalogs that pin them, and a server of a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use distro_fetch::archive::{Entry, Kind, Packer, Time, pack_xz};
use distro_fetch::base::decode_percent;
use serde_json::{Map, Value, json};

use crate::harness::{Lab, Said, said, sha256, shared};
use crate::server::{Seen, Server, Step, file, reply};

/// An upstream: files by their paths.
pub(super) struct Up {
    pub(super) server: Server,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Up {
    pub(super) fn new() -> Self {
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let shelf = files.clone();
        let server = Server::start(move |seen, _| {
            let path = path_of(seen);
            match shelf.lock().unwrap().get(&path) {
                Some(body) => file(body, seen),
                None => reply("404 Not Found", &[], b""),
            }
        });
        Self { server, files }
    }

    /// Puts a file there, and gives its pin.
    pub(super) fn pin(&self, snapshot: &str, path: &str, body: &[u8]) -> Value {
        let plain = path.replace("%3A", ":");
        self.files.lock().unwrap().insert(plain, body.to_vec());
        json!({
            "snapshot": snapshot, "url": self.server.url(&format!("/{path}")),
            "sha256": sha256(body).to_string(), "size": body.len(),
        })
    }

    pub(super) fn forget(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }

    pub(super) fn requests(&self) -> usize {
        self.server.seen().len()
    }
}

fn path_of(seen: &Seen) -> String {
    let path = decode_percent(seen.target.trim_start_matches('/'));
    String::from_utf8(path).unwrap()
}

/// Serves a directory, as any static server does.
pub(super) fn serve(folder: &Path) -> Server {
    let folder = folder.to_owned();
    Server::start(move |seen, _| -> Vec<Step> {
        match fs::read(folder.join(path_of(seen))) {
            Ok(body) => file(&body, seen),
            Err(_) => reply("404 Not Found", &[], b""),
        }
    })
}

/// Images of a catalog.
#[derive(Default)]
pub(super) struct Images(Map<String, Value>);

impl Images {
    /// Adds a pin for amd64; `extra` are more fields of the image.
    pub(super) fn add(&mut self, name: &str, kind: &str, extra: Value, pin: Value) -> &mut Self {
        let mut words = name.splitn(3, '-');
        let (distro, version) = (words.next().unwrap(), words.next().unwrap());
        let mut image = json!({
            "distro": distro, "version": version, "kind": kind, "arches": ["amd64"],
            "pins": {},
        });
        image["pins"]["amd64"] = pin;
        if let Some(variant) = words.next() {
            image["variant"] = json!(variant);
        }
        if let (Value::Object(image), Value::Object(extra)) = (&mut image, extra) {
            image.extend(extra);
        }
        self.0.insert(name.to_owned(), image);
        self
    }

    pub(super) fn write(&self, path: &Path) {
        let document = json!({ "schema": 1, "origins": {}, "images": self.0 });
        fs::write(path, document.to_string()).unwrap();
    }
}

/// An upstream with one of each: a tarball where linuxcontainers.org would have it, one elsewhere, a
/// disk that boots and one that does not.
pub(super) struct World {
    pub(super) lab: Lab,
    pub(super) up: Up,
    pub(super) catalog: PathBuf,
    pub(super) mirror: PathBuf,
}

pub(super) const LXC: &str = "images/alpine/3.21/amd64/default/20260128_13:00";
pub(super) const MINI: &str = "alpine/v3.20/x86_64/alpine-minirootfs-3.20.3-x86_64.tar.gz";
pub(super) const MINI_FOLDER: &str = "images/alpine/3.20/amd64/minirootfs/20240906_00:00";
pub(super) const DISK_FOLDER: &str = "images/ubuntu/26.04/amd64/cloud/20260720_00:00";

impl World {
    pub(super) fn new() -> Self {
        let (lab, up) = (Lab::new(), Up::new());
        let (catalog, mirror) = (lab.path("catalog.json"), lab.path("mirror"));
        images(&up).write(&catalog);
        Self {
            lab,
            up,
            catalog,
            mirror,
        }
    }

    /// `mirror DIR` and more.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        self.command_into(&self.mirror, arguments)
    }

    pub(super) fn command_into(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(&self.catalog);
        command.args(["--retries", "0", "--arch", "amd64", "mirror"]);
        command.arg(folder).args(arguments);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    pub(super) fn forget_cache(&self) {
        let _ = fs::remove_dir_all(self.lab.cache());
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.mirror.join(path)
    }

    pub(super) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// The same with Alpine's own release file, as its mirrors have it, and the bytes of that.
pub(super) fn real_alpine() -> Option<(World, Vec<u8>)> {
    let name = "alpine-minirootfs-3.20.3-x86_64.tar.gz";
    let body = fs::read(shared("images/alpine")?.join(name)).unwrap();
    let world = World::new();
    let path = format!("alpine/v3.20/releases/x86_64/{name}");
    let mut pin = world.up.pin("3.20.3", &path, &body);
    pin["bumped_at"] = json!("2024-09-06");
    let mut images = Images::default();
    images.add("alpine-3.20-minirootfs", "rootfs", json!({}), pin);
    images.write(&world.catalog);
    Some((world, body))
}

pub(super) fn images(up: &Up) -> Images {
    let mut images = Images::default();
    let lxc = format!("{}/rootfs.tar.xz", LXC.replace(':', "%3A"));
    images.add(
        "alpine-3.21",
        "rootfs",
        json!({}),
        up.pin("20260128_13:00", &lxc, &rootfs_xz("3.21")),
    );
    let mut pin = up.pin("3.20.3", MINI, &rootfs_gz("3.20"));
    pin["bumped_at"] = json!("2024-09-06");
    images.add("alpine-3.20-minirootfs", "rootfs", json!({}), pin);
    let path = "cloud/release-20260720/server.img";
    images.add(
        "ubuntu-26.04-cloud",
        "disk",
        json!({ "format": "qcow2", "codename": "resolute", "title": "Ubuntu <26.04> & co" }),
        up.pin("release-20260720", path, &qcow2()),
    );
    let path = "raw/release-20260720/disk.img";
    images.add(
        "ubuntu-26.04-raw",
        "disk",
        json!({ "format": "raw" }),
        up.pin("release-20260720", path, &crate::harness::noise(9000)),
    );
    images
}

/// A small root file system.
fn rootfs(version: &str) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new());
    let text = format!("NAME=Alpine\nVERSION_ID={version}\n");
    for (path, kind, content) in [
        ("etc", Kind::Directory, ""),
        ("etc/os-release", Kind::File, text.as_str()),
    ] {
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: content.len() as u64,
            xattrs: BTreeMap::new(),
            extents: None,
        };
        packer.add(&entry).unwrap();
        packer.write(content.as_bytes()).unwrap();
    }
    packer.finish().unwrap()
}

pub(super) fn rootfs_xz(version: &str) -> Vec<u8> {
    pack_xz(&rootfs(version)).unwrap()
}

pub(super) fn rootfs_gz(version: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&rootfs(version)).unwrap();
    packer.finish().unwrap()
}

/// What begins as a disk of QEMU does; nobody here boots it.
pub(super) fn qcow2() -> Vec<u8> {
    let mut disk = b"QFI\xfb\0\0\0\x03".to_vec();
    disk.resize(65_536, 0);
    disk
}

/// Every file of a mirror that is served, with its bytes, its age if it is a file of the pins, and
/// whether anybody may write it. The mirror's own record is in it, the publisher's is not: that one
/// knows inodes.
pub(super) fn tree(folder: &Path) -> BTreeMap<String, (Vec<u8>, Option<i64>)> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(folder).unwrap();
            let name = name.to_string_lossy().into_owned();
            if meta.is_dir() {
                folders.push(path);
            } else if !name.starts_with(".publish.") {
                let sealed = meta.mode() & 0o7777 == 0o444;
                let age = sealed.then(|| meta.mtime());
                tree.insert(name, (fs::read(&path).unwrap(), age));
            }
        }
    }
    tree
}

/// Whatever ended a run: what the index names is there, and is what it says; and so is every file
/// of a pin that has its name.
pub(super) fn is_servable(folder: &Path, when: &str) {
    let read = |name: &str| -> Option<Value> {
        let text = fs::read(folder.join(name)).ok()?;
        Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{when}: {error}")))
    };
    let index = read("streams/v1/index.json");
    let images = read("streams/v1/images.json");
    if let Some(index) = &index {
        let images = images
            .as_ref()
            .unwrap_or_else(|| panic!("{when}: no images"));
        for key in index["index"]["images"]["products"].as_array().unwrap() {
            let key = key.as_str().unwrap();
            assert!(images["products"][key].is_object(), "{when}: {key}");
        }
    }
    let products = images.as_ref().and_then(|it| it["products"].as_object());
    for product in products.into_iter().flat_map(Map::values) {
        for version in product["versions"].as_object().unwrap().values() {
            for item in version["items"].as_object().unwrap().values() {
                let path = item["path"].as_str().unwrap();
                let bytes = fs::read(folder.join(path)).unwrap_or_default();
                let hash = sha256(&bytes).to_string();
                assert_eq!(item["sha256"], hash.as_str(), "{when}: {path}");
            }
        }
    }
}
