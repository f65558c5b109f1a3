//! Trees in a few words, images of them, and what the judges say.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use distro_fetch::archive::{Device, Limits, Time};
use distro_fetch::event::Silent;
use distro_fetch::fsimg::ext4::{self, Options, Summary};
use distro_fetch::tree::{Dress, Grower, NodeId, Piece, Thing, Tree};
use sha2::{Digest as _, Sha256};

/// A scratch directory that goes with its value.
pub(crate) struct Bench(PathBuf);

impl Bench {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("distro-fetch-fsimg-{}-{nth}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn file(&self, name: &str) -> (PathBuf, File) {
        let path = self.path(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        (path.clone(), options.open(&path).unwrap())
    }

    /// An image of a tree.
    pub(crate) fn image(&self, name: &str, tree: &Tree, options: &Options) -> (PathBuf, Summary) {
        let (path, file) = self.file(name);
        let summary = ext4::write(tree, &file, options, &Silent, name).unwrap();
        let length = file.metadata().unwrap().len();
        assert_eq!(length, summary.size, "{name}: the length is the size");
        (path, summary)
    }
}

/// An opening without wishes.
#[cfg(feature = "fetch")]
pub(crate) fn opening(spool: &Path) -> distro_fetch::rootfs::Opening<'_> {
    distro_fetch::rootfs::Opening {
        platform: None,
        format: None,
        spool,
        limits: Limits::default(),
        observer: &Silent,
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Things on their way to a tree, each added by its path. Directories need not be named.
pub(crate) struct Planting {
    grower: Grower,
    data: File,
    at: u64,
    things: HashMap<Vec<u8>, NodeId>,
}

impl Planting {
    pub(crate) fn new() -> Self {
        let data = distro_fetch::sys::unnamed_file(&std::env::temp_dir()).unwrap();
        let limits = Limits {
            bytes: 1 << 50,
            ..Limits::default()
        };
        Self {
            grower: Grower::new(data.try_clone().unwrap().into(), limits),
            data,
            at: 0,
            things: HashMap::from([(Vec::new(), NodeId::ROOT)]),
        }
    }

    /// A thing, with metadata that is changed before it is added.
    pub(crate) fn with(
        &mut self,
        path: impl AsRef<[u8]>,
        thing: Thing<'_>,
        pieces: &[Piece],
        change: impl FnOnce(&mut Dress),
    ) -> &mut Self {
        let path = path.as_ref();
        let mut dress = dress(match thing {
            Thing::Folder => 0o755,
            Thing::Symlink(_) => 0o777,
            _ => 0o644,
        });
        change(&mut dress);
        if path.is_empty() {
            self.grower.dress_root(&dress);
            return self;
        }
        let (parent, name) = self.parent(path);
        let id = self
            .grower
            .add(parent, name, &dress, thing, pieces)
            .unwrap();
        self.things.insert(path.to_vec(), id);
        self
    }

    pub(crate) fn add(&mut self, path: impl AsRef<[u8]>, thing: Thing<'_>) -> &mut Self {
        self.with(path, thing, &[], |_| ())
    }

    pub(crate) fn file(&mut self, path: impl AsRef<[u8]>, data: &[u8]) -> &mut Self {
        let size = data.len() as u64;
        let pieces = self.data(0, data);
        let pieces = if data.is_empty() { &[][..] } else { &[pieces] };
        self.with(path, Thing::File { size }, pieces, |_| ())
    }

    /// Data that belongs at an offset of a file.
    pub(crate) fn data(&mut self, offset: u64, data: &[u8]) -> Piece {
        let from = self.at;
        self.data.write_all_at(data, from).unwrap();
        self.at += data.len() as u64;
        let length = data.len() as u64;
        Piece {
            offset,
            length,
            from,
        }
    }

    pub(crate) fn link(&mut self, path: &str, to: &str) -> &mut Self {
        let to = self.things[to.as_bytes()];
        let (parent, name) = self.parent(path.as_bytes());
        self.grower.link(parent, name, to).unwrap();
        self
    }

    fn parent<'p>(&mut self, path: &'p [u8]) -> (NodeId, &'p [u8]) {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = match at {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        if let Some(id) = self.things.get(parent) {
            return (*id, name);
        }
        self.add(parent, Thing::Folder);
        (self.things[parent], name)
    }

    pub(crate) fn tree(self) -> Tree {
        self.grower.finish()
    }
}

pub(crate) fn dress(mode: u32) -> Dress {
    Dress {
        mode,
        mtime: Time {
            seconds: 1_700_000_000,
            nanos: 0,
        },
        ..Dress::implied()
    }
}

/// A tree with one of everything.
pub(crate) fn zoo() -> Tree {
    let device = |major, minor| Device { major, minor };
    let mut planting = Planting::new();
    planting
        .with("", Thing::Folder, &[], |it| it.mode = 0o1755)
        .add("dev", Thing::Folder)
        .add("dev/null", Thing::Character(device(1, 3)))
        .add("dev/new", Thing::Character(device(4095, 1_048_575)))
        .add("dev/loop", Thing::Block(device(7, 256)))
        .add("dev/zero", Thing::Character(device(0, 0)))
        .add("pipe", Thing::Fifo)
        .add("socket", Thing::Socket)
        .file("empty", b"")
        .file("hello", b"hello\n")
        .link("hello-again", "hello")
        .add("fast", Thing::Symlink(&[b'f'; 59]))
        .add("slow", Thing::Symlink(&[b's'; 60]))
        .add("slowest", Thing::Symlink(&[b'z'; 4095]))
        .with("ids", EMPTY, &[], |it| {
            (it.uid, it.gid, it.mode) = (4_000_000, 70_000, 0o6751);
        })
        .with("shared", Thing::Folder, &[], |it| it.mode = 0o3777);
    for (name, seconds, nanos) in [
        ("old", -1, 999_999_999),
        ("oldest", -(1_i64 << 31), 0),
        ("2038", 1_i64 << 31, 1),
        ("2106", 1 << 32, 123_456_789),
        ("2446", (1 << 31) - 1 + (3 << 32), 0),
    ] {
        planting.with(format!("times-{name}"), EMPTY, &[], |it| {
            it.mtime = Time { seconds, nanos };
        });
    }
    let pieces = [(4096 * 3 + 100, 5), (4096 * 5, 4096), (9_000_000, 10)]
        .map(|(offset, length)| planting.data(offset, &vec![b'd'; length]));
    planting.with("sparse", Thing::File { size: 10_000_000 }, &pieces, |_| ());
    planting.add("hole", Thing::File { size: 123_456 });
    let name = "n".repeat(255);
    planting.file(&name, b"long");
    planting.file("\u{e9}\u{1f600} \n\\", b"odd");
    planting.file(b"\xff\xfe", b"bytes");
    let deep = vec!["d"; 200].join("/");
    planting.file(format!("{deep}/f"), b"deep");
    attributes(&mut planting);
    planting.tree()
}

/// Things with extended attributes: in the inode, around it, and in a block.
fn attributes(planting: &mut Planting) {
    let mut with = |name: &str, thing: Thing<'_>, all: &[(&str, &[u8])]| {
        planting.with(name, thing, &[], |it| {
            let all = all.iter();
            it.xattrs = all
                .map(|(k, v)| (k.as_bytes().to_vec(), v.to_vec()))
                .collect();
        });
    };
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let acl = acl(&[
        (1, 6, u32::MAX),
        (2, 7, 1000),
        (4, 4, u32::MAX),
        (8, 5, 50),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ]);
    let default = self::acl(&[(1, 7, u32::MAX), (4, 5, u32::MAX), (0x20, 5, u32::MAX)]);
    with("ping", EMPTY, &[("security.capability", capability)]);
    with("acl", EMPTY, &[("system.posix_acl_access", &acl)]);
    with(
        "acl-dir",
        Thing::Folder,
        &[
            ("system.posix_acl_access", &acl),
            ("system.posix_acl_default", &default),
        ],
    );
    let (large, little) = (vec![b'v'; 3900], b"little");
    for name in ["over", "over-too"] {
        with(
            name,
            EMPTY,
            &[
                ("user.a", little),
                ("user.large", &large),
                ("trusted.b", b""),
            ],
        );
    }
    with(
        "link",
        Thing::Symlink(b"hello"),
        &[("trusted.on.a.link", b"1")],
    );
    with(
        "many",
        EMPTY,
        &[
            ("user.z", b"1"),
            ("user.one", &[1; 21]),
            ("user.two", &[2; 22]),
            ("security.three", &[3; 23]),
            ("trusted.four", &[4; 24]),
            ("user.five-is-a-longer-name", &[0; 64]),
        ],
    );
}

pub(crate) const EMPTY: Thing<'static> = Thing::File { size: 0 };

/// An ACL as the kernel shows it.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// So many bytes, as good as any.
pub(crate) fn filled(seed: usize, length: usize) -> Vec<u8> {
    let bytes = (0..length).map(|at| (at * seed).to_le_bytes()[0]);
    bytes.collect()
}

pub(crate) fn digest(tree: &Tree) -> String {
    tree.digest(NonZeroUsize::MIN, |_, _| Ok(()))
        .unwrap()
        .to_string()
}

pub(crate) fn sha256(path: &Path) -> String {
    let mut hash = Sha256::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a judge prints; it must be content.
pub(crate) fn judge(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {out}{error}"
    );
    out
}

/// `e2fsck -fn` finds nothing at all.
pub(crate) fn fsck(path: &Path) {
    let said = judge("e2fsck", &["-fn", path.to_str().unwrap()]);
    let lines: Vec<_> = said.lines().filter(|it| !it.is_empty()).collect();
    let odd = lines
        .iter()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files ("));
    assert_eq!(odd.count(), 0, "{}: {said}", path.display());
}
