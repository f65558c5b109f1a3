//! A scratch directory with something outside that must not change, and entries made by hand.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use distro_fetch::archive::{Entry, Kind, Limits, Time};
use distro_fetch::tree::{Policy, Report, Writer};
use distro_fetch::{Result, sys};

/// A scratch directory. It goes with its value, whatever was made in it.
pub(super) struct Ground {
    folder: PathBuf,
}

impl Ground {
    pub(super) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// One on another file system.
    pub(super) fn below(place: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("distro-fetch-tree-{}-{number}", std::process::id());
        let folder = place.join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn target(&self) -> PathBuf {
        self.path("target")
    }

    /// Something that an attack would like to change: a file, a link to it, closed directories.
    pub(super) fn outside(&self) -> PathBuf {
        let outside = self.path("outside");
        fs::create_dir_all(outside.join("dir700/below")).unwrap();
        fs::write(outside.join("victim"), "untouched").unwrap();
        fs::set_permissions(outside.join("victim"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(outside.join("dir700"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("victim", outside.join("link")).unwrap();
        outside
    }

    /// Writes all, with everything that this user may keep.
    pub(super) fn write(&self, entries: &[Made]) -> Result<Report> {
        write(&self.target(), entries, policy(), Limits::default())
    }

    /// The names beside the target that are ours to remove.
    pub(super) fn litter(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap();
        names
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with('.'))
            .collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let (parent, name) = (self.folder.parent().unwrap(), self.folder.file_name());
        let parent = sys::open_folder(parent).unwrap();
        let _ = sys::remove_tree(&parent, name.unwrap().as_bytes());
    }
}

/// Everything that this user may keep, owners aside: tests run as anybody.
pub(super) fn policy() -> Policy {
    Policy::of_this_user()
}

pub(super) fn write(
    target: &Path,
    entries: &[Made],
    policy: Policy,
    limits: Limits,
) -> Result<Report> {
    let mut writer = Writer::create(target, policy, limits)?;
    for (entry, data) in entries {
        writer.add(entry, &mut data.as_slice())?;
    }
    writer.commit()
}

/// An entry and its content.
pub(super) type Made = (Entry, Vec<u8>);

fn entry(path: impl AsRef<[u8]>, kind: Kind, mode: u32) -> Made {
    let entry = Entry {
        path: path.as_ref().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time {
            seconds: 1_600_000_000,
            nanos: 123_456_789,
        },
        size: 0,
        xattrs: BTreeMap::new(),
        extents: None,
    };
    (entry, Vec::new())
}

pub(super) fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Made {
    let (mut entry, _) = entry(path, Kind::File, 0o644);
    let data = data.as_ref().to_vec();
    entry.size = data.len() as u64;
    (entry, data)
}

pub(super) fn folder(path: impl AsRef<[u8]>) -> Made {
    entry(path, Kind::Directory, 0o755)
}

pub(super) fn symlink(path: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Made {
    entry(path, Kind::Symlink(to.as_ref().to_vec()), 0o777)
}

pub(super) fn hardlink(path: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Made {
    entry(path, Kind::Hardlink(to.as_ref().to_vec()), 0o644)
}

pub(super) fn special(path: impl AsRef<[u8]>, kind: Kind) -> Made {
    entry(path, kind, 0o666)
}

/// The same with another mode.
pub(super) fn mode((mut entry, data): Made, mode: u32) -> Made {
    entry.mode = mode;
    (entry, data)
}

/// The same with one more attribute.
pub(super) fn xattr((mut entry, data): Made, name: &str, value: impl AsRef<[u8]>) -> Made {
    let value = value.as_ref().to_vec();
    entry.xattrs.insert(name.as_bytes().to_vec(), value);
    (entry, data)
}

/// The same with an owner.
pub(super) fn owner((mut entry, data): Made, uid: u64, gid: u64) -> Made {
    (entry.uid, entry.gid) = (uid, gid);
    (entry, data)
}

/// Everything below a directory to the last bit: what an attack would change. Access times are
/// changed by looking.
pub(super) fn snapshot(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next = vec![path.to_owned()];
    while let Some(path) = next.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            let names = fs::read_dir(&path).unwrap();
            next.extend(names.map(|it| it.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec()
        } else {
            fs::read(&path).unwrap()
        };
        lines.push(format!(
            "{} {:o} {}:{} {} {}.{} {}.{} {content:?}",
            path.display(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.nlink(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ));
    }
    lines.sort();
    lines
}

pub(super) fn is_root() -> bool {
    sys::is_root()
}

/// Says why a test has nothing to do here.
pub(super) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
