//! Trees made by code.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use distro_fetch::archive::{Device, Limits, Time};
use distro_fetch::sys;
use distro_fetch::tree::{Dress, Grower, NodeId, Piece, Thing, Tree};

pub(super) use crate::chance::noise;

/// A directory that goes with its value.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let name = format!("df-fsimg-{}", sys::unique_suffix());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new file.
    pub(super) fn file(&self, name: &str) -> File {
        sys::create_public(&self.path(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::clear_away(&self.0);
    }
}

/// A tree that grows.
pub(super) struct Grove {
    grower: Grower,
    file: Arc<File>,
    at: u64,
    pub(super) like: Dress,
}

impl Grove {
    pub(super) fn new() -> Self {
        let file = Arc::new(sys::unnamed_file(&std::env::temp_dir()).unwrap());
        let like = Dress {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time {
                seconds: 1_700_000_000,
                nanos: 0,
            },
            xattrs: BTreeMap::new(),
        };
        let root = Dress {
            mode: 0o755,
            ..like.clone()
        };
        let mut grower = Grower::new(file.clone(), Limits::default());
        grower.dress_root(&root);
        Self {
            grower,
            file,
            at: 0,
            like,
        }
    }

    pub(super) fn add(&mut self, folder: NodeId, name: &str, thing: Thing<'_>) -> NodeId {
        let name = name.as_bytes();
        self.grower
            .add(folder, name, &self.like, thing, &[])
            .unwrap()
    }

    pub(super) fn folder(&mut self, folder: NodeId, name: &str) -> NodeId {
        let mode = std::mem::replace(&mut self.like.mode, 0o755);
        let id = self.add(folder, name, Thing::Folder);
        self.like.mode = mode;
        id
    }

    pub(super) fn file(&mut self, folder: NodeId, name: &str, bytes: &[u8]) -> NodeId {
        let data = [(0, bytes)];
        let data = if bytes.is_empty() { &[] } else { &data[..] };
        self.holes(folder, name, bytes.len() as u64, data)
    }

    /// A file with data at these offsets, and holes elsewhere.
    pub(super) fn holes(
        &mut self,
        folder: NodeId,
        name: &str,
        size: u64,
        data: &[(u64, &[u8])],
    ) -> NodeId {
        let mut pieces = Vec::new();
        for (offset, bytes) in data {
            self.file.write_all_at(bytes, self.at).unwrap();
            pieces.push(Piece {
                offset: *offset,
                length: bytes.len() as u64,
                from: self.at,
            });
            self.at += bytes.len() as u64;
        }
        let thing = Thing::File { size };
        self.grower
            .add(folder, name.as_bytes(), &self.like, thing, &pieces)
            .unwrap()
    }

    pub(super) fn link(&mut self, folder: NodeId, name: &str, to: NodeId) {
        self.grower.link(folder, name.as_bytes(), to).unwrap();
    }

    pub(super) fn xattr(&mut self, name: &str, value: &[u8]) {
        self.like.xattrs.insert(name.into(), value.to_vec());
    }

    pub(super) fn plain(&mut self) {
        self.like.xattrs.clear();
    }

    pub(super) fn finish(self) -> Tree {
        self.grower.finish()
    }
}

/// Of everything something.
pub(super) fn rich() -> Tree {
    let root = NodeId::ROOT;
    let mut grove = Grove::new();
    let first = grove.file(root, "a", b"one\n");
    grove.file(root, "empty", b"");
    let noise = noise(1 << 20);
    for size in [
        1,
        31,
        32,
        33,
        2000,
        4095,
        4096,
        4097,
        8191,
        8192,
        70_000,
        1 << 20,
    ] {
        grove.file(root, &format!("size-{size}"), &noise[..size]);
    }
    // What sorts before, between and behind the dots.
    for name in ["!", "+x", "-", ".\u{1}", ".a", "...", "..x", "~"] {
        grove.file(root, name, name.as_bytes());
    }
    let usr = grove.folder(root, "usr");
    let bin = grove.folder(usr, "bin");
    grove.link(bin, "another", first);
    grove.link(usr, "third", first);
    grove.add(root, "bin", Thing::Symlink(b"usr/bin"));
    grove.add(root, "long", Thing::Symlink(&[b'x'; 4095]));
    grove.add(root, "middle", Thing::Symlink(&[b'y'; 3000]));
    let dev = grove.folder(root, "dev");
    for (name, major, minor) in [("null", 1, 3), ("far", 4095, 0xf_ffff), ("near", 259, 256)] {
        let device = Device { major, minor };
        grove.add(dev, name, Thing::Character(device));
        grove.add(dev, &format!("{name}-block"), Thing::Block(device));
    }
    let pipe = grove.add(dev, "pipe", Thing::Fifo);
    grove.link(dev, "same-pipe", pipe);
    grove.add(dev, "socket", Thing::Socket);
    grove.folder(root, "nothing");
    odd(&mut grove, bin);
    attributes(&mut grove, usr);
    holes(&mut grove, root);
    grove.finish()
}

/// Owners, modes and times.
fn odd(grove: &mut Grove, folder: NodeId) {
    let like = grove.like.clone();
    grove.like.mode = 0o4755;
    grove.file(folder, "sudo", b"#!/bin/false\n");
    grove.like.mode = 0;
    grove.file(folder, "mode-0", b"x");
    grove.like.mode = 0o7777;
    (grove.like.uid, grove.like.gid) = (65_536, 4_294_967_294);
    grove.file(folder, "far-owner", b"x");
    (grove.like.uid, grove.like.gid) = (65_535, 65_535);
    grove.file(folder, "near-owner", b"x");
    for (name, seconds, nanos) in [
        ("epoch", 0, 0),
        ("before", -1, 999_999_999),
        ("late", 5_000_000_000, 1),
    ] {
        grove.like.mtime = Time { seconds, nanos };
        grove.file(folder, name, name.as_bytes());
        grove.folder(folder, &format!("{name}.d"));
    }
    grove.like = like;
    grove.file(folder, &"n".repeat(255), b"a long name");
    let deep = grove.folder(folder, &"d".repeat(255));
    grove.folder(deep, &"\u{e9}".repeat(127));
}

fn attributes(grove: &mut Grove, folder: NodeId) {
    grove.xattr("security.capability", CAPABILITY);
    grove.file(folder, "ping", b"x");
    grove.plain();
    grove.xattr("system.posix_acl_access", ACL);
    grove.file(folder, "acl", b"x");
    grove.xattr("system.posix_acl_default", ACL);
    grove.folder(folder, "acl.d");
    grove.plain();
    grove.xattr("user.large", &noise(40_000));
    grove.file(folder, "large", b"x");
    grove.plain();
    grove.xattr("user.3000", &noise(3000));
    grove.add(folder, "inline", Thing::Folder);
    grove.file(folder, "no-room", &noise(1200));
    grove.plain();
    for at in 0..300_u32 {
        grove.xattr(&format!("user.many-{at}"), &at.to_le_bytes());
    }
    for at in 0..3 {
        grove.file(folder, &format!("many-{at}"), b"x");
    }
    grove.plain();
    grove.xattr("trusted.overlay.opaque", b"y");
    grove.xattr("user.empty", b"");
    grove.folder(folder, "trusted");
    grove.plain();
}

fn holes(grove: &mut Grove, root: NodeId) {
    let folder = grove.folder(root, "holes");
    grove.holes(folder, "nothing", 1 << 20, &[]);
    grove.holes(folder, "odd-nothing", 5000, &[]);
    grove.holes(folder, "end", 1 << 20, &[((1 << 20) - 10, b"0123456789")]);
    grove.holes(folder, "start", (1 << 20) + 1, &[(0, b"0123456789")]);
    grove.holes(folder, "small", 3000, &[(100, b"x"), (2000, b"y")]);
    let noise = noise(100_000);
    let pieces: Vec<(u64, &[u8])> = (0..50)
        .map(|at| (at as u64 * 40_000 + 77, &noise[at..at * 100 + 500]))
        .collect();
    grove.holes(folder, "comb", 3_000_000, &pieces);
    grove.holes(
        folder,
        "large",
        300 << 20,
        &[
            (0, b"begin"),
            ((100 << 20) + 5, &noise),
            ((300 << 20) - 3, b"end"),
        ],
    );
}

/// `cap_net_raw=ep`, as Linux keeps it.
pub(super) const CAPABILITY: &[u8] = &[
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// `u::rw-,u:1000:r--,g::r--,m::r--,o::r--`.
pub(super) const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255,
    255, 255, 0x10, 0, 4, 0, 255, 255, 255, 255, 0x20, 0, 4, 0, 255, 255, 255, 255,
];
