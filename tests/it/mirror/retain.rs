//! What goes when only the newest versions are kept.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use distro_fetch::Arch;
use distro_fetch::Catalog;
use distro_fetch::cache::{Cache, Rehash};
use distro_fetch::catalog::Rules;
use distro_fetch::event::Silent;
use distro_fetch::fetch::{self, Fetcher};
use distro_fetch::mirror::{Keeper, Options, Report};
use distro_fetch::oci::{PullOptions, Puller};
use serde_json::json;

use super::kit::{Images, MINI, MINI_FOLDER, World, is_servable, rootfs_gz, rootfs_xz};
use crate::harness::sha256;

/// A run at a time of our own.
fn run(world: &World, retain: usize, now: SystemTime) -> Report {
    let cache = Cache::at(world.lab.cache()).unwrap();
    let fetcher = Fetcher::new(cache.clone(), fetch::Options::default());
    let puller = Puller::new(&cache, PullOptions::default());
    let options = Options {
        jobs: NonZeroUsize::MIN,
        blobs: true,
        retain: NonZeroUsize::new(retain),
        rehash: Rehash::IfTouched,
        url: None,
        now,
    };
    let text = std::fs::read_to_string(&world.catalog).unwrap();
    let catalog = Catalog::parse(&text, Rules::Overlay).unwrap();
    let pins: Vec<_> = catalog
        .images
        .iter()
        .filter_map(|image| Some((image, image.pin(Arch::Amd64)?)))
        .collect();
    let keeper = Keeper::new(&world.mirror, &fetcher, &puller, options);
    let report = keeper.run(&catalog, &pins, &Silent).unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    assert!(report.stopped.is_none(), "{report:?}");
    is_servable(&world.mirror, "retain");
    report
}

#[test]
fn an_old_version_goes_with_all_its_names() {
    let world = World::new();
    let start = SystemTime::now();
    run(&world, 1, start);
    let old = sha256(&rootfs_gz("3.20"));
    let blob = format!("blobs/sha256/{old}");
    assert!(world.at(&blob).exists());

    // A bump: the old one is named no more, and stays for whoever has read the index before.
    let mut images = Images::default();
    let new = "alpine/v3.20/x86_64/alpine-minirootfs-3.20.4-x86_64.tar.gz";
    let mut pin = world.up.pin("3.20.4", new, &rootfs_gz("3.20.4"));
    pin["bumped_at"] = json!("2024-12-06");
    images.add("alpine-3.20-minirootfs", "rootfs", json!({}), pin);
    images.write(&world.catalog);
    let report = run(&world, 1, start + Duration::from_secs(60));
    assert!(report.removed.is_empty(), "{report:?}");
    for path in [MINI, &blob, MINI_FOLDER] {
        assert!(world.at(path).exists(), "{path}");
    }
    let index = String::from_utf8(world.read("streams/v1/images.json")).unwrap();
    assert!(!index.contains("20240906_00:00"), "{index}");

    // Without retention nothing goes, ever.
    run(&world, 0, start + Duration::from_secs(7200));
    assert!(world.at(MINI).exists());

    // An hour later it goes. Nothing else does: not what is in no index, nor other products.
    run(&world, 1, start + Duration::from_secs(7300));
    let report = run(&world, 1, start + Duration::from_secs(14_400));
    assert_eq!(report.removed, [MINI, MINI_FOLDER]);
    for path in [MINI, &blob, MINI_FOLDER] {
        assert!(!world.at(path).exists(), "{path}");
    }
    assert!(world.at(new).exists());
    assert!(world.at("raw/release-20260720/disk.img").exists());
    let page = String::from_utf8(world.read("index.html")).unwrap();
    assert!(
        !page.contains("3.20.3") && page.contains("3.20.4"),
        "{page}"
    );
    let record = String::from_utf8(world.read(".distro-fetch/mirror.json")).unwrap();
    assert!(!record.contains(&old.to_string()), "{record}");
    let report = run(&world, 1, start + Duration::from_secs(14_500));
    assert!(report.removed.is_empty());
}

#[test]
fn bytes_that_somebody_else_needs_stay() {
    let world = World::new();
    let start = SystemTime::now();
    // Two images are the same file; then one of them moves on.
    let pin = |name: &str, snapshot: &str, day: &str, body: &[u8]| {
        let path = format!("x/{name}.tar.xz");
        let mut pin = world.up.pin(snapshot, &path, body);
        pin["bumped_at"] = json!(day);
        pin
    };
    let mut images = Images::default();
    let one = rootfs_xz("one");
    images.add(
        "a-1",
        "rootfs",
        json!({}),
        pin("1.0", "1.0", "2026-01-01", &one),
    );
    images.add(
        "b-1",
        "rootfs",
        json!({}),
        pin("1.0", "1.0", "2026-01-01", &one),
    );
    images.write(&world.catalog);
    run(&world, 1, start);
    let two = rootfs_xz("two");
    images.add(
        "a-1",
        "rootfs",
        json!({}),
        pin("1.1", "1.1", "2026-02-01", &two),
    );
    images.write(&world.catalog);
    run(&world, 1, start + Duration::from_secs(10));
    let report = run(&world, 1, start + Duration::from_secs(7200));
    assert_eq!(report.removed, ["images/a/1/amd64/default/20260101_00:00"]);
    assert!(world.read("x/1.0.tar.xz") == one);
    assert!(world.read(&format!("blobs/sha256/{}", sha256(&one))) == one);
}
