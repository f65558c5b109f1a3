//! From entries to a directory.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::content::{Content, Meter};
use super::dress::{Dress, Dresser, EntryDress, Wearer, trouble};
use super::folders::{Folders, Refusal};
use super::path::{SafePath, shown, split};
use super::policy::{Devices, Policy};
use super::report::{Loss, Report};
use super::source::Stored;
use super::target::Target;
use crate::archive::{Device, Entry, Kind as What, Limits};
use crate::error::{Error, Kind, Result};
use crate::sys::{self, DeviceKind, FileKind, Node, Staging};

/// Writes entries, one by one, to a private directory, which gets the target's name when all are
/// there. Dropped before that, it leaves nothing.
#[derive(Debug)]
#[must_use = "nothing is at the target before `commit`"]
pub struct Writer {
    staging: Staging,
    target: Target,
    policy: Policy,
    limits: Limits,
    meter: Meter,
    folders: Folders,
    report: Report,
    content: Content,
    us: (u32, u32),
    case: Case,
    /// Devices that are not there: the verdict on what comes later is the same as if they were.
    left_out: HashSet<Vec<u8>>,
}

/// Whether the file system takes two names for one that differ in case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Apart,
    Folded,
}

impl Writer {
    /// Prepares to write a tree at `target`, whose parent must exist.
    ///
    /// # Errors
    /// [`Kind::Local`] if the target is there and may not be replaced, is a symbolic link or no
    /// directory, lies in a directory to keep out of, or the staging cannot be made beside it.
    pub fn create(target: &Path, policy: Policy, limits: Limits) -> Result<Self> {
        let target = Target::check(target, &policy)?;
        let staging = Staging::beside(&target.parent, &target.name)
            .map_err(|error| Error::local("cannot make a directory in", &target.parent, error))?;
        let cannot = |error| Error::local("cannot use", &target.path, error);
        let root = Node::Open(staging.root()).seen().map_err(cannot)?;
        let (case, bites) = probe(staging.root()).map_err(cannot)?;
        Ok(Self {
            us: (root.uid, root.gid),
            staging,
            target,
            policy,
            limits,
            meter: Meter::new(limits),
            folders: Folders::new(bites),
            report: Report::default(),
            content: Content::default(),
            case,
            left_out: HashSet::new(),
        })
    }

    /// Writes one entry. `data` gives the content of a regular file, without its holes: the bytes
    /// of its extents one after the other. It is not read for anything else.
    ///
    /// # Errors
    /// [`Kind::Format`] if the entry is unsafe, contradicts an earlier one, or passes a limit;
    /// [`Kind::Local`] if the system cannot; the error of `data` if that is one of ours. The
    /// writer is good for nothing then but to be dropped.
    pub fn add(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        self.add_from(entry, Data::Stream(data))
    }

    /// The same for content that may lie in a file.
    pub(super) fn add_from(&mut self, entry: &Entry, data: Data<'_>) -> Result<()> {
        self.meter.count(entry)?;
        self.report.entries += 1;
        let path = SafePath::parse(&entry.path, &self.limits)?;
        if entry.kind == What::Directory {
            return self.add_folder(path.as_bytes(), Dress::of(entry));
        }
        check_leaf(&entry.path, &path)?;
        let (parent, name) = path.split();
        let parent = self.parent(parent)?;
        let path = path.as_bytes();
        if !self.left_out.is_empty() && self.left_out.remove(path) {
            self.report.note(Loss::Replaced, path, String::new);
        }
        let place = Place { parent, name, path };
        match &entry.kind {
            What::File | What::Directory => self.add_file(place, entry, data),
            What::Symlink(text) => {
                check_text(path, text, &self.limits)?;
                self.exclusively(place, |dir| sys::make_symlink(text, dir, name))?;
                self.dress(place, entry, Wearer::Symlink)
            }
            What::Hardlink(to) => self.add_link(place, to),
            What::Character(device) => {
                self.add_device(place, entry, DeviceKind::Character, *device)
            }
            What::Block(device) => self.add_device(place, entry, DeviceKind::Block, *device),
            What::Fifo => {
                self.exclusively(place, |dir| sys::make_fifo(dir, name))?;
                self.dress(place, entry, Wearer::Other)
            }
        }
    }

    /// Notes that a socket is not there.
    pub(super) fn leave_out_socket(&mut self, path: &[u8]) {
        self.report.note(Loss::Socket, path, String::new);
    }

    /// Dresses the directories, deepest first, and gives the tree its name.
    ///
    /// # Errors
    /// [`Kind::Local`] if the system cannot, or something appeared at the target meanwhile.
    pub fn commit(mut self) -> Result<Report> {
        for number in (0..self.folders.len()).rev() {
            let (path, dress) = self.folders.get(number);
            let wearer = match dress {
                Some(_) => Wearer::Folder,
                None => Wearer::ImpliedFolder,
            };
            let dress = dress.unwrap_or_else(Dress::implied);
            let fd = self.folders.fd(self.staging.root(), number);
            let fd = fd.map_err(|error| trouble("cannot open", &path, error))?;
            let mut dresser = Dresser {
                policy: &self.policy,
                report: &mut self.report,
                us: self.us,
            };
            dresser.dress(Node::Open(fd), &path, &EntryDress::from(&dress), wearer)?;
        }
        let Target {
            path, name, before, ..
        } = self.target;
        let swept = self
            .staging
            .place(&name, before, self.policy.durable)
            .map_err(|error| Error::local("cannot finish", &path, error))?;
        if !swept {
            self.report.leftover = Some(path);
        }
        Ok(self.report)
    }

    fn add_folder(&mut self, path: &[u8], dress: Dress) -> Result<()> {
        let number = self.parent(path)?;
        self.folders.dress(number, dress);
        Ok(())
    }

    fn add_file(&mut self, place: Place<'_>, entry: &Entry, data: Data<'_>) -> Result<()> {
        let name = place.name;
        let file = self.exclusively(place, |dir| sys::make_file(dir, name))?;
        self.report.bytes += match data {
            Data::Stream(data) => self.content.write(&file, place.path, entry, data)?,
            Data::Stored(data, tell) => self.content.copy(&file, place.path, data, tell)?,
        };
        let mut dresser = Dresser {
            policy: &self.policy,
            report: &mut self.report,
            us: self.us,
        };
        let node = Node::Open(file.as_fd());
        dresser.dress(node, place.path, &EntryDress::from(entry), Wearer::Other)
    }

    /// Another name for a regular file that this run has made. Its own metadata is ignored: it is
    /// that of the file, or a lie.
    fn add_link(&mut self, place: Place<'_>, to: &[u8]) -> Result<()> {
        let refuse = |why: &str| {
            let message = format!("{}: hard link to {:?}: {why}", shown(place.path), shown(to));
            Err(Error::new(Kind::Format, message))
        };
        let to = SafePath::parse(to, &self.limits)?;
        if to.as_bytes() == place.path {
            return refuse("that is itself");
        }
        let (parent, old) = to.split();
        let Some(from) = self.folders.find(parent).filter(|_| !to.is_root()) else {
            return refuse("no earlier entry has this name");
        };
        // A descriptor of its own: the cache lends one at a time.
        let cannot = |error| trouble("cannot open", to.as_bytes(), error);
        let root = self.staging.root();
        let dir = self.folders.fd(root, from).map_err(cannot)?;
        match sys::look(dir, old) {
            Ok(seen) if seen.kind == FileKind::File => {}
            Ok(_) => return refuse("that is not a regular file"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refuse("no earlier entry has this name");
            }
            Err(error) => return Err(cannot(error)),
        }
        let dir = dir.try_clone_to_owned().map_err(cannot)?;
        let new = place.name;
        self.exclusively(place, |to| sys::make_link(&dir, old, to, new))
    }

    fn add_device(
        &mut self,
        place: Place<'_>,
        entry: &Entry,
        kind: DeviceKind,
        device: Device,
    ) -> Result<()> {
        let Device { major, minor } = device;
        let word = match kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        check_device(place.path, device)?;
        let name = place.name;
        let make = |dir: BorrowedFd<'_>| sys::make_device(kind, (major, minor), dir, name);
        match self.policy.devices {
            Devices::Refuse => {
                let message = format!("{}: a device node", shown(place.path));
                return Err(Error::new(Kind::Format, message));
            }
            Devices::Make => match self.try_exclusively(place, make)? {
                Ok(()) => return self.dress(place, entry, Wearer::Other),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(trouble("cannot create", place.path, error)),
            },
            Devices::LeaveOut => self.make_room(place)?,
        }
        let detail = || format!("{word} {major}:{minor}");
        self.report.note(Loss::Device, place.path, detail);
        self.left_out.insert(place.path.to_vec());
        Ok(())
    }

    /// Dresses something that cannot be opened.
    fn dress(&mut self, place: Place<'_>, entry: &Entry, wearer: Wearer) -> Result<()> {
        let fd = self.folders.fd(self.staging.root(), place.parent);
        let fd = fd.map_err(|error| trouble("cannot open the directory of", place.path, error))?;
        let mut dresser = Dresser {
            policy: &self.policy,
            report: &mut self.report,
            us: self.us,
        };
        let node = Node::Named(fd, place.name);
        dresser.dress(node, place.path, &EntryDress::from(entry), wearer)
    }

    /// The number of a directory, which is made if it is not there.
    fn parent(&mut self, path: &[u8]) -> Result<usize> {
        let mut above = path;
        while !self.left_out.is_empty() && !above.is_empty() {
            if self.left_out.contains(above) {
                return Err(contradiction(above, "something else"));
            }
            above = split(above).0;
        }
        let refusal = match self.folders.ensure(self.staging.root(), path) {
            Ok(number) => return Ok(number),
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Io(path, error) => Err(trouble("cannot create", &path, error)),
            Refusal::NotAFolder(path) => {
                let (above, name) = split(&path);
                if let Some(parent) = self.folders.find(above) {
                    self.check_case(Place {
                        parent,
                        name,
                        path: &path,
                    })?;
                }
                Err(contradiction(&path, "something else"))
            }
        }
    }

    /// Makes something that must not be there; if it is, and is no directory, it goes.
    fn exclusively<T>(
        &mut self,
        place: Place<'_>,
        make: impl Fn(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T> {
        self.try_exclusively(place, make)?
            .map_err(|error| trouble("cannot create", place.path, error))
    }

    fn try_exclusively<T>(
        &mut self,
        place: Place<'_>,
        make: impl Fn(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<io::Result<T>> {
        let first = {
            let fd = self.folders.fd(self.staging.root(), place.parent);
            fd.and_then(&make)
        };
        match first {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok(other),
        }
        self.make_room(place)?;
        let fd = self.folders.fd(self.staging.root(), place.parent);
        Ok(fd.and_then(make))
    }

    /// Removes what has a name, if anything has: the last entry of a name is the one that counts.
    fn make_room(&mut self, place: Place<'_>) -> Result<()> {
        if self.folders.find(place.path).is_some() {
            return Err(contradiction(place.path, "a directory"));
        }
        self.check_case(place)?;
        let fd = self.folders.fd(self.staging.root(), place.parent);
        match fd.and_then(|fd| sys::unlink(fd, place.name)) {
            Ok(()) => {
                self.report.note(Loss::Replaced, place.path, String::new);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(trouble("cannot replace", place.path, error)),
        }
    }

    /// Refuses a name that is only by its case, or by how it spells a letter, another one than
    /// that of something which is there.
    fn check_case(&mut self, place: Place<'_>) -> Result<()> {
        if self.case == Case::Apart {
            return Ok(());
        }
        let cannot = |error| trouble("cannot look at", place.path, error);
        let fd = self.folders.fd(self.staging.root(), place.parent);
        let fd = fd.map_err(cannot)?;
        let inode = match sys::look(fd, place.name) {
            Ok(seen) => seen.identity,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(cannot(error)),
        };
        let names = sys::names_of(fd).map_err(cannot)?;
        if names.iter().any(|name| name == place.name) {
            return Ok(());
        }
        let same = |name: &&Vec<u8>| sys::look(fd, name).is_ok_and(|it| it.identity == inode);
        let other = names
            .iter()
            .find(same)
            .map_or_else(String::new, |it| shown(it));
        let message = format!(
            "{} and {other:?}: two names that are one on this file system, \
             which does not tell upper case from lower",
            shown(place.path)
        );
        Err(Error::new(Kind::Format, message))
    }
}

/// The content of an entry.
pub(super) enum Data<'a> {
    /// As it comes: the bytes of its extents one after the other.
    Stream(&'a mut dyn Read),
    /// In a file; and what is called now and then while it is copied.
    Stored(&'a Stored<'a>, &'a mut dyn FnMut() -> Result<()>),
}

/// Where an entry goes.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    parent: usize,
    name: &'a [u8],
    path: &'a [u8],
}

/// Makes a name and asks for it in other letters; and whether a umask bites our own rights.
fn probe(root: BorrowedFd<'_>) -> io::Result<(Case, bool)> {
    sys::make_folder(root, PROBE.0)?;
    let case = if sys::look(root, PROBE.1).is_ok() {
        Case::Folded
    } else {
        Case::Apart
    };
    let mode = sys::look(root, PROBE.0)?.mode;
    sys::remove_tree(root, PROBE.0)?;
    Ok((case, mode & 0o700 != 0o700))
}

/// What is no directory must not be the root, nor have a name that says it is one.
pub(super) fn check_leaf(raw: &[u8], path: &SafePath) -> Result<()> {
    let why = if path.is_root() {
        "the root of a tree is a directory"
    } else if raw.ends_with(b"/") {
        "a name that ends in a slash is a directory's"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Format, format!("{}: {why}", shown(raw))))
}

/// A link text that a file system can hold.
pub(super) fn check_text(path: &[u8], text: &[u8], limits: &Limits) -> Result<()> {
    let why = if text.is_empty() {
        "an empty link".to_owned()
    } else if text.contains(&0) {
        "a NUL in the text of a link".to_owned()
    } else if text.len() > limits.name {
        format!(
            "a link text longer than the limit `name` of {}",
            limits.name
        )
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Format, format!("{}: {why}", shown(path))))
}

/// Numbers that the kernel would not cut: 12 bits and 20 bits.
pub(super) fn check_device(path: &[u8], device: Device) -> Result<()> {
    let Device { major, minor } = device;
    if major < 1 << 12 && minor < 1 << 20 {
        return Ok(());
    }
    let message = format!("{}: no device can be {major}:{minor}", shown(path));
    Err(Error::new(Kind::Format, message))
}

/// One name for a directory and for something else.
pub(super) fn contradiction(path: &[u8], is: &str) -> Error {
    let message = format!(
        "{}: an entry with this name, or below it, contradicts an earlier one, which is {is}",
        shown(path)
    );
    Error::new(Kind::Format, message)
}

/// One name in two spellings. The staging has nothing else in it yet.
const PROBE: (&[u8], &[u8]) = (b"case", b"CASE");
