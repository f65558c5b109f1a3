//! Entries without a network, and files that change under the cache.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use distro_fetch::cache::{Cache, Entry, Key, Lookup, Rehash, WriteLock};
use distro_fetch::catalog::{Address, Pin};
use distro_fetch::io::{Expect, VerifyingReader};
use distro_fetch::{Arch, Digest};

use crate::harness::sha256;

/// The key of a pin of these bytes, amd64.
pub(crate) fn key(image: &str, snapshot: &str, bytes: &[u8]) -> Key {
    let url = "https://upstream.example/rootfs.tar.xz";
    let pin = Pin {
        arch: Arch::Amd64,
        snapshot: snapshot.parse().unwrap(),
        address: Address::Url(url.parse().unwrap()),
        alternates: Vec::new().into(),
        sha256: sha256(bytes),
        size: Some(bytes.len() as u64),
        bumped_at: None,
    };
    Key::pinned(&image.parse().unwrap(), &pin).unwrap()
}

/// The right to download. In one process with other tests, a child that has not become another
/// program yet may hold it for a moment longer than we did.
pub(crate) fn lock(cache: &Cache, digest: &Digest) -> WriteLock {
    let lock = cache.lock(digest, |waiting| match waiting.since.as_secs() {
        0..10 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    lock.unwrap()
}

/// Commits bytes as a download would.
pub(crate) fn put(cache: &Cache, key: &Key, bytes: &[u8]) -> Entry {
    let lock = lock(cache, &key.sha256);
    let mut partial = cache.partial(&key.sha256, &lock).unwrap();
    partial.truncate(0).unwrap();
    partial.append(bytes).unwrap();
    let expect = Expect {
        digest: key.sha256,
        size: key.size,
        limit: bytes.len() as u64,
    };
    let Ok(verified) = VerifyingReader::new(bytes, expect).drain() else {
        panic!("the bytes are not the key's")
    };
    cache
        .commit(
            key,
            partial,
            &verified,
            "https://upstream.example/rootfs.tar.xz",
        )
        .unwrap()
}

/// `hit`, `miss`, or why it is damaged.
pub(crate) fn look(cache: &Cache, key: &Key, rehash: Rehash) -> String {
    match cache.lookup(key, rehash).unwrap() {
        Lookup::Hit(_) => "hit".to_owned(),
        Lookup::Miss => "miss".to_owned(),
        Lookup::Damaged(why) => why,
    }
}

/// Flips one bit in place; the file looks untouched afterwards.
pub(crate) fn flip_unseen(path: &Path, at: u64) {
    let then = std::fs::metadata(path).unwrap().modified().unwrap();
    flip(path, at);
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// Flips one bit in place.
pub(crate) fn flip(path: &Path, at: u64) {
    let mode = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let byte = std::fs::read(path).unwrap()[usize::try_from(at).unwrap()];
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte ^ 1]).unwrap();
    std::fs::set_permissions(path, mode).unwrap();
}

/// Other content for the same inode.
pub(crate) fn overwrite(path: &Path, content: &[u8]) {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, content).unwrap();
}

pub(crate) fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

/// Rewrites the record of an entry.
pub(crate) fn edit_record(folder: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("entry.json");
    let mut record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut record);
    std::fs::write(&path, record.to_string()).unwrap();
}
