//! All that a tree is, read by nobody's code but the standard library's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use distro_fetch::{Digest, sys};

use super::kit::is_root;
use crate::harness::sha256;

/// What is at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: char,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: (i64, i64),
    pub(super) size: u64,
    pub(super) device: u64,
    pub(super) links: u64,
    pub(super) content: Option<Digest>,
    pub(super) link: Option<PathBuf>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    /// The first name of the same file.
    pub(super) twin: Option<PathBuf>,
}

/// A tree: names below its root, which is the empty name.
pub(super) type Snapshot = BTreeMap<PathBuf, Node>;

pub(super) fn snapshot(root: &Path) -> Snapshot {
    let mut tree = Snapshot::new();
    let mut next = vec![root.to_owned()];
    while let Some(path) = next.pop() {
        let node = node(&path);
        if node.kind == 'd' {
            let entries = open(fs::read_dir(&path)).into_iter().flatten();
            next.extend(entries.map(|entry| entry.unwrap().path()));
        }
        tree.insert(path.strip_prefix(root).unwrap().to_owned(), node);
    }
    let mut first = BTreeMap::new();
    for (name, node) in &mut tree {
        let meta = fs::symlink_metadata(root.join(name)).unwrap();
        if node.kind != 'd' && meta.nlink() > 1 {
            let first = first.entry(meta.ino()).or_insert_with(|| name.clone());
            node.twin = (first != name).then(|| first.clone());
        }
    }
    tree
}

fn node(path: &Path) -> Node {
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = match meta.file_type() {
        it if it.is_dir() => 'd',
        it if it.is_symlink() => 'l',
        it if it.is_char_device() => 'c',
        it if it.is_block_device() => 'b',
        it if it.is_fifo() => 'p',
        _ => 'f',
    };
    Node {
        kind,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        // That of a directory is the file system's business, and so is its number of links.
        size: if kind == 'd' { 0 } else { meta.len() },
        links: if kind == 'd' { 0 } else { meta.nlink() },
        device: meta.rdev(),
        content: (kind == 'f')
            .then(|| open(fs::read(path)))
            .flatten()
            .map(|bytes| sha256(&bytes)),
        link: (kind == 'l').then(|| fs::read_link(path).unwrap()),
        xattrs: xattrs(path),
        twin: None,
    }
}

/// What modes keep from an ordinary user who tests is left out; root sees it all.
fn open<T>(read: io::Result<T>) -> Option<T> {
    match read {
        Err(error) if !is_root() && error.kind() == io::ErrorKind::PermissionDenied => None,
        read => Some(read.unwrap()),
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let parent = sys::open_folder(path.parent().unwrap()).unwrap();
    let node = || sys::Node::Named(parent.as_fd(), path.file_name().unwrap().as_bytes());
    let names = sys::xattr_names(node()).unwrap();
    names
        .into_iter()
        .filter(|name| name != b"security.selinux")
        .map(|name| {
            let value = open(sys::xattr_value(node(), &name)).unwrap_or_default();
            (String::from_utf8(name).unwrap(), value)
        })
        .collect()
}

/// Fails with every name at which two trees differ.
pub(super) fn assert_same(ours: &Snapshot, theirs: &Snapshot, when: &str) {
    let mut wrong = Vec::new();
    for name in ours.keys().chain(theirs.keys()) {
        let (ours, theirs) = (ours.get(name), theirs.get(name));
        if ours != theirs {
            wrong.push(format!("{}:\n  {ours:?}\n  {theirs:?}", name.display()));
        }
    }
    wrong.dedup();
    let count = wrong.len();
    wrong.truncate(10);
    assert!(
        wrong.is_empty(),
        "{when}: {count} differ:\n{}",
        wrong.join("\n")
    );
}
