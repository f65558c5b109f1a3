//! The digest of a tree in memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::TreeDigest;
use super::dress::Dress;
use super::node::{Node, NodeId, Thing, Tree};
use super::path::shown;
use super::record::{Body, Scribe};
use crate::error::{Error, Kind, Result};

impl Tree {
    /// The digest of the tree, as the [room](super) defines it. Files are hashed by so many
    /// threads; their number does not change the result. `tell` hears how many bytes of how many
    /// were read; its error stops the work.
    ///
    /// # Errors
    /// [`Kind::Local`] if a content cannot be read; the error of `tell`.
    pub fn digest(
        &self,
        threads: NonZeroUsize,
        tell: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<TreeDigest> {
        let hashes = self.hashes(threads, tell)?;
        let mut scribe = Scribe::new();
        for visit in self.walk() {
            let node = visit.node;
            if let Some(first) = &visit.first {
                scribe.link(&visit.path, first);
                continue;
            }
            let body = match node.thing() {
                Thing::Folder => Body::Folder,
                Thing::File { size } => Body::File {
                    size,
                    sha256: hashes.get(&node.id()).copied().unwrap_or_else(nothing),
                },
                Thing::Symlink(text) => Body::Symlink(text.to_vec()),
                Thing::Character(device) => Body::Character(device),
                Thing::Block(device) => Body::Block(device),
                Thing::Fifo => Body::Fifo,
                Thing::Socket => Body::Socket,
            };
            let dress = Dress {
                mode: node.mode(),
                uid: node.uid(),
                gid: node.gid(),
                mtime: node.mtime(),
                xattrs: node.xattrs().clone(),
            };
            scribe.thing(&visit.path, &dress, &body);
        }
        Ok(scribe.finish())
    }

    /// The hashes of all files that are not empty. Large files first, so that no thread is left
    /// with one at the end.
    fn hashes(
        &self,
        threads: NonZeroUsize,
        tell: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<BTreeMap<NodeId, [u8; 32]>> {
        let mut files: Vec<(u64, Node<'_>)> = Vec::new();
        for visit in self.walk() {
            if let Thing::File { size } = visit.node.thing()
                && size > 0
                && visit.first.is_none()
            {
                files.push((size, visit.node));
            }
        }
        files.sort_by_key(|(size, node)| (std::cmp::Reverse(*size), node.id()));
        let total = files.iter().map(|(size, _)| size).sum();
        let (next, done, stop) = (
            AtomicUsize::new(0),
            AtomicU64::new(0),
            AtomicBool::new(false),
        );
        let all = Mutex::new((BTreeMap::new(), None));
        let work = || {
            let mut buffer = vec![0; BLOCK];
            while !stop.load(Ordering::Relaxed) {
                let Some((_, node)) = files.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let hash = self.hash(*node, &mut buffer, |read| {
                    let sum = done.fetch_add(read, Ordering::Relaxed) + read;
                    tell(sum, total)
                });
                let mut all = match all.lock() {
                    Ok(all) => all,
                    Err(poisoned) => poisoned.into_inner(),
                };
                match hash {
                    Ok(hash) => drop(all.0.insert(node.id(), hash)),
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        all.1 = Some(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.get().min(files.len()) {
                scope.spawn(work);
            }
            work();
        });
        match all.into_inner() {
            Ok((hashes, None)) => Ok(hashes),
            Ok((_, Some(error))) => Err(error),
            Err(_) => Err(Error::new(Kind::Other, "a thread that hashes died")),
        }
    }

    fn hash(
        &self,
        node: Node<'_>,
        buffer: &mut [u8],
        mut tell: impl FnMut(u64) -> Result<()>,
    ) -> Result<[u8; 32]> {
        let stored = node.open()?;
        let mut content = stored.content();
        let mut hash = Sha256::new();
        loop {
            let read = content.read(buffer).map_err(|error| {
                let path = self.walk().find(|it| it.node.id() == node.id());
                let path = path.map_or_else(String::new, |it| shown(&it.path));
                Error::new(Kind::Local, format!("cannot read {path}")).with_source(error)
            })?;
            if read == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(&buffer[..read]);
            tell(read as u64)?;
        }
    }
}

fn nothing() -> [u8; 32] {
    Sha256::digest([]).into()
}

/// Bytes that are read and hashed at once.
const BLOCK: usize = 256 << 10;
