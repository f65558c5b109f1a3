//! A mirror is an upstream, too: what was mirrored from it is what is pinned.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use distro_fetch::Catalog;
use distro_fetch::archive::pack_xz;
use distro_fetch::base::decode_percent;
use distro_fetch::cache::{Cache, Rehash};
use distro_fetch::catalog::Rules;
use distro_fetch::event::Silent;
use distro_fetch::fetch::{self, Fetcher};
use distro_fetch::mirror::{Keeper, Options};
use distro_fetch::oci::{PullOptions, Puller};
use serde_json::{Value, json};

use crate::server::{Server, file, reply};
use crate::table::sha256;

struct Lab(PathBuf);

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BASE: &str = "https://images.linuxcontainers.org/";

/// Images of linuxcontainers.org whose files are in `up`, and a catalog that pins them, or does not.
fn catalog(up: &Path, pinned: bool) -> Catalog {
    let mut images = serde_json::Map::new();
    for (name, product, arches) in [
        ("alpine-3.21", "alpine/3.21", &["amd64", "arm64"] as &[&str]),
        ("rocky-9", "rockylinux/9", &["amd64"]),
        ("ubuntu-24.04", "ubuntu/noble", &["amd64"]),
    ] {
        let mut pins = serde_json::Map::new();
        for arch in arches {
            let folder = format!("images/{product}/{arch}/default/20260128_13:00");
            let bytes = pack_xz(format!("{name} {arch}").repeat(99).as_bytes()).unwrap();
            std::fs::create_dir_all(up.join(&folder)).unwrap();
            std::fs::write(up.join(&folder).join("rootfs.tar.xz"), &bytes).unwrap();
            let pin = json!({
                "snapshot": "20260128_13:00", "url": format!("{BASE}{folder}/rootfs.tar.xz"),
                "sha256": sha256(&bytes).to_string(), "size": bytes.len(),
                "bumped_at": "2026-01-29",
            });
            pins.insert((*arch).to_owned(), pin);
        }
        let (distro, version) = name.split_once('-').unwrap();
        let image = json!({
            "distro": distro, "version": version, "kind": "rootfs", "arches": arches,
            "source": {
                "type": "simplestreams", "origin": "linuxcontainers",
                "index": "streams/v1/index.json", "item": "root.tar.xz",
                "product": format!("{}:{{arch}}:default", product.replace('/', ":")),
            },
            "pins": if pinned { Value::Object(pins) } else { json!({}) },
        });
        images.insert(name.to_owned(), image);
    }
    let document = json!({
        "schema": 1, "images": images,
        "origins": { "linuxcontainers": { "url": BASE, "retention": { "builds": 3 } } },
    });
    Catalog::parse(&document.to_string(), Rules::Embedded).unwrap()
}

fn mirror(lab: &Lab, catalog: &Catalog) -> PathBuf {
    let cache = Cache::at(lab.path("cache")).unwrap();
    let up = format!("file://{}/", lab.path("up").display());
    let options = fetch::Options {
        mirrors: vec![up.parse().unwrap()],
        mirrors_only: true,
        ..fetch::Options::default()
    };
    let fetcher = Fetcher::new(cache.clone(), options);
    let puller = Puller::new(&cache, PullOptions::default());
    let options = Options {
        jobs: NonZeroUsize::MIN,
        blobs: false,
        retain: None,
        rehash: Rehash::IfTouched,
        url: None,
        now: SystemTime::now(),
    };
    let images = catalog.images.iter();
    let pins: Vec<_> = images
        .flat_map(|image| image.pins.iter().map(move |pin| (image, pin)))
        .collect();
    let folder = lab.path("mirror");
    let keeper = Keeper::new(&folder, &fetcher, &puller, options);
    let report = keeper.run(catalog, &pins, &Silent).unwrap();
    assert!(
        report.failures.is_empty() && report.stopped.is_none(),
        "{report:?}"
    );
    assert_eq!(report.mirrored.len(), 4);
    folder
}

#[test]
fn what_is_mirrored_is_what_is_pinned() {
    let folder = format!("distro-fetch-refresh-mirror-{}", std::process::id());
    let lab = Lab(std::env::temp_dir().join(folder));
    let pinned = catalog(&lab.path("up"), true);
    let folder = mirror(&lab, &pinned);
    let server = Server::start(move |seen, _| {
        let path = decode_percent(seen.target.trim_start_matches('/'));
        match std::fs::read(folder.join(String::from_utf8(path).unwrap())) {
            Ok(body) => file(&body, seen),
            Err(_) => reply("404 Not Found", &[], b""),
        }
    });
    let origin = format!("linuxcontainers={}", server.url("/"));
    let copy = lab.path("catalog.json");
    let refresh = |start: &Catalog, more: &[&str]| {
        std::fs::write(&copy, start.to_json()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_refresh"))
            .arg("--catalog")
            .arg(&copy)
            .args(["--interval", "1", "--origin", &origin])
            .args(more)
            .env("SOURCE_DATE_EPOCH", "1769688000") // 2026-01-29T12:00:00Z
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), told)
    };
    let (code, told) = refresh(&pinned, &[]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), pinned.to_json());
    // From nothing to the same pins, the fingerprints held against the bytes.
    let (code, told) = refresh(&catalog(&lab.path("up"), false), &["--deep"]);
    assert_eq!(code, 10, "{told}");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), pinned.to_json());
}
