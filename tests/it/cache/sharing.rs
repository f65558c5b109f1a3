//! One file, several names (HOSTILE 18, 19).

use std::fs;

use distro_fetch::cache::{Cache, Lookup, Rehash};
use distro_fetch::event::Silent;
use distro_fetch::fetch::{Fetcher, Options, Reach, Request};
use distro_fetch::{Catalog, Kind, catalog};

use super::kit::{inode, key, look, put};
use crate::harness::{Lab, noise};
use crate::server::Server;

fn requests(lab: &Lab, images: &[(&str, &str, &[u8])]) -> Vec<Request> {
    let text = fs::read_to_string(lab.catalog(images)).unwrap();
    let catalog = Catalog::parse(&text, catalog::Rules::Overlay).unwrap();
    let request = |name: &str| {
        let image = catalog.find(name).unwrap();
        Request::pinned(&catalog, image, &image.pins[0]).unwrap()
    };
    images.iter().map(|(name, ..)| request(name)).collect()
}

fn fetcher(lab: &Lab, reach: Reach) -> Fetcher {
    let options = Options {
        reach,
        retries: 0,
        ..Options::default()
    };
    Fetcher::new(Cache::at(lab.cache()).unwrap(), options)
}

#[test]
fn two_images_with_one_digest_are_one_file_and_one_download() {
    let (lab, bytes) = (Lab::new(), noise(70_000));
    let server = Server::with_file(bytes.clone());
    let url = server.url("/rootfs.tar.xz");
    let list = requests(
        &lab,
        &[("alpine-3.21", &url, &bytes), ("alpine-edge", &url, &bytes)],
    );
    // At once: the second one waits for the first, and must look again then.
    let done = fetcher(&lab, Reach::Network).ensure_all(&list, 2, &Silent);
    let paths: Vec<_> = done
        .into_iter()
        .map(|it| it.unwrap().entry.path())
        .collect();
    assert_ne!(paths[0], paths[1]);
    assert_eq!(inode(&paths[0]), inode(&paths[1]));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_second_name_needs_no_network() {
    let (lab, bytes) = (Lab::new(), noise(9000));
    let nobody = "http://127.0.0.1:9/rootfs.tar.xz";
    let list = requests(
        &lab,
        &[
            ("alpine-3.21", nobody, &bytes),
            ("alpine-edge", nobody, &bytes),
        ],
    );
    let offline = fetcher(&lab, Reach::CacheOnly);
    let error = offline.ensure(&list[0], &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Offline);
    let first = put(offline.cache(), &list[0].key, &bytes);
    let second = offline.ensure(&list[1], &Silent).unwrap();
    assert!(second.cached);
    assert_eq!(inode(&first.path()), inode(&second.entry.path()));
    // Its own entry: it stays when the first one goes.
    let folder = first.folder().to_owned();
    drop(first);
    assert!(offline.cache().remove(&folder).unwrap());
    assert_eq!(fs::read(second.entry.path()).unwrap(), bytes);
    assert_eq!(look(offline.cache(), &list[1].key, Rehash::Always), "hit");
}

#[test]
fn a_damaged_file_is_not_given_a_second_name() {
    let (lab, bytes) = (Lab::new(), noise(9000));
    let server = Server::with_file(bytes.clone());
    let url = server.url("/rootfs.tar.xz");
    let list = requests(
        &lab,
        &[("alpine-3.21", &url, &bytes), ("alpine-edge", &url, &bytes)],
    );
    let online = fetcher(&lab, Reach::Network);
    let first = put(online.cache(), &list[0].key, &bytes);
    super::kit::flip(&first.path(), 5);
    drop(first);
    let second = online.ensure(&list[1], &Silent).unwrap();
    assert!(!second.cached);
    assert_eq!(fs::read(second.entry.path()).unwrap(), bytes);
}

#[test]
fn a_catalog_bump_leaves_the_old_entry_alone() {
    let (lab, old, new) = (Lab::new(), noise(5000), noise(6000));
    let cache = Cache::at(lab.cache()).unwrap();
    let (january, february) = (
        key("alpine-3.21", "20260101", &old),
        key("alpine-3.21", "20260201", &new),
    );
    let first = put(&cache, &january, &old);
    let before = fs::read(first.folder().join("entry.json")).unwrap();
    let inode_before = inode(&first.path());
    let second = put(&cache, &february, &new);
    assert_ne!(first.folder(), second.folder());
    assert_eq!(fs::read(first.folder().join("entry.json")).unwrap(), before);
    assert_eq!(inode(&first.path()), inode_before);
    for (key, bytes) in [(&january, &old), (&february, &new)] {
        let Lookup::Hit(entry) = cache.lookup(key, Rehash::Always).unwrap() else {
            panic!("both are usable")
        };
        assert_eq!(fs::read(entry.path()).unwrap(), *bytes);
    }
    // The same serial with other bytes (upstream replaced it in place) is another entry, too.
    let replaced = key("alpine-3.21", "20260101", &new);
    assert_ne!(cache.folder_of(&replaced), cache.folder_of(&january));
}

#[test]
fn committing_twice_is_committing_once() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let first = put(&cache, &key, &bytes);
    let before = inode(&first.path());
    let second = put(&cache, &key, &bytes);
    assert_eq!(first.path(), second.path());
    assert_eq!(inode(&second.path()), before, "the first one stays");
    let files = lab.cached_files();
    assert_eq!(files.len(), 2, "nothing else is left: {files:?}");
}
