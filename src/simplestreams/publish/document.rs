//! Small files, read with a limit, and documents that appear whole.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::base::Digest;
use crate::error::{Error, Result};
use crate::io::HashWriter;
use crate::sys::{self, Beneath, Draft, FileKind, Node, Overwrite};

/// Reads a regular file below a folder; `None` if there is none of this name. A link is an error,
/// and so is one byte more than `limit`.
pub(super) fn read(folder: impl AsFd, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match open(folder, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(Some(bytes))
}

/// Opens a regular file below a folder.
pub(super) fn open(folder: impl AsFd, path: &str) -> io::Result<File> {
    let file = sys::open_beneath(folder, path.as_bytes(), Beneath::File)?;
    if Node::Open(file.as_fd()).seen()?.kind != FileKind::File {
        let message = "not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(file.into())
}

/// A document that is written and has no name yet.
pub(super) struct Written {
    draft: Draft,
    /// Of its bytes.
    pub(super) sha256: Digest,
}

/// Who may read a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Whoever the umask lets.
    Everybody,
    /// Its owner.
    Owner,
}

impl Written {
    /// Writes a document that will be at `path`.
    pub(super) fn new(
        path: &Path,
        readers: Readers,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Self> {
        let write = || -> io::Result<Self> {
            let draft = Draft::beside(path)?;
            if readers == Readers::Owner {
                draft
                    .file()
                    .set_permissions(Permissions::from_mode(0o600))?;
            }
            let sha256 = digest_of(&mut draft.file(), content)?;
            Ok(Self { draft, sha256 })
        };
        write().map_err(|error| cannot_write(path, error))
    }

    /// Gives it its name.
    pub(super) fn commit(self) -> Result<()> {
        self.draft.commit(Overwrite::Yes)
    }
}

/// What a document would hash to.
pub(super) fn measure(
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Digest> {
    digest_of(&mut io::sink(), content)
}

/// The hash of a file below a folder; `None` if there is none.
pub(super) fn digest_at(folder: impl AsFd, path: &str) -> io::Result<Option<Digest>> {
    let mut file = match open(folder, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut hash = HashWriter::new(io::sink());
    io::copy(&mut file, &mut hash)?;
    Ok(Some(hash.finish()))
}

fn digest_of(
    out: &mut impl Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Digest> {
    let mut hash = HashWriter::new(out);
    let mut buffer = BufWriter::new(&mut hash);
    content(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    Ok(hash.finish())
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    match sys::mount_error(&error) {
        Some(state) => Error::local(&format!("{state}: cannot write"), path, error),
        None => Error::local("cannot write", path, error),
    }
}
