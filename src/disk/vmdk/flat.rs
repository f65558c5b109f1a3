//! A descriptor alone, whose extents are files that hold the disk as it is.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::super::source::{Source, refuse};
use super::super::sparse::Run;
use super::descriptor::{Content, Descriptor, START};
use crate::error::{Error, Result};
use crate::sys;

/// The extents of a disk, in order, and the files that they are in.
#[derive(Debug)]
pub(in super::super) struct Flat {
    /// Bytes of the disk.
    pub(in super::super) size: u64,
    /// Where content is: which of the files, the descriptor not counted. What lies between is
    /// zeros.
    pub(in super::super) runs: Vec<(usize, Run)>,
    pub(in super::super) files: Vec<Source>,
}

impl Flat {
    /// Reads the descriptor, and opens the files that it names: only such as are in `folder`.
    pub(in super::super) fn open(source: &Source, folder: Option<&Path>) -> Result<Self> {
        let descriptor = Descriptor::read(source, 0, source.length())?;
        let sectors = descriptor.sectors()?;
        match &descriptor.kind[..] {
            "monolithicFlat" if descriptor.extents.len() == 1 => {}
            "twoGbMaxExtentFlat" if !descriptor.extents.is_empty() => {}
            "monolithicFlat" | "twoGbMaxExtentFlat" => {
                let count = descriptor.extents.len();
                return Err(refuse(format!("{count} extents in its descriptor")));
            }
            kind => {
                return Err(refuse(format!(
                    "a descriptor of kind {kind:?}: only monolithicFlat and twoGbMaxExtentFlat are \
                     supported"
                )));
            }
        }
        let mut flat = Self {
            size: sectors * SECTOR,
            runs: Vec::new(),
            files: Vec::new(),
        };
        let mut opened = BTreeMap::new();
        let mut start = 0;
        for line in descriptor.extents {
            let length = line.sectors * SECTOR;
            match line.content {
                Content::Zero => {}
                Content::Sparse => {
                    return Err(refuse("sparse extents in several files are not supported"));
                }
                Content::Flat { name, sector } => {
                    let file = if let Some(file) = opened.get(&name) {
                        *file
                    } else {
                        flat.files.push(open(&name, folder, opened.len())?);
                        opened.insert(name.clone(), flat.files.len() - 1);
                        flat.files.len() - 1
                    };
                    let offset = sector
                        .checked_mul(SECTOR)
                        .filter(|offset| flat.files[file].holds(*offset, length))
                        .ok_or_else(|| refuse(format!("its extent {name:?} is cut off")))?;
                    flat.runs.push((
                        file,
                        Run {
                            start,
                            offset,
                            length,
                        },
                    ));
                }
            }
            start += length;
        }
        flat.check_overlaps()?;
        Ok(flat)
    }

    /// Refuses one stretch of a file at two places of the disk.
    fn check_overlaps(&self) -> Result<()> {
        let mut places: Vec<_> = self
            .runs
            .iter()
            .map(|(file, run)| (*file, run.offset, run.length))
            .collect();
        places.sort_unstable();
        let overlaps = places
            .windows(2)
            .any(|pair| pair[0].0 == pair[1].0 && pair[0].1 + pair[0].2 > pair[1].1);
        if overlaps {
            return Err(refuse("two of its extents are the same part of a file"));
        }
        Ok(())
    }
}

/// Whether a file begins like a descriptor.
pub(in super::super) fn is_text(source: &Source) -> Result<bool> {
    let (start, there) = source.start::<32>()?;
    Ok(start[..there].starts_with(START.as_bytes()))
}

/// Opens an extent: a plain name in the descriptor's own folder, never through a link.
fn open(name: &str, folder: Option<&Path>, opened: usize) -> Result<Source> {
    let folder = folder.ok_or_else(|| {
        refuse("it is only a descriptor: its extents are in other files, which are not looked for")
    })?;
    if !is_plain(name) {
        return Err(refuse(format!(
            "its extent {name:?} is not a plain name beside the descriptor: it is not opened"
        )));
    }
    if opened >= MAX_FILES {
        return Err(refuse(format!(
            "its extents are in more than {MAX_FILES} files"
        )));
    }
    let path = folder.join(name);
    let file = sys::open_regular(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse(format!("its extent {name:?} is not there")),
        io::ErrorKind::PermissionDenied => Error::local("cannot read", &path, error),
        _ => refuse(format!("its extent {name:?} is not a regular file")).with_source(error),
    })?;
    Source::new(file)
}

fn is_plain(name: &str) -> bool {
    let is_foreign = |it: char| it.is_control() || matches!(it, '/' | '\\' | '\u{fffd}');
    !matches!(name, "" | "." | "..") && !name.contains(is_foreign)
}

const SECTOR: u64 = 512;
/// Each is kept open: half of what a process usually may.
const MAX_FILES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_only() {
        for name in ["a", "a-flat.vmdk", "a b", "..a", "é"] {
            assert!(is_plain(name), "{name:?}");
        }
        for name in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../a",
            "a/b",
            "a/",
            "\\\\.\\PhysicalDrive0",
            "C:\\a",
            "a\0b",
            "a\nb",
            "\u{fffd}",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
