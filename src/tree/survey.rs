//! The digest of a tree that is on disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::TreeDigest;
use super::dress::{Dress, trouble};
use super::path::shown;
use super::record::{Body, Scribe, counts};
use crate::archive::{Device, Time};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys::{self, Beneath, FileKind, Node, Seen};

impl TreeDigest {
    /// The digest of a directory on disk. Files are hashed by so many threads; their number does
    /// not change the result. Nothing is followed, nothing is written.
    ///
    /// # Errors
    /// [`Kind::Local`] if something cannot be read (ordinary users cannot read everything, and do
    /// not see `trusted.` attributes), or changes meanwhile; [`Kind::Cancelled`].
    pub fn of_directory(
        path: &Path,
        threads: NonZeroUsize,
        observer: &dyn Observer,
    ) -> Result<Self> {
        Self::of(path, threads, Closed::Refuse, observer)
    }

    /// The same for two trees of one ordinary user that are to be compared: what modes keep even
    /// their owner from reading counts by its name, mode, owner and time, and nothing else.
    ///
    /// # Errors
    /// As [`of_directory`](Self::of_directory), but for what may not be read.
    pub fn of_what_is_open(
        path: &Path,
        threads: NonZeroUsize,
        observer: &dyn Observer,
    ) -> Result<Self> {
        Self::of(path, threads, Closed::PassOver, observer)
    }

    fn of(
        path: &Path,
        threads: NonZeroUsize,
        closed: Closed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let root =
            sys::open_folder(path).map_err(|error| Error::local("cannot open", path, error))?;
        let mut found = walk(&root, closed)?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let names = first_names(&found);
        let subject = path.to_string_lossy();
        hash_all(&root, &mut found, &names, threads, closed, |done, total| {
            let what = What::Progress {
                received: done,
                total: Some(total),
            };
            let event = Event {
                subject: &subject,
                what,
            };
            observer.on(event).is_continue()
        })?;
        let mut scribe = Scribe::new();
        for (at, thing) in found.iter().enumerate() {
            match names[at] {
                first if first == at => scribe.thing(&thing.path, &thing.dress, &thing.body),
                first => scribe.link(&thing.path, &found[first].path),
            }
        }
        Ok(scribe.finish())
    }
}

/// What to do about what we may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Refuse,
    PassOver,
}

impl Closed {
    /// What was read, or this in its place.
    fn or<T>(self, read: io::Result<T>, instead: impl FnOnce() -> T) -> io::Result<T> {
        match read {
            Err(error)
                if self == Self::PassOver && error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Ok(instead())
            }
            read => read,
        }
    }
}

/// One name in the tree.
#[derive(Debug)]
struct Found {
    path: Vec<u8>,
    dress: Dress,
    body: Body,
    seen: Seen,
}

/// Attributes by name.
type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Everything there is; files not yet opened.
fn walk(root: &OwnedFd, closed: Closed) -> Result<Vec<Found>> {
    let cannot = |path: &[u8], error| trouble("cannot look at", path, error);
    let seen = Node::Open(root.as_fd()).seen();
    let seen = seen.map_err(|error| cannot(b"", error))?;
    let mut found = vec![Found {
        path: Vec::new(),
        dress: dress(&seen),
        body: Body::Folder,
        seen,
    }];
    let mut next = vec![0];
    while let Some(number) = next.pop() {
        let folder = found[number].path.clone();
        let open = || {
            let fd = sys::open_beneath(root, &folder, Beneath::Folder)?;
            let names = sys::names_of(&fd)?;
            let xattrs = xattrs(Node::Open(fd.as_fd()), closed)?;
            Ok(Some((fd, names, xattrs)))
        };
        let open = closed.or(open(), || None);
        let Some((fd, names, xattrs)) =
            open.map_err(|error| trouble("cannot list", &folder, error))?
        else {
            continue;
        };
        found[number].dress.xattrs = xattrs;
        for name in names {
            let mut path = folder.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let thing = look(fd.as_fd(), &name, closed).map(Some);
            let thing = closed.or(thing, || None);
            let Some((dress, body, seen)) = thing.map_err(|error| cannot(&path, error))? else {
                continue;
            };
            if body == Body::Folder {
                next.push(found.len());
            }
            found.push(Found {
                path,
                dress,
                body,
                seen,
            });
        }
    }
    Ok(found)
}

fn look(dir: BorrowedFd<'_>, name: &[u8], closed: Closed) -> io::Result<(Dress, Body, Seen)> {
    let node = Node::Named(dir, name);
    let seen = node.seen()?;
    let device = Device {
        major: seen.device.0,
        minor: seen.device.1,
    };
    let body = match seen.kind {
        FileKind::Folder => Body::Folder,
        FileKind::File => Body::File {
            size: seen.size,
            sha256: [0; 32],
        },
        FileKind::Symlink => Body::Symlink(sys::link_text(dir, name)?),
        FileKind::Character => Body::Character(device),
        FileKind::Block => Body::Block(device),
        FileKind::Fifo => Body::Fifo,
        FileKind::Socket => Body::Socket,
    };
    let mut dress = dress(&seen);
    // What is opened anyway is asked then: without a descriptor it takes a lookup per question.
    if !matches!(seen.kind, FileKind::File | FileKind::Folder) {
        dress.xattrs = xattrs(node, closed)?;
    }
    Ok((dress, body, seen))
}

fn xattrs(node: Node<'_>, closed: Closed) -> io::Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    for name in sys::xattr_names(node)? {
        if counts(&name) {
            let value = closed.or(sys::xattr_value(node, &name), Vec::new)?;
            xattrs.insert(name, value);
        }
    }
    Ok(xattrs)
}

/// All but the attributes.
fn dress(seen: &Seen) -> Dress {
    Dress {
        mode: seen.mode,
        uid: seen.uid.into(),
        gid: seen.gid.into(),
        mtime: Time {
            seconds: seen.mtime.0,
            nanos: seen.mtime.1,
        },
        xattrs: Xattrs::new(),
    }
}

/// For each name the number of the first one that means the same thing.
fn first_names(found: &[Found]) -> Vec<usize> {
    let mut first = HashMap::new();
    let number = |(at, thing): (usize, &Found)| {
        if thing.body == Body::Folder || thing.seen.links < 2 {
            at
        } else {
            *first.entry(thing.seen.identity).or_insert(at)
        }
    };
    found.iter().enumerate().map(number).collect()
}

/// Reads contents and attributes of files. Large files first, so that no thread is left with one
/// at the end.
fn hash_all(
    root: &OwnedFd,
    found: &mut [Found],
    names: &[usize],
    threads: NonZeroUsize,
    closed: Closed,
    tell: impl Fn(u64, u64) -> bool + Sync,
) -> Result<()> {
    let is_first_file = |at: &usize| {
        let file = matches!(found[*at].body, Body::File { .. });
        file && names[*at] == *at
    };
    let mut files: Vec<usize> = (0..found.len()).filter(is_first_file).collect();
    files.sort_by_key(|&at| (std::cmp::Reverse(found[at].seen.size), at));
    let total = files.iter().map(|&at| found[at].seen.size).sum();
    let (next, done, stop) = (
        AtomicUsize::new(0),
        AtomicU64::new(0),
        AtomicBool::new(false),
    );
    let results = Mutex::new(Vec::with_capacity(files.len()));
    let things = &*found;
    let work = || {
        let mut buffer = vec![0; BLOCK];
        let mut own = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(&at) = files.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let hash = hash(root, &things[at], &mut buffer, closed, |read| {
                let sum = done.fetch_add(read, Ordering::Relaxed) + read;
                if !tell(sum, total) {
                    stop.store(true, Ordering::Relaxed);
                }
                !stop.load(Ordering::Relaxed)
            });
            own.push((at, hash));
        }
        let mut all = match results.lock() {
            Ok(all) => all,
            Err(poisoned) => poisoned.into_inner(),
        };
        all.append(&mut own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(files.len()) {
            scope.spawn(work);
        }
        work();
    });
    if stop.into_inner() {
        return Err(Error::new(Kind::Cancelled, "the digest was stopped"));
    }
    let mut results = results.into_inner().unwrap_or_default();
    // The error of the first path is the one that is told, whichever thread met it.
    results.sort_by_key(|(at, _)| *at);
    for (at, hash) in results {
        let size = found[at].seen.size;
        let (sha256, xattrs) = hash?;
        found[at].dress.xattrs = xattrs;
        found[at].body = Body::File { size, sha256 };
    }
    Ok(())
}

fn hash(
    root: &OwnedFd,
    thing: &Found,
    buffer: &mut [u8],
    closed: Closed,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<([u8; 32], Xattrs)> {
    let path = &thing.path;
    let cannot = |error| trouble("cannot read", path, error);
    let changed = || {
        let message = format!("{} changed while it was read", shown(path));
        Err(Error::new(Kind::Local, message))
    };
    let fd = sys::open_beneath(root, path, Beneath::File).map(Some);
    let Some(fd) = closed.or(fd, || None).map_err(cannot)? else {
        return Ok(([0; 32], Xattrs::new()));
    };
    let node = Node::Open(fd.as_fd());
    if node.seen().map_err(cannot)? != thing.seen {
        return changed();
    }
    let xattrs = xattrs(node, closed).map_err(cannot)?;
    let mut file = File::from(fd);
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let read = match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cannot(error)),
        };
        hash.update(&buffer[..read]);
        size += read as u64;
        // Less than was asked for is the end of a regular file.
        if !go_on(read as u64) || read < buffer.len() {
            break;
        }
    }
    if size != thing.seen.size && go_on(0) {
        return changed();
    }
    Ok((hash.finalize().into(), xattrs))
}

/// Bytes that are read and hashed at once.
const BLOCK: usize = 256 << 10;
