//! The members of a tar, read where they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{Checks, Decoder, Format, Kind as What, Limits, Reader, error_of};
use crate::error::{Error, Kind, Result};
use crate::sys;
use crate::tree::{SafePath, Window};

/// Where everything is in a tar.
#[derive(Debug)]
pub(super) struct Members {
    path: PathBuf,
    file: Arc<File>,
    found: HashMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    File {
        at: u64,
        size: u64,
    },
    /// Another name: `docker save` wrote one for a layer that two images have.
    Link(Vec<u8>),
}

impl Members {
    /// Looks through a tar. One that is compressed is decoded first, into a file without a name in
    /// `spool`.
    pub(super) fn open(
        path: &Path,
        spool: &Path,
        limits: Limits,
        mut tell: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let cannot = |error| Error::local("cannot read", path, error);
        let mut file = sys::open_regular_through_links(path).map_err(cannot)?;
        let mut start = Vec::new();
        let look = (&file).take(Format::MAGIC as u64).read_to_end(&mut start);
        look.and_then(|_| file.rewind()).map_err(cannot)?;
        let format = Format::of_magic(&start).unwrap_or(Format::Plain);
        if format != Format::Plain {
            file = decoded(file, format, spool, limits, &mut tell)?;
        }
        let file = Arc::new(file);
        let window = Window::whole(file.clone()).map_err(cannot)?;
        let mut reader = Reader::new(window, limits);
        let mut found = HashMap::new();
        while let Some(entry) = reader.next_entry()? {
            tell()?;
            let name = SafePath::parse(&entry.path, &limits)?.into_bytes();
            let member = match entry.kind {
                What::File if entry.extents.is_none() => Member::File {
                    at: reader.offset(),
                    size: entry.size,
                },
                What::Symlink(to) => Member::Link(beside(&name, &to)),
                What::Hardlink(to) => Member::Link(SafePath::parse(&to, &limits)?.into_bytes()),
                _ => continue,
            };
            // The last one of a name counts, for everybody who reads tars.
            found.insert(name, member);
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            found,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Window>> {
        let mut here = name;
        for _ in 0..LINKS {
            match self.found.get(here) {
                None => return Ok(None),
                Some(Member::File { at, size }) => {
                    return Ok(Some(Window::new(self.file.clone(), *at, *size)));
                }
                Some(Member::Link(to)) => here = to,
            }
        }
        let message = format!(
            "{}: links that lead nowhere: {}",
            self.path.display(),
            name.escape_ascii()
        );
        Err(Error::new(Kind::Format, message))
    }
}

/// Where a link leads, as far as that is inside; names in the tar have no `..`, so that what leads
/// outside leads to nothing.
fn beside(name: &[u8], to: &[u8]) -> Vec<u8> {
    let mut way: Vec<&[u8]> = name.split(|&byte| byte == b'/').collect();
    way.pop();
    for step in to.split(|&byte| byte == b'/') {
        match step {
            b"" | b"." => {}
            b".." if way.last().is_some_and(|last| *last != b"..") => drop(way.pop()),
            step => way.push(step),
        }
    }
    way.join(&b'/')
}

fn decoded(
    file: File,
    format: Format,
    spool: &Path,
    limits: Limits,
    tell: &mut impl FnMut() -> Result<()>,
) -> Result<File> {
    let cannot = |error| Error::local("cannot write a temporary file in", spool, error);
    let out = sys::unnamed_file(spool).map_err(cannot)?;
    let mut decoder = Decoder::new(file, format, &limits, Checks::Verify)?.threaded();
    let mut buffer = vec![0; BLOCK];
    loop {
        let n = decoder.read(&mut buffer).map_err(error_of)?;
        if n == 0 {
            return Ok(out);
        }
        std::io::Write::write_all(&mut &out, &buffer[..n]).map_err(cannot)?;
        tell()?;
    }
}

/// How many links are followed one after the other.
const LINKS: usize = 8;

/// Bytes that are decoded at once.
const BLOCK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let check = |name: &str, to: &str, expect: &str| {
            let path = beside(name.as_bytes(), to.as_bytes());
            assert_eq!(String::from_utf8_lossy(&path), expect);
        };
        check("a/layer.tar", "../b/layer.tar", "b/layer.tar");
        check("a/layer.tar", "./x", "a/x");
        check("a/layer.tar", "../../../etc/passwd", "../../etc/passwd");
    }
}
