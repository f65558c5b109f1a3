//! The directories of a tree that is being written: which there are, how they will be dressed,
//! and a few open descriptors of them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::dress::Dress;
use super::path::split;
use crate::sys::{self, Beneath, Node};

/// All directories made so far. The root is number 0, and a parent's number is lower than those
/// of its children.
#[derive(Debug)]
pub(super) struct Folders {
    numbers: HashMap<Arc<[u8]>, usize>,
    all: Vec<Folder>,
    open: Vec<Open>,
    clock: u64,
    last: usize,
    bites: bool,
}

#[derive(Debug)]
struct Folder {
    path: Arc<[u8]>,
    /// What the archive says of it; `None` for one that is only implied.
    dress: Option<Box<Dress>>,
}

#[derive(Debug)]
struct Open {
    number: usize,
    fd: OwnedFd,
    used: u64,
}

/// A parent that cannot be: what has the name is not a directory.
#[derive(Debug)]
pub(super) enum Refusal {
    /// This path is something else.
    NotAFolder(Vec<u8>),
    /// The system said so about this path.
    Io(Vec<u8>, io::Error),
}

impl Folders {
    /// Only the root. `bites`: the umask takes from us what we need in our own directories.
    pub(super) fn new(bites: bool) -> Self {
        let root: Arc<[u8]> = Arc::from([].as_slice());
        Self {
            numbers: HashMap::from([(root.clone(), 0)]),
            all: vec![Folder {
                path: root,
                dress: None,
            }],
            open: Vec::new(),
            clock: 0,
            last: 0,
            bites,
        }
    }

    /// The number of the directory with this path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        // Archives list what is in one directory together.
        if *self.all[self.last].path == *path {
            return Some(self.last);
        }
        self.numbers.get(path).copied()
    }

    /// The same; makes it, and what leads to it, if it is not there.
    pub(super) fn ensure(&mut self, root: BorrowedFd<'_>, path: &[u8]) -> Result<usize, Refusal> {
        if let Some(number) = self.find(path) {
            self.last = number;
            return Ok(number);
        }
        // From the nearest one that there is, downwards.
        let (mut parent, mut end) = (0, 0);
        for at in (0..path.len()).rev().filter(|&at| path[at] == b'/') {
            if let Some(number) = self.find(&path[..at]) {
                (parent, end) = (number, at);
                break;
            }
        }
        loop {
            let start = if end == 0 { 0 } else { end + 1 };
            let length = path[start..].iter().position(|&byte| byte == b'/');
            end = length.map_or(path.len(), |length| start + length);
            parent = self.make(root, parent, &path[..end])?;
            if end == path.len() {
                self.last = parent;
                return Ok(parent);
            }
        }
    }

    fn make(&mut self, root: BorrowedFd<'_>, parent: usize, path: &[u8]) -> Result<usize, Refusal> {
        let bites = self.bites;
        let (_, name) = split(path);
        let made = self.fd(root, parent).and_then(|fd| {
            sys::make_folder(fd, name)?;
            if bites {
                Node::Named(fd, name).set_mode(0o700)?;
            }
            Ok(())
        });
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Refusal::NotAFolder(path.to_vec()));
            }
            Err(error) => return Err(Refusal::Io(path.to_vec(), error)),
        }
        let number = self.all.len();
        let path: Arc<[u8]> = Arc::from(path);
        self.numbers.insert(path.clone(), number);
        self.all.push(Folder { path, dress: None });
        Ok(number)
    }

    /// A descriptor of a directory, opened beneath the root if it is not among those that are.
    pub(super) fn fd<'a>(
        &'a mut self,
        root: BorrowedFd<'a>,
        number: usize,
    ) -> io::Result<BorrowedFd<'a>> {
        if number == 0 {
            return Ok(root);
        }
        self.clock += 1;
        let at = if let Some(at) = self.open.iter().position(|open| open.number == number) {
            at
        } else {
            let fd = sys::open_beneath(root, &self.all[number].path, Beneath::Folder)?;
            let open = Open {
                number,
                fd,
                used: 0,
            };
            let oldest = (0..self.open.len()).min_by_key(|&at| self.open[at].used);
            match oldest {
                Some(at) if self.open.len() >= OPEN => {
                    self.open[at] = open;
                    at
                }
                _ => {
                    self.open.push(open);
                    self.open.len() - 1
                }
            }
        };
        let open = &mut self.open[at];
        open.used = self.clock;
        Ok(open.fd.as_fd())
    }

    /// Says how a directory will be dressed. The last word counts.
    pub(super) fn dress(&mut self, number: usize, dress: Dress) {
        self.all[number].dress = Some(Box::new(dress));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Path and dress of a directory.
    pub(super) fn get(&self, number: usize) -> (Arc<[u8]>, Option<Dress>) {
        let folder = &self.all[number];
        (folder.path.clone(), folder.dress.as_deref().cloned())
    }
}

/// Descriptors that are kept open. Archives go depth first, so that few are ever needed; a limit
/// of 32 for the whole process (`ulimit -n 32`) must be enough.
const OPEN: usize = 12;
