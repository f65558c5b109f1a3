//! A tree in memory goes to disk, or into an archive.

use std::io::Write;

use super::node::Thing;
use super::walk::Visit;
use super::writer::Data;
use super::{Loss, Report, Tree, Writer};
use crate::archive::{Entry, Kind as What, Packer};
use crate::error::{Error, Kind, Result};

impl Visit<'_> {
    /// What an archive says of it; `None` for a socket, of which it says nothing. Other names of
    /// regular files are hard links; those of other things are things of their own, since not
    /// every reader of archives takes links to them.
    pub fn entry(&self) -> Option<Entry> {
        let node = &self.node;
        let (kind, size) = match (node.thing(), &self.first) {
            (Thing::File { .. }, Some(first)) => (What::Hardlink(first.clone()), 0),
            (Thing::File { size }, None) => (What::File, size),
            (Thing::Folder, _) => (What::Directory, 0),
            (Thing::Symlink(text), _) => (What::Symlink(text.to_vec()), 0),
            (Thing::Character(device), _) => (What::Character(device), 0),
            (Thing::Block(device), _) => (What::Block(device), 0),
            (Thing::Fifo, _) => (What::Fifo, 0),
            (Thing::Socket, _) => return None,
        };
        let path = if self.path.is_empty() {
            b".".to_vec()
        } else {
            self.path.clone()
        };
        let is_file = kind == What::File;
        Some(Entry {
            path,
            kind,
            mode: node.mode(),
            uid: node.uid(),
            gid: node.gid(),
            mtime: node.mtime(),
            size,
            xattrs: node.xattrs().clone(),
            extents: node.extents().filter(|_| is_file).map(<[_]>::to_vec),
        })
    }
}

impl Tree {
    /// Writes everything to the target of a writer, and gives it its name. `tell` is called now
    /// and then; its error stops the work, and nothing is left of it.
    ///
    /// # Errors
    /// As [`Writer::add`] and [`Writer::commit`]; [`Kind::Local`](crate::error::Kind::Local) if a
    /// content cannot be read; the error of `tell`.
    pub fn write_to(
        &self,
        mut writer: Writer,
        mut tell: impl FnMut() -> Result<()>,
    ) -> Result<Report> {
        for (at, visit) in self.walk().enumerate() {
            if at % ENTRIES == 0 {
                tell()?;
            }
            let Some(entry) = visit.entry() else {
                writer.leave_out_socket(&visit.path);
                continue;
            };
            if entry.is_file() {
                let stored = visit.node.open()?;
                writer.add_from(&entry, Data::Stored(&stored, &mut tell))?;
            } else {
                writer.add(&entry, &mut std::io::empty())?;
            }
        }
        tell()?;
        writer.commit()
    }

    /// Writes everything as a tar: sorted by path, with the extensions of POSIX.1-2001 where they
    /// are needed and nowhere else, so that equal trees are equal bytes. Holes are zeros. The
    /// report says how much there was and that there are no sockets in it.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::error::Kind::Local) if a content cannot be read or the output not be
    /// written; the error of `tell`.
    pub fn pack<W: Write>(
        &self,
        out: W,
        mut tell: impl FnMut() -> Result<()>,
    ) -> Result<(W, Report)> {
        let mut packer = Packer::new(out);
        let mut report = Report::default();
        let mut buffer = vec![0; BUFFER];
        let mut left = STEP;
        for (at, visit) in self.walk().enumerate() {
            if at % ENTRIES == 0 {
                tell()?;
            }
            let Some(entry) = visit.entry() else {
                report.note(Loss::Socket, &visit.path, String::new);
                continue;
            };
            report.entries += 1;
            packer.add(&entry)?;
            if !entry.is_file() {
                continue;
            }
            let stored = visit.node.open()?;
            let mut content = stored.content();
            report.bytes += entry.size;
            loop {
                let read = std::io::Read::read(&mut content, &mut buffer).map_err(|error| {
                    let message = format!("cannot read {}", super::path::shown(&visit.path));
                    Error::new(Kind::Local, message).with_source(error)
                })?;
                if read == 0 {
                    break;
                }
                packer.write(&buffer[..read])?;
                left = left.saturating_sub(read);
                if left == 0 {
                    left = STEP;
                    tell()?;
                }
            }
        }
        Ok((packer.finish()?, report))
    }
}

/// How many entries are written between two looks at whether somebody wants us to stop.
const ENTRIES: usize = 32;

/// How many bytes are.
const STEP: usize = 4 << 20;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
