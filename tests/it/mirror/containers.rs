//! Container images of a mirror.

use std::fs;
use std::path::Path;
use std::process::Command;

use distro_fetch::oci::{Layout, Platform};
use serde_json::{Value, json};

use crate::crash::strace::required;
use crate::harness::{Lab, Said, said};
use crate::pull::kit::Shelf;
use crate::server::Server;

struct World {
    lab: Lab,
    shelf: Shelf,
    server: Server,
}

impl World {
    fn new() -> Self {
        let (lab, shelf) = (Lab::new(), Shelf::default());
        let server = shelf.serve();
        Self { lab, shelf, server }
    }

    /// Publishes an image for each platform, and pins them.
    fn pin(&self, snapshot: &str, platforms: &[(&str, &str)]) {
        let repository = format!("127.0.0.1:{}/demo", self.server.port());
        let mut pins = serde_json::Map::new();
        for (arch, platform) in platforms {
            let layer = format!("{snapshot} for {platform}");
            let layers: [&[u8]; 2] = [b"a layer of all", layer.as_bytes()];
            let digest = self
                .shelf
                .manifest(None, &self.shelf.image(platform, &layers));
            let sha256 = digest.strip_prefix("sha256:").unwrap();
            let pin = json!({ "snapshot": snapshot, "url": repository, "sha256": sha256 });
            pins.insert((*arch).to_owned(), pin);
        }
        let arches: Vec<&String> = pins.keys().collect();
        let document = json!({ "schema": 1, "origins": {}, "images": { "demo-1-oci": {
            "distro": "demo", "version": "1", "variant": "oci", "kind": "oci",
            "arches": arches, "pins": pins,
        } } });
        fs::write(self.lab.path("catalog.json"), document.to_string()).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.lab.command(&self.lab.path("catalog.json"));
        command.args(["--retries", "0", "--arch", "all", "mirror"]);
        command.arg(self.lab.path("mirror"));
        said(command.args(["--all", "--insecure"]).args(arguments))
    }

    fn layout(&self) -> Layout {
        Layout::open(&self.lab.path("mirror/oci")).unwrap()
    }

    fn blobs(&self) -> usize {
        let folder = self.lab.path("mirror/oci/blobs/sha256");
        fs::read_dir(folder).unwrap().count()
    }
}

const BOTH: &[(&str, &str)] = &[("amd64", "linux/amd64"), ("arm64", "linux/arm64")];

#[test]
fn images_go_into_a_layout() {
    let world = World::new();
    world.pin("20260911", BOTH);
    let said = world.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("added    ").count(), 2, "{said:?}");
    assert!(said.stdout.contains("/mirror/oci:demo-1-oci\n"), "{said:?}");
    let layout = world.layout();
    let tags: Vec<_> = layout.tags().collect();
    assert_eq!(tags, ["demo-1-oci", "demo-1-oci:20260911"]);
    for (_, platform) in BOTH {
        let platform: Platform = platform.parse().unwrap();
        let image = layout.image(Some("demo-1-oci"), Some(&platform)).unwrap();
        assert_eq!(image.layers.len(), 2);
    }
    // Three layers, two configurations, two manifests, an index.
    assert_eq!(world.blobs(), 8);

    // What is there is not asked for again, by nobody; and one more is one more.
    let asked = world.server.seen().len();
    fs::remove_dir_all(world.lab.cache()).unwrap();
    let said = world.run(&["--offline"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("present  ").count(), 2, "{said:?}");
    assert_eq!(world.server.seen().len(), asked);
    world.pin("20260912", &BOTH[..1]);
    assert_eq!(world.run(&[]).code, Some(0));
    let layout = world.layout();
    assert_eq!(layout.tags().count(), 3);
    let newest = layout.image(Some("demo-1-oci"), None).unwrap();
    let named = layout.image(Some("demo-1-oci:20260912"), None).unwrap();
    assert_eq!(newest.digest(), named.digest());

    // Retention: what no image names any more goes, what is shared stays.
    let said = world.run(&["--retain", "1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(world.layout().tags().count(), 2);
    assert_eq!(world.blobs(), 4);
    assert_eq!(world.run(&["--verify"]).code, Some(0));
}

#[test]
fn damage_is_repaired_and_a_missing_image_told() {
    let world = World::new();
    world.pin("20260911", &BOTH[..1]);
    assert_eq!(world.run(&[]).code, Some(0));
    let folder = world.lab.path("mirror/oci/blobs/sha256");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"rot").unwrap();
        let said = world.run(&[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(fs::read(&path).unwrap() == good);
    }
    world.pin("20260912", &BOTH[..1]);
    let text = fs::read_to_string(world.lab.path("catalog.json")).unwrap();
    let mut catalog: Value = serde_json::from_str(&text).unwrap();
    catalog["images"]["demo-1-oci"]["pins"]["amd64"]["sha256"] = json!("ab".repeat(32));
    fs::write(world.lab.path("catalog.json"), catalog.to_string()).unwrap();
    let said = world.run(&[]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.stderr.contains("demo-1-oci"), "{said:?}");
    assert_eq!(world.layout().tags().count(), 2);
}

#[test]
fn other_peoples_tools_read_it() {
    let there = |tool: &str| required(tool, Command::new(tool).arg("--version").output().is_ok());
    if !there("skopeo") {
        return;
    }
    let world = World::new();
    world.pin("20260911", BOTH);
    assert_eq!(world.run(&[]).code, Some(0));
    let inspect = |folder: &Path, arch: &str| -> Value {
        let output = Command::new("skopeo")
            .args(["--override-arch", arch, "inspect"])
            .arg(format!("oci:{}:demo-1-oci", folder.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let folder = world.lab.path("mirror/oci");
    for arch in ["amd64", "arm64"] {
        let told = inspect(&folder, arch);
        assert_eq!(told["Architecture"], arch);
        assert_eq!(told["Layers"].as_array().unwrap().len(), 2);
    }
}
